package vault_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// since returns the entries that were left after a number of them, without
// the look itself, whose pages but the last are among the entries.
func since(tb testing.TB, f *fastnesstest.Fixture, n int) []audit.Entry {
	tb.Helper()
	all := entries(tb, f, "", audit.Filter{})
	return all[n : len(all)-(len(all)-1)/secret.MaxPage]
}

// TestEveryCallLeavesAnEntry: whatever a method does or refuses, it leaves one
// entry with its action and its result; a rotation of a key one at its
// beginning and one at its end.
func TestEveryCallLeavesAnEntry(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	versions(t, f.Tenant(t, "acme"), "db", 1)
	must(f.Audit(local(f), "").Checkpoint(ctx))(t)
	admin, reader := caller(t, f, "acme", policy.Admin), caller(t, f, "acme", policy.Reader, "other/*")
	op := local(f)
	for _, m := range methods {
		for who, c := range map[string]*vault.Caller{"reader": reader, "operator": op, "admin": admin} {
			if who == "operator" && slices.Contains([]string{"Purge", "Delete", "Restore", "CreateBare", "Create principal", "Delete principal",
				"Create person", "RemovePassword", "Delete person", "Delete policy", "RemoveRotation"}, m.name) {
				continue // once is enough
			}
			if who != "reader" && m.name == "RepairRotation" {
				continue // none is stuck
			}
			before := len(entries(t, f, "", audit.Filter{})) + 1
			err := m.call(t, f, c, "acme", "db")
			got := since(t, f, before)
			n := 1
			switch {
			case who == "reader" && m.secret && m.writes, who == "reader" && !m.secret && m.name != "List" && m.name != "Details" && m.name != "Tenant" && m.name != "Follow":
				want(t, err, secret.ErrAccessDenied)
			case who == "reader" && m.secret:
				want(t, err, secret.ErrNotFound)
			case err != nil:
				t.Errorf("%s as %s: %s", m.name, who, describe(err))
				continue
			case m.twice:
				n = 2
			}
			if slices.Contains([]string{"Rotate token", "Revoke", "RotateAccessKey", "RevokeAccessKey", "Inclusion"}, m.name) {
				n++ // the list that it begins with
			}
			if len(got) != n {
				t.Errorf("%s as %s left %d entries: %+v", m.name, who, len(got), got)
				continue
			}
			for _, e := range got[len(got)-1:] {
				checkEntry(t, m, who, err, e)
			}
		}
	}
}

func checkEntry(t *testing.T, m method, who string, err error, e audit.Entry) {
	t.Helper()
	result := audit.Success
	if err != nil {
		result = audit.AccessDenied
	}
	user := map[string]string{"reader": "reader", "operator": "local", "admin": "admin"}[who]
	if e.Action != m.action && e.Action != m.unseen || e.Result != result || e.TenantID != "acme" || e.UserID != user || e.CorrelationID != "test" ||
		e.IPAddress == "" || e.UserAgent == "" || m.secret && e.SecretName != "db" || !m.secret && e.SecretName != "" ||
		(e.Error == "") != (err == nil) {
		t.Errorf("%s as %s left %+v", m.name, who, e)
	}
}

func noRule(secret.Name) (*secretbuf.Buffer, error) { return nil, secret.ErrNoGenerator }

