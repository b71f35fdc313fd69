package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"fastness"
	"fastness/internal/cli"
	"fastness/internal/server"
	"fastness/internal/teststore"
)

// tenantServer is a server with a tenant whose people log in by a provider.
type tenantServer struct {
	t     *testing.T
	vault *fastness.Vault
	env   map[string]string // of commands
}

func newTenantServer(t *testing.T) *tenantServer {
	log := slog.New(slog.DiscardHandler)
	key := fastness.NewValue([]byte(strings.Repeat("0123456789abcdef", 4)))
	defer key.Release()
	place := teststore.New(t)
	v, err := fastness.Open(t.Context(), fastness.Config{Dir: place.Dir, Store: place.URL, MasterKey: key, Logger: log, LoopbackIssuers: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	s, err := server.Listen(server.Config{Vault: v, Listen: "127.0.0.1:0", Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		s.Close()
		<-served
	})
	made, err := v.Operator(v.Local(fastness.Origin{CorrelationID: "test"})).CreateTenant(t.Context(), "acme", "")
	if err != nil {
		t.Fatal(err)
	}
	made.Release()
	return &tenantServer{t, v, map[string]string{"FASTNESS_ADDR": s.URL(), "FASTNESS_TENANT": "acme", "HOME": t.TempDir()}}
}

// trust makes the tenant trust the provider, and bind one subject to a person.
func (s *tenantServer) trust(name, url, client, subject string) {
	s.t.Helper()
	session := s.vault.Session(s.vault.Local(fastness.Origin{CorrelationID: "test"}), "acme")
	_, err := session.Issuers().Put(s.t.Context(), fastness.Issuer{
		Name: name, URL: url, Audiences: []string{client}, ClientID: client, Session: time.Hour,
		Bindings: []fastness.Binding{{
			Match: map[string][]string{"sub": {subject}}, Principal: "person/{sub}", Kind: "person", Create: true,
			Grants: []fastness.BoundGrant{{Role: "writer"}},
		}},
	}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
}

// run runs a command; it returns its exit code, what it printed, and a channel of
// the lines that it says.
func (s *tenantServer) run(args ...string) (lines <-chan string, done <-chan int, out *bytes.Buffer) {
	r, w := io.Pipe()
	said, code := make(chan string, 1000), make(chan int, 1)
	out = &bytes.Buffer{}
	go func() {
		defer close(said)
		for scan := bufio.NewScanner(r); scan.Scan(); {
			said <- scan.Text()
		}
	}()
	go func() {
		c := cli.Run(s.t.Context(), args, cli.Env{Stdout: out, Stderr: w, Getenv: func(k string) string { return s.env[k] }})
		w.Close()
		code <- c
	}()
	return said, code, out
}

// waitFor returns the first line that matches.
func (s *tenantServer) waitFor(lines <-chan string, pattern string) string {
	s.t.Helper()
	re := regexp.MustCompile(pattern)
	for line := range lines {
		if m := re.FindStringSubmatch(line); m != nil {
			return m[len(m)-1]
		}
	}
	s.t.Fatalf("nothing said matches %s", pattern)
	return ""
}

// rest returns all that is still said.
func rest(lines <-chan string) string {
	var all []string
	for line := range lines {
		all = append(all, line)
	}
	return strings.Join(all, "\n")
}

// publicClients is a storage in which no client has a secret.
type publicClients struct{ *storage.Storage }

func (s publicClients) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := s.Storage.GetClientByClientID(ctx, id)
	return publicClient{c}, err
}

// CompleteDeviceAuthorization makes the subject that of the user: the example
// takes the user's name for it, and then finds no such user.
func (s publicClients) CompleteDeviceAuthorization(ctx context.Context, code, name string) error {
	return s.Storage.CompleteDeviceAuthorization(ctx, code, strings.Replace(name, "test-user", "id", 1))
}

type publicClient struct{ op.Client }

func (publicClient) AuthMethod() oidc.AuthMethod { return oidc.AuthMethodNone }

func (publicClient) ApplicationType() op.ApplicationType { return op.ApplicationTypeNative }

// newProvider starts a real OpenID provider, of the library's example.
func newProvider(t *testing.T, clients ...*storage.Client) string {
	t.Helper()
	storage.RegisterClients(clients...)
	server := httptest.NewUnstartedServer(nil)
	issuer := "http://" + server.Listener.Addr().String()
	server.Config.Handler = exampleop.SetupServer(issuer, publicClients{storage.NewStorage(storage.NewUserStore(issuer))}, slog.New(slog.DiscardHandler), false)
	server.Start()
	t.Cleanup(server.Close)
	return issuer
}

// browser logs a person in at a page of the provider, and returns what the last
// page says.
func browser(t *testing.T, page string) string {
	t.Helper()
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar, Timeout: 10 * time.Second}
	response, err := client.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	login := response.Request.URL
	response, err = client.PostForm(login.Scheme+"://"+login.Host+"/login/username", url.Values{
		"username": {"test-user2"}, "password": {"verysecure"}, "id": {login.Query().Get("authRequestID")},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return string(text)
}

// TestLoginInBrowser logs in by the authorization code flow at a real provider.
func TestLoginInBrowser(t *testing.T) {
	s := newTenantServer(t)
	issuer := newProvider(t, storage.NativeClient("fastness", "http://127.0.0.1/callback"))
	s.trust("corp", issuer, "fastness", "id2")
	lines, done, out := s.run("login", "--no-browser")
	page := s.waitFor(lines, `^  (http://\S+)$`)
	asked, err := url.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	q := asked.Query()
	if q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || len(q.Get("state")) != 43 || len(q.Get("nonce")) != 43 ||
		!strings.HasPrefix(q.Get("redirect_uri"), "http://127.0.0.1:") || q.Get("response_type") != "code" || !strings.Contains(q.Get("scope"), "openid") {
		t.Errorf("asks %s", page)
	}
	// Whoever finds the port and does not know the state gets nothing done.
	for _, forged := range []string{"/callback?code=x", "/callback?code=x&state=wrong", "/callback?state=" + q.Get("state") + "&state=x&code=x", "/?code=x&state=" + q.Get("state"), "/"} {
		response, err := http.Get(strings.TrimSuffix(q.Get("redirect_uri"), "/callback") + forged)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", forged, response.StatusCode)
		}
	}
	if text := browser(t, page); !strings.Contains(text, "You are logged in") {
		t.Errorf("the page says %q", text)
	}
	if code := <-done; code != 0 {
		t.Fatalf("login exits with %d: %s", code, rest(lines))
	}
	s.waitFor(lines, "logged in to acme as person/id2 until")
	if out.Len() > 0 {
		t.Errorf("printed %q", out)
	}
	path := filepath.Join(s.env["HOME"], ".config", "fastness", "session.json")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("session file: %v, %v", info, err)
	}
	lines, done, _ = s.run("list")
	if code := <-done; code != 0 {
		t.Errorf("list exits with %d: %s", code, rest(lines))
	}
	lines, done, out = s.run("logout", "--json")
	if code := <-done; code != 0 || strings.TrimSpace(out.String()) != "{}" {
		t.Errorf("logout exits with %d: %s", code, rest(lines))
	}
	_, done, _ = s.run("list")
	if code := <-done; code != 4 {
		t.Errorf("list after logout exits with %d", code)
	}
}

// TestLoginOnDevice logs in by the device flow at a real provider.
func TestLoginOnDevice(t *testing.T) {
	s := newTenantServer(t)
	issuer := newProvider(t, storage.DeviceClient("device", ""))
	s.trust("corp", issuer, "device", "id2")
	lines, done, _ := s.run("login", "--device")
	s.waitFor(lines, `^  (http://\S+/device)$`)
	code := s.waitFor(lines, `enter the code (\S+)$`)
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar, Timeout: 10 * time.Second}
	response, err := client.PostForm(issuer+"/device/login", url.Values{"user_code": {code}, "username": {"test-user2"}, "password": {"verysecure"}})
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response, err = client.PostForm(issuer+"/device/confirm", url.Values{"action": {"allowed"}}); err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got := <-done; got != 0 {
		t.Fatalf("login exits with %d: %s", got, rest(lines))
	}
	s.waitFor(lines, "logged in to acme as person/id2 until")
}

