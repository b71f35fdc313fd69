package rotation_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"fastness/fastnesstest"
	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/vault"
)

// TestRotationsAreTold: what the worker does to a secret, and what it cannot do.
func TestRotationsAreTold(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h := newHouse(t)
	fastnesstest.Put(t, h.s, "app/password", "old")
	h.policy(t, "app/password", vault.RotationPolicy{Rotator: "password", Config: json.RawMessage(`{"length":20}`)})
	fastnesstest.Put(t, h.s, "db", "not JSON")
	h.policy(t, "db", vault.RotationPolicy{Rotator: "redis"})
	for _, name := range []secret.Name{"app/password", "db"} {
		if _, err := h.s.AskRotation(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	for range rotation.MaxAttempts {
		h.once(t)
		h.Clock.Advance(time.Hour)
	}
	fastnesstest.Put(t, h.s, "end", "1")
	if _, err := h.Audit(h.Local(vault.Origin{}), "").List(ctx, vault.AuditQuery{Limit: 1}); err != nil { // gives places
		t.Fatal(err)
	}
	told := map[secret.Name][]string{}
	follow, stop := context.WithCancel(ctx)
	if err := h.s.Follow(follow, vault.EventQuery{}, func(n vault.News) error {
		for _, e := range n.Events {
			if e.Name == "end" {
				stop()
			}
			text := string(e.Type) + " " + e.Version.String()
			for _, l := range e.Labels {
				text += " " + string(l)
			}
			if e.VersionID == "" && e.Version != 0 {
				t.Errorf("%s of %s has no version id", text, e.Name)
			}
			told[e.Name] = append(told[e.Name], text)
			if failed := e.Type == secret.EventRotationFailed; failed || e.Type == secret.EventRotationStuck {
				if !strings.HasPrefix(e.Failure, string(rotation.Misconfigured)+": ") || failed != e.NextAttempt.After(e.Time) {
					t.Errorf("a failure without class, reason or next attempt: %+v", e)
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[secret.Name][]string{
		"app/password": {"fastness.secret.created 1 AWSCURRENT", "fastness.secret.updated 0", "fastness.secret.labeled 2 AWSPENDING", "fastness.secret.rotated 2 AWSCURRENT"},
		"db":           {"fastness.secret.created 1 AWSCURRENT", "fastness.secret.updated 0"},
	} {
		if name == "db" { // it is tried as often as may be, and then given up
			want = append(append(want, slices.Repeat([]string{"fastness.rotation.failed 0"}, rotation.MaxAttempts-1)...), "fastness.rotation.stuck 0")
		}
		if !slices.Equal(told[name], want) {
			t.Errorf("of %s was told %q, want %q", name, told[name], want)
		}
	}
}
