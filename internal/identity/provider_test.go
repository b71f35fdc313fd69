package identity_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"fastness/internal/identity"
)

// clock is a clock that tests move.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

// rsaKey makes one RSA key for all tests, as they take long to make.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// provider is an issuer with a server of its own.
type provider struct {
	t      testing.TB
	clock  *clock
	server *httptest.Server

	mu      sync.Mutex
	keys    []jose.JSONWebKey           // private; their public parts are served
	handler map[string]http.HandlerFunc // instead of the usual answer
	asked   map[string]int              // requests by path
	headers map[string]string           // of answers
	doc     func(map[string]any)        // changes the discovery document
}

// newProvider starts an issuer with one RSA key called "one".
func newProvider(t testing.TB) *provider {
	p := &provider{t: t, clock: newClock(), handler: map[string]http.HandlerFunc{}, asked: map[string]int{}, headers: map[string]string{}}
	p.server = httptest.NewUnstartedServer(p)
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that refuse it
	p.server.StartTLS()
	t.Cleanup(p.server.Close)
	p.setKeys(jwk("one", "RS256", rsaKey()))
	return p
}

func jwk(id, alg string, key any) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key, KeyID: id, Algorithm: alg, Use: "sig"}
}

func (p *provider) setKeys(keys ...jose.JSONWebKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = keys
}

func (p *provider) handle(path string, h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handler[path] = h
}

// count tells how often the keys were asked for.
func (p *provider) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked["/keys"]
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked[r.URL.Path]++
	h := p.handler[r.URL.Path]
	for name, value := range p.headers {
		w.Header().Set(name, value)
	}
	set := jose.JSONWebKeySet{}
	for _, k := range p.keys {
		set.Keys = append(set.Keys, k.Public())
	}
	doc := map[string]any{"issuer": p.server.URL, "jwks_uri": p.server.URL + "/keys"}
	if p.doc != nil {
		p.doc(doc)
	}
	p.mu.Unlock()
	switch {
	case h != nil:
		h(w, r)
	case r.URL.Path == "/.well-known/openid-configuration":
		json.NewEncoder(w).Encode(doc)
	case r.URL.Path == "/keys":
		json.NewEncoder(w).Encode(set)
	default:
		http.NotFound(w, r)
	}
}

// issuer is what a tenant would store of the provider.
func (p *provider) issuer() *identity.Issuer {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})
	return &identity.Issuer{
		Name: "test", URL: p.server.URL, Audiences: []string{"fastness"}, CA: string(ca),
		Bindings: []identity.Binding{{Match: map[string][]string{"sub": {"web"}}, Principal: "web"}},
	}
}

func (p *provider) verifier() *identity.TokenVerifier {
	return identity.NewTokenVerifier(true, p.clock.now)
}

// claims are those of a good token, with some of them changed; nil takes one out.
func (p *provider) claims(changes map[string]any) map[string]any {
	now := p.clock.now().Unix()
	claims := map[string]any{"iss": p.server.URL, "sub": "web", "aud": "fastness", "iat": now, "nbf": now, "exp": now + 300, "jti": "j1"}
	for name, v := range changes {
		if claims[name] = v; v == nil {
			delete(claims, name)
		}
	}
	return claims
}

// token signs a token with the provider's first key.
func (p *provider) token(changes map[string]any) []byte {
	p.mu.Lock()
	key := p.keys[0]
	p.mu.Unlock()
	return sign(p.t, key, jose.SignatureAlgorithm(key.Algorithm), p.claims(changes), nil)
}

// sign makes a compact JWT.
func sign(t testing.TB, key any, alg jose.SignatureAlgorithm, claims any, headers map[jose.HeaderKey]any) []byte {
	t.Helper()
	payload, ok := claims.([]byte)
	if !ok {
		var err error
		if payload, err = json.Marshal(claims); err != nil {
			t.Fatal(err)
		}
	}
	extra := map[jose.HeaderKey]any{"typ": "JWT"}
	maps.Copy(extra, headers)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, &jose.SignerOptions{ExtraHeaders: extra})
	if err != nil {
		t.Fatal(err)
	}
	object, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := object.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return []byte(text)
}
