package vault

import (
	"errors"
	"testing"

	"fastness/internal/secret"
)

// A position must be of this log, and not too far back.
func TestPlaceOfFollower(t *testing.T) {
	const last = 3 * maxReplay
	for after, want := range map[int64]error{
		-1: nil, last: nil, last - 1: nil, last - maxReplay: nil,
		last - maxReplay - 1: secret.ErrGone, 0: secret.ErrGone, last + 1: secret.ErrGone,
	} {
		w := &follower{query: EventQuery{After: after}, at: after}
		if err := w.place(last); !errors.Is(err, want) {
			t.Errorf("after %d of %d: %v", after, last, err)
		}
		if want == nil && after < 0 && w.at != last {
			t.Errorf("from now on begins at %d", w.at)
		}
	}
}

// Each of the three limits refuses, and forgets who has left.
func TestStreamLimits(t *testing.T) {
	var s streams
	var leaving []func()
	enter := func(tenant secret.TenantName, principal string) error {
		leave, err := s.enter(tenant, streamOwner{tenant, principal})
		if err == nil {
			leaving = append(leaving, leave)
		}
		return err
	}
	fill := func(n int, tenant secret.TenantName, principal string) {
		t.Helper()
		for range n {
			if err := enter(tenant, principal); err != nil {
				t.Fatal(err)
			}
		}
		if err := enter(tenant, principal); !errors.Is(err, secret.ErrTooMany) {
			t.Fatalf("one too many: %v", err)
		}
	}
	for tenant := range MaxStreams / MaxTenantStreams {
		name := secret.TenantName(rune('a' + tenant))
		for p := range MaxTenantStreams / MaxPrincipalStreams {
			fill(MaxPrincipalStreams, name, string(rune('a'+p)))
		}
		if err := enter(name, "another"); !errors.Is(err, secret.ErrTooMany) {
			t.Fatalf("one too many of a tenant: %v", err)
		}
	}
	if err := enter("another", "another"); !errors.Is(err, secret.ErrTooMany) {
		t.Fatalf("one too many of all: %v", err)
	}
	for _, leave := range leaving {
		leave()
	}
	if s.len() != 0 || len(s.tenants) != 0 || len(s.principals) != 0 {
		t.Errorf("%d are left, of %d tenants and %d principals", s.len(), len(s.tenants), len(s.principals))
	}
}
