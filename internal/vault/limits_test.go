package vault_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fastness/fastnesstest"
	"fastness/internal/policy"
	"fastness/internal/schedule"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

func tags(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprint(i)] = "v"
	}
	return m
}

// TestMetadataLimits: the last that is accepted of each row of the limits'
// table, and the first that is refused, by Put and by Update, with nothing
// stored.
func TestMetadataLimits(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	access := func(services, environments int) *secret.AccessPolicy {
		p := &secret.AccessPolicy{}
		for i := range services {
			p.AllowedServices = append(p.AllowedServices, fmt.Sprint(i))
		}
		for range environments {
			p.AllowedEnvironments = append(p.AllowedEnvironments, secret.Prod)
		}
		return p
	}
	for _, tt := range []struct {
		field     string
		good, bad secret.Patch
		want      *secret.Error
		text      string
	}{
		{"description", secret.Patch{Description: ptr(strings.Repeat("é", 2048))}, secret.Patch{Description: ptr(strings.Repeat("é", 2049))},
			secret.ErrLimit, "description: limit: at most 2048 characters"},
		{"description text", secret.Patch{Description: ptr("a\tb\n")}, secret.Patch{Description: ptr("a\x1b")},
			secret.ErrInvalid, "description: no control characters"},
		{"description UTF-8", secret.Patch{Description: ptr("日本")}, secret.Patch{Description: ptr("\xc3")},
			secret.ErrInvalid, "description: valid UTF-8"},
		{"number of tags", secret.Patch{Tags: tags(50)}, secret.Patch{Tags: tags(51)}, secret.ErrLimit, "tags: limit: at most 50 tags"},
		{"key", secret.Patch{Tags: map[string]string{strings.Repeat("k", 128): ""}}, secret.Patch{Tags: map[string]string{strings.Repeat("k", 129): ""}},
			secret.ErrLimit, "tags: limit: keys of 1 to 128 characters"},
		{"empty key", secret.Patch{Tags: map[string]string{"k": ""}}, secret.Patch{Tags: map[string]string{"": "v"}},
			secret.ErrLimit, "tags: limit: keys of 1 to 128 characters"},
		{"tag value", secret.Patch{Tags: map[string]string{"k": strings.Repeat("v", 256)}}, secret.Patch{Tags: map[string]string{"k": strings.Repeat("v", 257)}},
			secret.ErrLimit, "tags: limit: values of at most 256 characters"},
		{"interval", secret.Patch{RotationInterval: ptr(schedule.Every365d)}, secret.Patch{RotationInterval: ptr(schedule.Interval("8d"))},
			secret.ErrInvalid, "rotationInterval: 7d, 30d, 90d, 180d or 365d"},
		{"algorithm", secret.Patch{Algorithm: ptr(secret.AES256GCM)}, secret.Patch{Algorithm: ptr(secret.Algorithm("rot13"))},
			secret.ErrInvalid, "algorithm: aes-256-gcm or hybrid-quantum"},
		{"services", secret.Patch{AccessPolicy: access(100, 0)}, secret.Patch{AccessPolicy: access(101, 0)},
			secret.ErrLimit, "accessPolicy.allowedServices: limit: at most 100 entries"},
		{"environments", secret.Patch{AccessPolicy: access(0, 100)}, secret.Patch{AccessPolicy: access(0, 101)},
			secret.ErrLimit, "accessPolicy.allowedEnvironments: limit: at most 100 entries"},
		{"environment", secret.Patch{AccessPolicy: access(0, 1)}, secret.Patch{AccessPolicy: &secret.AccessPolicy{AllowedEnvironments: []secret.Environment{"test"}}},
			secret.ErrInvalid, "accessPolicy.allowedEnvironments: dev, staging or prod"},
	} {
		t.Run(tt.field, func(t *testing.T) {
			name := secret.Name(strings.ReplaceAll(tt.field, " ", "-"))
			_, err := put(t, s, name, "v", vault.Put{Patch: tt.bad})
			wantText(t, err, tt.want, tt.text)
			want(t, errOf(s.Describe(ctx, name)), secret.ErrNotFound)
			must(put(t, s, name, "v", vault.Put{Patch: tt.good}))(t)
			before, _ := s.List(ctx, vault.ListQuery{Prefix: string(name)})
			wantText(t, errOf(s.Update(ctx, name, tt.bad)), tt.want, tt.text)
			after, _ := s.List(ctx, vault.ListQuery{Prefix: string(name)})
			if fmt.Sprint(before) != fmt.Sprint(after) {
				t.Errorf("changed by what was refused: %v", after)
			}
		})
	}
}