// fakeProvider is a provider that does what a real one never would.
type fakeProvider struct {
	*httptest.Server
	key    *ecdsa.PrivateKey
	nonce  string
	claims func(map[string]any)
	tokens func(w http.ResponseWriter, idToken string)
	answer func(callback url.Values)
}

func newFakeProvider(t *testing.T) *fakeProvider {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &fakeProvider{key: key}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *fakeProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		fmt.Fprintf(w, `{"issuer":%[1]q,"authorization_endpoint":"%[1]s/auth","token_endpoint":"%[1]s/token","jwks_uri":"%[1]s/keys","id_token_signing_alg_values_supported":["ES256"]}`, p.URL)
	case "/keys":
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	case "/auth":
		p.nonce = r.FormValue("nonce")
		back := url.Values{"code": {"c"}, "state": {r.FormValue("state")}}
		if p.answer != nil {
			p.answer(back)
		}
		http.Redirect(w, r, r.FormValue("redirect_uri")+"?"+back.Encode(), http.StatusFound)
	case "/token":
		p.token(w)
	default:
		http.NotFound(w, r)
	}
}

func (p *fakeProvider) token(w http.ResponseWriter) {
	now := time.Now().Unix()
	claims := map[string]any{"iss": p.URL, "aud": "fastness", "sub": "id", "iat": now, "exp": now + 60, "nonce": p.nonce}
	if p.claims != nil {
		p.claims(claims)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.key, KeyID: "k"}}, nil)
	if err != nil {
		panic(err)
	}
	payload, _ := json.Marshal(claims)
	signed, _ := signer.Sign(payload)
	token, _ := signed.CompactSerialize()
	w.Header().Set("Content-Type", "application/json")
	if p.tokens != nil {
		p.tokens(w, token)
		return
	}
	fmt.Fprintf(w, `{"access_token":"at","token_type":"Bearer","id_token":%q}`, token)
}