// TestEntryFields: each field of the entries of a secret's life.
func TestEntryFields(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	f.Tenant(t, "acme")
	c := caller(t, f, "acme", policy.Admin)
	s := f.Session(c, "")
	before := len(entries(t, f, "", audit.Filter{})) + 1
	start := f.Clock.Now()
	steps := []func() error{
		func() error { return errOf(put(t, s, "db", "v1", vault.Put{})) },
		func() error { return errOf(put(t, s, "db", "v2", vault.Put{})) },
		func() error { return errOf(s.Rotate(ctx, "db", vault.Put{Value: value(t, "v3")})) },
		func() error { return errOf(get(s, "db", store.Selector{Number: 2})) },
		func() error { return errOf(get(s, "db", store.Selector{Number: 9})) },
		func() error { return errOf(get(s, "none", store.Selector{})) },
		func() error { return errOf(s.MoveLabel(ctx, "db", vault.Move{Label: "blue", To: 2})) },
		func() error { return errOf(s.MoveLabel(ctx, "db", vault.Move{Label: "blue", To: 3})) },
		func() error { return errOf(s.MoveLabel(ctx, "db", vault.Move{Label: "blue"})) },
		func() error {
			return errOf(s.Update(ctx, "db", secret.Patch{Description: ptr("x"), Algorithm: ptr(secret.HybridQuantum)}))
		},
		func() error { return errOf(s.Update(ctx, "db", secret.Patch{Description: ptr("x")})) },
		func() error { return errOf(put(t, s, "db", "", vault.Put{})) },
		func() error { return errOf(put(t, s, "db", "v", vault.Put{IfAbsent: true})) },
		func() error { return errOf(s.Delete(ctx, "db", secret.MinRecovery)) },
		func() error { return errOf(get(s, "db", store.Selector{})) },
		func() error { return errOf(s.Rotate(ctx, "none", vault.Put{Make: noRule})) },
		func() error { return errOf(s.Restore(ctx, "db")) },
		func() error { return errOf(s.Rotate(ctx, "db", vault.Put{Make: noRule})) },
		func() error { return s.Refused(ctx, audit.Update, "db", secret.Invalid("body", "a JSON object")) },
	}
	wantEntries := []audit.Entry{
		{Action: audit.Create, Version: "1", NewVersion: "1"},
		{Action: audit.Update, Version: "2", OldVersion: "1", NewVersion: "2"},
		{Action: audit.Rotate, Version: "3", OldVersion: "2", NewVersion: "3"},
		{Action: audit.Read, Version: "2"},
		{Action: audit.Read, Result: audit.NotFound, Error: "not_found"},
		{Action: audit.Read, Result: audit.NotFound, Error: "not_found", SecretName: "none"},
		{Action: audit.Label, NewVersion: "2", Detail: "label blue"},
		{Action: audit.Label, OldVersion: "2", NewVersion: "3", Detail: "label blue"},
		{Action: audit.Label, OldVersion: "3", Detail: "label blue"},
		{Action: audit.Update, Detail: "changed description algorithm aes-256-gcm -> hybrid-quantum"},
		{Action: audit.Update, Detail: "nothing"},
		{Action: audit.Create, Result: audit.Failed, Error: "value: limit: 1 to 65536 bytes"},
		{Action: audit.Update, Result: audit.Failed, Error: "the name is already taken"},
		{Action: audit.Delete, Detail: "until 2026-01-09T12:00:00Z"},
		{Action: audit.Read, Result: audit.Failed, Error: "the secret is scheduled for deletion"},
		{Action: audit.Rotate, Result: audit.NotFound, Error: "not_found", SecretName: "none"},
		{Action: audit.Restore},
		{Action: audit.Rotate, Result: audit.Failed, Error: secret.ErrNoGenerator.Detail},
		{Action: audit.Update, Result: audit.Failed, Error: "body: a JSON object"},
	}
	for i, step := range steps {
		if err := step(); (err == nil) != (wantEntries[i].Result == "") {
			t.Errorf("step %d: %v", i, err)
		}
	}
	for i := range wantEntries {
		e := &wantEntries[i]
		e.Timestamp, e.TenantID, e.UserID, e.IPAddress = start, "acme", "admin", "192.0.2.1"
		e.UserAgent, e.CorrelationID = "fastnesstest", "test"
		if e.SecretName == "" {
			e.SecretName = "db"
		}
		if e.Result == "" {
			e.Result = audit.Success
		}
	}
	if diff := cmp.Diff(wantEntries, since(t, f, before), cmpopts.IgnoreFields(audit.Entry{}, "Index", "Seq")); diff != "" {
		t.Error(diff)
	}
}