// TestNames: what is a name, to every method that makes one; what is none is
// nowhere found.
func TestNames(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	good := []secret.Name{"a", "a//b", "../a", "/a", "a/..", "...", "2F", "A-Z_+=.@-!", secret.Name(strings.Repeat("n", 512))}
	for _, name := range good {
		must(put(t, s, name, string(name), vault.Put{}))(t)
	}
	for _, name := range good {
		wantValue(t, s, name, store.Selector{}, string(name))
	}
	for _, name := range []secret.Name{"", ".", "..", "/", "a b", "a\x00", "a%2Fb", "аdmin", "a\n", "a\u202e", "ﬁ", "\xff", "*", secret.Name(strings.Repeat("n", 513))} {
		_, err := put(t, s, name, "v", vault.Put{})
		e := secret.Of(err)
		if e.Field != "name" || e.Code != secret.ErrInvalid.Code && e.Code != secret.ErrLimit.Code {
			t.Errorf("name %q: %v", name, err)
		}
		want(t, errOf(s.Rotate(ctx, name, vault.Put{Value: value(t, "v")})), e)
		want(t, errOf(get(s, name, store.Selector{})), secret.ErrNotFound)
		want(t, errOf(s.Describe(ctx, name)), secret.ErrNotFound)
	}
	if got := names(t, s, vault.ListQuery{}); len(got) != len(good) {
		t.Errorf("listed %v", got)
	}
	equal(t, "by prefix", names(t, s, vault.ListQuery{Prefix: ".."}), []secret.Name{"...", "../a"})
	equal(t, "by prefix", names(t, s, vault.ListQuery{Prefix: "/"}), []secret.Name{"/a"})
}

func TestPageLimits(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 1)
	a := f.Audit(local(f), "")
	for _, n := range []int{-1, secret.MaxPage + 1, 1 << 40} {
		for what, err := range map[string]error{
			"secrets":   errOf(s.List(ctx, vault.ListQuery{Limit: n})),
			"versions":  errOf(s.Versions(ctx, "db", n, "")),
			"tokens":    errOf(s.Credentials().List(ctx, vault.CredentialQuery{Limit: n})),
			"operators": errOf(f.Operator().Credentials().List(ctx, vault.CredentialQuery{Limit: n})),
			"tenants":   errOf(f.Operator().Tenants(ctx, n, "")),
			"audit":     errOf(a.List(ctx, vault.AuditQuery{Limit: n})),
		} {
			if e := secret.Of(err); e.Error() != "limit: limit: 1 to 500 items a page" {
				t.Errorf("%s, limit %d: %v", what, n, err)
			}
		}
	}
	must(s.List(ctx, vault.ListQuery{Limit: secret.MaxPage}))(t)
	for _, q := range []vault.ListQuery{{Prefix: "a b"}, {Prefix: "\x00"}, {Prefix: strings.Repeat("n", 513)}, {Prefix: "é"},
		{TagKey: strings.Repeat("k", 129)}, {TagKey: "k", TagValue: strings.Repeat("v", 257)}, {TagKey: "\xff"}, {TagKey: "k", TagValue: "\x00"}} {
		if e := secret.Of(errOf(s.List(ctx, q))); e.Field == "" {
			t.Errorf("%+v: %v", q, e)
		}
	}
}

