package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/testservers"
)

func TestMain(m *testing.M) {
	rotation.WrapRotators(hooked)
	if run := os.Getenv(childVariable); run != "" {
		runChild(run)
		return
	}
	testservers.Main(m)
}

// subject is a rotator under a strategy. A new rotator adds a row to subjects,
// and the suite does the rest.
type subject struct {
	name string
	// open makes a credential of its own on the target that is reached through
	// the proxy, if it has one.
	open func(t testing.TB, p *proxy) *specimen
	// overlaps: the old credential works until it is retired.
	overlaps bool
	// untestable: only the pending credential can be asked about.
	untestable bool
}

// specimen is one secret with its rotator.
type specimen struct {
	kind, config string
	network      rotation.Network
	value        []byte
	others       map[string]*secretbuf.Buffer // secrets that may be looked up, by name
	// logsIn tries a value without the code that is tested; nil where there is
	// nothing to log in to.
	logsIn func(value []byte) bool
	// told is called with the id of a version that was stored, if not nil.
	told func(token secret.VersionID, value []byte)
	// store gives the target the means to store a version itself, if not nil.
	store func(put func(token secret.VersionID, value []byte))
	// asks gives the target the means to read a version, if not nil.
	asks func(manager func(token secret.VersionID) []byte)
	// spoil sets the credential on the target to something else; nil if nobody can.
	spoil func()
}

func (s *specimen) lookup(_ context.Context, ref string) (*secretbuf.Buffer, error) {
	if b, ok := s.others[ref]; ok {
		return b.Clone(), nil
	}
	return nil, secret.ErrNotFound
}

// crash is a kill of the process, as far as one can have it within a test.
type crash struct{}

// vaultModel is what is durable: versions, labels and the journal's record. It
// stands in for the store, and a run over it for the worker.
type vaultModel struct {
	*specimen
	t       testing.TB
	rotator rotation.Rotator

	mu                         sync.Mutex // guards values, to which a target may add
	values                     map[secret.VersionID][]byte
	current, pending, previous secret.VersionID
	record                     rotation.Record
	rotations                  int

	points, crashAt int
	story           []string
}

func newModel(t testing.TB, s *specimen) *vaultModel {
	t.Helper()
	r, err := rotation.Parse(s.kind, []byte(s.config), s.network)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Check(secretbuf.Take([]byte(string(s.value)))); err != nil {
		t.Fatal(err)
	}
	m := &vaultModel{specimen: s, t: t, rotator: r, values: map[secret.VersionID][]byte{}}
	m.current = m.keep("v0", s.value)
	if s.store != nil {
		s.store(m.put)
	}
	return m
}

func (m *vaultModel) put(token secret.VersionID, value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[token] = value
}

// valueOf returns nil if there is no such version.
func (m *vaultModel) valueOf(token secret.VersionID) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[token]
}

func (m *vaultModel) keep(token secret.VersionID, value []byte) secret.VersionID {
	m.put(token, value)
	if m.told != nil {
		m.told(token, value)
	}
	return token
}

// point is a place at which the process may be killed.
func (m *vaultModel) point(where string) {
	m.points++
	if m.points == m.crashAt {
		m.story = append(m.story, "killed "+where)
		panic(crash{})
	}
}

// durable is a transaction: before it all is as it was, after it all is done.
func (m *vaultModel) durable(what string, f func()) {
	m.point("before " + what)
	f()
	m.story = append(m.story, what)
	m.point("after " + what)
}

func (m *vaultModel) job() *rotation.Job {
	value := func(v secret.VersionID) *secretbuf.Buffer {
		if b := m.valueOf(v); b != nil {
			return secretbuf.Take([]byte(string(b)))
		}
		return nil
	}
	return &rotation.Job{
		SecretID: "arn:test", Token: m.record.Token, RotationToken: m.record.ID, Lookup: m.lookup,
		Pending: value(m.record.Token), Current: value(m.current), Previous: value(m.previous),
	}
}