// TestOperatorEntries: administration stands in the log of the tenant that it
// was done to, and of the deployment if there is none.
func TestOperatorEntries(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	op := f.Operator()
	made := must(op.CreateTenant(ctx, "acme", ""))(t)
	made.Release()
	op.CreateTenant(ctx, "acme", "")
	op.CreateTenant(ctx, "BAD", "")
	op.Suspend(ctx, "acme")
	op.Resume(ctx, "acme")
	op.Suspend(ctx, "none")
	op.Tenants(ctx, 0, "")
	op.Tenants(ctx, -1, "")
	s := f.Session(local(f), "none")
	put(t, s, "bad name", "v", vault.Put{})
	s.List(ctx, vault.ListQuery{Cursor: "forged"})
	s.Credentials().List(ctx, vault.CredentialQuery{Limit: -1})
	f.Audit(local(f), "none").List(ctx, vault.AuditQuery{Limit: -1})
	f.Audit(local(f), "NONE").Redact(ctx, vault.RedactQuery{})
	f.Audit(local(f), "acme").RotateKeys(ctx)
	put(t, f.Session(local(f), ""), "db", "v", vault.Put{})
	op.Erase(ctx, "acme")
	var got []string
	for _, e := range entries(t, f, "", audit.Filter{}) {
		got = append(got, fmt.Sprintf("%s/%s/%s", e.TenantID, e.Action, e.Result))
	}
	equal(t, "entries", got, []string{
		"acme/tenant.create/success", "/tenant.create/failed", "/tenant.create/failed",
		"acme/tenant.suspend/success", "acme/tenant.resume/success", "/tenant.suspend/not_found",
		"/tenant.list/success", "/tenant.list/failed", "/create/failed", "/list/failed", "/token.list/failed",
		"/audit.list/failed", "/audit.redact/failed", "acme/audit.keys.rotate/failed", "/create/not_found", "acme/tenant.erase/success",
	})
}

// TestRefusedCredentials: one at a time each has its entry; a flood shares
// counted ones, which lose nobody, and every one waits for its own.
func TestRefusedCredentials(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	const flood = 400
	var wg sync.WaitGroup
	start := time.Now()
	var waited sync.Map
	for i := range flood {
		wg.Go(func() {
			o := vault.Origin{Address: fmt.Sprintf("192.0.%d.%d", i/256, i%256), UserAgent: "flood", CorrelationID: fmt.Sprint(i)}
			if i%4 == 0 { // a front's refusal of another kind
				if err := f.Refuse(ctx, o, secret.Invalid("body", "a JSON object")); !errors.Is(err, secret.ErrInvalid) {
					t.Error(err)
				}
			} else if _, err := f.Authenticate(ctx, o, []byte("fst_wrong")); !sameAs(err, secret.ErrUnauthenticated) {
				t.Error(err)
			}
			waited.Store(i, time.Since(start))
		})
	}
	wg.Wait()
	var alone, counted, shared int64
	kinds := map[string]int64{}
	for _, e := range entries(t, f, "", audit.Filter{}) {
		if e.Action != audit.Login || e.TenantID != "" || e.UserID != "" {
			t.Errorf("left %+v", e)
		}
		kinds[string(e.Result)+" "+e.Error] += max(e.Count, 1)
		if e.Count == 0 {
			alone++
			if !strings.HasPrefix(e.IPAddress, "192.0.") || e.UserAgent != "flood" {
				t.Errorf("alone: %+v", e)
			}
			continue
		}
		shared++
		counted += e.Count
		if e.UserAgent != "" || e.IPAddress != "" && e.Count > 1 {
			t.Errorf("an entry of many names one: %+v", e)
		}
	}
	if diff := cmp.Diff(map[string]int64{"access_denied unauthenticated": flood * 3 / 4, "failed body: a JSON object": flood / 4}, kinds); diff != "" {
		t.Error(diff)
	}
	if alone+counted != flood || alone < 100 || shared == 0 || shared > counted/2 {
		t.Errorf("%d alone, %d in %d counted entries, of %d", alone, counted, shared, flood)
	}
	// Whoever shared an entry got its answer no earlier than the entry was there.
	slow := int64(0)
	waited.Range(func(_, d any) bool {
		if d.(time.Duration) >= 250*time.Millisecond {
			slow++
		}
		return true
	})
	if slow < counted {
		t.Errorf("%d of the %d that share an entry waited for it", slow, counted)
	}
}
