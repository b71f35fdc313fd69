package main_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fastness/client"
)

// subject is a server whose memory is searched.
type subject struct {
	*process
	target
	url, dir, master string
	operator         string // token
	authority        string // file of the certificate; empty for plain HTTP

	accessKeyID, secretAccessKey string // of the tenant's administrator
}

// keepFreed has Go's runtime leave it to the kernel when memory goes back that it
// has freed. As long as the kernel has no use for it, it stays as it was, and the
// search sees all that a process ever had.
const keepFreed = "GODEBUG=madvdontneed=0"

// startSubject starts a server with a store of its own, and makes a tenant and
// tokens. more are variables for the server's environment, options its flags.
func startSubject(t *testing.T, build string, encrypted bool, more []string, options ...string) *subject {
	t.Helper()
	s := &subject{dir: filepath.Join(t.TempDir(), "store"), master: string(randomText(rand.New(rand.NewPCG(rand.Uint64(), 1)), 64))}
	env := append(more, "SECRETS_MASTER_KEY="+s.master, keepFreed)
	made := runBuild(t, build, env, nil, "operator", "init", "--store", "sqlite:"+s.dir, "--json").succeed(t)
	s.operator = jsonField(t, made, "token")
	s.address = freeAddress(t)
	s.url = "http://" + s.address
	args := append([]string{"server", "--store", "sqlite:" + s.dir, "--listen", s.address}, options...)
	if encrypted {
		s.url = "https://" + s.address
		certificate, key := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
		writeCertificate(t, certificate, key, 1)
		s.authority = certificate
		s.target.tls = trusting(t, certificate)
		args = append(args, "--tls-cert", certificate, "--tls-key", key)
	}
	s.process = startBuild(t, build, env, args...)
	s.until(t, "readiness", s.isReady)
	s.known = []plant{
		{kind: "root key", name: "master key", bytes: []byte(s.master)},
		{kind: "token", name: "operator's", bytes: []byte(s.operator)},
	}
	s.populate(t)
	return s
}

func (s *subject) httpClient() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: s.target.tls, DisableKeepAlives: true}}
}

func (s *subject) isReady() bool {
	r, err := s.httpClient().Get(s.url + "/readyz")
	if err != nil {
		return false
	}
	r.Body.Close()
	return r.StatusCode == http.StatusOK
}

// populate makes some tenants, of which the first takes the load, with a token
// for each of 16 connections.
func (s *subject) populate(t testing.TB) {
	t.Helper()
	operator := &api{base: s.url, token: s.operator, client: s.httpClient()}
	for i := range 4 {
		name := fmt.Sprintf("shop-%d", i)
		made := operator.do(t, http.StatusCreated, "POST", "/api/v1/tenants", map[string]any{"tenant": name}).body
		s.knows("token", "administrator of "+name, jsonField(t, made, "token"))
		s.knows("access-key secret", "of "+name, jsonField(t, made, "secretAccessKey"))
		if i == 0 {
			s.tenant = name
			s.accessKeyID, s.secretAccessKey = jsonField(t, made, "accessKeyId"), jsonField(t, made, "secretAccessKey")
		}
	}
	for i := range 16 {
		principal := fmt.Sprintf("load-%d", i)
		made := operator.do(t, http.StatusCreated, "POST", tenantPath(s.tenant)+"/tokens",
			map[string]any{"principal": principal, "grants": []any{map[string]string{"role": "admin"}}}).body
		s.tokens = append(s.tokens, jsonField(t, made, "token"))
		s.knows("token", principal, s.tokens[i])
	}
}

func (s *subject) knows(kind, name, secret string) {
	s.known = append(s.known, plant{kind: kind, name: name, bytes: []byte(secret)})
}

func jsonField(t testing.TB, object []byte, name string) string {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(object, &fields); err != nil {
		t.Fatalf("%s: %v", object, err)
	}
	text, _ := fields[name].(string)
	if text == "" {
		t.Fatalf("%s has no %s", object, name)
	}
	return text
}

// trusting is the TLS of a client that trusts a certificate.
func trusting(t testing.TB, certificate string) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(certificate)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatal("the certificate is none")
	}
	return &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
}

