package identity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// MaxJWT is the most bytes of a token of an issuer.
const MaxJWT = 16 << 10

// clockSkew is how far an issuer's clock may be ahead of ours.
const clockSkew = time.Minute

// TokenVerifier verifies the tokens of issuers (RFC 7519), and caches issuers'
// keys. Safe for concurrent use.
type TokenVerifier struct {
	keys *keyCache
	now  func() time.Time
}

// NewTokenVerifier returns a verifier. loopback says that issuers may be on this
// very machine, and there without TLS: for development and tests. now is the
// clock; nil for time.Now.
func NewTokenVerifier(loopback bool, now func() time.Time) *TokenVerifier {
	if now == nil {
		now = time.Now
	}
	return &TokenVerifier{keys: newKeyCache(fetcher{loopback: loopback, time: fetchTime}, now), now: now}
}

// Token is what a verified token says.
type Token struct {
	Subject string // as the issuer names its bearer
	Claims  Claims
	Expires time.Time
	// ReplayID stands for this token among all others, and is to be remembered
	// until Expires, so that it is not taken twice; empty if it may be.
	ReplayID string
}

// Check says whether the issuer may be asked at all where the verifier runs.
func (v *TokenVerifier) Check(i Issuer) error {
	if v.keys.fetch.loopback || i.KeySet != "" {
		return nil
	}
	for field, s := range map[string]string{"issuer.url": i.URL, "issuer.keySetUrl": i.KeySetURL} {
		u, err := url.Parse(s)
		if err != nil || s != "" && isLoopback(u) {
			return secret.Invalid(field, "an issuer on the server's own machine is not allowed here")
		}
	}
	return nil
}

// Verify returns what the token says if the issuer made it, for one of its
// audiences, and it is valid now. Otherwise it is secret.ErrUnauthenticated, with
// the reason as its cause, in our own words; or secret.ErrUnavailable if the
// issuer's keys cannot be had. The token stays the caller's to wipe.
func (v *TokenVerifier) Verify(ctx context.Context, issuer *Issuer, jwt []byte) (*Token, error) {
	head, err := readHeader(jwt)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(issuer.accepted(), head.alg) {
		return nil, refused("its algorithm is not accepted")
	}
	proof, err := v.signed(ctx, issuer, head, jwt)
	if err != nil {
		return nil, err
	}
	claims, err := parseClaims(proof.payload)
	if err != nil {
		return nil, refused(err.Error())
	}
	token, err := v.judge(issuer, claims, jwt)
	if err == nil && !proof.taken {
		return nil, refused("its claims are of other types than the standard's")
	}
	return token, err
}

// signed returns the payload if one of the issuer's keys signed it.
func (v *TokenVerifier) signed(ctx context.Context, issuer *Issuer, head header, jwt []byte) (signature, error) {
	for _, fresh := range []bool{false, true} {
		keys, err := v.keys.lookup(ctx, issuer, head.kid, head.alg, fresh)
		if errors.Is(err, errIssuerDown) {
			return signature{}, &secret.Error{Code: secret.ErrUnavailable.Code, Cause: err,
				Detail: fmt.Sprintf("the keys of the issuer %q cannot be fetched now, and none are cached any more; try again", issuer.Name)}
		}
		if err != nil {
			return signature{}, secret.ErrUnavailable.With(err)
		}
		if s := checkSignature(issuer, keys, head.alg, jwt); s.payload != nil {
			return s, nil
		}
		// Keys that are asked for by their id were the issuer's newest when they
		// were not found. Without an id only new ones tell.
		if head.kid != "" || issuer.KeySet != "" {
			break
		}
	}
	return signature{}, refused("its signature is by no key of the issuer")
}

// signature is what go-oidc says of a token.
type signature struct {
	payload []byte // nil unless it was signed by one of the keys
	taken   bool   // the issuer is right, too, and the claims are of their types
}

// checkSignature has go-oidc look at the token. The library takes and makes
// strings of it, so all of it happens where memory is erased.
func checkSignature(issuer *Issuer, keys keySet, alg string, jwt []byte) (s signature) {
	if len(keys) == 0 {
		return signature{}
	}
	secretbuf.Do(func() {
		raw := secretbuf.String(jwt)
		defer secretbuf.WipeString(raw)
		source := &signedBy{keys: keys, alg: jose.SignatureAlgorithm(alg)}
		// Times and audience are judged below: they must be there, and go-oidc
		// takes a token that has no nbf or iat, or ones minutes ahead.
		verifier := oidc.NewVerifier(issuer.URL, source, &oidc.Config{
			SupportedSigningAlgs: []string{alg}, SkipClientIDCheck: true, SkipExpiryCheck: true,
		})
		_, err := verifier.Verify(context.Background(), raw)
		s = signature{source.payload, err == nil}
	})
	return s
}

// signedBy is an oidc.KeySet of keys that are at hand. It keeps the payload of
// the token that it verified.
type signedBy struct {
	keys    keySet
	alg     jose.SignatureAlgorithm
	payload []byte
}

// VerifySignature implements oidc.KeySet.
func (s *signedBy) VerifySignature(_ context.Context, jwt string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(jwt, []jose.SignatureAlgorithm{s.alg})
	if err != nil {
		return nil, errors.New("malformed token")
	}
	for _, k := range s.keys {
		if payload, err := jws.Verify(k.key); err == nil {
			s.payload = payload
			return payload, nil
		}
	}
	return nil, errors.New("no key verifies the signature")
}

