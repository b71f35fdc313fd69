package vault_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// idp is an issuer of tokens on this machine.
type idp struct {
	t      testing.TB
	f      *fastnesstest.Fixture
	server *httptest.Server
	key    *ecdsa.PrivateKey
	n      int
	down   bool // guarded by mu
	mu     sync.Mutex
}

func newIDP(t testing.TB, f *fastnesstest.Fixture) *idp {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	p := &idp{t: t, f: f, key: key}
	p.server = httptest.NewServer(p)
	t.Cleanup(p.server.Close)
	return p
}

func (p *idp) setDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

func (p *idp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.down:
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.URL.Path == "/keys":
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	default:
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, p.server.URL, p.server.URL+"/keys")
	}
}

// issuer is what a tenant trusts of it; without bindings, that of web.
func (p *idp) issuer(bindings ...identity.Binding) identity.Issuer {
	if bindings == nil {
		bindings = []identity.Binding{{
			Match: map[string][]string{"sub": {"web"}}, Principal: "web", Create: true, Service: "web", Environment: "prod",
			Grants: []identity.BoundGrant{{Role: "reader"}},
		}}
	}
	return identity.Issuer{Name: "ci", URL: p.server.URL, Audiences: []string{"fastness"}, Bindings: bindings}
}

// token signs a fresh token; nil in changes takes a claim out.
func (p *idp) token(changes map[string]any) []byte {
	p.t.Helper()
	p.n++
	now := p.f.Clock.Now().Unix()
	claims := map[string]any{"iss": p.server.URL, "aud": "fastness", "sub": "web", "iat": now, "exp": now + 600, "jti": fmt.Sprint("j", p.n)}
	maps.Copy(claims, changes)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.key, KeyID: "k"}}, nil)
	check(p.t, err)
	payload, err := json.Marshal(claims)
	check(p.t, err)
	signed, err := signer.Sign(payload)
	check(p.t, err)
	text, err := signed.CompactSerialize()
	check(p.t, err)
	return []byte(text)
}

// outside is where strangers ask from.
var outside = vault.Origin{Address: "198.51.100.7", UserAgent: "test", CorrelationID: "outside"}

// exchange trades a token, and returns the caller that it makes.
func exchange(tb testing.TB, f *fastnesstest.Fixture, tenant secret.TenantName, jwt []byte) (*vault.Caller, *vault.NewSession) {
	tb.Helper()
	made := must(f.ExchangeToken(ctx, outside, tenant, "", jwt))(tb)
	tb.Cleanup(made.Token.Release)
	return must(f.Authenticate(ctx, outside, made.Token.Bytes()))(tb), made
}

// refusedLogin expects a refusal that looks as all do, and its reason in the log.
func refusedLogin(tb testing.TB, f *fastnesstest.Fixture, tenant secret.TenantName, err error, reason string) (e audit.Entry) {
	tb.Helper()
	if err == nil || err.Error() != secret.ErrUnauthenticated.Error() || !sameAs(err, secret.ErrUnauthenticated) {
		tb.Errorf("error %v, want ErrUnauthenticated as it is", err)
		return e
	}
	e = last(tb, f, tenant)
	if e.Action != audit.Login || e.Result != audit.AccessDenied || e.Error != "unauthenticated: "+reason || e.IPAddress != outside.Address {
		tb.Errorf("entry %+v, want one that says %q", e, reason)
	}
	return e
}

func TestExchangeToken(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	p := newIDP(t, f)
	op := f.Tenant(t, "acme")
	fastnesstest.Put(t, op, "app/db", "hunter2")
	must(op.Issuers().Put(ctx, p.issuer(), nil))(t)

	jwt := p.token(nil)
	c, made := exchange(t, f, "acme", jwt)
	if c.Principal() != "web" || c.Tenant() != "acme" || made.Principal != "web" || made.Locked ||
		!made.Expires.Equal(f.Clock.Now().Add(15*time.Minute)) {
		t.Errorf("made %+v", made)
	}
	e := last(t, f, "acme")
	wantDetail := fmt.Sprintf("made the principal; a token of the issuer %q; session %s until %s", "ci", made.ID, made.Expires.Format(time.RFC3339))
	if e.Action != audit.Login || e.Result != audit.Success || e.UserID != "web" || e.Detail != wantDetail {
		t.Errorf("entry %+v, want %s", e, wantDetail)
	}
	wantValue(t, f.Session(c, ""), "app/db", store.Selector{}, "hunter2")
	want(t, errOf(f.Session(c, "").Delete(ctx, "app/db", secret.MinRecovery)), secret.ErrAccessDenied)

	// The token itself works once; the session ends by itself.
	refusedLogin(t, f, "acme", errOf(f.ExchangeToken(ctx, outside, "acme", "", jwt)), "the token was used before")
	f.Clock.Advance(15 * time.Minute)
	want(t, errOf(f.Authenticate(ctx, outside, made.Token.Bytes())), secret.ErrUnauthenticated)

	// The principal is there now, and is the same one.
	again, _ := exchange(t, f, "acme", p.token(nil))
	if again.Principal() != "web" || strings.Contains(last(t, f, "acme").Detail, "made the principal") {
		t.Error("the principal was made anew")
	}
}

