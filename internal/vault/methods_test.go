package vault_test

import (
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// method is one way to the data of a tenant. The tests of what every method
// must do walk the table below; TestMethodsAreAll holds it complete.
type method struct {
	name           string
	callOn         sessionCall // of a Session's methods
	call           func(testing.TB, *fastnesstest.Fixture, *vault.Caller, secret.TenantName, secret.Name) error
	action         audit.Action
	unseen         audit.Action // if not known to be there, if that is another one
	secret         bool         // works on a secret's name
	writes         bool         // refused openly by grants
	administration bool         // done by operators in a suspended tenant too
	log            bool         // of the log, which outlives its tenant
	operator       bool         // of an Operator's handle
	twice          bool         // leaves an entry at its beginning and one at its end
}

// sameAs reports whether err tells its receiver exactly what the sentinel does.
func sameAs(err error, sentinel *secret.Error) bool {
	var e *secret.Error
	return errors.As(err, &e) && e.Code == sentinel.Code && e.Field == sentinel.Field && e.Detail == sentinel.Detail &&
		err.Error() == sentinel.Error()
}

type (
	sessionCall    func(testing.TB, *vault.Session, secret.Name) error
	auditCall      func(*vault.Audit) error
	credentialCall func(*vault.Credentials) error
	principalCall  func(*vault.Principals) error
	policyCall     func(*vault.Policies) error
	accessCall     func(*vault.Access) error
)

func onSecret(name string, a audit.Action, writes bool, call sessionCall) method {
	return method{name: name, action: a, secret: true, writes: writes, callOn: call,
		call: func(tb testing.TB, f *fastnesstest.Fixture, c *vault.Caller, tenant secret.TenantName, name secret.Name) error {
			return call(tb, f.Session(c, tenant), name)
		}}
}

func onTenant(name string, a audit.Action, call sessionCall) method {
	m := onSecret(name, a, false, call)
	m.secret = false
	return m
}

func onLog(name string, a audit.Action, call auditCall) method {
	return method{name: name, action: a, administration: true, log: true,
		call: func(_ testing.TB, f *fastnesstest.Fixture, c *vault.Caller, tenant secret.TenantName, _ secret.Name) error {
			return call(f.Audit(c, tenant))
		}}
}

func onCredentials(name string, a audit.Action, call credentialCall) method {
	return method{name: name, action: a, administration: true,
		call: func(_ testing.TB, f *fastnesstest.Fixture, c *vault.Caller, tenant secret.TenantName, _ secret.Name) error {
			return call(f.Session(c, tenant).Credentials())
		}}
}

func onPrincipals(name string, a audit.Action, call principalCall) method {
	return method{name: name, action: a, administration: true,
		call: func(_ testing.TB, f *fastnesstest.Fixture, c *vault.Caller, tenant secret.TenantName, _ secret.Name) error {
			return call(f.Session(c, tenant).Principals())
		}}
}

// credentialOf finds a credential of a principal; one that is not there if it
// has none, or the caller may not know.
func credentialOf(c *vault.Credentials, principal string, kind store.CredentialKind) string {
	page, err := c.List(ctx, vault.CredentialQuery{Kind: &kind})
	if err == nil {
		for _, info := range page.Items {
			if info.Principal == principal && info.Revoked.IsZero() {
				return info.ID
			}
		}
	}
	return "tok_none"
}

func onPolicies(name string, a audit.Action, call policyCall) method {
	return method{name: name, action: a, administration: true,
		call: func(_ testing.TB, f *fastnesstest.Fixture, c *vault.Caller, tenant secret.TenantName, _ secret.Name) error {
			return call(f.Session(c, tenant).Policies())
		}}
}

func onAccess(name string, a audit.Action, call accessCall) method {
	return method{name: name, action: a, administration: true,
		call: func(_ testing.TB, f *fastnesstest.Fixture, c *vault.Caller, tenant secret.TenantName, _ secret.Name) error {
			return call(f.Session(c, tenant).Access())
		}}
}

func (m method) administrative() method { m.administration = true; return m }

func (m method) twofold() method { m.twice = true; return m }

// until is twofold with another action at the end.
func (m method) until(a audit.Action) method { m.twice, m.unseen = true, a; return m }

func (m method) creates() method { m.unseen = audit.Create; return m }

// methods are all methods of Session, Audit and Credentials, with arguments
// that succeed on a secret with one version, called in this order.
var methods = []method{
	onSecret("Get", audit.Read, false, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(get(s, name, store.Selector{}))
	}),
	onSecret("Get version", audit.Read, false, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(get(s, name, store.Selector{Number: 1}))
	}),
	onSecret("Describe", audit.Describe, false, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.Describe(ctx, name))
	}),
	onSecret("Versions", audit.Describe, false, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.Versions(ctx, name, 0, ""))
	}),
	onSecret("Put", audit.Update, true, func(tb testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(put(tb, s, name, "v", vault.Put{}))
	}).creates(),
	onSecret("Rotate", audit.Rotate, true, func(tb testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.Rotate(ctx, name, vault.Put{Value: value(tb, "v")}))
	}),
	onSecret("Update", audit.Update, true, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.Update(ctx, name, secret.Patch{Description: ptr("d")}))
	}),
	onSecret("Update algorithm", audit.Update, true, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.Update(ctx, name, secret.Patch{Algorithm: ptr(secret.HybridQuantum)}))
	}),
	onSecret("Update access", audit.Update, true, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.Update(ctx, name, secret.Patch{AccessPolicy: &secret.AccessPolicy{}}))
	}),
	onSecret("MoveLabel", audit.Label, true, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.MoveLabel(ctx, name, vault.Move{Label: "l", To: 1}))
	}),
	onSecret("GetMany", audit.Read, false, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		got, err := s.GetMany(ctx, []vault.Wanted{{Name: name}})
		if err != nil {
			return err
		}
		if got[0].Reading != nil {
			got[0].Reading.Value.Release()
		}
		return got[0].Err
	}),
	onSecret("Detail", audit.Describe, false, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.Detail(ctx, name))
	}),
	onSecret("Amend", audit.Update, true, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.Amend(ctx, name, vault.Amendment{Audit: audit.Update, Action: policy.Update,
			Change: func(*secret.Metadata, *secret.AWS) error { return nil }}))
	}),
	onSecret("SetRotation", audit.Update, true, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.SetRotation(ctx, name, vault.RotationPolicy{}))
	}),
	onSecret("Rotation", audit.Describe, false, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.Rotation(ctx, name))
	}),
	onSecret("AskRotation", audit.Rotate, true, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.AskRotation(ctx, name))
	}),
	onSecret("AskRotationAs", audit.Rotate, true, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.AskRotationAs(ctx, name, secret.NewVersionID()))
	}),
	onSecret("PauseRotation", audit.Rotate, true, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.PauseRotation(ctx, name))
	}),
	onSecret("ResumeRotation", audit.Rotate, true, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.ResumeRotation(ctx, name))
	}),
	onSecret("RepairRotation", audit.Rotate, true, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.RepairRotation(ctx, name))
	}),
	onSecret("Consumers", audit.Describe, false, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.Consumers(ctx, name, 0, ""))
	}),
	onSecret("RemoveRotation", audit.Update, true, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return s.RemoveRotation(ctx, name)
	}),
	onSecret("Restage", audit.Label, true, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.Restage(ctx, name, vault.Restage{Label: "m"}))
	}),
	onSecret("Promote", audit.Update, true, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		to := name + secret.Name("-"+secret.NewUUID())
		return errOf(s.Promote(ctx, name, vault.Promotion{To: to, Change: func(_, _ *secret.AWS) error { return nil }}))
	}),
	onSecret("Delete", audit.Delete, true, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.Delete(ctx, name, secret.MinRecovery))
	}),
	onSecret("Restore", audit.Restore, true, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.Restore(ctx, name))
	}),
	onTenant("List", audit.List, func(_ testing.TB, s *vault.Session, _ secret.Name) error {
		return errOf(s.List(ctx, vault.ListQuery{}))
	}),
	onTenant("Details", audit.List, func(_ testing.TB, s *vault.Session, _ secret.Name) error {
		return errOf(s.Details(ctx, vault.DetailQuery{}))
	}),
	onTenant("Tenant", audit.TenantList, func(_ testing.TB, s *vault.Session, _ secret.Name) error {
		return errOf(s.Tenant(ctx))
	}).administrative(),
	onTenant("Quotas", audit.QuotaRead, func(_ testing.TB, s *vault.Session, _ secret.Name) error {
		return errOf(s.Quotas(ctx))
	}).administrative(),
	onTenant("RotateKey", audit.KeyRotate, func(_ testing.TB, s *vault.Session, _ secret.Name) error {
		return errOf(s.RotateKey(ctx, nil))
	}).administrative().twofold(),
	onTenant("Issuers Put", audit.IssuerPut, func(_ testing.TB, s *vault.Session, _ secret.Name) error {
		return errOf(s.Issuers().Put(ctx, identity.Issuer{Name: "new", URL: "https://new.example", Audiences: []string{"a"}}, nil))
	}).administrative(),
	onTenant("Issuers Get", audit.IssuerList, func(_ testing.TB, s *vault.Session, _ secret.Name) error {
		return errOf(s.Issuers().Get(ctx, "new"))
	}).administrative(),
	onTenant("Issuers List", audit.IssuerList, func(_ testing.TB, s *vault.Session, _ secret.Name) error {
		return errOf(s.Issuers().List(ctx))
	}).administrative(),
	onTenant("Authorities List", audit.AuthorityList, func(_ testing.TB, s *vault.Session, _ secret.Name) error {
		return errOf(s.Authorities().List(ctx))
	}).administrative(),
	onPolicies("Put policy", audit.PolicyPut, func(p *vault.Policies) error {
		return errOf(p.Put(ctx, vault.PolicyPut{Name: "night", Text: neverForbids}))
	}),
	onPolicies("Get policy", audit.PolicyRead, func(p *vault.Policies) error { return errOf(p.Get(ctx, "night", 0)) }),
	onPolicies("List policies", audit.PolicyList, func(p *vault.Policies) error { return errOf(p.List(ctx, 0, "")) }),
	onPolicies("Test", audit.PolicyTest, func(p *vault.Policies) error {
		return errOf(p.Test(ctx, vault.PolicyTest{Cases: []vault.PolicyCase{{Principal: "x", Kind: ptr(store.Person), Action: policy.Read, Secret: "a"}}}))
	}),
	onPolicies("Delete policy", audit.PolicyDelete, func(p *vault.Policies) error { return p.Delete(ctx, "night", nil) }),
	onPolicies("Settings", audit.SettingsRead, func(p *vault.Policies) error { return errOf(p.Settings(ctx)) }),
	onPolicies("UpdateSettings", audit.SettingsUpdate, func(p *vault.Policies) error {
		return errOf(p.UpdateSettings(ctx, vault.SettingsPatch{MFAWindow: ptr(time.Minute)}))
	}),
	onAccess("Explain", audit.AccessExplain, func(a *vault.Access) error {
		return errOf(a.Explain(ctx, vault.ExplainQuery{Principal: "admin", Action: policy.ManageTokens}))
	}),
	onAccess("Denial", audit.AccessExplain, func(a *vault.Access) error { return errOf(a.Denial(ctx, "test")) }),
	onAccess("Who", audit.AccessWho, func(a *vault.Access) error { return errOf(a.Who(ctx, vault.WhoQuery{})) }),
	onAccess("Review", audit.AccessReview, func(a *vault.Access) error { return errOf(a.Review(ctx, vault.ReviewQuery{})) }),
	onCredentials("Create", audit.TokenCreate, func(c *vault.Credentials) error {
		token, err := c.Create(ctx, vault.TokenSpec{Principal: "new", Grants: []policy.Grant{{Role: policy.Reader}}})
		if err == nil {
			token.Token.Release()
		}
		return err
	}),
	onCredentials("List tokens", audit.TokenList, func(c *vault.Credentials) error {
		return errOf(c.List(ctx, vault.CredentialQuery{}))
	}),
	onCredentials("Rotate token", audit.TokenRotate, func(c *vault.Credentials) error {
		token, err := c.Rotate(ctx, credentialOf(c, "new", store.Token), 0)
		if err == nil {
			token.Token.Release()
		}
		return err
	}),
	onCredentials("Revoke", audit.TokenRevoke, func(c *vault.Credentials) error {
		return c.Revoke(ctx, credentialOf(c, "new", store.Token))
	}),
	onCredentials("CreateAccessKey", audit.AccessKeyCreate, func(c *vault.Credentials) error {
		key, err := c.CreateAccessKey(ctx, vault.TokenSpec{Principal: "new", Grants: []policy.Grant{{Role: policy.Reader}}})
		if err == nil {
			key.Secret.Release()
		}
		return err
	}),
	onCredentials("RotateAccessKey", audit.AccessKeyRotate, func(c *vault.Credentials) error {
		key, err := c.RotateAccessKey(ctx, credentialOf(c, "new", store.AccessKey), time.Hour)
		if err == nil {
			key.Secret.Release()
		}
		return err
	}),
	onCredentials("List access keys", audit.AccessKeyList, func(c *vault.Credentials) error {
		return errOf(c.List(ctx, vault.CredentialQuery{Kind: ptr(store.AccessKey)}))
	}),
	onCredentials("RevokeAccessKey", audit.AccessKeyRevoke, func(c *vault.Credentials) error {
		return c.RevokeAccessKey(ctx, credentialOf(c, "new", store.AccessKey))
	}),
	onPrincipals("Create principal", audit.PrincipalCreate, func(p *vault.Principals) error {
		return errOf(p.Create(ctx, vault.PrincipalSpec{Name: "made", Grants: []policy.Grant{{Role: policy.Reader}}}))
	}),
	onPrincipals("List principals", audit.PrincipalList, func(p *vault.Principals) error { return errOf(p.List(ctx, 0, "")) }),
	onPrincipals("Get principal", audit.PrincipalList, func(p *vault.Principals) error { return errOf(p.Get(ctx, "made")) }),
	onPrincipals("Update principal", audit.PrincipalUpdate, func(p *vault.Principals) error {
		return errOf(p.Update(ctx, "made", vault.PrincipalPatch{Service: ptr("web")}))
	}),
	onPrincipals("Disable", audit.PrincipalDisable, func(p *vault.Principals) error { return errOf(p.Disable(ctx, "made")) }),
	onPrincipals("Enable", audit.PrincipalEnable, func(p *vault.Principals) error { return errOf(p.Enable(ctx, "made")) }),
	onPrincipals("Delete principal", audit.PrincipalDelete, func(p *vault.Principals) error { return p.Delete(ctx, "made") }),
	onPrincipals("Create person", audit.PrincipalCreate, func(p *vault.Principals) error {
		return errOf(p.Create(ctx, vault.PrincipalSpec{Name: "human", Kind: store.Person}))
	}),
	onPrincipals("SetPassword", audit.PasswordSet, func(p *vault.Principals) error {
		return p.SetPassword(ctx, "human", []byte("correct horse battery"))
	}),
	onPrincipals("RemovePassword", audit.PasswordRemove, func(p *vault.Principals) error { return p.RemovePassword(ctx, "human") }),
	onPrincipals("Factors", audit.FactorList, func(p *vault.Principals) error { return errOf(p.Factors(ctx, "human")) }),
	onPrincipals("Delete person", audit.PrincipalDelete, func(p *vault.Principals) error { return p.Delete(ctx, "human") }),
	onLog("List entries", audit.AuditList, func(a *vault.Audit) error { return errOf(a.List(ctx, vault.AuditQuery{Limit: 1})) }),
	onLog("Tail", audit.AuditList, func(a *vault.Audit) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		return a.Tail(ctx, 0, func(audit.Entry) error { cancel(); return nil })
	}),
	onTenant("Follow", audit.EventsOpen, func(_ testing.TB, s *vault.Session, _ secret.Name) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		return s.Follow(ctx, vault.EventQuery{After: -1}, func(vault.News) error { cancel(); return nil })
	}).until(audit.EventsClose),
	onLog("Checkpoint", audit.AuditCheckpoint, func(a *vault.Audit) error { return errOf(a.Checkpoint(ctx)) }),
	onLog("Latest", audit.AuditCheckpoint, func(a *vault.Audit) error { return errOf(a.Latest(ctx)) }),
	onLog("Inclusion", audit.AuditProof, func(a *vault.Audit) error {
		page, err := a.List(ctx, vault.AuditQuery{Limit: 1})
		if err != nil {
			return errOf(a.Inclusion(ctx, 0, -1))
		}
		return errOf(a.Inclusion(ctx, page.Items[0].Index, -1))
	}),
	onLog("Path", audit.AuditProof, func(a *vault.Audit) error { return errOf(a.Path(ctx, 0, -1)) }),
	onLog("Consistency", audit.AuditProof, func(a *vault.Audit) error { return errOf(a.Consistency(ctx, 1, -1)) }),
	onLog("Export", audit.AuditExport, func(a *vault.Audit) error { return a.Export(ctx, io.Discard, vault.ExportOptions{}) }),
	onLog("Redact", audit.AuditRedact, func(a *vault.Audit) error { return errOf(a.Redact(ctx, vault.RedactQuery{Principal: "nobody"})) }),
	onLog("Keys", audit.AuditKeys, func(a *vault.Audit) error { return errOf(a.Keys(ctx)) }),
	onSecret("Purge", audit.Purge, true, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return s.Purge(ctx, name)
	}),
	onSecret("CreateBare", audit.Create, true, func(_ testing.TB, s *vault.Session, name secret.Name) error {
		return errOf(s.CreateBare(ctx, name, vault.Bare{}))
	}),
}

