package vault_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// setQuotas sets a tenant's quotas.
func setQuotas(tb testing.TB, f *fastnesstest.Fixture, tenant secret.TenantName, q secret.Quotas) vault.QuotaInfo {
	tb.Helper()
	return must(f.Operator().SetQuotas(ctx, tenant, q, nil))(tb)
}

// wantExceeded expects the refusal by a quota with its figures.
func wantExceeded(tb testing.TB, err error, quota string, limit, used int64) {
	tb.Helper()
	e := secret.Of(err)
	if !errors.Is(err, secret.ErrQuota) || e.Field != quota || e.Usage == nil || *e.Usage != (secret.Usage{Limit: limit, Used: used}) {
		tb.Errorf("error %v with %+v, want the quota of %d %s with %d in use", err, e.Usage, limit, quota, used)
	}
}

func use(tb testing.TB, s *vault.Session) secret.Use {
	tb.Helper()
	return must(s.Quotas(ctx))(tb).Use
}

// TestQuotas: operators set them, a tenant's administrators and auditors see
// them, and the log has what was before and after.
func TestQuotas(t *testing.T) {
	f := fastnesstest.Open(t, &fastnesstest.Options{Quotas: secret.Quotas{Secrets: 7, RequestRate: 100}})
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 2)
	own := secret.Quotas{Secrets: 9, Versions: 50, RequestRate: 10, RequestBurst: 20}
	want1 := vault.QuotaInfo{
		Tenant: "acme", Own: own, Deployment: secret.Quotas{Secrets: 7, RequestRate: 100}, Revision: 1,
		Use: secret.Use{Secrets: 1, Versions: 2, Bytes: 2 * (1 + 30 + 66), Principals: 1},
	}
	if diff := cmp.Diff(want1, setQuotas(t, f, "acme", own)); diff != "" {
		t.Error(diff)
	}
	if e := last(t, f, "acme"); e.Action != audit.QuotaSet || e.Result != audit.Success || e.UserID != "local" ||
		e.Detail != "changed secrets none -> 9, versions none -> 50, requestRate none -> 10, requestBurst none -> 20" {
		t.Errorf("left %+v", e)
	}
	if diff := cmp.Diff(secret.Quotas{Secrets: 7, Versions: 50, RequestRate: 10, RequestBurst: 20}, want1.Effective()); diff != "" {
		t.Error(diff)
	}
	for _, role := range []policy.Role{policy.Admin, policy.Auditor} {
		got := must(f.Session(caller(t, f, "acme", role), "").Quotas(ctx))(t)
		got.Use.Principals = 1 // each caller is one more
		if diff := cmp.Diff(want1, got); diff != "" {
			t.Errorf("%s: %s", role, diff)
		}
	}
	setQuotas(t, f, "acme", secret.Quotas{Versions: 60})
	if e := last(t, f, "acme"); e.Detail != "changed secrets 9 -> none, versions 50 -> 60, requestRate 10 -> none, requestBurst 20 -> none" {
		t.Errorf("left %+v", e)
	}
	setQuotas(t, f, "acme", secret.Quotas{Versions: 60})
	if e := last(t, f, "acme"); e.Detail != "nothing" {
		t.Errorf("left %+v", e)
	}
	if other := must(f.Tenant(t, "beta").Quotas(ctx))(t); other.Own != (secret.Quotas{}) || other.Revision != 0 {
		t.Errorf("another tenant's: %+v", other)
	}
}

