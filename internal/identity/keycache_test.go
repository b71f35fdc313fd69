package identity_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"fastness/internal/identity"
	"fastness/internal/secret"
)

func verify(t *testing.T, v *identity.TokenVerifier, issuer *identity.Issuer, jwt []byte) error {
	t.Helper()
	_, err := v.Verify(context.Background(), issuer, jwt)
	return err
}

// Keys are fetched once and used while they live, also by many at once.
func TestKeysAreCached(t *testing.T) {
	p := newProvider(t)
	v, issuer := p.verifier(), p.issuer()
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			if _, err := v.Verify(context.Background(), issuer, p.token(nil)); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n := p.count(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
	p.clock.advance(29 * time.Minute)
	if err := verify(t, v, issuer, p.token(nil)); err != nil || p.count() != 1 {
		t.Errorf("before half of their life: %v, fetched %d times", err, p.count())
	}
	p.clock.advance(2 * time.Minute)
	if err := verify(t, v, issuer, p.token(nil)); err != nil || p.count() != 2 {
		t.Errorf("after half of their life: %v, fetched %d times", err, p.count())
	}
}

// An issuer that is down is not missed before its keys' life ends; then there is
// an error that says so. When it is up again, all is well.
func TestIssuerDown(t *testing.T) {
	p := newProvider(t)
	v, issuer := p.verifier(), p.issuer()
	if err := verify(t, v, issuer, p.token(nil)); err != nil {
		t.Fatal(err)
	}
	p.handle("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	for _, age := range []time.Duration{31 * time.Minute, 28 * time.Minute} {
		p.clock.advance(age)
		if err := verify(t, v, issuer, p.token(nil)); err != nil {
			t.Errorf("within their life: %v", err)
		}
	}
	p.clock.advance(time.Minute)
	err := verify(t, v, issuer, p.token(nil))
	if !errors.Is(err, secret.ErrUnavailable) || !strings.Contains(err.Error(), `the keys of the issuer "test" cannot be fetched now`) {
		t.Errorf("after their life: %v", err)
	}
	if cause := fmt.Sprint(secret.Of(err).Cause); !strings.Contains(cause, "status 502") {
		t.Errorf("the operator is told %q", cause)
	}
	p.handle("/.well-known/openid-configuration", nil)
	p.clock.advance(time.Minute)
	if err := verify(t, v, issuer, p.token(nil)); err != nil {
		t.Errorf("up again: %v", err)
	}
}

// An issuer's word on how long its keys live counts within bounds.
func TestKeyLifetime(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"": time.Hour, "max-age=600": 10 * time.Minute, "public, max-age=7200, must-revalidate": 2 * time.Hour,
		"max-age=15": 5 * time.Minute, "no-store": 5 * time.Minute, "max-age=99999999": 24 * time.Hour, "max-age=x": time.Hour,
		"Max-Age=600": 10 * time.Minute, "max-age=-1": time.Hour, "max-age=99999999999999999999": time.Hour,
	} {
		p := newProvider(t)
		p.headers["Cache-Control"] = header
		v, issuer := p.verifier(), p.issuer()
		if err := verify(t, v, issuer, p.token(nil)); err != nil {
			t.Fatal(err)
		}
		p.handle("/keys", http.NotFound)
		p.clock.advance(want - time.Second)
		if err := verify(t, v, issuer, p.token(nil)); err != nil {
			t.Errorf("%q: gone too early: %v", header, err)
		}
		p.clock.advance(time.Second)
		if err := verify(t, v, issuer, p.token(nil)); !errors.Is(err, secret.ErrUnavailable) {
			t.Errorf("%q: got %v, want ErrUnavailable", header, err)
		}
	}
}

// A key that nobody has seen is looked for, and what the issuer no longer has is
// not believed.
func TestKeyRotation(t *testing.T) {
	p := newProvider(t)
	v, issuer := p.verifier(), p.issuer()
	old := p.token(nil)
	if err := verify(t, v, issuer, old); err != nil {
		t.Fatal(err)
	}
	p.setKeys(jwk("two", "ES256", ecKey(t)))
	if err := verify(t, v, issuer, old); err != nil {
		t.Errorf("before the new key is known: %v", err)
	}
	if err := verify(t, v, issuer, p.token(nil)); err != nil {
		t.Errorf("new key: %v", err)
	}
	if got := reasonOf(t, verify(t, v, issuer, old)); got != "its signature is by no key of the issuer" {
		t.Errorf("old key: %q", got)
	}
}

