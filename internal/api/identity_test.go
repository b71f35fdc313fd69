package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"fastness/internal/api"
	"fastness/internal/identity"
	"fastness/internal/secret"
	"fastness/internal/wire"
)

// testKey and testCert are those of a CA, testBundle the latter in PEM.
var testKey, testCert, testBundle = func() (*ecdsa.PrivateKey, *x509.Certificate, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	var b strings.Builder
	pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	return key, cert, b.String()
}()

// issueCert makes a client's certificate of the CA for a name.
func issueCert(t testing.TB, name string) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, testCert, key.Public(), testKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, cert
}

// session is what a login gives.
type session struct {
	ID, Token, Tenant, Principal string
	Expires                      time.Time
	Locked                       bool
}

// signJWT signs claims with the CA's key, which issuers of these tests use too.
func signJWT(t testing.TB, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: testKey, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := json.Marshal(claims)
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// trustIssuer makes the tenant trust an issuer with a given key, which binds
// subjects to services of their names.
func (s *service) trustIssuer(tenant, admin string) {
	s.t.Helper()
	set, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: testKey.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	body, _ := json.Marshal(map[string]any{
		"url": "https://ci.example", "audiences": []string{"fastness"}, "keySet": string(set), "session": "1h",
		"bindings": []any{map[string]any{
			"match": map[string]any{"sub": []string{"web", "api"}}, "principal": "ci/{sub}", "create": true, "service": "{sub}",
			"environment": "prod", "grants": []any{map[string]any{"role": "reader", "patterns": []string{"app/*"}}},
		}},
	})
	issuer := must[wire.Issuer](s, 200, "PUT", "/tenants/"+tenant+"/issuers/ci", admin, string(body))
	if issuer.Revision != 1 || issuer.Session != "1h" || issuer.Name != "ci" || len(issuer.Bindings) != 1 || issuer.Bindings[0].Grants[0].Role != "reader" {
		s.t.Errorf("issuer %+v", issuer)
	}
}

func jwtClaims(sub, id string) map[string]any {
	now := time.Now().Unix()
	return map[string]any{"iss": "https://ci.example", "aud": "fastness", "sub": sub, "iat": now, "exp": now + 60, "jti": id}
}

func TestLoginByToken(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	s.put("acme", "app/db", admin, "v")
	s.trustIssuer("acme", admin)
	const path = "/tenants/acme/auth/jwt"
	jwt := signJWT(t, jwtClaims("web", "1"))
	made := must[session](s, 201, "POST", path, "", `{"token":"`+jwt+`"}`)
	if made.Tenant != "acme" || made.Principal != "ci/web" || made.Locked || time.Until(made.Expires) > time.Hour || !strings.HasPrefix(made.Token, "fst_") {
		t.Errorf("session %+v", made)
	}
	who := must[api.Identity](s, 200, "GET", "/whoami", made.Token, "")
	if who.Principal != "ci/web" || who.Kind != "service" || !who.Expires.Equal(made.Expires) {
		t.Errorf("whoami %+v", who)
	}
	must[valueReply](s, 200, "GET", secretPath("acme", "app/db")+"/value", made.Token, "")
	s.refused(401, secret.ErrUnauthenticated, "POST", path, "", `{"token":"`+jwt+`"}`)
	must[session](s, 201, "POST", path, "", `{"issuer":"ci","token":"`+signJWT(t, jwtClaims("api", "2"))+`"}`)
	s.refused(401, secret.ErrUnauthenticated, "POST", path, "", `{"issuer":"gh","token":"`+signJWT(t, jwtClaims("api", "3"))+`"}`)

	// The token is the body's alone, and of its one form.
	s.refused(400, secret.ErrInvalid, "POST", path+"?token="+jwt, "", `{}`)
	s.refused(400, secret.ErrInvalid, "POST", path, "", `{"token":""}`)
	s.refused(400, secret.ErrInvalid, "POST", path, "", `{"token":"x","token":"`+jwt+`"}`)
	s.refused(400, secret.ErrInvalid, "POST", path, "", `{"Token":"`+jwt+`"}`)
	s.refused(400, secret.ErrLimit, "POST", path, "", `{"token":"`+strings.Repeat("a", 16<<10+1)+`"}`)
	s.refused(400, secret.ErrLimit, "POST", path, "", `{"token":"`+strings.Repeat("a", 33<<10)+`"}`)
	s.refused(401, secret.ErrUnauthenticated, "POST", path, signJWT(t, jwtClaims("web", "4")), `{"token":"x"}`)

	s.must204("POST", "/logout", made.Token)
	s.refused(401, secret.ErrUnauthenticated, "GET", "/whoami", made.Token, "")
	s.refused(409, secret.ErrConflict, "POST", "/logout", admin, "")
	if strings.Contains(s.logged(), jwt[:40]) || strings.Contains(s.logged(), made.Token) {
		t.Error("the log has a token")
	}
}

// must204 sends a request that is answered with nothing.
func (s *service) must204(method, path, token string) {
	s.t.Helper()
	if a := s.do(method, path, token, ""); a.status != 204 {
		s.t.Errorf("%s %s: %d %s", method, path, a.status, a.body)
	}
}

// TestLoginsLookAlike: a tenant that is not there, one that trusts nobody, one
// that is suspended, a principal that is disabled, and a bad token or password get
// one answer.
func TestLoginsLookAlike(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	s.tenant("bare")
	gone := s.tenant("gone")
	s.trustIssuer("acme", admin)
	s.trustIssuer("gone", gone)
	must[session](s, 201, "POST", "/tenants/acme/auth/jwt", "", `{"token":"`+signJWT(t, jwtClaims("web", "0"))+`"}`)
	must[any](s, 200, "POST", "/tenants/gone/suspend", s.operator, "")
	must[any](s, 200, "POST", "/tenants/acme/principals/"+url.PathEscape("ci/web")+"/disable", admin, "")
	must[any](s, 201, "POST", "/tenants/acme/principals", admin, `{"name":"alice","kind":"person","grants":[{"role":"reader"}]}`)
	if a := s.do("PUT", "/tenants/acme/principals/alice/password", admin, `{"password":"correct horse battery"}`); a.status != 204 {
		t.Fatalf("password: %d %s", a.status, a.body)
	}
	good := func(id string) string { return `{"token":"` + signJWT(t, jwtClaims("web", id)) + `"}` }
	wrong := `{"principal":"alice","password":"wrong horse battery"}`
	right := `{"principal":"alice","password":"correct horse battery"}`
	answers := map[string][]string{}
	for what, a := range map[string]answer{
		"no tenant, token":    s.do("POST", "/tenants/none/auth/jwt", "", good("1")),
		"bare tenant, token":  s.do("POST", "/tenants/bare/auth/jwt", "", good("2")),
		"suspended, token":    s.do("POST", "/tenants/gone/auth/jwt", "", good("3")),
		"disabled, token":     s.do("POST", "/tenants/acme/auth/jwt", "", good("4")),
		"no binding":          s.do("POST", "/tenants/acme/auth/jwt", "", `{"token":"`+signJWT(t, jwtClaims("evil", "5"))+`"}`),
		"bad token":           s.do("POST", "/tenants/acme/auth/jwt", "", `{"token":"x.y.z"}`),
		"no tenant, password": s.do("POST", "/tenants/none/auth/password", "", right),
		"bare, password":      s.do("POST", "/tenants/bare/auth/password", "", right),
		"wrong password":      s.do("POST", "/tenants/acme/auth/password", "", wrong),
		"nobody's password":   s.do("POST", "/tenants/acme/auth/password", "", strings.Replace(right, "alice", "bob", 1)),
		"no certificate":      s.do("POST", "/tenants/acme/auth/cert", "", ""),
		"no tenant, cert":     s.do("POST", "/tenants/none/auth/cert", "", ""),
	} {
		answers[seen(t, a)] = append(answers[seen(t, a)], what)
	}
	if len(answers) != 1 {
		t.Errorf("%d different answers: %v", len(answers), answers)
	}
	must[session](s, 201, "POST", "/tenants/acme/auth/password", "", right)
}

// TestLoginMethodsLookAlike: of a tenant without a provider for people nobody
// learns that it is there.
func TestLoginMethodsLookAlike(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	s.trustIssuer("acme", admin)
	without, absent := s.do("GET", "/tenants/acme/auth/methods", "", ""), s.do("GET", "/tenants/none/auth/methods", "", "")
	if seen(t, without) != seen(t, absent) || absent.status != 404 {
		t.Errorf("differ:\n%s\n%s", seen(t, without), seen(t, absent))
	}
	must[wire.Issuer](s, 200, "PUT", "/tenants/acme/issuers/corp", admin, `{"url":"https://login.example","audiences":["cli"],"clientId":"cli","bindings":[]}`)
	m := must[wire.LoginMethods](s, 200, "GET", "/tenants/acme/auth/methods", "", "")
	if len(m.Providers) != 1 || m.Providers[0].ClientID != "cli" || m.Providers[0].URL != "https://login.example" {
		t.Errorf("methods %+v", m)
	}
}

// TestLoginByCertificate: over TLS, and by what a trusted proxy forwards; headers
// of anybody else are not looked at, and those of a proxy have one form.
func TestLoginByCertificate(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	body, _ := json.Marshal(map[string]any{"bundle": testBundle, "bindings": []any{map[string]any{
		"match": map[string]any{"dns": []string{"web.acme.example"}}, "principal": "web", "create": true,
		"grants": []any{map[string]any{"role": "reader"}},
	}}})
	must[wire.Authority](s, 200, "PUT", "/tenants/acme/cas/mesh", admin, string(body))
	clientCert, leaf := issueCert(t, "web.acme.example")
	_, other := issueCert(t, "api.acme.example")
	field := ":" + base64.StdEncoding.EncodeToString(leaf.Raw) + ":"
	xfcc := `Cert="` + url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}))) + `"`
	otherField := ":" + base64.StdEncoding.EncodeToString(other.Raw) + ":"

	serve := func(proxies identity.Proxies) (*httptest.Server, *http.Client, *http.Client) {
		server := httptest.NewUnstartedServer(api.New(api.Config{Vault: s.vault, Logger: slog.New(slog.DiscardHandler), Proxies: proxies}))
		server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
		server.StartTLS()
		t.Cleanup(server.Close)
		with := server.Client().Transport.(*http.Transport).Clone()
		with.TLSClientConfig.Certificates = []tls.Certificate{clientCert}
		t.Cleanup(with.CloseIdleConnections)
		return server, server.Client(), &http.Client{Transport: with}
	}
	login := func(server *httptest.Server, client *http.Client, headers ...string) int {
		request, err := http.NewRequest("POST", server.URL+api.Prefix+"/tenants/acme/auth/cert", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			request.Header.Add(headers[i], headers[i+1])
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return response.StatusCode
	}
	here, there := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	direct, plain, mutual := serve(identity.Proxies{})
	behind, _, proxyMutual := serve(identity.Proxies{Networks: here, ClientCert: identity.HeaderClientCert})
	envoy, _, _ := serve(identity.Proxies{Networks: here, ClientCert: identity.HeaderXFCC})
	addresses, _, addressesMutual := serve(identity.Proxies{Networks: here})
	elsewhere, _, _ := serve(identity.Proxies{Networks: there, ClientCert: identity.HeaderClientCert})
	for name, tc := range map[string]struct {
		server  *httptest.Server
		client  *http.Client
		headers []string
		want    int
	}{
		"mutual TLS":                         {direct, mutual, nil, 201},
		"no certificate":                     {direct, plain, nil, 401},
		"a header from anybody":              {direct, plain, []string{"Client-Cert", field}, 401},
		"Envoy's header from anybody":        {direct, plain, []string{"X-Forwarded-Client-Cert", xfcc}, 401},
		"a header beside a certificate":      {direct, mutual, []string{"Client-Cert", otherField}, 201},
		"a header, and proxies elsewhere":    {elsewhere, plain, []string{"Client-Cert", field}, 401},
		"a proxy's header":                   {behind, plain, []string{"Client-Cert", field}, 201},
		"Envoy's header":                     {envoy, plain, []string{"X-Forwarded-Client-Cert", xfcc}, 201},
		"one that Envoy lets pass":           {envoy, plain, []string{"Client-Cert", field}, 401},
		"one that another proxy lets pass":   {behind, plain, []string{"X-Forwarded-Client-Cert", xfcc}, 401},
		"one that Envoy lets pass, and its":  {envoy, plain, []string{"Client-Cert", otherField, "X-Forwarded-Client-Cert", xfcc}, 201},
		"of a proxy that tells none":         {addresses, plain, []string{"Client-Cert", field}, 401},
		"a proxy's own, where it tells none": {addresses, addressesMutual, nil, 401},
		"a proxy's own certificate":          {behind, proxyMutual, nil, 401},
		"a proxy's own, and a forwarded one": {behind, proxyMutual, []string{"Client-Cert", otherField}, 401},
		"a header twice":                     {behind, plain, []string{"Client-Cert", field, "Client-Cert", field}, 401},
		"two headers, the first one good":    {behind, plain, []string{"Client-Cert", field, "Client-Cert", otherField}, 401},
		"in another letter case":             {behind, plain, []string{"client-cert", field}, 201},
		"with an underscore":                 {behind, plain, []string{"Client_Cert", field}, 401},
		"an element of the client's, forged": {envoy, plain, []string{"X-Forwarded-Client-Cert", xfcc + "," + xfcc}, 401},
		"only names":                         {envoy, plain, []string{"X-Forwarded-Client-Cert", `URI=spiffe://acme.example/web;DNS=web.acme.example`}, 401},
		"an address that a header tells":     {elsewhere, plain, []string{"X-Forwarded-For", "10.0.0.1", "Client-Cert", field}, 401},
		"an address that Forwarded tells":    {elsewhere, plain, []string{"Forwarded", "for=10.0.0.1", "Client-Cert", field}, 401},
	} {
		if got := login(tc.server, tc.client, tc.headers...); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

// TestSecondFactor end to end: refused, enrolled, given, allowed; and what belongs
// to somebody else is not there.
func TestSecondFactor(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	s.put("acme", "app/db", admin, "v")
	path := secretPath("acme", "app/db")
	must[any](s, 200, "PATCH", path, admin, `{"accessPolicy":{"requiresMFA":true}}`)
	must[any](s, 201, "POST", "/tenants/acme/principals", admin, `{"name":"alice","kind":"person","grants":[{"role":"writer"}]}`)
	if a := s.do("PUT", "/tenants/acme/principals/alice/password", admin, `{"password":"correct horse battery"}`); a.status != 204 {
		t.Fatalf("password: %d %s", a.status, a.body)
	}
	token := must[session](s, 201, "POST", "/tenants/acme/auth/password", "", `{"principal":"alice","password":"correct horse battery"}`).Token

	must[valueReply](s, 200, "GET", path+"/value", token, "")
	s.refused(403, secret.ErrMFARequired, "PATCH", path, token, `{"description":"d"}`)
	made := must[struct{ ID, URI string }](s, 201, "POST", "/mfa/totp", token, `{"name":"phone"}`)
	s.refused(403, secret.ErrAccessDenied, "POST", "/mfa/totp/"+made.ID+"/confirm", token, `{"code":"`+codeOf(t, made.URI, 100)+`"}`)
	s.refused(400, secret.ErrInvalid, "POST", "/mfa/totp/"+made.ID+"/confirm", token, `{"code":"12345"}`)
	confirmed := must[struct{ ID, RecoveryCodes string }](s, 200, "POST", "/mfa/totp/"+made.ID+"/confirm", token, `{"code":"`+codeOf(t, made.URI, 0)+`"}`)
	codes := strings.Fields(confirmed.RecoveryCodes)
	if len(codes) != 10 {
		t.Fatalf("recovery codes %q", confirmed.RecoveryCodes)
	}
	must[any](s, 200, "PATCH", path, token, `{"description":"d"}`)

	again := must[session](s, 201, "POST", "/tenants/acme/auth/password", "", `{"principal":"alice","password":"correct horse battery"}`).Token
	s.refused(403, secret.ErrMFARequired, "PATCH", path, again, `{"description":"d"}`)
	s.refused(403, secret.ErrAccessDenied, "POST", "/mfa/verify", again, `{"code":"`+codeOf(t, made.URI, 0)+`"}`) // was given
	s.refused(400, secret.ErrLimit, "POST", "/mfa/verify", again, `{"code":"`+strings.Repeat("1", 65)+`"}`)
	s.refused(400, secret.ErrLimit, "POST", "/mfa/verify", again, `{"code":""}`)
	s.refused(403, secret.ErrMFARequired, "POST", "/mfa/recovery", again, "")
	stepped := must[wire.SteppedUp](s, 200, "POST", "/mfa/verify", again, `{"code":"`+codes[2]+`"}`)
	if d := time.Until(stepped.Fresh); d < 4*time.Minute || d > 5*time.Minute {
		t.Errorf("fresh for %v", d)
	}
	must[any](s, 200, "PATCH", path, again, `{"description":"d"}`)
	state := must[wire.FactorState](s, 200, "GET", "/mfa", again, "")
	if len(state.Factors) != 2 || !state.Fresh.Equal(stepped.Fresh) || state.Locked {
		t.Errorf("state %+v", state)
	}
	if fresh := must[struct{ RecoveryCodes string }](s, 201, "POST", "/mfa/recovery", again, "").RecoveryCodes; len(strings.Fields(fresh)) != 10 {
		t.Errorf("new recovery codes %q", fresh)
	}
	all := must[wire.FactorList](s, 200, "GET", "/tenants/acme/principals/alice/factors", admin, "")
	if len(all.Items) != 2 {
		t.Errorf("factors %+v", all)
	}
	s.refused(400, secret.ErrInvalid, "POST", "/mfa/keys", again, `{"name":"key"}`) // no relying party here
	s.refused(404, secret.ErrNotFound, "DELETE", "/mfa/factors/fct_none", again, "")
	s.must204("DELETE", "/mfa/factors/"+made.ID, again)
	s.refused(403, secret.ErrMFARequired, "PATCH", path, again, `{"description":"d"}`)
	if a := s.do("PUT", "/password", again, `{"oldPassword":"correct horse battery","password":"another horse battery"}`); a.status != 204 {
		t.Errorf("own password: %d %s", a.status, a.body)
	}
	s.refused(401, secret.ErrUnauthenticated, "GET", "/whoami", token, "")
	for what, text := range map[string]string{"seed": made.URI[strings.Index(made.URI, "secret=")+7:][:32], "recovery code": codes[0], "password": "horse battery"} {
		if strings.Contains(s.logged(), text) {
			t.Errorf("the log has the %s", what)
		}
	}
}

// TestGuessingCodes: 429 with Retry-After.
func TestGuessingCodes(t *testing.T) {
	s := newService(t)
	s.factorOf("", "root")
	token := must[struct{ Token string }](s, 201, "POST", "/tokens", s.operator, `{"principal":"root"}`).Token
	for range 30 {
		a := s.do("POST", "/mfa/verify", token, `{"code":"000000"}`)
		if a.status == 403 {
			continue
		}
		if a.status != 429 || a.header.Get("Retry-After") == "" || a.problem(t).Code != secret.ErrTooMany.Code {
			t.Errorf("%d %v %s", a.status, a.header, a.body)
		}
		return
	}
	t.Error("nobody is slowed")
}

// TestIssuerRoutes: what is put is what is told, and a revision guards it.
func TestIssuerRoutes(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	const path = "/tenants/acme/issuers/corp"
	body := `{"url":"https://login.example","audiences":["cli"],"algorithms":["ES256"],"maxAge":"30d","reusable":true,"session":"12h","clientId":"cli","scopes":["email"],
		"bindings":[{"match":{"email":["*@acme.example"],"email_verified":["true"]},"principal":"{email}","kind":"person","create":true,"grants":[{"role":"writer","patterns":["app/*"]}]}]`
	made := must[wire.Issuer](s, 200, "PUT", path, admin, body+`,"revision":0}`)
	s.refused(409, secret.ErrConflict, "PUT", path, admin, body+`,"revision":0}`)
	if got := must[wire.Issuer](s, 200, "GET", path, admin, ""); cmp.Diff(made, got) != "" || got.MaxAge != "30d" || got.Session != "12h" {
		t.Errorf("got %+v", got)
	}
	if all := must[wire.IssuerList](s, 200, "GET", "/tenants/acme/issuers", admin, ""); len(all.Items) != 1 || cmp.Diff(made, all.Items[0]) != "" {
		t.Errorf("listed %+v", all)
	}
	for name, bad := range map[string]string{
		"a symmetric algorithm": `{"url":"https://a.example","audiences":["a"],"algorithms":["HS256"]}`,
		"plain http":            `{"url":"http://a.example","audiences":["a"]}`,
		"this machine":          `{"url":"http://localhost:1","audiences":["a"]}`,
		"metadata":              `{"url":"https://169.254.169.254","audiences":["a"]}`,
		"a span of seconds":     `{"url":"https://a.example","audiences":["a"],"session":"90s"}`,
		"an unknown role":       `{"url":"https://a.example","audiences":["a"],"bindings":[{"match":{"sub":["a"]},"principal":"a","grants":[{"role":"root"}]}]}`,
		"no claims":             `{"url":"https://a.example","audiences":["a"],"bindings":[{"match":{},"principal":"a"}]}`,
		"an unknown field":      `{"url":"https://a.example","audiences":["a"],"clientSecret":"x"}`,
	} {
		if a := s.do("PUT", "/tenants/acme/issuers/bad", admin, bad); a.status != 400 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	s.refused(400, secret.ErrInvalid, "GET", "/tenants/acme/issuers/Corp", admin, "")
	s.must204("DELETE", path, admin)
	s.refused(404, secret.ErrNotFound, "GET", path, admin, "")
	s.refused(404, secret.ErrNotFound, "DELETE", path, admin, "")
}