// begin makes the pending version and the record in one transaction.
func (m *vaultModel) begin(ctx context.Context) error {
	m.rotations++
	token := secret.VersionID(fmt.Sprintf("v%d-0123456789abcdef0123456789abcdef", m.rotations))
	m.record = rotation.Record{ID: "r" + token, Token: token, From: m.current, State: rotation.StateAbandoned}
	m.point("before making a value")
	value, err := m.rotator.Make(ctx, m.job())
	m.point("after making a value")
	if err != nil && !errors.Is(err, rotation.ErrMadeElsewhere) {
		return err
	}
	defer value.Release()
	m.durable("recording pending", func() {
		if value != nil {
			m.keep(token, []byte(string(value.Bytes())))
		}
		m.pending, m.record.State = token, rotation.StatePending
	})
	return nil
}

// rotate is the worker's way, up to the first failure.
func (m *vaultModel) rotate(ctx context.Context) error {
	resumed := !m.record.State.Over() && m.record.State != ""
	if !resumed {
		if err := m.begin(ctx); err != nil {
			return err
		}
	}
	for m.record.State != rotation.StateFinished {
		step := rotation.Next(m.record.State)
		if resumed {
			found, err := rotation.Probe(ctx, m.rotator, m.job(), rotation.Findings{CurrentAt: m.current, PendingAt: m.pending})
			if step = rotation.Decide(m.record, found); step == rotation.DoWait {
				return fmt.Errorf("nothing is known: %w", err)
			}
			resumed = false
		}
		if err := m.do(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

func (m *vaultModel) do(ctx context.Context, step rotation.Step) error {
	effect := func(f func() error) error {
		m.point("before " + string(step))
		err := f()
		m.point("after " + string(step))
		return err
	}
	var err error
	reached := rotation.StateFinished
	switch step {
	case rotation.DoSet:
		err, reached = effect(func() error { return m.rotator.Set(ctx, m.job()) }), rotation.StateSet
	case rotation.DoTest:
		err, reached = effect(func() error { return m.rotator.Test(ctx, m.job(), rotation.Pending) }), rotation.StateTested
	case rotation.DoFinish:
		if f, ok := m.rotator.(rotation.Finisher); ok {
			err = effect(func() error { return f.Finish(ctx, m.job()) })
		}
	default:
		return fmt.Errorf("%s", step)
	}
	if err != nil {
		m.story = append(m.story, fmt.Sprintf("%s failed: %v", step, err))
		return err
	}
	m.durable("recording "+string(reached), func() {
		m.record = m.record.Reached(reached, time.Now())
		if reached == rotation.StateFinished && m.current != m.record.Token {
			m.previous, m.current, m.pending = m.current, m.record.Token, ""
		}
	})
	return nil
}

// attempt runs rotate and survives a kill.
func (m *vaultModel) attempt(ctx context.Context) (killed bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(crash); !ok {
				panic(p)
			}
			killed = true
		}
	}()
	return false, m.rotate(ctx)
}

// accessible checks that nobody is locked out for good: the current or the
// pending value logs in.
func (m *vaultModel) accessible() {
	m.t.Helper()
	if m.logsIn != nil && !m.logsIn(m.valueOf(m.current)) && !m.logsIn(m.valueOf(m.record.Token)) {
		m.t.Fatalf("neither the current nor the pending value logs in: %q", m.story)
	}
}

// finished checks how a rotation ends, and then that its old value ends too.
func (m *vaultModel) finished(s subject, before []byte) {
	m.t.Helper()
	value := m.valueOf(m.current)
	if m.record.State != rotation.StateFinished || m.current != m.record.Token || string(value) == string(before) {
		m.t.Fatalf("%s with current %s: %q", m.record.State, m.current, m.story)
	}
	if m.logsIn == nil {
		return
	}
	if !m.logsIn(value) {
		m.t.Fatalf("the new value does not log in: %q", m.story)
	}
	if m.logsIn(before) != s.overlaps {
		m.t.Fatalf("the old value logs in: %v, want %v: %q", !s.overlaps, s.overlaps, m.story)
	}
}

// retire checks that the old value works no more afterwards, and the new one does.
func (m *vaultModel) retire() {
	m.t.Helper()
	retirer, ok := m.rotator.(rotation.Retirer)
	if !ok {
		return
	}
	for range 2 { // and may be repeated
		job := m.job()
		job.Pending = nil
		if err := retirer.Retire(context.Background(), job); err != nil {
			m.t.Fatalf("retiring: %v", err)
		}
	}
	if m.logsIn(m.valueOf(m.previous)) || !m.logsIn(m.valueOf(m.current)) {
		m.t.Fatal("after retiring, the old value works or the new one does not")
	}
}

// TestRotate rotates each subject again and again.
func TestRotate(t *testing.T) {
	for _, s := range subjects() {
		t.Run(s.name, func(t *testing.T) {
			m := newModel(t, s.open(t, nil))
			for i := range 4 {
				before := m.valueOf(m.current)
				if err := m.rotate(context.Background()); err != nil {
					t.Fatalf("%v (%v): %q", err, errors.Unwrap(err), m.story)
				}
				m.finished(s, before)
				if i == 2 {
					m.retire() // what comes after finds a retired value, too
				}
			}
		})
	}
}

// TestKilledAnywhere kills the rotation at every point, twice in a row at each
// pair of neighbours, and has it go on from what is durable.
func TestKilledAnywhere(t *testing.T) {
	for _, s := range subjects() {
		t.Run(s.name, func(t *testing.T) {
			for at := 1; ; at++ {
				m := newModel(t, s.open(t, nil))
				m.crashAt = at
				if !m.survive(s) {
					break
				}
			}
		})
	}
}

// survive rotates until it is done and reports whether it was ever killed.
func (m *vaultModel) survive(s subject) bool {
	m.t.Helper()
	before := m.valueOf(m.current)
	for attempt := 0; ; attempt++ {
		killed, err := m.attempt(context.Background())
		m.accessible()
		switch {
		case err != nil || attempt > 3:
			m.t.Fatalf("%v (%v): %q", err, errors.Unwrap(err), m.story)
		case !killed || m.record.State == rotation.StateFinished:
			m.finished(s, before)
			return attempt > 0
		case attempt == 0:
			m.points = m.crashAt - 2 // once more, near the same place
		default:
			m.crashAt = 0
		}
	}
}

// TestTargetFails cuts the target off at each connection in turn, in each way,
// and again later in each; when it is back, the rotation finishes.
func TestTargetFails(t *testing.T) {
	for _, s := range subjects() {
		if s.open(t, newProxy(t, "")).logsIn == nil {
			continue // there is no target
		}
		for name, fault := range faults {
			t.Run(s.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				for at := 1; ; at++ {
					p := newProxy(t, "")
					m := newModel(t, s.open(t, p))
					p.arm(fault, at)
					if !m.outlast(s, p) {
						break
					}
				}
			})
		}
	}
}