// TestLoginRefuses: what a provider, or somebody between, does wrong.
func TestLoginRefuses(t *testing.T) {
	claim := func(name string, v any) func(*fakeProvider) {
		return func(p *fakeProvider) { p.claims = func(c map[string]any) { c[name] = v } }
	}
	answer := func(name, v string) func(*fakeProvider) {
		return func(p *fakeProvider) { p.answer = func(q url.Values) { q.Set(name, v) } }
	}
	for name, tc := range map[string]struct {
		change func(*fakeProvider)
		code   int
		want   string
	}{
		"all is well":      {func(*fakeProvider) {}, 0, "logged in to acme as person/id"},
		"another nonce":    {claim("nonce", "stolen"), 1, "the provider's ID token is of another login"},
		"no nonce":         {claim("nonce", nil), 1, "the provider's ID token is of another login"},
		"a nonce of bytes": {claim("nonce", []string{"x"}), 1, "does not verify"},
		"another party":    {claim("azp", "other"), 1, "was made for another client"},
		"its own party":    {claim("azp", "fastness"), 0, "logged in to acme as person/id"},
		"another audience": {claim("aud", "other"), 1, "does not verify"},
		"another issuer":   {claim("iss", "https://evil.example"), 1, "does not verify"},
		"expired":          {claim("exp", 1), 1, "does not verify"},
		"nobody's":         {claim("sub", "stranger"), 4, "a valid credential is required"},
		"no ID token": {func(p *fakeProvider) {
			p.tokens = func(w http.ResponseWriter, _ string) {
				io.WriteString(w, `{"access_token":"at","token_type":"Bearer"}`)
			}
		}, 1, "gave no ID token"},
		"not its signature": {func(p *fakeProvider) {
			p.tokens = func(w http.ResponseWriter, token string) {
				fmt.Fprintf(w, `{"access_token":"at","token_type":"Bearer","id_token":%q}`, token[:len(token)-8]+"AAAAAAAA")
			}
		}, 1, "does not verify"},
		"refused":           {answer("error", "access_denied"), 1, "the provider refuses: access_denied"},
		"a mix-up":          {answer("iss", "https://evil.example"), 1, "of another provider"},
		"no code":           {answer("code", ""), 1, "gave no code"},
		"escapes in a text": {answer("error", "a\x1b[2Jb"), 1, "the provider refuses"},
		"a refused exchange": {func(p *fakeProvider) {
			p.tokens = func(w http.ResponseWriter, _ string) {
				w.WriteHeader(400)
				io.WriteString(w, `{"error":"invalid_grant"}`)
			}
		}, 1, "refuses: invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := newTenantServer(t), newFakeProvider(t)
			s.trust("corp", p.URL, "fastness", "id")
			tc.change(p)
			lines, done, _ := s.run("login", "--no-browser")
			response, err := http.Get(s.waitFor(lines, `^  (http://\S+)$`))
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			code := <-done
			said := rest(lines)
			if code != tc.code || !strings.Contains(said, tc.want) || strings.Contains(said, "\x1b") {
				t.Errorf("exits with %d: %s", code, said)
			}
			_, err = os.Stat(filepath.Join(s.env["HOME"], ".config", "fastness", "session.json"))
			if (err == nil) != (tc.code == 0) {
				t.Errorf("session file: %v", err)
			}
		})
	}
}