// Without key ids, all keys are tried, and new ones looked for.
func TestKeysWithoutID(t *testing.T) {
	p := newProvider(t)
	v, issuer := p.verifier(), p.issuer()
	p.setKeys(jwk("", "ES256", ecKey(t)), jwk("", "ES256", ecKey(t)))
	if err := verify(t, v, issuer, p.token(nil)); err != nil {
		t.Fatal(err)
	}
	p.setKeys(jwk("", "ES256", ecKey(t)))
	if err := verify(t, v, issuer, p.token(nil)); err != nil {
		t.Errorf("after a rotation: %v", err)
	}
}

// Tokens with made-up key ids do not make us ask the issuer again and again, and
// do not keep good ones out.
func TestUnknownKeyRate(t *testing.T) {
	p := newProvider(t)
	v, issuer := p.verifier(), p.issuer()
	for i := range 100 {
		bad := sign(t, jwk(fmt.Sprint("k", i), "RS256", rsaKey()), jose.RS256, p.claims(nil), nil)
		reasonOf(t, verify(t, v, issuer, bad))
		if err := verify(t, v, issuer, p.token(nil)); err != nil {
			t.Fatal(err)
		}
	}
	if n := p.count(); n != identity.FetchBurst {
		t.Errorf("asked %d times, want %d", n, identity.FetchBurst)
	}
	p.setKeys(jwk("two", "ES256", ecKey(t)))
	reasonOf(t, verify(t, v, issuer, p.token(nil)))
	p.clock.advance(identity.FetchEvery)
	if err := verify(t, v, issuer, p.token(nil)); err != nil {
		t.Errorf("a new key, after a while: %v", err)
	}
}