// outlast rotates through a fault and reports whether there was one.
func (m *vaultModel) outlast(s subject, p *proxy) bool {
	m.t.Helper()
	before := m.valueOf(m.current)
	for attempt := 0; attempt < 4; attempt++ {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if attempt == 0 {
			ctx, cancel = context.WithTimeout(ctx, 400*time.Millisecond) // a black hole says nothing for ever
		}
		err := m.rotate(ctx)
		cancel()
		if err == nil {
			m.finished(s, before)
			return p.struck()
		}
		if class := rotation.ClassOf(err); class != rotation.Unreachable && p.struck() && attempt == 0 {
			m.t.Fatalf("a cut connection is of class %s: %v", class, err)
		}
		p.disarm()
		m.accessible()
	}
	m.t.Fatalf("it does not finish: %q", m.story)
	return false
}

// TestChangedBehindOurBack: somebody else changes the password on the target
// before the rotation. It says so, and the current version stays.
func TestChangedBehindOurBack(t *testing.T) {
	for _, s := range subjects() {
		specimen := s.open(t, nil)
		if specimen.spoil == nil {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			m := newModel(t, specimen)
			if err := m.rotate(context.Background()); err != nil {
				t.Fatal(err)
			}
			specimen.spoil()
			current := m.current
			err := m.rotate(context.Background())
			if !errors.Is(err, rotation.ErrUnverified) || m.current != current {
				t.Fatalf("%v, current %s: %q", err, m.current, m.story)
			}
			found, err := rotation.Probe(context.Background(), m.rotator, m.job(), rotation.Findings{CurrentAt: m.current, PendingAt: m.pending})
			if step := rotation.Decide(m.record, found); err != nil || step != rotation.DoStick && found.Previous != rotation.Works {
				t.Fatalf("then it decides to %s after %+v, %v", step, found, err)
			}
		})
	}
}