// TestExchangeTokenRefuses: whatever is wrong, the answer is the same, and the
// tenant's log knows why.
func TestExchangeTokenRefuses(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	p := newIDP(t, f)
	op := f.Tenant(t, "acme")
	now := f.Clock.Now().Unix()
	must(op.Credentials().Create(ctx, vault.TokenSpec{Principal: "there", Grants: []policy.Grant{{Role: policy.Reader}}, Service: "api", Environment: secret.Dev}))(t)
	match := func(sub string) map[string][]string { return map[string][]string{"sub": {sub}} }
	grants := []identity.BoundGrant{{Role: "reader"}}
	must(op.Issuers().Put(ctx, p.issuer(
		identity.Binding{Match: match("web"), Principal: "web", Create: true, Grants: grants},
		identity.Binding{Match: match("absent"), Principal: "absent", Grants: grants},
		identity.Binding{Match: match("grantless"), Principal: "grantless", Create: true},
		identity.Binding{Match: match("there"), Principal: "there", Service: "web", Grants: grants},
		identity.Binding{Match: match("elsewhere"), Principal: "there", Environment: "prod", Grants: grants},
		identity.Binding{Match: match("human"), Principal: "there", Kind: "person", Grants: grants},
		identity.Binding{Match: match("spaced"), Principal: "{name}", Create: true, Grants: grants},
	), nil))(t)
	for name, tc := range map[string]struct {
		tenant secret.TenantName
		issuer string
		jwt    []byte
		reason string
		log    secret.TenantName
	}{
		"expired":             {"acme", "", p.token(map[string]any{"exp": now}), "it has expired", "acme"},
		"wrong audience":      {"acme", "", p.token(map[string]any{"aud": "vault"}), "it is for another audience", "acme"},
		"no binding":          {"acme", "", p.token(map[string]any{"sub": "nobody"}), "no binding matches the claims", "acme"},
		"no such principal":   {"acme", "", p.token(map[string]any{"sub": "absent"}), "there is no such principal, and the binding does not make one", "acme"},
		"no grants":           {"acme", "", p.token(map[string]any{"sub": "grantless"}), "neither the principal nor the binding has grants", "acme"},
		"another service":     {"acme", "", p.token(map[string]any{"sub": "there"}), "the principal has other attributes than the binding", "acme"},
		"another environment": {"acme", "", p.token(map[string]any{"sub": "elsewhere"}), "the principal has other attributes than the binding", "acme"},
		"a service as person": {"acme", "", p.token(map[string]any{"sub": "human"}), "the principal is of another kind", "acme"},
		"a name of no form":   {"acme", "", p.token(map[string]any{"sub": "spaced", "name": "a b"}), "the claims do not make a principal's name", "acme"},
		"not a token":         {"acme", "", []byte("x"), "it is no compact JWT", "acme"},
		"unknown issuer":      {"acme", "", newIDP(t, f).token(nil), "the tenant trusts no such issuer", "acme"},
		"another issuer name": {"acme", "gh", p.token(nil), "the tenant trusts no such issuer", "acme"},
		"another tenant":      {"other", "", p.token(nil), "there is no such tenant to come into", ""},
	} {
		_, err := f.ExchangeToken(ctx, outside, tc.tenant, tc.issuer, tc.jwt)
		t.Run(name, func(t *testing.T) { refusedLogin(t, f, tc.log, err, tc.reason) })
		f.Clock.Advance(time.Millisecond)
	}
	f.Tenant(t, "rich")
	refusedLogin(t, f, "rich", errOf(f.ExchangeToken(ctx, outside, "rich", "", p.token(nil))), "the tenant trusts no such issuer")
	if _, err := f.ExchangeToken(ctx, outside, "acme", "ci", p.token(nil)); err != nil {
		t.Errorf("by name: %v", describe(err))
	}
	must(f.Operator().Suspend(ctx, "acme"))(t)
	_, err := f.ExchangeToken(ctx, outside, "acme", "", p.token(nil))
	want(t, err, secret.ErrUnauthenticated)
}