// goClient is the Go client, with one of the tenant's tokens.
func (s *subject) goClient(t testing.TB) *client.Client {
	t.Helper()
	c := client.Config{Address: s.url, Token: client.NewValue([]byte(s.tokens[0])), Tenant: client.TenantName(s.tenant)}
	if s.authority != "" {
		var err error
		if c.RootCAs, err = os.ReadFile(s.authority); err != nil {
			t.Fatal(err)
		}
	}
	made, err := client.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(made.Close)
	return made
}

// byClient stores and reads values of every kind with the Go client, rotates,
// and is refused.
func (s *subject) byClient(t testing.TB, suite *suite, times int) {
	t.Helper()
	ctx, session := t.Context(), s.goClient(t).Session("")
	for n := range times {
		hybrid := client.HybridQuantum
		for name, p := range map[string]client.Put{
			"text":   {},
			"hybrid": {Patch: client.Patch{Algorithm: &hybrid}},
			"binary": {Kind: client.Binary},
			"absent": {IfAbsent: true},
		} {
			name := client.Name(fmt.Sprintf("client/%s/%d", name, n))
			p.Value = client.NewValue([]byte(suite.value(string(name))))
			_, err := session.Put(ctx, name, p)
			p.Value.Release()
			if err != nil {
				t.Fatalf("storing %s: %v", name, err)
			}
			p.Value = client.NewValue([]byte(suite.value(string(name))))
			if _, err := session.Rotate(ctx, name, client.Put{Value: p.Value}); err != nil {
				t.Fatalf("rotating %s: %v", name, err)
			}
			for _, version := range []client.Selector{{}, {Number: 1}, {Label: client.Previous}} {
				reading, err := session.Get(ctx, name, version)
				if err != nil {
					t.Fatalf("reading %s: %v", name, err)
				}
				reading.Value.Release()
			}
			_, err = session.Put(ctx, name, client.Put{Value: p.Value, IfAbsent: true})
			if !errors.Is(err, client.ErrExists) {
				t.Fatalf("%s exists: %v", name, err)
			}
			p.Value.Release()
		}
	}
	if _, _, err := s.goClient(t).Session("").RotateKey(context.WithoutCancel(ctx)); err != nil {
		t.Fatal(err)
	}
}

// aroundValues are commands about a secret that show no value.
var aroundValues = []string{
	"list", "due", "describe NAME", "versions NAME", "update NAME --description text", "stage move NAME mine --to 1", "stage remove NAME mine",
	"delete NAME --yes", "restore NAME", "audit list --json", "audit checkpoint", "audit redact --secret NAME --yes",
	"delete NAME/hybrid --purge --yes", "token list",
}

// byCommand does with the command line what people and scripts do.
func (s *subject) byCommand(t testing.TB, build string, suite *suite, times int) {
	t.Helper()
	env := clientEnv(s.url, s.tokens[1], s.tenant)
	fastness := func(stdin string, args ...string) []byte {
		t.Helper()
		if s.authority != "" {
			args = append([]string{"--ca-file", s.authority}, args...)
		}
		return runBuild(t, build, env, []byte(stdin), args...).succeed(t)
	}
	for n := range times {
		name := fmt.Sprintf("command/%d", n)
		fastness(suite.value(name), "put", name)
		fastness(suite.value(name), "put", name+"/hybrid", "--algorithm", "hybrid-quantum")
		fastness("", "get", name, "--json")
		fastness("", "get", name+"/hybrid")
		for _, made := range []string{name + "/api-key", name + "/password"} {
			fastness(suite.value(made), "put", made)
			fastness("", "rotate", made)
			suite.learned(kindValue, made+" rotated", fastness("", "get", made))
		}
		fastness(suite.value(name), "rotate", name)
		fastness("", "get", name, "--stage", "previous")
		fastness("", "get", name, "--version", "1")
		fastness("", "run", "--prefix", name+"/", "--", "true")
		imported, _ := json.Marshal(map[string]string{name + "/imported": suite.value(name + "/imported")})
		fastness(string(imported), "import", "-", "--format", "json")
		fastness("", "export", "--format", "json", "--yes")
		for _, words := range aroundValues {
			fastness("", strings.Fields(strings.ReplaceAll(words, "NAME", name))...)
		}
	}
	fastness("", "key", "rotate")
	fastness("", "get", "command/0")
	made := fastness("", "token", "create", "made-by-command", "--grant", "reader", "--json")
	suite.learned("token", "made by command", []byte(strings.TrimSpace(jsonField(t, made, "token"))))
}