// Who waits while another's fetch fails is told its outcome, and whoever hangs
// up does not end the fetch for others.
func TestFetchIsShared(t *testing.T) {
	p := newProvider(t)
	v, issuer := p.verifier(), p.issuer()
	begun, goOn := make(chan bool, 10), make(chan bool)
	p.handle("/keys", func(w http.ResponseWriter, _ *http.Request) {
		begun <- true
		<-goOn
		w.WriteHeader(http.StatusInternalServerError)
	})
	ctx, hangUp := context.WithCancel(context.Background())
	errs := make(chan error, 10)
	for range 10 {
		go func() {
			_, err := v.Verify(ctx, issuer, p.token(nil))
			errs <- err
		}()
	}
	<-begun
	hangUp()
	close(goOn)
	for range 10 {
		if err := <-errs; !errors.Is(err, secret.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	p.handle("/keys", nil)
	if err := verify(t, v, issuer, p.token(nil)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// What an issuer's server may send is bounded in every way.
func TestBadServers(t *testing.T) {
	other := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	const keys, discovery = "/keys", "/.well-known/openid-configuration"
	write := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, s) }
	}
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	slow := func(w http.ResponseWriter, r *http.Request) {
		for range 100 {
			if _, err := io.WriteString(w, " "); err != nil || r.Context().Err() != nil {
				return
			}
			w.(http.Flusher).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	}
	many := `{"keys":[` + strings.TrimSuffix(strings.Repeat(`{"kty":"oct","k":"AA"},`, 101), ",") + `]}`
	for name, tc := range map[string]struct {
		path    string
		handler http.HandlerFunc
		want    string
	}{
		"huge keys":      {keys, write(`{"keys":[` + strings.Repeat(" ", identity.MaxRemoteKeys) + `]}`), "sends more than 262144 bytes"},
		"endless keys":   {keys, func(w http.ResponseWriter, _ *http.Request) { endless(w) }, "sends more than 262144 bytes"},
		"huge discovery": {discovery, func(w http.ResponseWriter, _ *http.Request) { endless(w) }, "sends more than 65536 bytes"},
		"huge header":    {keys, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) }, "header"},
		"slow keys":      {keys, slow, "deadline exceeded"},
		"slow discovery": {discovery, slow, "deadline exceeded"},
		"no answer":      {keys, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "deadline exceeded"},
		"a page": {keys, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<p>")
		}, "answers with a page"},
		"not found":             {keys, http.NotFound, "status 404"},
		"no keys":               {keys, write(`{"keys":[]}`), "no key to verify signatures with"},
		"too many keys":         {keys, write(many), "more than 100 keys"},
		"not a key set":         {keys, write(`[]`), "not a JWK set"},
		"empty":                 {keys, write(``), "not a JWK set"},
		"symmetric keys":        {keys, write(`{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"one"}]}`), "no key to verify signatures with"},
		"keys for encryption":   {keys, write(`{"keys":[{"kty":"EC","use":"enc","crv":"P-256","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}]}`), "no key to verify signatures with"},
		"a weak key":            {keys, write(`{"keys":[{"kty":"RSA","n":"` + strings.Repeat("_", 171) + `","e":"AQAB"}]}`), "no key to verify signatures with"},
		"redirect elsewhere":    {keys, redirect(other.URL + "/keys"), "redirects to another host"},
		"redirect to plain":     {keys, redirect("http://127.0.0.1:1/keys"), "redirects to another host"},
		"redirect to a file":    {keys, redirect("file:///etc/passwd"), "redirects to another host"},
		"redirect in a circle":  {keys, redirect("/keys"), "too many redirects"},
		"another's document":    {discovery, write(`{"issuer":"https://evil.example","jwks_uri":"https://evil.example/keys"}`), "another issuer's"},
		"no document":           {discovery, write(`nothing`), "not JSON"},
		"keys at a plain URL":   {discovery, nil, "must begin with https://"},
		"keys at a metadata IP": {discovery, nil, "must not be an address of the machine's own network"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.handle(tc.path, tc.handler)
			switch name {
			case "keys at a plain URL":
				p.doc = func(d map[string]any) { d["jwks_uri"] = "http://keys.example/keys" }
			case "keys at a metadata IP":
				p.doc = func(d map[string]any) { d["jwks_uri"] = "https://169.254.169.254/keys" }
			}
			v := p.verifier()
			v.SetFetchTime(300 * time.Millisecond)
			err := verify(t, v, p.issuer(), p.token(nil))
			if !errors.Is(err, secret.ErrUnavailable) {
				t.Fatalf("got %v, want ErrUnavailable", err)
			}
			if cause := fmt.Sprint(secret.Of(err).Cause); !strings.Contains(cause, tc.want) {
				t.Errorf("the operator is told %q, want %q", cause, tc.want)
			}
		})
	}
}