// TestMethodsAreAll: the table has every exported method of the handles, but for
// those that only lead to another handle, record a front's refusal, or are the
// operators' alone: TestArchiveIsTheOperators, TestEmbeddedRotateLogKeys.
func TestMethodsAreAll(t *testing.T) {
	listed := map[string]bool{
		"RemoveFactor": true, "Policies": true, "Access": true, "Credentials": true, "Guarded": true, "Locate": true, "Principals": true, "Refused": true, "Webhooks": true,
		"RotateKeys": true, "ArchiveState": true, "Segment": true, "Archive": true,
	}
	for _, m := range methods {
		listed[strings.Fields(m.name)[0]] = true
	}
	for _, handle := range []any{&vault.Session{}, &vault.Audit{}, &vault.Credentials{}, &vault.Principals{}, &vault.Policies{}, &vault.Access{}} {
		typ := reflect.TypeOf(handle)
		for i := range typ.NumMethod() {
			if name := typ.Method(i).Name; !listed[name] {
				t.Errorf("%v.%s is in no test of all methods", typ, name)
			}
		}
	}
}

// TestHidden: for every method, what is another tenant's, what the grants hide
// and what is not there are one answer, to the letter; and the entry is in the
// caller's own log.
func TestHidden(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	for _, tenant := range []secret.TenantName{"acme", "beta", "erased"} {
		s := f.Tenant(t, tenant)
		versions(t, s, "hidden/db", 1)
		versions(t, s, "shown/db", 1)
	}
	check(t, f.Operator().Erase(ctx, "erased"))
	must(f.Audit(local(f), "").Checkpoint(ctx))(t)
	full := caller(t, f, "acme", policy.Admin)
	partial := map[policy.Role]*vault.Caller{}
	for _, role := range []policy.Role{policy.Admin, policy.Writer, policy.Reader, policy.Auditor} {
		partial[role] = caller(t, f, "acme", role, "shown/*")
	}
	for _, m := range methods {
		for _, tenant := range []secret.TenantName{"beta", "erased", "none", "NO such\x00name"} {
			for _, name := range []secret.Name{"hidden/db", "shown/db", "none", ""} {
				if name == "" && (m.name == "Put" || m.name == "Rotate" || m.name == "CreateBare") {
					continue // not a name: refused as such, wherever
				}
				for _, c := range []*vault.Caller{full, partial[policy.Reader]} {
					if err := m.call(t, f, c, tenant, name); !sameAs(err, secret.ErrNotFound) {
						t.Errorf("%s of %q in %q: %v", m.name, name, tenant, err)
					}
				}
			}
			e := last(t, f, "acme")
			if e.Action != m.action && e.Action != m.unseen || e.Result != audit.AccessDenied || e.TenantID != "acme" || e.Error != "not_found" {
				t.Errorf("%s in %q left %+v", m.name, tenant, e)
			}
		}
		if !m.secret {
			continue
		}
		for role, c := range partial {
			hidden, absent := m.call(t, f, c, "acme", "hidden/db"), m.call(t, f, c, "acme", "hidden/none")
			sentinel := secret.ErrNotFound
			if m.writes {
				sentinel = secret.ErrAccessDenied
			}
			if !sameAs(hidden, sentinel) || !sameAs(absent, sentinel) {
				t.Errorf("%s as %s: hidden %v, absent %v", m.name, role, hidden, absent)
			}
		}
	}
	wantValue(t, f.Tenant(t, "beta"), "hidden/db", store.Selector{}, "1")
	wantValue(t, f.Tenant(t, "acme"), "hidden/db", store.Selector{}, "1")
	for _, e := range append(entries(t, f, "beta", audit.Filter{}), entries(t, f, "erased", audit.Filter{})...) {
		if e.UserID == "admin" || e.UserID == "reader" {
			t.Errorf("an entry in another tenant's log: %+v", e)
		}
	}
	for _, e := range entries(t, f, "", audit.Filter{}) {
		if e.TenantID != "" && e.TenantID != "acme" && e.TenantID != "beta" && e.TenantID != "erased" {
			t.Errorf("the log of a tenant that is not there: %+v", e)
		}
	}
}
