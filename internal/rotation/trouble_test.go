package rotation_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"fastness"
	"fastness/internal/rotation"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/testservers"
	"fastness/internal/vault"
)

// at is a watch that calls f once, when a point is reached for the nth time.
func at(p string, nth int, f func()) watch {
	var mu sync.Mutex
	return func(here point) {
		if here.String() != p {
			return
		}
		mu.Lock()
		nth--
		now := nth == 0
		mu.Unlock() // others are to pass meanwhile
		if now {
			f()
		}
	}
}

// stops are the points of an undisturbed rotation outside of transactions,
// at which the world can change. Of the lease it is the first taking: it is
// renewed beside the rotation, and who stops there stops nothing.
func (r *trial) stops() (all []errand) {
	r.t.Helper()
	seen := map[string]int{}
	var mu sync.Mutex
	r.inside(func(ctx context.Context, d *deployment) error {
		return d.Once(watched(ctx, func(p point) {
			mu.Lock()
			defer mu.Unlock()
			if p.when == "within" || p.what == "a write" {
				return
			}
			stop := errand{Kill: p.String(), Nth: seen[p.String()] + 1}
			if seen[stop.Kill]++; stop.steady() || stop.Nth == 1 {
				all = append(all, stop)
			}
		}))
	})
	r.sleep()
	r.restart()
	return all
}

// disturb does what is due, and something at a point of it.
func (r *trial) disturb(p errand, trouble func(context.Context, *deployment) error) {
	r.t.Helper()
	r.story = fmt.Sprintf("at %s (%d)", p.Kill, p.Nth)
	r.inside(func(ctx context.Context, d *deployment) error {
		failed := r.passed(p)
		err := d.Once(watched(ctx, at(p.Kill, p.Nth, func() { failed = trouble(ctx, d) })))
		return errors.Join(failed, err)
	})
	r.sleep()
}

// settle lets the worker work until the rotation is over, and returns how it
// ended and after which failures.
func (r *trial) settle() (end rotation.State, failures []rotation.Class) {
	r.t.Helper()
	for range 4 {
		r.inside(func(ctx context.Context, d *deployment) error {
			if err := d.Once(ctx); err != nil {
				return err
			}
			now, past, err := d.records(ctx)
			switch {
			case err != nil:
				return err
			case now == nil:
				end = past[0].State
			case now.State == rotation.StateStuck:
				end = now.State
				fallthrough
			default:
				failures = append(failures, now.Class)
			}
			return nil
		})
		r.Now = r.Now.Add(2 * time.Hour) // every wait is over
		if end != "" {
			return end, failures
		}
	}
	r.t.Fatalf("it does not end, after %v: %s", failures, r.story)
	return "", nil
}

// records returns the journal: what is under way, and what is over.
func (d *deployment) records(ctx context.Context) (now *rotation.Record, past []rotation.Record, err error) {
	state, err := d.s.Rotation(ctx, rotated)
	if err != nil {
		return nil, nil, err
	}
	return parseRecords(state)
}

// TestCutOffAnywhere cuts the target off at every point of a rotation: what
// comes next fails, says so, and after a while the rotation finishes.
func TestCutOffAnywhere(t *testing.T) {
	of(t, targeted(t, few()), func(t *testing.T, s subject) { cutOff(t, s, faults["refused"]) })
}

func cutOff(t *testing.T, s subject, f fault) {
	p := newProxy(t, "")
	s.open = through(s.open, p)
	r := newTrial(t, s, nil)
	for _, stop := range r.stops() {
		r.disturb(stop, func(context.Context, *deployment) error { p.armAll(f); return nil })
		p.disarm()
		r.inside(r.accessible)
		end, failures := r.settle()
		for _, class := range failures {
			if class != rotation.Unreachable {
				t.Errorf("%s: a failure of class %s", r.story, class)
			}
		}
		if end != rotation.StateFinished {
			t.Fatalf("%s: it ends %s", r.story, end)
		}
		r.inside(func(ctx context.Context, d *deployment) error {
			return errors.Join(r.finished(ctx, d), r.begin(ctx, d))
		})
	}
}

// through opens specimens behind a proxy.
func through(open func(testing.TB, *proxy) *specimen, p *proxy) func(testing.TB, *proxy) *specimen {
	return func(t testing.TB, _ *proxy) *specimen { return open(t, p) }
}

// TestHumanAnywhere has somebody change the password on the target at every
// point of a rotation, and put it into the manager as the current one. It is
// never overwritten by what works no more.
func TestHumanAnywhere(t *testing.T) {
	of(t, changeable(t, few()), human)
}

