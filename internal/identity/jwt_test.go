package identity_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"fastness/internal/identity"
	"fastness/internal/secret"
)

func TestVerifyToken(t *testing.T) {
	p := newProvider(t)
	v, issuer := p.verifier(), p.issuer()
	jwt := p.token(map[string]any{"aud": []string{"other", "fastness"}, "groups": []string{"a", "b"}})
	before := bytes.Clone(jwt)
	token, err := v.Verify(context.Background(), issuer, jwt)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(jwt, before) {
		t.Error("the token was changed")
	}
	if token.Subject != "web" || !token.Expires.Equal(p.clock.now().Add(5*time.Minute)) || len(token.ReplayID) != 64 {
		t.Errorf("got %+v", token)
	}
	if got := token.Claims.Texts("groups"); len(got) != 2 {
		t.Errorf("groups: %q", got)
	}
	if url, err := identity.IssuerOf(jwt); err != nil || url != issuer.URL {
		t.Errorf("IssuerOf: %q, %v", url, err)
	}
}

// Each accepted algorithm works with a key made for it.
func TestAlgorithms(t *testing.T) {
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	p := newProvider(t)
	issuer := p.issuer()
	for alg, key := range map[string]any{
		"RS256": rsaKey(), "RS384": rsaKey(), "RS512": rsaKey(), "PS256": rsaKey(), "PS384": rsaKey(), "PS512": rsaKey(),
		"ES256": ecKey(t), "ES384": p384, "ES512": p521, "EdDSA": edKey,
	} {
		p.setKeys(jwk("k", alg, key))
		issuer.Algorithms = []string{alg}
		if err := issuer.Validate(); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		if _, err := p.verifier().Verify(context.Background(), issuer, p.token(nil)); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		issuer.Algorithms = []string{"RS256", "ES256"}
		if _, err := p.verifier().Verify(context.Background(), issuer, p.token(nil)); (err == nil) != (alg == "RS256" || alg == "ES256") {
			t.Errorf("%s, not accepted: %v", alg, err)
		}
	}
}

// reasonOf is the operator's side of a refusal.
func reasonOf(t *testing.T, err error) string {
	t.Helper()
	if !errors.Is(err, secret.ErrUnauthenticated) {
		t.Errorf("got %v, want ErrUnauthenticated", err)
		return ""
	}
	if err.Error() != secret.ErrUnauthenticated.Error() {
		t.Errorf("the caller is told %q", err)
	}
	return secret.Of(err).Cause.Error()
}