// TestExchangedGrants: a token in exchange narrows its principal, and never
// widens it; attributes are those of the binding.
func TestExchangedGrants(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	p := newIDP(t, f)
	op := f.Tenant(t, "acme")
	fastnesstest.Put(t, op, "app/db", "v")
	fastnesstest.Put(t, op, "web/db", "v")
	must(op.Update(ctx, "web/db", secret.Patch{AccessPolicy: &secret.AccessPolicy{AllowedServices: []string{"web"}, AllowedEnvironments: []secret.Environment{secret.Prod}}}))(t)
	must(op.Issuers().Put(ctx, p.issuer(identity.Binding{
		Match: map[string][]string{"sub": {"*"}}, Principal: "ci/{sub}", Create: true, Service: "{sub}", Environment: "{env}",
		Grants: []identity.BoundGrant{{Role: "reader", Patterns: []string{"web/*"}}},
	}), nil))(t)
	c, _ := exchange(t, f, "acme", p.token(map[string]any{"env": "prod"}))
	wantValue(t, f.Session(c, ""), "web/db", store.Selector{}, "v")
	want(t, errOf(get(f.Session(c, ""), "app/db", store.Selector{})), secret.ErrNotFound)
	// Another environment of the same service is another principal's attribute.
	_, err := f.ExchangeToken(ctx, outside, "acme", "", p.token(map[string]any{"env": "dev"}))
	refusedLogin(t, f, "acme", err, "the principal has other attributes than the binding")
	_, err = f.ExchangeToken(ctx, outside, "acme", "", p.token(map[string]any{"env": "production"}))
	refusedLogin(t, f, "acme", err, "the claims do not make an environment")
}

// TestIssuerDown: cached keys serve while they live, then the error says so.
func TestIssuerDown(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	p := newIDP(t, f)
	must(f.Tenant(t, "acme").Issuers().Put(ctx, p.issuer(), nil))(t)
	exchange(t, f, "acme", p.token(nil))
	p.setDown(true)
	f.Clock.Advance(59 * time.Minute)
	exchange(t, f, "acme", p.token(nil))
	f.Clock.Advance(time.Minute)
	_, err := f.ExchangeToken(ctx, outside, "acme", "", p.token(nil))
	if want(t, err, secret.ErrUnavailable); !strings.Contains(fmt.Sprint(err), `the keys of the issuer "ci" cannot be fetched now`) {
		t.Errorf("error %v", err)
	}
	if e := last(t, f, "acme"); e.Action != audit.Login || e.Result != audit.Failed || strings.Contains(e.Error, "127.0.0.1") {
		t.Errorf("entry %+v", e)
	}
	if !strings.Contains(string(f.Log.Bytes()), "503") {
		t.Error("the operator is not told")
	}
	p.setDown(false)
	f.Clock.Advance(time.Minute)
	exchange(t, f, "acme", p.token(nil))
}

// TestReusableToken: where an issuer's tokens may come again, they do until they
// expire.
func TestReusableToken(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	p := newIDP(t, f)
	issuer := p.issuer()
	issuer.Reusable, issuer.Session = true, time.Hour
	must(f.Tenant(t, "acme").Issuers().Put(ctx, issuer, nil))(t)
	jwt := p.token(nil)
	for range 3 {
		if _, made := exchange(t, f, "acme", jwt); !made.Expires.Equal(f.Clock.Now().Add(time.Hour)) {
			t.Errorf("until %v", made.Expires)
		}
	}
	f.Clock.Advance(10 * time.Minute)
	refusedLogin(t, f, "acme", errOf(f.ExchangeToken(ctx, outside, "acme", "", jwt)), "it has expired")
}

