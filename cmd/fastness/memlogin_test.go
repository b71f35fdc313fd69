package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// byLogin lets people and services in: by passwords, right and wrong, with codes and
// recovery codes, and by tokens of an issuer, of which each works once.
func (s *subject) byLogin(t testing.TB, suite *suite, times int) {
	t.Helper()
	admin := &api{base: s.url, token: s.tokens[2], client: s.httpClient()}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keySet, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "ES256"}}})
	if err != nil {
		t.Fatal(err)
	}
	admin.do(t, http.StatusOK, "PUT", tenantPath(s.tenant)+"/issuers/ci", map[string]any{
		"url": "https://ci.example", "audiences": []string{"fastness"},
		"keySet":   string(keySet),
		"bindings": []any{map[string]any{"match": map[string]any{"sub": []string{"job-*"}}, "principal": "ci", "create": true, "grants": []any{map[string]any{"role": "reader"}}}},
	})
	for n := range times {
		s.personLogsIn(t, suite, admin, fmt.Sprintf("person-%d", n))
		token := identityToken(t, key, n)
		suite.learned("identity token", fmt.Sprint(n), []byte(token))
		trade := func(status int) []byte {
			return s.as("").do(t, status, "POST", tenantPath(s.tenant)+"/auth/jwt", map[string]any{"token": token}).body
		}
		suite.learned("session token", fmt.Sprintf("by an identity token, %d", n), []byte(jsonField(t, trade(http.StatusCreated), "token")))
		trade(http.StatusUnauthorized)
	}
}

// as is a client with a token.
func (s *subject) as(token string) *api {
	return &api{base: s.url, token: token, client: s.httpClient()}
}

func (s *subject) personLogsIn(t testing.TB, suite *suite, admin *api, name string) {
	t.Helper()
	password, wrong := suite.value("password of "+name), suite.value("wrong password of "+name)
	admin.do(t, http.StatusCreated, "POST", tenantPath(s.tenant)+"/principals",
		map[string]any{"name": name, "kind": "person", "grants": []any{map[string]string{"role": "reader"}}})
	admin.do(t, http.StatusNoContent, "PUT", tenantPath(s.tenant)+"/principals/"+name+"/password", map[string]any{"password": password})
	login := func(status int, password string) []byte {
		return s.as("").do(t, status, "POST", tenantPath(s.tenant)+"/auth/password", map[string]any{"principal": name, "password": password}).body
	}
	login(http.StatusUnauthorized, wrong)
	token := jsonField(t, login(http.StatusCreated, password), "token")
	suite.learned("session token", name, []byte(token))

	me := s.as(token)
	made := me.do(t, http.StatusCreated, "POST", "/api/v1/mfa/totp", map[string]any{}).body
	uri := jsonField(t, made, "uri")
	shared := secretOf(t, uri)
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(shared)
	if err != nil {
		t.Fatal(err)
	}
	suite.learned("TOTP secret", name+", in base32", []byte(shared))
	suite.learned("TOTP secret", name, raw)
	confirmed := me.do(t, http.StatusOK, "POST", "/api/v1/mfa/totp/"+jsonField(t, made, "id")+"/confirm", map[string]any{"code": codeFrom(t, uri)}).body
	codes := codesIn(t, confirmed)
	for i, code := range codes {
		suite.learned("recovery code", fmt.Sprintf("%s, %d", name, i), []byte(code))
	}
	for _, status := range []int{http.StatusOK, http.StatusForbidden} {
		me.do(t, status, "POST", "/api/v1/mfa/verify", map[string]any{"code": codes[0]})
	}
	changed := suite.value("new password of " + name)
	me.do(t, http.StatusNoContent, "PUT", "/api/v1/password", map[string]any{"oldPassword": password, "password": changed})
	me.do(t, http.StatusNoContent, "POST", "/api/v1/logout", nil)
}

// codesIn are the recovery codes of an answer.
func codesIn(t testing.TB, answer []byte) (codes []string) {
	t.Helper()
	codes = strings.Fields(jsonField(t, answer, "recoveryCodes"))
	if len(codes) != 10 {
		t.Fatalf("%d recovery codes", len(codes))
	}
	return codes
}

func identityToken(t testing.TB, key *ecdsa.PrivateKey, n int) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	payload, err := json.Marshal(map[string]any{
		"iss": "https://ci.example", "aud": "fastness", "sub": fmt.Sprintf("job-%d", n), "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}