// TestSetQuotasRefused: who may not, what cannot be, and in which log.
func TestSetQuotasRefused(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	admin := f.Vault.Operator(caller(t, f, "acme", policy.Admin))
	q := secret.Quotas{Secrets: 5}
	want(t, errOf(admin.SetQuotas(ctx, "acme", q, nil)), secret.ErrAccessDenied)
	if e := last(t, f, "acme"); e.Action != audit.QuotaSet || e.Result != audit.AccessDenied || e.UserID != "admin" {
		t.Errorf("left %+v", e)
	}
	want(t, errOf(f.Operator().SetQuotas(ctx, "none", q, nil)), secret.ErrNotFound)
	want(t, errOf(f.Operator().SetQuotas(ctx, "none", secret.Quotas{Secrets: -1}, nil)), secret.ErrLimit)
	want(t, errOf(f.Operator().SetQuotas(ctx, "acme", secret.Quotas{RequestBurst: 1}, nil)), secret.ErrInvalid)
	f.Tenant(t, "gone")
	setQuotas(t, f, "gone", q)
	check(t, f.Operator().Erase(ctx, "gone"))
	want(t, errOf(f.Operator().SetQuotas(ctx, "gone", q, nil)), secret.ErrConflict)

	want(t, errOf(f.Operator().SetQuotas(ctx, "acme", q, ptr(int64(1)))), secret.ErrConflict)
	must(f.Operator().SetQuotas(ctx, "acme", q, ptr(int64(0))))(t)
	want(t, errOf(f.Operator().SetQuotas(ctx, "acme", q, ptr(int64(0)))), secret.ErrConflict)
	must(f.Operator().SetQuotas(ctx, "acme", secret.Quotas{}, ptr(int64(1))))(t)
	if got := must(s.Quotas(ctx))(t); got.Own != (secret.Quotas{}) || got.Revision != 2 {
		t.Errorf("lifted: %+v", got)
	}
	check(t, errOf(f.Operator().Suspend(ctx, "acme")))
	setQuotas(t, f, "acme", q)
}

// TestSecretsQuota: the last that fits, the first that does not, and what goes
// on at the edge.
func TestSecretsQuota(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	setQuotas(t, f, "acme", secret.Quotas{Secrets: 2})
	versions(t, s, "a", 1)
	versions(t, s, "b", 1)
	_, err := put(t, s, "c", "v", vault.Put{})
	wantExceeded(t, err, "secrets", 2, 2)
	wantText(t, err, secret.ErrQuota, "secrets: the quota is 2: 2 in use, 1 more asked for")
	if e := last(t, f, "acme"); e.Action != audit.Create || e.Result != audit.Failed || e.SecretName != "c" ||
		e.Error != "secrets: the quota is 2: 2 in use, 1 more asked for" {
		t.Errorf("left %+v", e)
	}
	want(t, errOf(s.Describe(ctx, "c")), secret.ErrNotFound)

	versions(t, s, "a", 3) // no new secret
	check(t, errOf(s.Delete(ctx, "a", secret.MinRecovery)))
	_, err = put(t, s, "c", "v", vault.Put{})
	wantExceeded(t, err, "secrets", 2, 2) // it can come back
	check(t, errOf(s.Restore(ctx, "a")))
	check(t, s.Purge(ctx, "a"))
	versions(t, s, "c", 1)
	f.Tenant(t, "beta")
	for i := range 4 {
		versions(t, f.Tenant(t, "beta"), secret.Name(fmt.Sprint(i)), 1)
	}
	if got := use(t, s); got.Secrets != 2 || got.Versions != 2 {
		t.Errorf("in use: %+v", got)
	}
}

// TestVersionsQuota: of all secrets together; writes that add nothing go on,
// as do those that prune as much as they add.
func TestVersionsQuota(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	token := secret.VersionID(secret.NewUUID())
	must(put(t, s, "a", "v", vault.Put{Token: token}))(t)
	versions(t, s, "full", secret.MaxVersions)
	setQuotas(t, f, "acme", secret.Quotas{Versions: secret.MaxVersions + 1})
	for _, name := range []secret.Name{"a", "new", "full"} {
		_, err := put(t, s, name, "w", vault.Put{})
		wantExceeded(t, err, "versions", 101, 101)
	}
	wantExceeded(t, errOf(s.Rotate(ctx, "a", vault.Put{Value: value(t, "w")})), "versions", 101, 101)
	wantValue(t, s, "a", store.Selector{}, "v")
	must(put(t, s, "a", "v", vault.Put{Token: token}))(t)
	check(t, errOf(s.Update(ctx, "a", secret.Patch{Description: ptr("d")})))
	check(t, errOf(s.MoveLabel(ctx, "full", vault.Move{Label: "l", To: 7})))
	f.Clock.Advance(25 * time.Hour) // old enough to be pruned
	for i := range 3 {
		must(put(t, s, "full", fmt.Sprint(i), vault.Put{}))(t)
	}
	_, err := put(t, s, "a", "w", vault.Put{})
	wantExceeded(t, err, "versions", 101, 101)
}