// judge checks what the token claims of itself.
func (v *TokenVerifier) judge(issuer *Issuer, claims Claims, jwt []byte) (*Token, error) {
	if claims.text("iss") != issuer.URL {
		return nil, refused("it is another issuer's")
	}
	t := &Token{Subject: claims.text("sub"), Claims: claims}
	if t.Subject == "" || len(t.Subject) > maxMatchText {
		return nil, refused("it names no subject")
	}
	if !slices.ContainsFunc(claims.texts("aud"), func(a string) bool { return slices.Contains(issuer.Audiences, a) }) {
		return nil, refused("it is for another audience")
	}
	if _, ok := claims["events"]; ok {
		return nil, refused("it tells of an event, not of a bearer")
	}
	var err error
	if t.Expires, err = v.judgeTimes(issuer, claims); err != nil || issuer.Reusable {
		return t, err
	}
	if t.Expires.Sub(v.now()) > longestOnce {
		return nil, refused("it is valid for too long to be remembered")
	}
	t.ReplayID = replayID(claims, jwt)
	return t, nil
}

// judgeTimes checks that the token is valid now, and returns until when.
func (v *TokenVerifier) judgeTimes(issuer *Issuer, claims Claims) (expires time.Time, err error) {
	now := v.now()
	expires, hasExpiry, ok1 := claims.time("exp")
	begins, hasBegin, ok2 := claims.time("nbf")
	issued, hasIssue, ok3 := claims.time("iat")
	switch {
	case !ok1 || !ok2 || !ok3:
		return expires, refused("one of its times is malformed")
	case !hasExpiry:
		return expires, refused("it has no expiry")
	case !now.Before(expires):
		return expires, refused("it has expired")
	case hasBegin && begins.After(now.Add(clockSkew)):
		return expires, refused("it is not valid yet")
	case hasIssue && issued.After(now.Add(clockSkew)):
		return expires, refused("it was issued in the future")
	case issuer.MaxAge > 0 && !hasIssue:
		return expires, refused("it does not say when it was issued")
	case issuer.MaxAge > 0 && now.Sub(issued) > issuer.MaxAge:
		return expires, refused("it is too old")
	}
	return expires, nil
}

// replayID stands for a token: by the id that its issuer gave it, or without one
// by what is signed. The signature is not part of it, as some have several forms.
func replayID(claims Claims, jwt []byte) string {
	if id := claims.text("jti"); id != "" {
		sum := sha256.Sum256([]byte("jti\x00" + claims.text("iss") + "\x00" + id))
		return hex.EncodeToString(sum[:])
	}
	var sum [sha256.Size]byte
	secretbuf.Do(func() { sum = sha256.Sum256(jwt[:bytes.LastIndexByte(jwt, '.')]) })
	return hex.EncodeToString(sum[:])
}

// header is what is read of a token's header before its signature is checked.
type header struct{ alg, kid string }

// types are what a header may call its token. A logout token, for one, is none
// that says who somebody is.
var types = []string{"", "jwt", "at+jwt", "application/jwt", "application/at+jwt"}

// readHeader checks the form of a token, of which there is one: the compact
// serialization of RFC 7515, each part in the one base64 of its bytes. What a
// header says of keys (jwk, jku, x5u) is never followed.
func readHeader(jwt []byte) (h header, err error) {
	if len(jwt) > MaxJWT {
		return h, secret.Limited("token", fmt.Sprintf("at most %d bytes", MaxJWT))
	}
	secretbuf.Do(func() {
		var claims Claims
		if claims, err = compactPart(jwt, 0); err != nil {
			return
		}
		h = header{strings.Clone(claims.text("alg")), strings.Clone(claims.text("kid"))}
		switch _, critical := claims["crit"]; {
		case critical:
			err = refused("its header asks for an extension")
		case !slices.Contains(types, strings.ToLower(claims.text("typ"))):
			err = refused("it is a token of another type")
		case len(h.kid) > maxKeyID || claims["kid"] != nil && h.kid == "":
			err = refused("its key id is malformed")
		}
	})
	return h, err
}

// compactPart returns one part of a token of which all are well formed: 0 for
// the header, 1 for the payload.
func compactPart(jwt []byte, part int) (Claims, error) {
	parts := bytes.Split(jwt, []byte("."))
	if len(parts) != 3 {
		return nil, refused("it is no compact JWT")
	}
	strict := base64.RawURLEncoding.Strict()
	var wanted []byte
	for i, p := range parts {
		b := make([]byte, strict.DecodedLen(len(p)))
		if _, err := strict.Decode(b, p); err != nil || len(p) == 0 || bytes.ContainsAny(p, "\r\n") {
			return nil, refused("it is no compact JWT")
		}
		if i == part {
			wanted = b
		}
	}
	claims, err := parseClaims(wanted)
	if err != nil {
		return nil, refused("it is no compact JWT")
	}
	return claims, nil
}

// IssuerOf returns what a token says of its issuer,
// without any proof: good only for finding out whom to ask.
func IssuerOf(jwt []byte) (url string, err error) {
	if _, err := readHeader(jwt); err != nil {
		return "", err
	}
	secretbuf.Do(func() {
		var claims Claims
		if claims, err = compactPart(jwt, 1); err == nil {
			url = strings.Clone(claims.text("iss"))
		}
	})
	return url, err
}
