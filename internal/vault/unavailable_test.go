package vault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"
	"time"

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
	wantNothing(t, f, c)
	for what, err := range map[string]error{
		"refusal":     errOf(f.Authenticate(ctx, vault.Origin{}, []byte("wrong"))),
		"front's":     f.Session(c, "").Refused(ctx, audit.Read, "db", secret.ErrInvalid),
		"ready":       f.Ready(ctx),
		"tenant":      errOf(f.Operator().CreateTenant(ctx, "other", "")),
		"hidden":      errOf(get(f.Session(c, "beta"), "db", store.Selector{})),
		"absent":      errOf(get(f.Session(c, ""), "none", store.Selector{})),
		"archive":     errOf(f.Audit(local(f), "").ArchiveState(ctx)),
		"segment":     f.Audit(local(f), "").Segment(ctx, io.Discard, f.Clock.Now().Add(time.Hour)),
		"archived":    errOf(f.Audit(local(f), "").Archive(ctx, vault.Archived{To: 1})),
		"log's keys":  errOf(f.Audit(local(f), "").RotateKeys(ctx)),
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

// wantNothing expects that nothing comes beside the error that an answer could
// not be recorded.
func wantNothing(t *testing.T, f *fastnesstest.Fixture, c *vault.Caller) {
	t.Helper()
	s, a, op := f.Session(c, ""), f.Audit(local(f), ""), f.Operator()
	for what, call := range map[string]func() (any, error){
		"get":      func() (any, error) { r, err := s.Get(ctx, "db", store.Selector{}); return r == nil, err },
		"describe": func() (any, error) { return s.Describe(ctx, "db") },
		"versions": func() (any, error) { return s.Versions(ctx, "db", 0, "") },
		"list":     func() (any, error) { return s.List(ctx, vault.ListQuery{}) },
		"tenant":   func() (any, error) { return s.Tenant(ctx) },
		"tenants":  func() (any, error) { return op.Tenants(ctx, 0, "") },
		"tokens":   func() (any, error) { return s.Credentials().List(ctx, vault.CredentialQuery{}) },
		"token":    func() (any, error) { n, err := op.InitToken(ctx); return n == nil, err },
		"entries":  func() (any, error) { return a.List(ctx, vault.AuditQuery{}) },
		"latest":   func() (any, error) { return a.Latest(ctx) },
		"keys":     func() (any, error) { return a.Keys(ctx) },
		"proof":    func() (any, error) { p, err := a.Inclusion(ctx, 0, -1); return p == nil, err },
		"label":    func() (any, error) { return s.MoveLabel(ctx, "db", vault.Move{Label: "x", To: 1}) },
		"update":   func() (any, error) { return s.Update(ctx, "db", secret.Patch{Description: ptr("x")}) },
		"put":      func() (any, error) { return put(t, s, "db", "v", vault.Put{}) },
	} {
		got, err := call()
		want(t, err, secret.ErrUnavailable)
		if v := reflect.ValueOf(got); got != true && !v.IsZero() {
			t.Errorf("%s: %+v beside %v", what, got, err)
		}
	}
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
	return out + fmt.Sprintf("%+v %+v", must(s.Credentials().List(ctx, vault.CredentialQuery{}))(tb).Items, must(s.Tenant(ctx))(tb))
}

// TestUnknownOutcome: a write that is on disk and was not acknowledged is found
// again by its request token.
func TestUnknownOutcome(t *testing.T) {
	m := openMortal(t, t.TempDir(), fastnesstest.NewClock(), fastnesstest.MasterKey(), nil)
	defer m.end(t)
	s := m.Tenant(t, "acme")
	token := secret.NewVersionID()
	m.store.die(1, true)
	want(t, errOf(put(t, s, "db", "v", vault.Put{Token: token})), secret.ErrUnknownOutcome)
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
