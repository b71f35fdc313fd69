package rotation_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fastness/internal/rotation"
	"fastness/internal/secret"
)

func TestNext(t *testing.T) {
	for state, want := range map[rotation.State]rotation.Step{
		rotation.StatePending: rotation.DoSet, rotation.StateSet: rotation.DoTest, rotation.StateTested: rotation.DoFinish,
		rotation.StateFinished: rotation.DoNothing, rotation.StateStuck: rotation.DoNothing, rotation.StateAbandoned: rotation.DoNothing,
	} {
		if got := rotation.Next(state); got != want {
			t.Errorf("after %s comes %s, want %s", state, got, want)
		}
	}
}

const (
	old, fresh, other = secret.VersionID("old"), secret.VersionID("new"), secret.VersionID("other")
	w, f, u           = rotation.Works, rotation.Fails, rotation.Unknown
)

// What to do after an interruption, case by case: labels at current and
// pending, then whether pending, current and previous work.
func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name     string
		state    rotation.State
		findings rotation.Findings
		decide   rotation.Step
		repair   rotation.Step // were it stuck
	}{
		{"nothing happened", rotation.StatePending, rotation.Findings{old, fresh, f, w, f}, rotation.DoSet, rotation.DoAbandon},
		{"set, not recorded", rotation.StatePending, rotation.Findings{old, fresh, w, f, f}, rotation.DoSet, rotation.DoFinish},
		{"set, both work", rotation.StatePending, rotation.Findings{old, fresh, w, w, f}, rotation.DoSet, rotation.DoFinish},
		{"set and recorded", rotation.StateSet, rotation.Findings{old, fresh, w, f, f}, rotation.DoTest, rotation.DoFinish},
		{"tested", rotation.StateTested, rotation.Findings{old, fresh, w, f, f}, rotation.DoFinish, rotation.DoFinish},
		{"undone behind our back", rotation.StateTested, rotation.Findings{old, fresh, f, w, f}, rotation.DoSet, rotation.DoAbandon},
		{"only the previous one works", rotation.StateSet, rotation.Findings{old, fresh, f, f, w}, rotation.DoSet, rotation.DoStick},
		{"nothing works", rotation.StatePending, rotation.Findings{old, fresh, f, f, f}, rotation.DoStick, rotation.DoStick},
		{"the target does not answer", rotation.StateSet, rotation.Findings{old, fresh, u, u, u}, rotation.DoWait, rotation.DoWait},
		{"a webhook that has set nothing", rotation.StatePending, rotation.Findings{old, fresh, f, u, u}, rotation.DoSet, rotation.DoWait},
		{"labels moved, not recorded", rotation.StateTested, rotation.Findings{fresh, "", w, w, f}, rotation.DoFinish, rotation.DoFinish},
		{"pending label taken off", rotation.StatePending, rotation.Findings{old, "", f, w, f}, rotation.DoAbandon, rotation.DoAbandon},
		{"pending label taken off, but set", rotation.StateSet, rotation.Findings{old, "", w, f, f}, rotation.DoFinish, rotation.DoFinish},
		{"another pending value", rotation.StatePending, rotation.Findings{old, other, f, w, f}, rotation.DoAbandon, rotation.DoAbandon},
		{"another pending value, nothing to know", rotation.StatePending, rotation.Findings{old, other, f, u, u}, rotation.DoWait, rotation.DoAbandon},
		{"another current value that works", rotation.StateSet, rotation.Findings{other, fresh, f, w, f}, rotation.DoAbandon, rotation.DoAbandon},
		{"another current value, both work", rotation.StateSet, rotation.Findings{other, fresh, w, w, f}, rotation.DoAbandon, rotation.DoAbandon},
		{"another current value that fails", rotation.StateSet, rotation.Findings{other, fresh, w, f, f}, rotation.DoFinish, rotation.DoFinish},
		{"another current value, none works", rotation.StateSet, rotation.Findings{other, fresh, f, f, w}, rotation.DoStick, rotation.DoStick},
		{"over", rotation.StateFinished, rotation.Findings{old, fresh, f, w, f}, rotation.DoNothing, rotation.DoAbandon},
		{"abandoned", rotation.StateAbandoned, rotation.Findings{old, fresh, f, w, f}, rotation.DoNothing, rotation.DoAbandon},
	} {
		r := rotation.Record{Token: fresh, From: old, State: c.state}
		if got := rotation.Decide(r, c.findings); got != c.decide {
			t.Errorf("%s: %s, want %s", c.name, got, c.decide)
		}
		if got := rotation.Repair(r, c.findings); got != rotation.DoNothing {
			t.Errorf("%s: what is not stuck is repaired by %s", c.name, got)
		}
		r.State = rotation.StateStuck
		if got := rotation.Decide(r, c.findings); got != rotation.DoNothing {
			t.Errorf("%s: what is stuck goes on with %s", c.name, got)
		}
		if got := rotation.Repair(r, c.findings); got != c.repair {
			t.Errorf("%s: repaired by %s, want %s", c.name, got, c.repair)
		}
	}
}

// Whatever is found, no step is taken that could lose the one credential that
// works.
func TestDecideNeverLosesAccess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		label := rapid.SampledFrom([]secret.VersionID{"", old, fresh, other})
		answer := rapid.SampledFrom([]rotation.Answer{w, f, u})
		state := rapid.SampledFrom([]rotation.State{rotation.StatePending, rotation.StateSet, rotation.StateTested, rotation.StateStuck})
		r := rotation.Record{Token: fresh, From: old, State: state.Draw(t, "state")}
		found := rotation.Findings{CurrentAt: label.Draw(t, "current label"), PendingAt: label.Draw(t, "pending label"),
			Pending: answer.Draw(t, "pending"), Current: answer.Draw(t, "current"), Previous: answer.Draw(t, "previous")}
		moved := found.CurrentAt == fresh
		for _, step := range []rotation.Step{rotation.Decide(r, found), rotation.Repair(r, found)} {
			switch {
			case step == rotation.DoFinish && !moved && found.Pending != w:
				t.Fatalf("finishes with a credential that does not work")
			case step == rotation.DoAbandon && found.Current == f:
				t.Fatalf("abandons while the current credential does not work")
			case step == rotation.DoSet && (found.PendingAt != fresh || found.CurrentAt != old):
				t.Fatalf("changes the target for a rotation that was overtaken")
			}
		}
	})
}

// Failures wait longer and longer, within bounds and not all at once, and end.
func TestBackoff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		r := rotation.Record{ID: "id", Token: fresh, From: old, State: rotation.StateSet, Started: now}
		for attempt := 1; attempt < rotation.MaxAttempts; attempt++ {
			r = r.Failed(rotation.ErrUnreachable, now, rapid.Uint64().Draw(t, "luck"))
			longest := min(30*time.Second<<(attempt-1), time.Hour)
			if wait := r.NextAttempt.Sub(now); wait < longest/2 || wait > longest || r.State != rotation.StateSet || r.Attempts != attempt {
				t.Fatalf("attempt %d: %v, %+v", attempt, wait, r)
			}
		}
		r = r.Failed(errors.New("password=hunter2"), now, 0)
		if r.State != rotation.StateStuck || !r.NextAttempt.IsZero() || r.Class != rotation.Unreachable || r.Detail != "internal error" {
			t.Fatalf("in the end: %+v", r)
		}
		if r = r.Reached(rotation.StateTested, now); r.Attempts != 0 || r.Class != "" || r.Token != fresh || r.From != old || r.ID != "id" {
			t.Fatalf("after success: %+v", r)
		}
	})
}
