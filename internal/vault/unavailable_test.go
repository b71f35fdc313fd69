package vault_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// TestNoAnswerWithoutEntry: when nothing can be written, no method answers,
// and when it can again, all do and nothing is lost or half there.
func TestNoAnswerWithoutEntry(t *testing.T) {
	m := openMortal(t, t.TempDir(), fastnesstest.NewClock(), fastnesstest.MasterKey(), nil)
	defer m.end(t)
	f := m.Fixture
	versions(t, f.Tenant(t, "acme"), "db", 1)
	must(f.Audit(local(f), "").Checkpoint(ctx))(t)
	c := caller(t, f, "acme", policy.Admin)
	for _, method := range methods {
		before := snapshot(t, f)
		m.store.die(1, false)
		err := method.call(t, f, c, "acme", "db")
		m.store.die(0, false)
		if !errors.Is(err, secret.ErrUnavailable) || err.Error() != secret.ErrUnavailable.Error() {
			t.Errorf("%s: %v, want %v", method.name, err, secret.ErrUnavailable)
		}
		if after := snapshot(t, f); after != before {
			t.Errorf("%s has changed\n%s to\n%s", method.name, before, after)
		}
	}
	m.store.die(1, false)
	for what, err := range map[string]error{
		"refusal":     errOf(f.Authenticate(ctx, vault.Origin{}, []byte("wrong"))),
		"front's":     f.Session(c, "").Refused(ctx, audit.Read, "db", secret.ErrInvalid),
		"ready":       f.Ready(ctx),
		"tenant":      errOf(f.Operator().CreateTenant(ctx, "other", "")),
		"hidden":      errOf(get(f.Session(c, "beta"), "db", store.Selector{})),
		"absent":      errOf(get(f.Session(c, ""), "none", store.Selector{})),
		"wrong input": errOf(put(t, f.Session(c, ""), "bad name", "v", vault.Put{})),
	} {
		if !errors.Is(err, secret.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	m.store.die(0, false)
	check(t, f.Ready(ctx))
	wantValue(t, f.Session(c, ""), "db", store.Selector{}, "1")
	verify(t, f, export(t, f.Audit(local(f), ""), vault.ExportOptions{}), audit.Options{})
}

// snapshot tells a tenant's secrets and credentials, without times of a look.
func snapshot(tb testing.TB, f *fastnesstest.Fixture) string {
	tb.Helper()
	s := f.Tenant(tb, "acme")
	out := ""
	for _, deleted := range []bool{false, true} {
		for _, info := range must(s.List(ctx, vault.ListQuery{Deleted: deleted}))(tb).Items {
			out += fmt.Sprintf("%+v\n%+v\n", info, must(s.Versions(ctx, info.Name, 0, ""))(tb).Items)
		}
	}
	return out + fmt.Sprintf("%+v %+v", must(s.Credentials().List(ctx, 0, ""))(tb).Items, must(s.Tenant(ctx))(tb))
}

// TestUnknownOutcome: a write that is on disk and was not acknowledged is found
// again by its request token.
func TestUnknownOutcome(t *testing.T) {
	m := openMortal(t, t.TempDir(), fastnesstest.NewClock(), fastnesstest.MasterKey(), nil)
	defer m.end(t)
	s := m.Tenant(t, "acme")
	token := secret.NewVersionID()
	m.store.die(1, true)
	want(t, errOf(put(t, s, "db", "v", vault.Put{Token: token})), secret.ErrUnavailable)
	m.store.die(0, false)
	if w := must(put(t, s, "db", "v", vault.Put{Token: token}))(t); w.Created || w.Version != 1 {
		t.Errorf("again: %+v", w)
	}
}

// TestCancelled: a caller that has gone gets nothing, and leaves nothing half done.
func TestCancelled(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 1)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	before := snapshot(t, f)
	b := value(t, "v")
	for what, err := range map[string]error{
		"get": errOf(s.Get(gone, "db", store.Selector{})), "put": errOf(s.Put(gone, "db", vault.Put{Value: b})),
		"purge": s.Purge(gone, "db"), "rotate": errOf(s.RotateKey(gone, nil)), "list": errOf(s.List(gone, vault.ListQuery{})),
		"refused": s.Refused(gone, audit.Read, "db", secret.ErrInvalid), "checkpoint": errOf(f.Audit(local(f), "").Checkpoint(gone)),
	} {
		want(t, err, secret.ErrUnavailable)
		if err.Error() != secret.ErrUnavailable.Error() {
			t.Errorf("%s: %v", what, err)
		}
	}
	if after := snapshot(t, f); after != before {
		t.Errorf("changed\n%s to\n%s", before, after)
	}
}

// TestClosed: a closed vault refuses, and does not panic.
func TestClosed(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "a", 1)
	versions(t, s, "b", 1)
	cursor := must(s.List(ctx, vault.ListQuery{Limit: 1}))(t).Next
	f.Close(t)
	check(t, f.Vault.Close())
	want(t, errOf(get(s, "a", store.Selector{})), secret.ErrUnavailable)
	want(t, errOf(put(t, s, "a", "v", vault.Put{})), secret.ErrUnavailable)
	want(t, errOf(s.List(ctx, vault.ListQuery{})), secret.ErrUnavailable)
	want(t, errOf(s.List(ctx, vault.ListQuery{Cursor: cursor})), secret.ErrUnavailable)
	want(t, errOf(f.Authenticate(ctx, vault.Origin{}, nil)), secret.ErrUnavailable)
	want(t, f.Ready(ctx), secret.ErrUnavailable)
	want(t, errOf(f.Stats(ctx)), secret.ErrUnavailable)
}