// TestReplayAtOnce: of many who show one token at the same time, one comes in.
func TestReplayAtOnce(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	p := newIDP(t, f)
	must(f.Tenant(t, "acme").Issuers().Put(ctx, p.issuer(), nil))(t)
	jwt := p.token(nil)
	results := make(chan error, 10)
	for range cap(results) {
		go func() {
			made, err := f.ExchangeToken(ctx, outside, "acme", "", jwt)
			if err == nil {
				made.Token.Release()
			}
			results <- err
		}()
	}
	in := 0
	for range cap(results) {
		if err := <-results; err == nil {
			in++
		} else if !sameAs(err, secret.ErrUnauthenticated) && !sameAs(err, secret.ErrTooMany) {
			t.Errorf("error %v", err)
		}
	}
	if in != 1 {
		t.Errorf("%d came in", in)
	}
	// What is remembered of a token is forgotten when it has expired.
	f.Clock.Advance(11 * time.Minute)
	check(t, f.ExpireDocuments(ctx))
	refusedLogin(t, f, "acme", errOf(f.ExchangeToken(ctx, outside, "acme", "", jwt)), "it has expired")
}

// TestTrustEnds: without its issuer a session ends at once, and nobody comes in.
func TestTrustEnds(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	p := newIDP(t, f)
	op := f.Tenant(t, "acme")
	must(op.Issuers().Put(ctx, p.issuer(), nil))(t)
	_, made := exchange(t, f, "acme", p.token(nil))
	check(t, op.Issuers().Delete(ctx, "ci"))
	want(t, errOf(f.Authenticate(ctx, outside, made.Token.Bytes())), secret.ErrUnauthenticated)
	refusedLogin(t, f, "acme", errOf(f.ExchangeToken(ctx, outside, "acme", "", p.token(nil))), "the tenant trusts no such issuer")
	want(t, op.Issuers().Delete(ctx, "ci"), secret.ErrNotFound)
}

// TestEndedSessionsGo: they leave no trace in the list of credentials.
func TestEndedSessionsGo(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	p := newIDP(t, f)
	op := f.Tenant(t, "acme")
	must(op.Issuers().Put(ctx, p.issuer(), nil))(t)
	before := len(must(op.Credentials().List(ctx, vault.CredentialQuery{}))(t).Items)
	for range 3 {
		exchange(t, f, "acme", p.token(nil))
	}
	check(t, f.ExpireSessions(ctx))
	if n := len(must(op.Credentials().List(ctx, vault.CredentialQuery{}))(t).Items); n != before+3 {
		t.Errorf("%d credentials while they live, want %d", n, before+3)
	}
	f.Clock.Advance(15 * time.Minute)
	check(t, f.ExpireSessions(ctx))
	if n := len(must(op.Credentials().List(ctx, vault.CredentialQuery{}))(t).Items); n != before {
		t.Errorf("%d credentials afterwards, want %d", n, before)
	}
}

// TestLogout: a session's holder can end it; a token made by hand is not its
// holder's to end.
func TestLogout(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	p := newIDP(t, f)
	must(f.Tenant(t, "acme").Issuers().Put(ctx, p.issuer(), nil))(t)
	c, made := exchange(t, f, "acme", p.token(nil))
	check(t, f.Logout(ctx, c))
	if e := last(t, f, "acme"); e.Action != audit.Logout || e.Detail != "session "+made.ID || e.UserID != "web" {
		t.Errorf("entry %+v", e)
	}
	want(t, errOf(f.Authenticate(ctx, outside, made.Token.Bytes())), secret.ErrUnauthenticated)
	want(t, f.Logout(ctx, c), secret.ErrUnauthenticated)
	want(t, f.Logout(ctx, caller(t, f, "acme", policy.Reader)), secret.ErrConflict)
	want(t, f.Logout(ctx, local(f)), secret.ErrAccessDenied)
}

