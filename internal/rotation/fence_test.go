package rotation_test

import (
	"context"
	"errors"
	"testing"

	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

// holding are the subjects whose targets hold other sessions off.
func holding(t *testing.T) (some []subject) {
	for _, s := range subjects() {
		if kind := s.open(t, nil).kind; kind == "postgres" || kind == "mysql" {
			some = append(some, s)
		}
	}
	return some
}

// pending returns a job whose pending value is made but not set.
func pending(t *testing.T, m *vaultModel) *rotation.Job {
	t.Helper()
	job := m.job()
	value, err := m.rotator.Make(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	job.Token, job.Pending = secret.NewVersionID(), value
	return job
}

// A worker that another one has overtaken changes nothing on the target,
// whatever it believes when it begins.
func TestFencedWorkersChangeNothing(t *testing.T) {
	fenced := func(context.Context) error { return store.ErrFenced }
	of(t, holding(t), func(t *testing.T, s subject) {
		m := newModel(t, s.open(t, nil))
		job := pending(t, m)
		job.Confirm = fenced
		if err := m.rotator.Set(t.Context(), job); !errors.Is(err, store.ErrFenced) {
			t.Fatalf("setting: %v", err)
		}
		if !m.logsIn(m.value) || m.logsIn(job.Pending.Bytes()) {
			t.Fatal("the password was set")
		}
		if err := m.rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		retirer, ok := m.rotator.(rotation.Retirer)
		if !ok || !s.overlaps {
			return
		}
		job = m.job()
		job.Confirm = fenced
		if err := retirer.Retire(t.Context(), job); !errors.Is(err, store.ErrFenced) {
			t.Fatalf("retiring: %v", err)
		}
		if !m.logsIn(m.value) {
			t.Fatal("the old user was retired")
		}
	})
}

// A worker freezes right after it was told that the lease is its own, and
// another one overtakes it. The target ends the session that is frozen, the
// other one's password is set, and stays when the first one wakes.
func TestFrozenWorkersAreShutOut(t *testing.T) {
	of(t, holding(t), func(t *testing.T, s subject) {
		m := newModel(t, s.open(t, nil))
		frozen, next := pending(t, m), pending(t, m)
		frozen.Confirm = func(ctx context.Context) error { return m.rotator.Set(ctx, next) }
		if err := m.rotator.Set(t.Context(), frozen); !errors.Is(err, rotation.ErrUnreachable) && !errors.Is(err, rotation.ErrUnverified) {
			t.Errorf("the worker that was frozen: %v", err)
		}
		if !m.logsIn(next.Pending.Bytes()) || m.logsIn(frozen.Pending.Bytes()) {
			t.Error("the password is not the one that was set last")
		}
	})
}

// late is a rotator whose change reaches the target while it is asked.
type late struct {
	rotation.Rotator
	before rotation.Which // the question that it comes before
}

func (l late) Test(ctx context.Context, j *rotation.Job, w rotation.Which) error {
	if w == l.before {
		if err := l.Set(ctx, j); err != nil {
			return err
		}
	}
	return l.Rotator.Test(ctx, j, w)
}

// What a worker began that was overtaken reaches the target between two
// questions of the next one, which must not think that nothing works.
func TestProbeMeetsLateChange(t *testing.T) {
	of(t, holding(t), func(t *testing.T, s subject) {
		for _, before := range []rotation.Which{rotation.Pending, rotation.Current, rotation.Previous} {
			m := newModel(t, s.open(t, nil))
			job := pending(t, m)
			job.Previous = secretbuf.Take(with(m.value, map[string]any{"password": "older"}))
			found, err := rotation.Probe(t.Context(), late{m.rotator, before}, job, rotation.Findings{})
			if err != nil || found.Pending != rotation.Works && found.Current != rotation.Works {
				t.Errorf("before the %s one: %+v, %v", before, found, err)
			}
		}
	})
}
