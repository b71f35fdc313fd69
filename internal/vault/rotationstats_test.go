package vault_test

import (
	"errors"
	"testing"
	"time"

	"fastness/fastnesstest"
	"fastness/internal/secret"
	"fastness/internal/vault"
)

// The figures tell what is due, overdue and stuck, and not what waits or is paused.
func TestRotationStats(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	for _, name := range []secret.Name{"a", "b", "c"} {
		versions(t, s, name, 1)
		must(s.SetRotation(ctx, name, vault.RotationPolicy{}))(t)
	}
	check := func(when string, want vault.RotationStats) {
		t.Helper()
		if got, err := f.RotationStats(ctx); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", when, got, err, want)
		}
	}
	check("when nothing is due", vault.RotationStats{})
	due := must(s.Rotation(ctx, "a"))(t).NextRotation
	must(s.PauseRotation(ctx, "b"))(t)
	f.Clock.Advance(due.Sub(f.Clock.Now()))
	check("when it is due", vault.RotationStats{Due: 2})
	f.Clock.Advance(2 * time.Hour)
	check("later", vault.RotationStats{Due: 2, Overdue: 2, Oldest: due})
	lead := must(f.Lead(ctx))(t)
	for _, ref := range must(lead.Work(ctx, 10))(t) {
		again := f.Clock.Now().Add(time.Minute)
		if ref.Name == "c" {
			again = time.Time{}
		}
		if err := must(lead.Take(ctx, ref))(t).Fail(ctx, "set", 1, again, errors.New("x")); err != nil {
			t.Fatal(err)
		}
	}
	check("when one fails and one is stuck", vault.RotationStats{Overdue: 2, Stuck: 1, Oldest: due})
}