// TestIssuersAreTheTenants: nobody puts, sees or deletes those of another tenant,
// nor without the right to.
func TestIssuersAreTheTenants(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	p := newIDP(t, f)
	op := f.Tenant(t, "acme")
	must(op.Issuers().Put(ctx, p.issuer(), nil))(t)
	stranger := f.Session(caller(t, f, "other", policy.Admin), "acme")
	want(t, errOf(stranger.Issuers().Put(ctx, p.issuer(), nil)), secret.ErrNotFound)
	want(t, errOf(stranger.Issuers().Get(ctx, "ci")), secret.ErrNotFound)
	want(t, errOf(stranger.Issuers().List(ctx)), secret.ErrNotFound)
	want(t, stranger.Issuers().Delete(ctx, "ci"), secret.ErrNotFound)
	for _, role := range []policy.Role{policy.Reader, policy.Writer, policy.Auditor, policy.Rotator} {
		s := f.Session(caller(t, f, "acme", role), "")
		want(t, errOf(s.Issuers().Put(ctx, p.issuer(), nil)), secret.ErrAccessDenied)
		want(t, errOf(s.Issuers().List(ctx)), secret.ErrAccessDenied)
		want(t, errOf(s.Authorities().List(ctx)), secret.ErrAccessDenied)
	}
	admin := f.Session(caller(t, f, "acme", policy.Admin), "")
	if all := must(admin.Issuers().List(ctx))(t); len(all) != 1 || all[0].Provider.Name != "ci" || all[0].Revision != 1 {
		t.Errorf("listed %+v", all)
	}
	if all := must(f.Session(caller(t, f, "other", policy.Admin), "").Issuers().List(ctx))(t); len(all) != 0 {
		t.Errorf("another tenant lists %+v", all)
	}
}

// TestPutIssuer: revisions, limits, and what the log tells of a change.
func TestPutIssuer(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	p := newIDP(t, f)
	issuers := f.Tenant(t, "acme").Issuers()
	zero, one := int64(0), int64(1)
	want(t, errOf(issuers.Put(ctx, p.issuer(), &one)), secret.ErrConflict)
	made := must(issuers.Put(ctx, p.issuer(), &zero))(t)
	want(t, errOf(issuers.Put(ctx, p.issuer(), &zero)), secret.ErrConflict)
	changed := p.issuer()
	changed.Audiences = []string{"fastness", "other"}
	changed.Bindings[0].Match = map[string][]string{"email": {"alice@acme.example"}}
	f.Clock.Advance(time.Second)
	info := must(issuers.Put(ctx, changed, &made.Revision))(t)
	if info.Revision != 2 || !info.Created.Equal(made.Created) || !info.Changed.After(made.Changed) {
		t.Errorf("changed: %+v", info)
	}
	e := last(t, f, "acme")
	if e.Action != audit.IssuerPut || !strings.Contains(e.Detail, `for ["fastness"], 1 bindings (sha256:`) ||
		!strings.Contains(e.Detail, `-> `+p.server.URL+` for ["fastness" "other"], 1 bindings (sha256:`) || strings.Contains(e.Detail, "alice") {
		t.Errorf("entry %s", e.Detail)
	}
	bad := p.issuer()
	bad.Audiences = nil
	wantText(t, errOf(issuers.Put(ctx, bad, nil)), secret.ErrLimit, "issuer.audiences: limit: 1 to 20 audiences")
	bad = p.issuer()
	bad.Bindings[0].Grants = []identity.BoundGrant{{Role: "root"}}
	wantText(t, errOf(issuers.Put(ctx, bad, nil)), secret.ErrInvalid, "bindings.0.grants.role: admin, writer, reader, rotator or auditor")
	for i := range identity.MaxIssuers {
		i := identity.Issuer{Name: fmt.Sprint("i", i), URL: "https://a.example", Audiences: []string{"a"}}
		if _, err := issuers.Put(ctx, i, nil); err != nil {
			wantText(t, err, secret.ErrLimit, "issuers: limit: at most 50")
			if i.Name != fmt.Sprint("i", identity.MaxIssuers-1) {
				t.Errorf("%s is refused", i.Name)
			}
		}
	}
	must(issuers.Put(ctx, changed, nil))(t) // one that is there can still be changed
}