func endless(w io.Writer) {
	chunk := bytes.Repeat([]byte(" "), 64<<10)
	for {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// A redirect within the issuer's host is followed.
func TestRedirectWithinHost(t *testing.T) {
	p := newProvider(t)
	p.handle("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, p.server.URL, p.server.URL+"/old")
	})
	p.handle("/old", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/keys", http.StatusFound) })
	if err := verify(t, p.verifier(), p.issuer(), p.token(nil)); err != nil {
		t.Error(err, secret.Of(err).Cause)
	}
}

// The server of an issuer must be the one that the CA vouches for, and without
// leave not on this machine, however it is named.
func TestFetchIsGuarded(t *testing.T) {
	p := newProvider(t)
	trusted := p.issuer()
	untrusted := *trusted
	untrusted.CA = ""
	if err := verify(t, p.verifier(), &untrusted, p.token(nil)); !errors.Is(err, secret.ErrUnavailable) || !strings.Contains(fmt.Sprint(secret.Of(err).Cause), "certificate") {
		t.Errorf("without its CA: %v", err)
	}
	guarded := identity.NewTokenVerifier(false, p.clock.now)
	if err := verify(t, guarded, trusted, p.token(nil)); !errors.Is(err, secret.ErrUnavailable) || !strings.Contains(fmt.Sprint(secret.Of(err).Cause), "the machine's own network") {
		t.Errorf("on this machine: %v, %v", err, secret.Of(err).Cause)
	}
	if p.count() > 0 {
		t.Error("it was asked all the same")
	}
	if err := guarded.Check(*trusted); !errors.Is(err, secret.ErrInvalid) {
		t.Errorf("Check: %v", err)
	}
	if err := p.verifier().Check(*trusted); err != nil {
		t.Errorf("Check with leave: %v", err)
	}
}

// On this very machine an issuer may do without TLS, with leave.
func TestPlainLoopback(t *testing.T) {
	p := newProvider(t)
	plain := httptest.NewServer(p)
	t.Cleanup(plain.Close)
	p.doc = func(d map[string]any) { d["issuer"], d["jwks_uri"] = plain.URL, plain.URL+"/keys" }
	issuer := p.issuer()
	issuer.URL, issuer.CA = plain.URL, ""
	if err := issuer.Validate(); err != nil {
		t.Fatal(err)
	}
	jwt := p.token(map[string]any{"iss": plain.URL})
	if err := verify(t, p.verifier(), issuer, jwt); err != nil {
		t.Error(err, secret.Of(err).Cause)
	}
	if err := verify(t, identity.NewTokenVerifier(false, p.clock.now), issuer, jwt); !errors.Is(err, secret.ErrUnavailable) {
		t.Errorf("without leave: %v", err)
	}
}

func TestForbiddenAddresses(t *testing.T) {
	for _, a := range []string{
		"169.254.169.254", "169.254.0.1", "fe80::1", "0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "255.255.255.255", "ff02::1",
		"100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254",
		"::ffff:169.254.169.254", "::169.254.169.254", "64:ff9b::169.254.169.254", "64:ff9b:1::169.254.169.254", "64:ff9b::127.0.0.1", "::127.0.0.1",
		"fe80::1%eth0",
	} {
		if !identity.IsForbidden(a, false) || !identity.IsForbidden(a, true) {
			t.Errorf("%s may be asked", a)
		}
	}
	for _, a := range []string{"127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"} {
		if !identity.IsForbidden(a, false) || identity.IsForbidden(a, true) {
			t.Errorf("%s: leave makes no difference", a)
		}
	}
	for _, a := range []string{"10.0.0.1", "192.168.1.1", "1.1.1.1", "2606:4700::1111", "fd12::1", "64:ff9b::1.1.1.1", "::ffff:10.0.0.1"} {
		if identity.IsForbidden(a, false) {
			t.Errorf("%s may not be asked", a)
		}
	}
}

// A key set that is given needs no server.
func TestGivenKeySet(t *testing.T) {
	p := newProvider(t)
	issuer := p.issuer()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: rsaKey().Public(), KeyID: "one", Algorithm: "RS256", Use: "sig"}}}
	issuer.KeySet, issuer.CA = marshal(t, set), ""
	if err := issuer.Validate(); err != nil {
		t.Fatal(err)
	}
	v := identity.NewTokenVerifier(false, p.clock.now)
	if err := verify(t, v, issuer, p.token(nil)); err != nil {
		t.Error(err)
	}
	bad := sign(t, jwk("two", "RS256", rsaKey()), jose.RS256, p.claims(nil), nil)
	reasonOf(t, verify(t, v, issuer, bad))
	if p.count() > 0 || v.CachedIssuers() > 0 || v.Check(*issuer) == nil != true {
		t.Error("the issuer was asked")
	}
}

// The cache of many issuers stays bounded.
func TestManyIssuers(t *testing.T) {
	p := newProvider(t)
	v := p.verifier()
	v.SetFetchTime(time.Millisecond)
	for i := range 1100 {
		issuer := p.issuer()
		issuer.KeySetURL = fmt.Sprintf("https://127.0.0.1:1/%d", i)
		if err := verify(t, v, issuer, p.token(nil)); !errors.Is(err, secret.ErrUnavailable) {
			t.Fatal(err)
		}
		p.clock.advance(time.Millisecond)
	}
	if n := v.CachedIssuers(); n != 1000 {
		t.Errorf("%d issuers are kept", n)
	}
}