func human(t *testing.T, s subject) {
	r := newTrial(t, s, nil)
	for _, stop := range r.stops() {
		known := with(r.value, map[string]any{"password": "spoiled"})
		r.disturb(stop, func(ctx context.Context, d *deployment) error {
			r.spoil()
			_, err := d.s.Put(ctx, rotated, vault.Put{Value: secretbuf.Take(bytes.Clone(known))})
			return err
		})
		r.settle()
		r.inside(func(ctx context.Context, d *deployment) error {
			value, err := read(ctx, d, fastness.Selector{})
			switch {
			case err != nil:
			case !stop.steady(): // the worker went on: whoever puts may come too late
				err = r.accessible(ctx, d)
			case !r.logsIn(value):
				err = errors.New("the current value does not log in")
			}
			return errors.Join(err, r.begin(ctx, d))
		})
	}
}

// TestSpoiledAnywhere changes the password on the target at every point, and
// tells nobody: the current version is not touched by what cannot be tested, it
// is said, and once somebody has put the right value all goes well again.
func TestSpoiledAnywhere(t *testing.T) {
	of(t, changeable(t, few()), spoiled)
}

func spoiled(t *testing.T, s subject) {
	r := newTrial(t, s, nil)
	for _, stop := range r.stops() {
		r.disturb(stop, func(context.Context, *deployment) error { r.spoil(); return nil })
		end, failures := r.settle()
		r.inside(func(ctx context.Context, d *deployment) error { return r.repair(ctx, d, end, failures) })
		if end, _ := r.settle(); !end.Over() {
			t.Fatalf("%s: repaired, and %s", r.story, end)
		}
		r.inside(r.begin)
		if end, failures := r.settle(); end != rotation.StateFinished || len(failures) > 0 {
			t.Fatalf("%s: repaired, and then %s after %v", r.story, end, failures)
		}
		r.inside(func(ctx context.Context, d *deployment) error {
			return errors.Join(r.finished(ctx, d), r.begin(ctx, d))
		})
	}
}

// repair checks what is said of a spoiled credential, and mends it as somebody
// would who knows the password.
func (r *trial) repair(ctx context.Context, d *deployment, end rotation.State, failures []rotation.Class) error {
	value, err := read(ctx, d, fastness.Selector{})
	if err != nil {
		return err
	}
	if end == rotation.StateStuck && (!bytes.Equal(value, r.value) || failures[len(failures)-1] != rotation.Unverified) {
		return fmt.Errorf("stuck after %v, and the current value is another", failures)
	}
	if end == rotation.StateFinished && r.logsIn(value) {
		return nil // another user, or set anew
	}
	right := with(value, map[string]any{"password": "spoiled"})
	if _, err := d.s.Put(ctx, rotated, vault.Put{Value: secretbuf.Take(right)}); err != nil {
		return err
	}
	_, err = d.s.AskRotation(ctx, rotated)
	return err
}

// TestRedisSavesAfterCrash: Redis took the new password, and the process died
// before it had it saved. It is saved all the same, and outlasts a restart.
func TestRedisSavesAfterCrash(t *testing.T) {
	server := testservers.StartRedis(t, testservers.Options{})
	user := "saved"
	redisExec(t, server, "ACL", "SETUSER", user, "on", ">first", "+acl|setuser", "+acl|save")
	redisExec(t, server, "ACL", "SAVE")
	s := throughProxy(server, nil, "redis", user, "first", false)
	s.kind, s.config = "redis", `{"tls":"disable","aclSave":true}`
	s.logsIn = func(value []byte) bool { return redisLogin(t, server.Address(), user, parseValue(value).Password) }
	r := newTrial(t, subject{open: func(testing.TB, *proxy) *specimen { return s }, overlaps: true}, nil)
	r.inside(func(ctx context.Context, d *deployment) (err error) {
		ctx, crash := context.WithCancel(ctx)
		d.Once(watched(ctx, at("before setting", 1, func() {
			var value []byte
			value, err = read(context.Background(), d, fastness.Selector{Label: fastness.Pending})
			if err == nil {
				redisExec(t, server, "ACL", "SETUSER", user, ">"+parseValue(value).Password)
			}
			crash()
		})))
		return err
	})
	r.sleep()
	if end, failures := r.settle(); end != rotation.StateFinished || len(failures) > 0 {
		t.Fatalf("it ends %s after %v", end, failures)
	}
	redisExec(t, server, "ACL", "LOAD")
	r.inside(r.finished)
}