// TestMethods: who may know how people log in is everybody, and of a tenant that
// has no way nobody learns whether it is there.
func TestMethods(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	p := newIDP(t, f)
	op := f.Tenant(t, "acme")
	absent := errOf(f.Methods(ctx, "none"))
	without := errOf(f.Methods(ctx, "acme"))
	must(op.Issuers().Put(ctx, p.issuer(), nil))(t)
	onlyServices := errOf(f.Methods(ctx, "acme"))
	for _, err := range []error{absent, without, onlyServices} {
		wantText(t, err, secret.ErrNotFound, secret.ErrNotFound.Error())
	}
	corp := p.issuer()
	corp.Name, corp.ClientID, corp.Scopes = "corp", "fastness", []string{"email"}
	must(op.Issuers().Put(ctx, corp, nil))(t)
	m := must(f.Methods(ctx, "acme"))(t)
	if len(m.Providers) != 1 || m.Providers[0].Name != "corp" || m.Providers[0].URL != p.server.URL || m.Providers[0].ClientID != "fastness" {
		t.Errorf("methods %+v", m)
	}
	must(f.Operator().Suspend(ctx, "acme"))(t)
	want(t, errOf(f.Methods(ctx, "acme")), secret.ErrNotFound)
}

// testCA signs client certificates.
type testCA struct {
	t    testing.TB
	f    *fastnesstest.Fixture
	cert *x509.Certificate
	key  crypto.Signer
}

func newTestCA(t testing.TB, f *fastnesstest.Fixture) *testCA {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	now := f.Clock.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	return &testCA{t, f, must(x509.ParseCertificate(der))(t), key}
}

func (ca *testCA) issue(life time.Duration, names ...string) []*x509.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(ca.t, err)
	now := ca.f.Clock.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: now.Add(-time.Minute), NotAfter: now.Add(life), DNSNames: names,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	check(ca.t, err)
	return []*x509.Certificate{must(x509.ParseCertificate(der))(ca.t)}
}

func (ca *testCA) authority() identity.Authority {
	return identity.Authority{
		Name: "mesh", Bundle: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})),
		Bindings: []identity.Binding{{
			Match: map[string][]string{"dns": {"web.acme.example"}}, Principal: "web", Create: true, Grants: []identity.BoundGrant{{Role: "reader"}},
		}},
	}
}

func TestExchangeCertificate(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	op := f.Tenant(t, "acme")
	f.Tenant(t, "other")
	ca, stranger := newTestCA(t, f), newTestCA(t, f)
	must(op.Authorities().Put(ctx, ca.authority(), nil))(t)
	made := must(f.ExchangeCertificate(ctx, outside, "acme", ca.issue(time.Hour, "web.acme.example")))(t)
	defer made.Token.Release()
	if c := must(f.Authenticate(ctx, outside, made.Token.Bytes()))(t); c.Principal() != "web" || !made.Expires.Equal(f.Clock.Now().Add(15*time.Minute)) {
		t.Errorf("made %+v", made)
	}
	if e := last(t, f, "acme"); e.Result != audit.Success || !strings.Contains(e.Detail, `a certificate of the CA "mesh"; session `+made.ID) {
		t.Errorf("entry %+v", e)
	}
	// A session does not outlast the certificate. The same certificate may come again.
	short := ca.issue(5*time.Minute, "web.acme.example")
	for range 2 {
		made := must(f.ExchangeCertificate(ctx, outside, "acme", short))(t)
		if !made.Expires.Equal(short[0].NotAfter) {
			t.Errorf("until %v", made.Expires)
		}
		made.Token.Release()
	}
	for name, tc := range map[string]struct {
		tenant secret.TenantName
		chain  []*x509.Certificate
		reason string
		log    secret.TenantName
	}{
		"none":           {"acme", nil, "there is no certificate, or too many", "acme"},
		"a stranger's":   {"acme", stranger.issue(time.Hour, "web.acme.example"), "the certificate does not verify: it is of no known authority", "acme"},
		"another name":   {"acme", ca.issue(time.Hour, "api.acme.example"), "no binding matches the claims", "acme"},
		"another tenant": {"other", ca.issue(time.Hour, "web.acme.example"), "the tenant trusts no CA", "other"},
		"no tenant":      {"none", ca.issue(time.Hour, "web.acme.example"), "there is no such tenant to come into", ""},
		"expired":        {"acme", ca.issue(-time.Second, "web.acme.example"), "the certificate does not verify: it has expired or is not yet valid", "acme"},
	} {
		_, err := f.ExchangeCertificate(ctx, outside, tc.tenant, tc.chain)
		t.Run(name, func(t *testing.T) { refusedLogin(t, f, tc.log, err, tc.reason) })
	}
	check(t, op.Authorities().Delete(ctx, "mesh"))
	want(t, errOf(f.Authenticate(ctx, outside, made.Token.Bytes())), secret.ErrUnauthenticated)
}
