package rotation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"fastness"
	"fastness/internal/audit"
	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/testservers"
	"fastness/internal/vault"
)

// childVariable tells a process of this test binary that it is one to be
// killed: it holds an errand.
const childVariable = "FASTNESS_ROTATION_CHILD"

// errand is what a child does: what is due, until it is killed.
type errand struct {
	Ground ground
	Kill   string // the point at which it kills itself; empty: it lives
	Nth    int    // at which time it gets there, from 1
}

// runChild does an errand. It prints the points that it reaches, one a line.
func runChild(text string) {
	var e errand
	err := json.Unmarshal([]byte(text), &e)
	if err == nil {
		err = e.run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (e errand) run(ctx context.Context) error {
	d, err := e.Ground.start(ctx, os.Stderr)
	if err != nil {
		return err
	}
	if err := d.Once(watched(ctx, e.suicide())); err != nil {
		return err
	}
	return d.close()
}

// suicide prints each point before which or after which all that there is may
// end, and dies at the one.
func (e errand) suicide() watch {
	var mu sync.Mutex
	seen := 0
	return func(p point) {
		mu.Lock()
		defer mu.Unlock()
		if p.what == "a write" {
			return // as good as within it
		}
		fmt.Println(p)
		if p.String() != e.Kill {
			return
		}
		if seen++; seen == e.Nth {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
}

// send has a child do an errand and returns the points that it reached, and
// whether it was killed.
func (e errand) send(t testing.TB) (points []string, killed bool) {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err = cmd.Run()
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	killed = status.Signaled() && status.Signal() == syscall.SIGKILL
	if err != nil && !killed {
		t.Fatalf("the child: %v\n%s", err, log.Bytes())
	}
	return strings.Split(strings.TrimSpace(out.String()), "\n"), killed
}

// trial is a secret whose rotations are killed and taken up again.
type trial struct {
	t testing.TB
	subject
	*specimen
	ground
	told  int    // entries of the audit log that were looked at
	kills int    // so far
	story string // of the last rotation
}

func newTrial(t testing.TB, s subject, server *testservers.Server) *trial {
	t.Helper()
	r := &trial{t: t, subject: s, specimen: s.open(t, nil), ground: newGround(t, server)}
	g := r.ground // targets ask at any time, while the trial's clock moves
	if r.asks != nil {
		r.asks(func(id secret.VersionID) []byte { return g.ask(http.MethodGet, id, nil) })
	}
	if r.store != nil {
		r.store(func(id secret.VersionID, value []byte) { g.ask(http.MethodPut, id, value) })
	}
	r.inside(func(ctx context.Context, d *deployment) error { return d.furnish(ctx, r.specimen) })
	r.inside(r.begin)
	return r
}

// inside opens the deployment for a while.
func (r *trial) inside(f func(context.Context, *deployment) error) {
	r.t.Helper()
	ctx, log := context.Background(), &bytes.Buffer{}
	d, err := r.start(ctx, log)
	if err != nil {
		r.t.Fatal(err)
	}
	err = f(ctx, d)
	if err := errors.Join(err, d.close()); err != nil {
		r.t.Fatalf("%v: %s\n%s", err, r.story, log)
	}
}

// begin asks for a rotation, and keeps in mind what is valid before it.
func (r *trial) begin(ctx context.Context, d *deployment) (err error) {
	if r.value, err = read(ctx, d, fastness.Selector{}); err != nil {
		return err
	}
	_, err = d.s.AskRotation(ctx, rotated)
	return err
}

func read(ctx context.Context, d *deployment, which fastness.Selector) ([]byte, error) {
	reading, err := d.s.Get(ctx, rotated, which)
	if err != nil {
		return nil, err
	}
	defer reading.Value.Release()
	return bytes.Clone(reading.Value.Bytes()), nil
}

// kill has a child rotate the secret until it is killed at a point.
func (r *trial) kill(at string, nth int) (killed bool) {
	r.t.Helper()
	_, killed = errand{r.ground, at, nth}.send(r.t)
	if killed {
		r.kills++
		r.story += fmt.Sprintf("; killed %s (%d)", at, nth)
	}
	r.sleep()
	return killed
}

// restart starts the deployment again, lets it work, and checks how the
// rotation ends. Then it begins the next.
func (r *trial) restart() {
	r.t.Helper()
	r.inside(func(ctx context.Context, d *deployment) error {
		if err := r.accessible(ctx, d); err != nil {
			return err
		}
		if err := d.Once(ctx); err != nil {
			return err
		}
		if err := r.finished(ctx, d); err != nil {
			return err
		}
		if err := r.audited(ctx, d); err != nil {
			return err
		}
		r.story = ""
		return r.begin(ctx, d)
	})
	r.sleep()
}

// sleep waits until the lease of a process that is no more has ended.
func (r *trial) sleep() { r.Now = r.Now.Add(2 * vault.RotationLease) }

// accessible checks that nobody is locked out: one of the values that the
// manager knows logs in.
func (r *trial) accessible(ctx context.Context, d *deployment) error {
	if r.logsIn == nil {
		return nil
	}
	for _, label := range []secret.Label{secret.Current, secret.Pending, secret.Previous} {
		value, err := read(ctx, d, fastness.Selector{Label: label})
		if errors.Is(err, secret.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if r.logsIn(value) {
			return nil
		}
	}
	return errors.New("no value that the manager knows logs in")
}

// finished checks that the rotation is over, with a value that logs in.
func (r *trial) finished(ctx context.Context, d *deployment) error {
	state, err := d.s.Rotation(ctx, rotated)
	if err != nil {
		return err
	}
	if state.Active || len(state.History) == 0 || stateOf(fmt.Appendf(nil, `{"history":[%s]}`, state.History[0])) != string(rotation.StateFinished) {
		return fmt.Errorf("the rotation is not finished: %s", state.Journal)
	}
	info, err := d.s.Describe(ctx, rotated)
	if err != nil {
		return err
	}
	value, err := read(ctx, d, fastness.Selector{})
	if err != nil {
		return err
	}
	switch {
	case info.Labels[secret.Pending] != 0 || bytes.Equal(value, r.value):
		return fmt.Errorf("the labels are %v", info.Labels)
	case r.logsIn == nil:
		return nil
	case !r.logsIn(value):
		return errors.New("the new value does not log in")
	case r.logsIn(r.value) != r.overlaps:
		return fmt.Errorf("the old value logs in: %v", !r.overlaps)
	}
	return nil
}

// audited checks that the audit log tells of each step of the rotation once,
// in order.
func (r *trial) audited(ctx context.Context, d *deployment) error {
	var steps []string
	entries, err := d.entries(ctx)
	if err != nil {
		return err
	}
	for _, e := range entries[r.told:] {
		if e.Result != audit.Success {
			return fmt.Errorf("an entry of a failure: %s, %s", e.Detail, e.Error)
		}
		steps = append(steps, strings.TrimPrefix(e.Detail, "rotation "))
	}
	r.told = len(entries)
	if got, want := strings.Join(steps, ", "), "asked for, pending, set, tested, finished"; got != want {
		return fmt.Errorf("the audit log tells %q", got)
	}
	return nil
}

// entries are those of all that was done to the secret by rotating it.
func (d *deployment) entries(ctx context.Context) (all []audit.Entry, err error) {
	q := vault.AuditQuery{Filter: audit.Filter{Secret: string(rotated), Action: audit.Rotate}, Limit: secret.MaxPage}
	for {
		page, err := d.Audit(d.Local(vault.Origin{}), acme).List(ctx, q)
		all = append(all, page.Items...)
		if q.Cursor = page.Next; err != nil || q.Cursor == "" {
			return all, err
		}
	}
}

// points are those that an undisturbed process reaches, each with its count.
// Then the rotation is over, and the next one begins.
func (r *trial) points() (all []errand) {
	r.t.Helper()
	reached, _ := errand{Ground: r.ground}.send(r.t)
	seen := map[string]int{}
	for _, p := range reached {
		seen[p]++
		all = append(all, errand{Kill: p, Nth: seen[p]})
	}
	r.sleep()
	r.restart()
	return all
}

// steady reports whether every rotation comes to a point. The lease is also
// taken when the worker looks for more to do, which may be later or not at all.
func (e errand) steady() bool { return !strings.HasSuffix(e.Kill, "the lease") }

// everywhere kills at every point of a rotation.
func (r *trial) everywhere() {
	r.t.Helper()
	for _, p := range r.points() {
		if !r.kill(p.Kill, p.Nth) && p.steady() {
			r.t.Errorf("it never came to %s (%d)", p.Kill, p.Nth)
		}
		r.restart()
	}
}

// again kills at a point, and then at every point of the way on from there.
func (r *trial) again(first string) {
	r.t.Helper()
	r.kill(first, 1)
	for _, p := range r.points() {
		if !r.kill(first, 1) || !r.kill(p.Kill, p.Nth) && p.steady() {
			r.t.Errorf("it never came to %s and then %s (%d)", first, p.Kill, p.Nth)
		}
		r.restart()
	}
}

// TestProcessKilledAnywhere kills the process at every point of a rotation by
// every rotator, and starts it again. For two it is killed once more on the way
// on from where the world is ahead of the journal. The soak does so for all.
func TestProcessKilledAnywhere(t *testing.T) {
	of(t, subjects(), func(t *testing.T, s subject) {
		r := newTrial(t, s, nil)
		r.everywhere()
		t.Logf("%d kills", r.kills)
	})
	of(t, named("mariadb alternating", "redis by master"), func(t *testing.T, s subject) {
		r := newTrial(t, s, nil)
		r.again("after setting")
		t.Logf("%d kills", r.kills)
	})
}

// of runs a test for some subjects, in parallel.
func of(t *testing.T, some []subject, f func(*testing.T, subject)) {
	for _, s := range some {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			f(t, s)
		})
	}
}

// few are subjects that go different ways.
func few() []subject {
	return named("password", "postgres single", "postgres alternating", "mariadb alternating", "redis by master", "webhook")
}

// named are the subjects of some names.
func named(names ...string) []subject {
	return slices.DeleteFunc(subjects(), func(s subject) bool { return !slices.Contains(names, s.name) })
}

// changeable are the subjects whose password somebody else can change.
func changeable(t *testing.T, all []subject) (some []subject) {
	for _, s := range all {
		if s.open(t, nil).spoil != nil {
			some = append(some, s)
		}
	}
	return some
}

// targeted are the subjects that have a target.
func targeted(t *testing.T, all []subject) (some []subject) {
	for _, s := range all {
		if s.open(t, newProxy(t, "")).logsIn != nil {
			some = append(some, s)
		}
	}
	return some
}