// TestTwoWorkersAnywhere stops a worker at every point for longer than its
// lease lasts. Another one finishes, and begins and finishes the next rotation
// too; then the first one goes on, and does no harm. The soak does so for all.
func TestTwoWorkersAnywhere(t *testing.T) {
	of(t, named("postgres single", "mariadb alternating"), func(t *testing.T, s subject) { twoWorkers(t, s, 1) })
}

func twoWorkers(t *testing.T, s subject, further ...int) {
	r := newTrial(t, s, testservers.Postgres(t))
	for _, stop := range r.stops() {
		for _, n := range further {
			r.usurp(stop, n)
		}
	}
}

// TestTwoWorkersAtOnce has a worker lose its lease at every point without
// noticing, and go on while another one works. The soak does so for all.
func TestTwoWorkersAtOnce(t *testing.T) {
	of(t, named("postgres single", "redis by master"), competing)
}

func competing(t *testing.T, s subject) {
	r := newTrial(t, s, testservers.Postgres(t))
	for _, stop := range r.stops() {
		r.compete(stop)
	}
}

// compete lets two workers work on one rotation, from a point on.
func (r *trial) compete(start errand) {
	r.t.Helper()
	r.story = fmt.Sprintf("both at work from %s (%d)", start.Kill, start.Nth)
	log := &bytes.Buffer{}
	r.inside(func(ctx context.Context, first *deployment) error {
		var other sync.WaitGroup
		var failed error
		err := first.Once(watched(ctx, at(start.Kill, start.Nth, func() {
			r.sleep()
			second, err := r.start(ctx, log)
			if err != nil {
				failed = err
				return
			}
			other.Go(func() { failed = errors.Join(second.Once(ctx), second.close()) })
		})))
		other.Wait()
		if errors.Is(err, store.ErrFenced) {
			err = nil
		}
		return errors.Join(err, failed, r.accessible(ctx, first))
	})
	r.sleep()
	if end, failures := r.settle(); end != rotation.StateFinished {
		r.t.Fatalf("%s: it ends %s after %v\n%s", r.story, end, failures, log)
	}
	r.inside(func(ctx context.Context, d *deployment) error {
		return errors.Join(r.finished(ctx, d), r.begin(ctx, d))
	})
}

// usurp stops a worker at a point while another one works.
func (r *trial) usurp(stop errand, further int) {
	r.t.Helper()
	r.story = fmt.Sprintf("stopped at %s (%d), and %d more", stop.Kill, stop.Nth, further)
	r.inside(func(ctx context.Context, slow *deployment) error {
		var failed error
		stopped := false
		err := slow.Once(watched(ctx, at(stop.Kill, stop.Nth, func() {
			stopped = true
			r.sleep()
			failed = r.overtake(ctx, further)
		})))
		if errors.Is(err, store.ErrFenced) {
			err = nil
		}
		if !stopped {
			return errors.Join(err, r.finished(ctx, slow), r.passed(stop))
		}
		return errors.Join(failed, err, r.harmless(ctx, slow))
	})
	r.sleep()
	r.inside(r.begin)
}

// passed complains of a point that was not reached.
func (r *trial) passed(stop errand) error {
	if stop.steady() {
		return errors.New("it never came there")
	}
	return nil
}

// overtake finishes the rotation, and a number of further ones.
func (r *trial) overtake(ctx context.Context, further int) error {
	log := &bytes.Buffer{}
	d, err := r.start(ctx, log)
	if err != nil {
		return err
	}
	for range further + 1 {
		err = errors.Join(err, d.Once(ctx), r.finished(ctx, d), r.begin(ctx, d))
	}
	// What was asked for last is not to be done by whoever goes on first.
	_, paused := d.s.PauseRotation(ctx, rotated)
	if err = errors.Join(err, paused, d.close()); err != nil {
		r.story += "\n" + log.String()
	}
	return err
}

// harmless checks that the worker which was overtaken changed nothing.
func (r *trial) harmless(ctx context.Context, d *deployment) error {
	now, past, err := d.records(ctx)
	if err != nil {
		return err
	}
	if now != nil || past[0].State != rotation.StateFinished {
		return fmt.Errorf("the journal is %+v, %+v", now, past)
	}
	value, err := read(ctx, d, fastness.Selector{})
	if err != nil {
		return err
	}
	if !bytes.Equal(value, r.value) || r.logsIn != nil && !r.logsIn(value) {
		return errors.New("the current value is another, or does not log in")
	}
	_, err = d.s.ResumeRotation(ctx, rotated)
	return err
}