// TestBytesQuota: what is stored counts, envelope and all; a longer envelope
// too.
func TestBytesQuota(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	const overhead = 30 + 66 // of a value and its envelope
	setQuotas(t, f, "acme", secret.Quotas{Bytes: 2*overhead + 100})
	must(put(t, s, "a", strings.Repeat("v", 60), vault.Put{}))(t)
	_, err := put(t, s, "b", strings.Repeat("v", 41), vault.Put{})
	wantExceeded(t, err, "bytes", 2*overhead+100, overhead+60)
	must(put(t, s, "b", strings.Repeat("v", 40), vault.Put{}))(t)
	_, err = put(t, s, "b", "v", vault.Put{})
	wantExceeded(t, err, "bytes", 2*overhead+100, 2*overhead+100)
	wantExceeded(t, errOf(s.Update(ctx, "a", secret.Patch{Algorithm: ptr(secret.HybridQuantum)})), "bytes", 2*overhead+100, 2*overhead+100)
	must(s.RotateKey(ctx, nil))(t)
	setQuotas(t, f, "acme", secret.Quotas{Bytes: 10_000})
	must(s.Update(ctx, "a", secret.Patch{Algorithm: ptr(secret.HybridQuantum)}))(t)
	setQuotas(t, f, "acme", secret.Quotas{Bytes: 1})
	must(s.Update(ctx, "a", secret.Patch{Algorithm: ptr(secret.AES256GCM)}))(t) // shrinks
	must(s.RotateKey(ctx, nil))(t)
	wantValue(t, s, "a", store.Selector{}, strings.Repeat("v", 60))
}

// TestPrincipalsQuota: a token for somebody new makes a principal; one for
// somebody known does not.
func TestPrincipalsQuota(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	setQuotas(t, f, "acme", secret.Quotas{Principals: 2}) // the first administrator is one
	token := func(principal string) error {
		n, err := s.Credentials().Create(ctx, vault.TokenSpec{Principal: principal, Grants: []policy.Grant{{Role: policy.Reader}}})
		if err == nil {
			n.Token.Release()
		}
		return err
	}
	check(t, token("p"))
	wantExceeded(t, token("q"), "principals", 2, 2)
	if e := last(t, f, "acme"); e.Action != audit.TokenCreate || e.Result != audit.Failed {
		t.Errorf("left %+v", e)
	}
	check(t, token("p"))
	for i := range 5 { // operators are nobody's principals
		must(f.Operator().Credentials().Create(ctx, vault.TokenSpec{Principal: fmt.Sprint("op", i)}))(t).Token.Release()
	}
}

// TestLoweredQuota: what is there stays, can be read, replaced and deleted; it
// cannot grow.
func TestLoweredQuota(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	for i := range 5 {
		versions(t, s, secret.Name(fmt.Sprint(i)), 1)
	}
	setQuotas(t, f, "acme", secret.Quotas{Secrets: 2})
	_, err := put(t, s, "new", "v", vault.Put{})
	wantExceeded(t, err, "secrets", 2, 5)
	for i := range 5 {
		name := secret.Name(fmt.Sprint(i))
		wantValue(t, s, name, store.Selector{}, "1")
		versions(t, s, name, 1)
	}
	for i := range 3 {
		check(t, s.Purge(ctx, secret.Name(fmt.Sprint(i))))
		_, err := put(t, s, "new", "v", vault.Put{})
		wantExceeded(t, err, "secrets", 2, int64(4-i))
	}
	check(t, s.Purge(ctx, "3"))
	versions(t, s, "new", 1)
}

