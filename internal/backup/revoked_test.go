package backup

import (
	"errors"
	"slices"
	"testing"
	"time"

	"fastness/internal/audit"
	"fastness/internal/dump"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// TestRevokedSince goes through what a log may tell of somebody who was shut
// out, for the rows of a tenant as a backup has them.
func TestRevokedSince(t *testing.T) {
	made := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	before, after := made.Add(-time.Hour), made.Add(time.Hour)
	entry := func(a audit.Action, at time.Time, target, detail string) audit.Entry {
		return audit.Entry{Timestamp: at, Action: a, TenantID: "acme", Target: target, Detail: detail, Result: audit.Success}
	}
	redacted := entry(audit.PrincipalDisable, after, "", "")
	redacted.Redacted = true
	refused := entry(audit.TokenRevoke, after, "bob", "credential tok_bob")
	refused.Result = audit.AccessDenied
	for name, c := range map[string]struct {
		entries []audit.Entry
		choice  Choice
		want    []string // what is shut out
		err     error
	}{
		"nothing":           {nil, "", []string{"session"}, nil},
		"revoked":           {[]audit.Entry{entry(audit.TokenRevoke, after, "bob", "credential tok_bob")}, "", []string{"session", "token"}, nil},
		"refused":           {[]audit.Entry{refused}, "", []string{"session"}, nil},
		"replaced":          {[]audit.Entry{entry(audit.TokenRotate, after, "bob", "token tok_x in the place of tok_bob, until 2027")}, "", []string{"session", "token"}, nil},
		"another made":      {[]audit.Entry{entry(audit.TokenCreate, after, "bob", "token tok_bob")}, "", []string{"session"}, nil},
		"disabled":          {[]audit.Entry{entry(audit.PrincipalDisable, after, "bob", "")}, "", []string{"principal", "session", "token"}, nil},
		"another disabled":  {[]audit.Entry{entry(audit.PrincipalDisable, after, "eve", "")}, "", []string{"session"}, nil},
		"enabled again":     {[]audit.Entry{entry(audit.PrincipalDisable, after, "bob", ""), entry(audit.PrincipalEnable, after, "bob", "")}, "", []string{"session"}, nil},
		"deleted":           {[]audit.Entry{entry(audit.PrincipalDelete, after, "bob", "")}, "", []string{"principal", "session", "token"}, nil},
		"deleted long ago":  {[]audit.Entry{entry(audit.PrincipalDelete, before.Add(-time.Hour), "bob", "")}, "", []string{"session"}, nil},
		"password changed":  {[]audit.Entry{entry(audit.PasswordSet, after, "bob", "")}, "", []string{"password", "session"}, nil},
		"password before":   {[]audit.Entry{entry(audit.PasswordSet, before, "bob", "")}, "", []string{"session"}, nil},
		"suspended":         {[]audit.Entry{entry(audit.TenantSuspend, after, "", "")}, "", []string{"session", "tenant"}, nil},
		"resumed":           {[]audit.Entry{entry(audit.TenantSuspend, after, "", ""), entry(audit.TenantResume, after, "", "")}, "", []string{"session"}, nil},
		"somebody":          {[]audit.Entry{redacted}, "", nil, ErrChoice},
		"somebody, kept":    {[]audit.Entry{redacted}, Keep, []string{"session"}, nil},
		"somebody, revoked": {[]audit.Entry{redacted}, Revoke, []string{"password", "session", "token"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := newErased(nil)
			for _, entry := range c.entries {
				if err := e.add(entry); err != nil {
					t.Fatal(err)
				}
			}
			h := heed{c.choice, made, after}
			if err := h.check(e); !errors.Is(err, c.err) {
				t.Fatalf("error is %v, want %v", err, c.err)
			}
			if c.err != nil {
				return
			}
			got := shutOut(e.filter(h), before)
			for _, what := range []string{"password", "principal", "session", "tenant", "token"} {
				if want := slices.Contains(c.want, what); got[what] != want {
					t.Errorf("%s: shut out: %v, want %v", what, got[what], want)
				}
			}
		})
	}
}

// shutOut passes a tenant's rows, made at one time, and tells which of them let
// nobody in any more.
func shutOut(w *withoutErased, made time.Time) map[string]bool {
	credential := func(id, source string) *store.Credential {
		return w.row(&dump.Row{Credential: &dump.Credential{Credential: &store.Credential{ID: id, Principal: "bob", Source: source, Created: made}}}).Credential.Credential
	}
	tenant := w.row(&dump.Row{Tenant: &dump.Tenant{Tenant: &store.Tenant{Name: secret.TenantName("acme")}}})
	bob := w.row(&dump.Row{Principal: &dump.Principal{Principal: &store.Principal{Name: "bob", Created: made}}})
	return map[string]bool{
		"tenant":    tenant.Tenant.State == store.Suspended,
		"principal": !bob.Principal.Disabled.IsZero(),
		"token":     !credential("tok_bob", "").Revoked.IsZero(),
		"session":   !credential("tok_session", "login:password").Revoked.IsZero(),
		"password":  w.row(&dump.Row{Document: &dump.Document{Document: &store.Document{Kind: "password", ID: "bob"}}}) == nil,
	}
}