// TestLoginChoosesProvider: among several one must be named.
func TestLoginChoosesProvider(t *testing.T) {
	s := newTenantServer(t)
	p := newFakeProvider(t)
	s.trust("corp", p.URL, "fastness", "id")
	s.trust("other", p.URL, "other", "id")
	lines, done, _ := s.run("login", "--no-browser")
	if code := <-done; code != 2 || !strings.Contains(rest(lines), "--issuer corp or other") {
		t.Errorf("exits with %d", code)
	}
	lines, done, _ = s.run("login", "--no-browser", "--issuer", "corp")
	response, err := http.Get(s.waitFor(lines, `^  (http://\S+)$`))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if code := <-done; code != 0 {
		t.Errorf("exits with %d: %s", code, rest(lines))
	}
	_, done, _ = s.run("login", "--device", "--issuer", "corp")
	if code := <-done; code != 1 {
		t.Errorf("a provider without the device flow: exits with %d", code)
	}
}

// issueCertificate has the authority of one file sign a client's certificate.
func issueCertificate(t *testing.T, dir, ca, name string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, ca+".crt"), filepath.Join(dir, ca+".key"))
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(dir, name+".key")
	writeCertificate(t, filepath.Join(dir, name+".crt"), keyFile)
	key, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".crt"), keyFile)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"web.internal"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, pair.Leaf, key.Leaf.PublicKey, pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestLoginByCertificate runs a server with TLS of its own: the certificate that
// a client shows in the handshake becomes a token.
func TestLoginByCertificate(t *testing.T) {
	d := deploy(t)
	dir := t.TempDir()
	files := map[string]string{"HOME": dir, "FASTNESS_TENANT": "shop"}
	for _, name := range []string{"server", "mesh", "other"} {
		files[name] = filepath.Join(dir, name+".crt")
		writeCertificate(t, files[name], filepath.Join(dir, name+".key"))
	}
	for name, ca := range map[string]string{"web": "mesh", "strange": "other"} {
		files[name] = filepath.Join(dir, name+".crt")
		issueCertificate(t, dir, ca, name)
	}
	d.start("--tls-cert", files["server"], "--tls-key", filepath.Join(dir, "server.key"), "--tls-client-certs")
	run := func(want int, token, stdin string, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		files["FASTNESS_ADDR"], files["FASTNESS_TOKEN"] = d.address, token
		code := cli.Run(t.Context(), append(args, "--ca-file", files["server"]), cli.Env{
			Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs, Getenv: func(k string) string { return files[k] },
		})
		if code != want {
			t.Fatalf("%v exits with %d: %s", args, code, errs.String())
		}
		return out.String() + errs.String()
	}
	login := func(want int, name string) string {
		t.Helper()
		return run(want, "", "", "login", "--cert", files[name], "--key", filepath.Join(dir, name+".key"))
	}
	run(0, d.token, "", "tenant", "create", "shop")
	run(0, d.token, "hunter2", "put", "app/db")
	if text := login(4, "web"); !strings.Contains(text, "a valid credential is required") {
		t.Error(text)
	}
	run(0, d.token, "", "ca", "put", "mesh", "--bundle", files["mesh"], "--match", "dns=web.internal", "--principal", "web", "--create", "--grant", "reader")
	if text := login(0, "web"); !strings.Contains(text, "logged in to shop as web until") {
		t.Error(text)
	}
	if text := run(0, "", "", "get", "app/db"); text != "hunter2" {
		t.Errorf("got %q", text)
	}
	login(4, "strange")
	run(0, d.token, "", "ca", "delete", "mesh", "--yes")
	run(4, "", "", "get", "app/db")
	login(4, "web")
}