// TestDeploymentQuota: of the tenant's quota and the deployment's the tighter
// binds, in every tenant for itself.
func TestDeploymentQuota(t *testing.T) {
	f := fastnesstest.Open(t, &fastnesstest.Options{Quotas: secret.Quotas{Secrets: 3, Principals: 1}})
	for _, tenant := range []secret.TenantName{"acme", "beta"} {
		s := f.Tenant(t, tenant)
		for i := range 3 {
			versions(t, s, secret.Name(fmt.Sprint(i)), 1)
		}
		_, err := put(t, s, "new", "v", vault.Put{})
		wantExceeded(t, err, "secrets", 3, 3)
	}
	setQuotas(t, f, "acme", secret.Quotas{Secrets: 10})
	_, err := put(t, f.Tenant(t, "acme"), "new", "v", vault.Put{})
	wantExceeded(t, err, "secrets", 3, 3)
	setQuotas(t, f, "acme", secret.Quotas{Secrets: 2})
	_, err = put(t, f.Tenant(t, "acme"), "new", "v", vault.Put{})
	wantExceeded(t, err, "secrets", 2, 3)
	if _, err := fastnesstest.TryOpen(t, &fastnesstest.Options{Quotas: secret.Quotas{RequestBurst: 1}}); !errors.Is(err, secret.ErrInvalid) {
		t.Errorf("quotas that cannot be: %v", err)
	}
}

// TestQuotaEdge: many writers at once at the edge of a quota: exactly as many
// get in as there is room for, whatever they write.
func TestQuotaEdge(t *testing.T) {
	const writers, room = 40, 7
	for quota, tc := range map[string]struct {
		quotas secret.Quotas
		write  func(s *vault.Session, i int) error
		count  func(secret.Use) int64
	}{
		"secrets": {secret.Quotas{Secrets: room}, func(s *vault.Session, i int) error {
			return errOf(put(t, s, secret.Name(fmt.Sprint(i)), "v", vault.Put{}))
		}, func(u secret.Use) int64 { return u.Secrets }},
		"versions": {secret.Quotas{Versions: room}, func(s *vault.Session, i int) error {
			return errOf(put(t, s, secret.Name(fmt.Sprint("n", i%3)), "v", vault.Put{}))
		}, func(u secret.Use) int64 { return u.Versions }},
		"bytes": {secret.Quotas{Bytes: room*100 + 99}, func(s *vault.Session, i int) error {
			return errOf(put(t, s, secret.Name(fmt.Sprint(i)), "four", vault.Put{}))
		}, func(u secret.Use) int64 { return u.Bytes / 100 }},
		"principals": {secret.Quotas{Principals: room}, func(s *vault.Session, i int) error {
			n, err := s.Credentials().Create(ctx, vault.TokenSpec{Principal: fmt.Sprint(i), Grants: []policy.Grant{{Role: policy.Reader}}})
			if err == nil {
				n.Token.Release()
			}
			return err
		}, func(u secret.Use) int64 { return u.Principals - 1 }},
	} {
		t.Run(quota, func(t *testing.T) {
			f := fastnesstest.Open(t, nil)
			s := f.Tenant(t, "acme")
			if quota == "principals" {
				tc.quotas.Principals++ // the first administrator
			}
			setQuotas(t, f, "acme", tc.quotas)
			var wg sync.WaitGroup
			var mu sync.Mutex
			written := 0
			for i := range writers {
				wg.Go(func() {
					err := tc.write(s, i)
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						written++
					case !errors.Is(err, secret.ErrQuota) || secret.Of(err).Field != quota:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if got := tc.count(use(t, s)); written != room || got != room {
				t.Errorf("%d of %d writers got in, %d in use; there is room for %d", written, writers, got, room)
			}
		})
	}
}

// TestRefusalCounts: the metrics tell the kinds apart.
func TestRefusalCounts(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	setQuotas(t, f, "acme", secret.Quotas{Secrets: 1, Principals: 1, RequestRate: 1})
	versions(t, s, "a", 1)
	for i := range 3 {
		put(t, s, secret.Name(fmt.Sprint(i)), "v", vault.Put{})
	}
	s.Credentials().Create(ctx, vault.TokenSpec{Principal: "p", Grants: []policy.Grant{{Role: policy.Reader}}})
	tryBad(t, f, "192.0.2.1", freeTries+2)
	token := must(s.Credentials().Create(ctx, vault.TokenSpec{Principal: "admin", Grants: []policy.Grant{{Role: policy.Reader}}}))(t).Token
	defer token.Release()
	for range 5 {
		f.Authenticate(ctx, from("192.0.2.1"), token.Bytes())
	}
	got := must(f.Stats(ctx))(t).Refused
	want := map[string]uint64{"credential": freeTries, "wait": 2, "secrets": 3, "versions": 0, "bytes": 0, "principals": 1, "requestRate": 4, "sessions": 0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