// Whatever a token claims of itself that is not as it should be.
func TestVerifyTokenRefusesClaims(t *testing.T) {
	p := newProvider(t)
	now := p.clock.now().Unix()
	for name, tc := range map[string]struct {
		change map[string]any
		want   string
	}{
		"wrong audience":          {map[string]any{"aud": "vault"}, "it is for another audience"},
		"audience in capitals":    {map[string]any{"aud": "Fastness"}, "it is for another audience"},
		"audience as a part":      {map[string]any{"aud": "fastness2"}, "it is for another audience"},
		"no audience":             {map[string]any{"aud": nil}, "it is for another audience"},
		"empty audiences":         {map[string]any{"aud": []string{}}, "it is for another audience"},
		"audience is an object":   {map[string]any{"aud": map[string]any{"fastness": true}}, "it is for another audience"},
		"audiences of two types":  {map[string]any{"aud": []any{"fastness", 1}}, "its claims are of other types than the standard's"},
		"wrong issuer":            {map[string]any{"iss": "https://evil.example"}, "it is another issuer's"},
		"issuer with a slash":     {map[string]any{"iss": p.server.URL + "/"}, "it is another issuer's"},
		"no issuer":               {map[string]any{"iss": nil}, "it is another issuer's"},
		"no subject":              {map[string]any{"sub": nil}, "it names no subject"},
		"empty subject":           {map[string]any{"sub": ""}, "it names no subject"},
		"expired":                 {map[string]any{"exp": now - 1}, "it has expired"},
		"expires just now":        {map[string]any{"exp": now}, "it has expired"},
		"no expiry":               {map[string]any{"exp": nil}, "it has no expiry"},
		"expiry as text":          {map[string]any{"exp": "9999999999"}, "one of its times is malformed"},
		"negative expiry":         {map[string]any{"exp": -1}, "one of its times is malformed"},
		"expiry beyond all years": {map[string]any{"exp": 1e30}, "one of its times is malformed"},
		"not yet valid":           {map[string]any{"nbf": now + 120}, "it is not valid yet"},
		"issued in the future":    {map[string]any{"iat": now + 120}, "it was issued in the future"},
		"a logout token":          {map[string]any{"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}, "it tells of an event, not of a bearer"},
		"too long to remember":    {map[string]any{"exp": now + 25*3600}, "it is valid for too long to be remembered"},
	} {
		_, err := p.verifier().Verify(context.Background(), p.issuer(), p.token(tc.change))
		if got := reasonOf(t, err); got != tc.want {
			t.Errorf("%s: refused because %q, want %q", name, got, tc.want)
		}
	}
}

// What is only nearly wrong is right: clocks differ by some seconds.
func TestVerifyTokenTakes(t *testing.T) {
	p := newProvider(t)
	now := p.clock.now().Unix()
	for name, change := range map[string]map[string]any{
		"last second":          {"exp": now + 1},
		"a clock ahead":        {"iat": now + 50, "nbf": now + 50},
		"no iat and no nbf":    {"iat": nil, "nbf": nil},
		"times with fractions": {"exp": float64(now) + 10.5, "iat": float64(now) - 0.25},
		"no jti":               {"jti": nil},
		"24 hours":             {"exp": now + 24*3600},
	} {
		if _, err := p.verifier().Verify(context.Background(), p.issuer(), p.token(change)); err != nil {
			t.Errorf("%s: %v, %v", name, err, secret.Of(err).Cause)
		}
	}
}

func TestMaxAge(t *testing.T) {
	p := newProvider(t)
	issuer := p.issuer()
	issuer.MaxAge = 10 * time.Minute
	now := p.clock.now().Unix()
	for name, tc := range map[string]struct {
		change map[string]any
		want   string
	}{
		"young enough": {map[string]any{"iat": now - 600}, ""},
		"too old":      {map[string]any{"iat": now - 601}, "it is too old"},
		"no iat":       {map[string]any{"iat": nil}, "it does not say when it was issued"},
	} {
		_, err := p.verifier().Verify(context.Background(), issuer, p.token(tc.change))
		if tc.want == "" && err != nil || tc.want != "" && reasonOf(t, err) != tc.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Forged, and otherwise not signed by the issuer.
func TestVerifyTokenRefusesForgeries(t *testing.T) {
	p := newProvider(t)
	issuer := p.issuer()
	good := p.token(nil)
	parts := strings.Split(string(good), ".")
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	payload, _ := json.Marshal(p.claims(nil))
	other := ecKey(t)

	// The confusion of RS256 with HS256: the public key as the shared one, in the
	// forms in which a careless library would take it.
	public, _ := x509.MarshalPKIXPublicKey(rsaKey().Public())
	hs := func(key []byte) []byte {
		signed := b64(`{"alg":"HS256","kid":"one","typ":"JWT"}`) + "." + b64(string(payload))
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(signed))
		return []byte(signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)))
	}
	flipped := bytes.Clone(good)
	flipped[len(parts[0])+5] ^= 1

	for name, jwt := range map[string][]byte{
		"alg none":                 []byte(b64(`{"alg":"none"}`) + "." + parts[1] + "."),
		"alg none with signature":  []byte(b64(`{"alg":"none"}`) + "." + parts[1] + "." + parts[2]),
		"alg None":                 []byte(b64(`{"alg":"None","kid":"one"}`) + "." + parts[1] + "." + parts[2]),
		"no alg":                   []byte(b64(`{"kid":"one"}`) + "." + parts[1] + "." + parts[2]),
		"alg twice":                []byte(b64(`{"alg":"none","alg":"RS256","kid":"one"}`) + "." + parts[1] + "." + parts[2]),
		"alg in two cases":         []byte(b64(`{"alg":"RS256","Alg":"none","kid":"one"}`) + "." + parts[1] + "." + parts[2]),
		"HS256 by the PEM key":     hs(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
		"HS256 by the DER key":     hs(public),
		"HS256 by the modulus":     hs(rsaKey().N.Bytes()),
		"HS256 by nothing":         hs(nil),
		"another key, same kid":    sign(t, jwk("one", "ES256", other), jose.ES256, p.claims(nil), nil),
		"another key, no kid":      sign(t, other, jose.ES256, p.claims(nil), nil),
		"its own key in a header":  embedded(t, other, p.claims(nil)),
		"a key at its own address": sign(t, jwk("one", "ES256", other), jose.ES256, p.claims(nil), map[jose.HeaderKey]any{"jku": "https://evil.example/keys"}),
		"unknown kid":              sign(t, jwk("two", "RS256", rsaKey()), jose.RS256, p.claims(nil), nil),
		"kid of a path":            sign(t, jwk("../../dev/null", "RS256", rsaKey()), jose.RS256, p.claims(nil), nil),
		"right key, other alg":     sign(t, jwk("one", "PS256", rsaKey()), jose.PS256, p.claims(nil), nil),
		"a logout token":           sign(t, jwk("one", "RS256", rsaKey()), jose.RS256, p.claims(nil), map[jose.HeaderKey]any{"typ": "logout+jwt"}),
		"a critical extension":     []byte(b64(`{"alg":"RS256","kid":"one","crit":["b64"],"b64":false}`) + "." + parts[1] + "." + parts[2]),
		"changed payload":          flipped,
		"signature cut":            good[:len(good)-4],
		"signature empty":          []byte(parts[0] + "." + parts[1] + "."),
		"two parts":                []byte(parts[0] + "." + parts[1]),
		"four parts":               append(bytes.Clone(good), ".AAAA"...),
		"five parts, as of a JWE":  []byte(strings.Join([]string{parts[0], "", "", parts[1], parts[2]}, ".")),
		"JSON serialization":       []byte(`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`),
		"padded base64":            append(bytes.Clone(good), '='),
		"a space before":           append([]byte(" "), good...),
		"a line break within":      []byte(parts[0] + ".\n" + parts[1] + "." + parts[2]),
		"standard base64":          []byte(strings.NewReplacer("-", "+", "_", "/").Replace(string(good)) + "+"),
		"other trailing bits":      trailing(good),
		"empty":                    nil,
		"dots":                     []byte(".."),
		"claims twice":             sign(t, jwk("one", "RS256", rsaKey()), jose.RS256, bytes.Replace(payload, []byte(`{`), []byte(`{"sub":"admin",`), 1), nil),
		"a claim in two cases":     sign(t, jwk("one", "RS256", rsaKey()), jose.RS256, bytes.Replace(payload, []byte(`{`), []byte(`{"SUB":"admin",`), 1), nil),
		"claims are an array":      sign(t, jwk("one", "RS256", rsaKey()), jose.RS256, []byte(`["web"]`), nil),
		"claims are not JSON":      sign(t, jwk("one", "RS256", rsaKey()), jose.RS256, []byte(`web`), nil),
		"claims are not UTF-8":     sign(t, jwk("one", "RS256", rsaKey()), jose.RS256, bytes.Replace(payload, []byte(`"web"`), []byte("\"web\xff\""), 1), nil),
	} {
		token, err := p.verifier().Verify(context.Background(), issuer, jwt)
		if token != nil || reasonOf(t, err) == "" {
			t.Errorf("%s: got %v, %v", name, token, err)
		}
	}
	long := bytes.Repeat([]byte("a"), identity.MaxJWT+1)
	if _, err := p.verifier().Verify(context.Background(), issuer, long); !errors.Is(err, secret.ErrLimit) {
		t.Errorf("too long: %v", err)
	}
}

// embedded signs with a key that it carries itself.
func embedded(t *testing.T, key *ecdsa.PrivateKey, claims any) []byte {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := json.Marshal(claims)
	object, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := object.CompactSerialize()
	return []byte(text)
}

// trailing changes bits of the last character that stand for nothing: 256 bytes
// of a signature leave four of them.
func trailing(jwt []byte) []byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	other := bytes.Clone(jwt)
	last := &other[len(other)-1]
	*last = alphabet[strings.IndexByte(alphabet, *last)|1]
	return other
}

// A token stands for itself however it is written, and each for another one.
func TestReplayID(t *testing.T) {
	p := newProvider(t)
	p.setKeys(jwk("one", "ES256", ecKey(t)))
	v, issuer := p.verifier(), p.issuer()
	id := func(jwt []byte) string {
		token, err := v.Verify(context.Background(), issuer, jwt)
		if err != nil {
			t.Fatal(err)
		}
		return token.ReplayID
	}
	withID := id(p.token(nil))
	if id(p.token(map[string]any{"exp": p.clock.now().Unix() + 10})) != withID {
		t.Error("two tokens with one jti are told apart")
	}
	if id(p.token(map[string]any{"jti": "j2"})) == withID {
		t.Error("two ids are not told apart")
	}
	// ECDSA signs the same thing differently each time.
	a, b := p.token(map[string]any{"jti": nil}), p.token(map[string]any{"jti": nil})
	if bytes.Equal(a, b) || id(a) != id(b) {
		t.Error("another signature makes another token")
	}
	if id(p.token(map[string]any{"jti": nil, "x": 1})) == id(a) {
		t.Error("two tokens without id are not told apart")
	}
	issuer.Reusable = true
	if id(p.token(nil)) != "" {
		t.Error("a token that may be used again has an id")
	}
}

func FuzzVerifyToken(f *testing.F) {
	p := newProvider(f)
	good := p.token(nil)
	f.Add(good)
	f.Add([]byte("a.b.c"))
	f.Add([]byte(`{"payload":"","signatures":[]}`))
	f.Add(append(bytes.Clone(good), '.'))
	v, issuer := p.verifier(), p.issuer()
	f.Fuzz(func(t *testing.T, jwt []byte) {
		token, err := v.Verify(context.Background(), issuer, jwt)
		if err == nil && !bytes.Equal(jwt, good) {
			t.Errorf("%q is taken as %+v", jwt, token)
		}
		if err != nil && !errors.Is(err, secret.ErrUnauthenticated) && !errors.Is(err, secret.ErrLimit) {
			t.Errorf("%q: %v", jwt, err)
		}
	})
}
