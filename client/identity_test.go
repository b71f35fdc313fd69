package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pquerna/otp/totp"

	"fastness"
	"fastness/client"
)

const strongPassword = "correct horse battery"

// value is text as a value, released when the test ends.
func value(t *testing.T, text string) *client.Value {
	v := client.NewValue([]byte(text))
	t.Cleanup(v.Release)
	return v
}

// as is a client with the token of a login.
func as(t *testing.T, base client.Config, made *client.NewSession, err error) *client.Client {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	base.Token = made.Token
	c, err := client.New(base)
	if err != nil {
		t.Fatal(err)
	}
	made.Token.Release()
	t.Cleanup(c.Close)
	return c
}

func guest(t *testing.T, config client.Config) *client.Guest {
	t.Helper()
	g, err := client.NewGuest(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// shop makes a tenant and returns its session.
func shop(t *testing.T, c *client.Client) *client.Session {
	t.Helper()
	made, err := c.Operator().CreateTenant(t.Context(), "shop", "")
	if err != nil {
		t.Fatal(err)
	}
	made.Release()
	return c.Session("shop")
}

func TestIssuers(t *testing.T) {
	_, _, config, c := openWith(t, nil)
	s, ctx := shop(t, c), t.Context()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	issuer := client.Issuer{
		Name: "ci", URL: "https://ci.example", Audiences: []string{"fastness"}, KeySet: string(set), Algorithms: []string{"ES256"},
		MaxAge: 2 * time.Hour, Session: 30 * time.Minute,
		Bindings: []client.Binding{{
			Match: map[string][]string{"sub": {"web", "api-*"}}, Principal: "ci/{sub}", Kind: "service", Create: true,
			Service: "{sub}", Environment: "prod", Grants: []client.BoundGrant{{Role: "reader", Patterns: []string{"app/*"}}},
		}},
	}
	one, zero := int64(1), int64(0)
	p, err := s.Issuers().Put(ctx, issuer, &zero)
	if diff := cmp.Diff(p.Provider, issuer); err != nil || diff != "" || p.Revision != 1 {
		t.Fatalf("put: %+v, %v\n%s", p, err, diff)
	}
	if _, err := s.Issuers().Put(ctx, issuer, &zero); !errors.Is(err, client.ErrConflict) {
		t.Errorf("put again: %v", err)
	}
	issuer.MaxAge, issuer.Reusable = 0, false
	if p, err = s.Issuers().Put(ctx, issuer, &one); err != nil || p.Revision != 2 {
		t.Errorf("changed: %+v, %v", p, err)
	}
	all, err := s.Issuers().List(ctx)
	if diff := cmp.Diff(all, []client.Provided[client.Issuer]{p}); err != nil || diff != "" {
		t.Errorf("listed: %v\n%s", err, diff)
	}
	for _, name := range []string{"", ".", "..", "a/b", "A"} {
		if _, err := s.Issuers().Get(ctx, name); !errors.Is(err, client.ErrInvalid) && !errors.Is(err, client.ErrLimit) {
			t.Errorf("%q: %v", name, err)
		}
	}
	bad := issuer
	bad.MaxAge = time.Second
	if _, err := s.Issuers().Put(ctx, bad, nil); !errors.Is(err, client.ErrInvalid) {
		t.Errorf("a second: %v", err)
	}

	g := guest(t, config)
	token := func() *client.Value {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now().Unix()
		payload, _ := json.Marshal(map[string]any{"iss": issuer.URL, "aud": "fastness", "sub": "web", "iat": now, "exp": now + 60, "jti": rand.Text()})
		signed, err := signer.Sign(payload)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := signed.CompactSerialize()
		return value(t, text)
	}
	shown := token()
	made, err := g.Token(ctx, "shop", "", shown)
	if err != nil || made.Tenant != "shop" || made.Principal != "ci/web" || made.Locked || time.Until(made.Expires) > 30*time.Minute {
		t.Fatalf("session %+v, %v", made, err)
	}
	session := as(t, config, made, nil)
	if _, err := session.Session("").List(ctx, client.ListQuery{}); err != nil {
		t.Error(err)
	}
	if _, err := g.Token(ctx, "shop", "ci", shown); !errors.Is(err, client.ErrUnauthenticated) {
		t.Errorf("shown twice: %v", err)
	}
	if _, err := g.Token(ctx, "shop", "other", token()); !errors.Is(err, client.ErrUnauthenticated) {
		t.Errorf("of no issuer: %v", err)
	}
	if _, err := g.Certificate(ctx, "shop"); !errors.Is(err, client.ErrUnauthenticated) {
		t.Errorf("without a certificate: %v", err)
	}
	if err := session.Logout(ctx); err != nil {
		t.Error(err)
	}
	if err := session.Logout(ctx); !errors.Is(err, client.ErrUnauthenticated) {
		t.Errorf("logged out twice: %v", err)
	}
	if err := s.Issuers().Delete(ctx, "ci"); err != nil {
		t.Error(err)
	}
	if _, err := s.Issuers().Get(ctx, "ci"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("after deletion: %v", err)
	}
}

// TestMethods: the two ways of being nobody's provider look alike.
func TestMethods(t *testing.T) {
	_, _, config, c := openWith(t, nil)
	s, ctx, g := shop(t, c), t.Context(), guest(t, config)
	for _, tenant := range []client.TenantName{"shop", "none"} {
		if _, err := g.Methods(ctx, tenant); !errors.Is(err, client.ErrNotFound) {
			t.Errorf("%s: %v", tenant, err)
		}
	}
	_, err := s.Issuers().Put(ctx, client.Issuer{
		Name: "corp", URL: "https://login.example", Audiences: []string{"app"}, ClientID: "app", Scopes: []string{"email"},
		Bindings: []client.Binding{{Match: map[string][]string{"email": {"*@example.com"}}, Principal: "{email}", Kind: "person", Create: true}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := g.Methods(ctx, "shop")
	want := client.Methods{Providers: []client.LoginProvider{{Name: "corp", URL: "https://login.example", ClientID: "app", Scopes: []string{"email"}}}}
	if diff := cmp.Diff(got, want); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// authorityPEM makes an authority's certificate.
func authorityPEM(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), URIs: []*url.URL{{Scheme: "spiffe", Host: "acme.example"}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestAuthorities(t *testing.T) {
	_, _, _, c := openWith(t, nil)
	s, ctx := shop(t, c), t.Context()
	ca := client.Authority{
		Name: "spire", Bundle: authorityPEM(t), TrustDomain: "acme.example", Session: time.Hour,
		Bindings: []client.Binding{{Match: map[string][]string{"spiffe.id": {"spiffe://acme.example/*"}}, Principal: "{spiffe.id}", Create: true}},
	}
	p, err := s.Authorities().Put(ctx, ca, nil)
	if diff := cmp.Diff(p.Provider, ca); err != nil || diff != "" {
		t.Fatalf("put: %v\n%s", err, diff)
	}
	got, err := s.Authorities().Get(ctx, "spire")
	if diff := cmp.Diff(got, p); err != nil || diff != "" {
		t.Errorf("got: %v\n%s", err, diff)
	}
	all, err := s.Authorities().List(ctx)
	if diff := cmp.Diff(all, []client.Provided[client.Authority]{p}); err != nil || diff != "" {
		t.Errorf("listed: %v\n%s", err, diff)
	}
	ca.Session = 13 * time.Hour
	if _, err := s.Authorities().Put(ctx, ca, nil); !errors.Is(err, client.ErrLimit) && !errors.Is(err, client.ErrInvalid) {
		t.Errorf("13 hours: %v", err)
	}
	if err := s.Authorities().Delete(ctx, "spire"); err != nil {
		t.Error(err)
	}
	if err := s.Authorities().Delete(ctx, "spire"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
}

// alice makes a person with a password and logs her in.
func alice(t *testing.T, config client.Config, s *client.Session) (*client.Guest, *client.Client) {
	t.Helper()
	ctx := t.Context()
	if _, err := s.Principals().Create(ctx, client.PrincipalSpec{Name: "alice", Kind: client.Person, Grants: []client.Grant{{Role: client.Admin}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Principals().SetPassword(ctx, "alice", value(t, strongPassword)); err != nil {
		t.Fatal(err)
	}
	g := guest(t, config)
	made, err := g.Password(ctx, "shop", "alice", value(t, strongPassword))
	return g, as(t, config, made, err)
}

func TestPasswords(t *testing.T) {
	_, _, config, c := openWith(t, nil)
	s, ctx := shop(t, c), t.Context()
	g, me := alice(t, config, s)
	if _, err := g.Password(ctx, "shop", "alice", value(t, "wrong horse battery")); !errors.Is(err, client.ErrUnauthenticated) {
		t.Errorf("a wrong one: %v", err)
	}
	if err := s.Principals().SetPassword(ctx, "alice", value(t, "short")); !errors.Is(err, client.ErrInvalid) && !errors.Is(err, client.ErrLimit) {
		t.Errorf("a short one: %v", err)
	}
	const next = "another horse battery"
	if err := me.ChangePassword(ctx, value(t, "not the old one"), value(t, next)); err == nil {
		t.Error("changed without the old one")
	}
	if err := me.ChangePassword(ctx, value(t, strongPassword), value(t, next)); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Password(ctx, "shop", "alice", value(t, strongPassword)); !errors.Is(err, client.ErrUnauthenticated) {
		t.Errorf("the old one: %v", err)
	}
	made, err := g.Password(ctx, "shop", "alice", value(t, next))
	again := as(t, config, made, err)
	if err := s.Principals().RemovePassword(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	if err := again.Logout(ctx); !errors.Is(err, client.ErrUnauthenticated) {
		t.Errorf("a session by a password that is gone: %v", err)
	}
	if err := s.Principals().RemovePassword(ctx, ".."); !errors.Is(err, client.ErrInvalid) {
		t.Errorf("of ..: %v", err)
	}
}

// TestFactors goes round all verbs of second factors.
func TestFactors(t *testing.T) {
	_, _, config, c := openWith(t, func(o *fastness.Config) {
		o.RelyingParty = fastness.RelyingParty{ID: "vault.example", Origins: []string{"https://vault.example"}}
	})
	s, ctx := shop(t, c), t.Context()
	_, me := alice(t, config, s)
	made, err := me.Factors().EnrolTOTP(ctx, "phone")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(string(made.URI.Bytes()))
	if err != nil || u.Scheme != "otpauth" || made.ID == "" {
		t.Fatalf("%s: %v", made.ID, err)
	}
	made.URI.Release()
	code := func(at time.Duration) *client.Value {
		text, err := totp.GenerateCode(u.Query().Get("secret"), time.Now().Add(at))
		if err != nil {
			t.Fatal(err)
		}
		return value(t, text)
	}
	codes, err := me.Factors().Confirm(ctx, made.ID, code(0))
	if err != nil {
		t.Fatal(err)
	}
	spare := strings.Fields(string(codes.Bytes()))
	codes.Release()
	if len(spare) != 10 {
		t.Fatalf("%d codes", len(spare))
	}
	state, err := me.Factors().List(ctx)
	if err != nil || len(state.Factors) != 2 || state.Locked || state.Fresh.IsZero() || state.Given.IsZero() {
		t.Fatalf("state %+v, %v", state, err)
	}
	if until, err := me.Factors().Verify(ctx, value(t, spare[0])); err != nil || time.Until(until) < time.Minute {
		t.Errorf("a recovery code: %v, %v", until, err)
	}
	if _, err := me.Factors().Verify(ctx, value(t, spare[0])); !errors.Is(err, client.ErrAccessDenied) {
		t.Errorf("it again: %v", err)
	}

	// A security key.
	device, key := virtualwebauthn.NewAuthenticator(), virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	party := virtualwebauthn.RelyingParty{ID: "vault.example", Name: "Fastness", Origin: "https://vault.example"}
	options, err := me.Factors().BeginKey(ctx, "yubi")
	if err != nil {
		t.Fatal(err)
	}
	attestation, err := virtualwebauthn.ParseAttestationOptions(string(options))
	if err != nil {
		t.Fatal(err)
	}
	device.Options.UserHandle = []byte(attestation.UserID)
	id, codes, err := me.Factors().EndKey(ctx, json.RawMessage(virtualwebauthn.CreateAttestationResponse(party, device, key, *attestation)))
	if err != nil || id == "" || codes != nil {
		t.Fatalf("key %q, %v, %v", id, codes, err)
	}
	device.AddCredential(key)
	if options, err = me.Factors().BeginShow(ctx); err != nil {
		t.Fatal(err)
	}
	assertion, err := virtualwebauthn.ParseAssertionOptions(string(options))
	if err != nil {
		t.Fatal(err)
	}
	response := json.RawMessage(virtualwebauthn.CreateAssertionResponse(party, device, key, *assertion))
	if until, err := me.Factors().EndShow(ctx, response); err != nil || until.IsZero() {
		t.Errorf("shown: %v, %v", until, err)
	}
	if _, err := me.Factors().EndShow(ctx, response); err == nil {
		t.Error("shown twice")
	}

	codes, err = me.Factors().Recover(ctx)
	if err != nil || len(strings.Fields(string(codes.Bytes()))) != 10 {
		t.Errorf("anew: %v", err)
	}
	codes.Release()
	if err := me.Factors().Remove(ctx, id); err != nil {
		t.Error(err)
	}

	// Somebody who may sees and removes those of others.
	infos, err := s.Principals().Factors(ctx, "alice")
	want := []client.FactorInfo{{ID: made.ID, Type: "totp", Name: "phone"}, {ID: "recovery", Type: "recovery", Left: 10}}
	if diff := cmp.Diff(infos, want, cmpopts.IgnoreFields(client.FactorInfo{}, "Created", "LastUsed")); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if err := s.Principals().RemoveFactor(ctx, "alice", made.ID); err != nil {
		t.Error(err)
	}
	if infos, err := s.Principals().Factors(ctx, "alice"); err != nil || len(infos) != 0 {
		t.Errorf("after removal: %v, %v", infos, err)
	}
	if _, err := s.Principals().Factors(ctx, "nobody"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("of nobody: %v", err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := me.Factors().List(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