// TestTokenLimits: what a token may be.
func TestTokenLimits(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	creds := f.Tenant(t, "acme").Credentials()
	reader := []policy.Grant{{Role: policy.Reader}}
	grants := func(n int) (out []policy.Grant) {
		for range n {
			out = append(out, reader...)
		}
		return out
	}
	patterns := func(p ...string) []policy.Grant { return []policy.Grant{{Role: policy.Reader, Patterns: p}} }
	many := make([]string, secret.MaxPatterns+1)
	for i := range many {
		many[i] = "a"
	}
	for _, tt := range []struct {
		spec  vault.TokenSpec
		field string
	}{
		{vault.TokenSpec{Principal: "", Grants: reader}, "principal"},
		{vault.TokenSpec{Principal: "system", Grants: reader}, "principal"},
		{vault.TokenSpec{Principal: "local", Grants: reader}, "principal"},
		{vault.TokenSpec{Principal: "a b", Grants: reader}, "principal"},
		{vault.TokenSpec{Principal: strings.Repeat("p", 129), Grants: reader}, "principal"},
		{vault.TokenSpec{Principal: "p"}, "grants"},
		{vault.TokenSpec{Principal: "p", Grants: grants(21)}, "grants"},
		{vault.TokenSpec{Principal: "p", Grants: []policy.Grant{{Role: "root"}}}, "grants.role"},
		{vault.TokenSpec{Principal: "p", Grants: []policy.Grant{{Role: policy.Reader, Patterns: []string{}}}}, "grants.patterns"},
		{vault.TokenSpec{Principal: "p", Grants: patterns(many...)}, "grants.patterns"},
		{vault.TokenSpec{Principal: "p", Grants: patterns("a b")}, "grants.patterns"},
		{vault.TokenSpec{Principal: "p", Grants: reader, Service: strings.Repeat("s", 129)}, "service"},
		{vault.TokenSpec{Principal: "p", Grants: reader, Environment: "test"}, "environment"},
		{vault.TokenSpec{Principal: "p", Grants: reader, TTL: time.Second}, "expiresIn"},
		{vault.TokenSpec{Principal: "p", Grants: reader, TTL: 3651 * aDay}, "expiresIn"},
		{vault.TokenSpec{Principal: "p", Grants: reader, TTL: -time.Hour}, "expiresIn"},
	} {
		token, err := creds.Create(ctx, tt.spec)
		if e := secret.Of(err); err == nil || e.Field != tt.field {
			t.Errorf("%+v: %v, want %s refused", tt.spec, err, tt.field)
		}
		if token != nil {
			t.Error("a token beside the error")
		}
	}
	for _, spec := range []vault.TokenSpec{
		{Principal: strings.Repeat("p", 128), Grants: grants(20), Service: strings.Repeat("s", 128), Environment: secret.Dev, TTL: time.Minute},
		{Principal: "p", Grants: patterns(many[1:]...), TTL: 3650 * aDay},
	} {
		must(creds.Create(ctx, spec))(t).Token.Release()
	}
	_, err := f.Operator().Credentials().Create(ctx, vault.TokenSpec{Principal: "op", Grants: reader})
	wantText(t, err, secret.ErrInvalid, "grants: an operator has none")
}

// TestTokenCount: a thousand live credentials a tenant; dead ones make room.
func TestTokenCount(t *testing.T) {
	f := open(t)
	creds := f.Tenant(t, "acme").Credentials()
	spec := vault.TokenSpec{Principal: "p", Grants: []policy.Grant{{Role: policy.Reader}}}
	another := func() (string, error) {
		n, err := creds.Create(ctx, spec)
		if err != nil {
			return "", err
		}
		n.Token.Release()
		return n.ID, nil
	}
	first := must(another())(t)
	edit(t, f.store, func(tx store.Tx) error {
		acme, err := tenantID(tx, "acme")
		for i := range secret.MaxTokens - 3 { // the tenant was made with two
			hash := [32]byte{1, byte(i), byte(i >> 8)}
			err = errors.Join(err, tx.EditCredentials().Create(&store.Credential{ID: fmt.Sprintf("tok_%d", i), Tenant: acme,
				Principal: "p", Hash: hash, Grants: spec.Grants, Created: f.Clock.Now()}))
		}
		return err
	})
	_, err := another()
	wantText(t, err, secret.ErrLimit, "tokens: limit: at most 1000 live credentials made by hand")
	check(t, creds.Revoke(ctx, first))
	f.Clock.Advance(time.Minute)
	second := must(another())(t)
	want(t, creds.Revoke(ctx, first), secret.ErrNotFound) // gone, to make room
	want(t, errOf(another()), secret.ErrLimit)
	check(t, creds.Revoke(ctx, second))
	f.Clock.Advance(31 * aDay)
	must(another())(t)
}

// TestTenantNames: what a tenant may be called.
func TestTenantNames(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	for _, name := range []secret.TenantName{"", "A", "a_b", "a b", "é", "a\x00", "a/b", secret.TenantName(strings.Repeat("a", 64))} {
		_, err := f.Operator().CreateTenant(ctx, name, "")
		if e := secret.Of(err); err == nil || e.Field != "tenant" {
			t.Errorf("%q: %v", name, err)
		}
		want(t, errOf(f.Operator().Tenant(ctx, name)), secret.ErrNotFound)
	}
	for _, name := range []secret.TenantName{"a", "0", "-", secret.TenantName(strings.Repeat("a", 63))} {
		must(f.Operator().CreateTenant(ctx, name, ""))(t).Release()
	}
	_, err := f.Operator().CreateTenant(ctx, "b", "rot13")
	wantText(t, err, secret.ErrInvalid, "algorithm: aes-256-gcm or hybrid-quantum")
}
