package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fastness/internal/api"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/teststore"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

// service is the API over a real vault.
type service struct {
	t        *testing.T
	place    teststore.Place
	vault    *vault.Vault
	api      *api.API
	http     *httptest.Server
	operator string
	stop     context.CancelFunc

	mu     sync.Mutex // guards the rest
	log    bytes.Buffer
	served []string // "METHOD pattern code", in order
}

const testMaster = "a test's root key is at least sixty-four characters long, is it not?"

func newService(t *testing.T) *service {
	t.Helper()
	s := newNode(t, teststore.New(t))
	token, err := s.vault.Operator(s.vault.Local(vault.Origin{})).InitToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer token.Token.Release()
	s.operator = string(token.Token.Bytes())
	return s
}

// newNode serves what is kept in a place; its operator is made elsewhere.
func newNode(t *testing.T, place teststore.Place) *service {
	t.Helper()
	s := &service{t: t, place: place}
	logger := slog.New(slog.NewJSONHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug}))
	master := secretbuf.Take([]byte(testMaster))
	defer master.Release()
	db, err := place.Open(t.Context(), logger)
	if err != nil {
		t.Fatal(err)
	}
	s.vault, err = vault.Open(t.Context(), vault.Config{Store: db, Master: master, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	var stopping context.Context
	stopping, s.stop = context.WithCancel(context.Background())
	s.api = api.New(api.Config{Vault: s.vault, Logger: logger, LogRequests: true, Metrics: s.count, Stopping: stopping})
	s.http = httptest.NewServer(s.api)
	t.Cleanup(func() {
		s.stop()
		s.http.Close()
		if err := s.vault.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Write takes the log.
func (s *service) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

func (s *service) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func (s *service) count(method, route string) func(string, time.Duration) {
	return func(code string, _ time.Duration) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.served = append(s.served, strings.TrimSpace(method+" "+route+" "+code))
	}
}

// answered is how many requests have come to their end.
func (s *service) answered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.served)
}

// lastServed tells which row answered the last request.
func (s *service) lastServed() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.served) == 0 {
		return ""
	}
	return s.served[len(s.served)-1]
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// problem decodes a refusal.
func (a answer) problem(t *testing.T) wire.Problem {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != wire.ProblemType {
		t.Fatalf("%d answer has type %q: %s", a.status, got, a.body)
	}
	var p wire.Problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	if p.Status != a.status || p.CorrelationID == "" || p.CorrelationID != a.header.Get("X-Correlation-Id") {
		t.Errorf("status %d and correlation id %q do not fit the problem %s", a.status, a.header.Get("X-Correlation-Id"), a.body)
	}
	return p
}

// do sends a request to a path under the prefix and checks that the answer is
// one that the document announces.
func (s *service) do(method, path, token, body string) answer {
	s.t.Helper()
	request, err := http.NewRequest(method, s.http.URL+api.Prefix+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body == "" {
		request.Body = nil
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return s.send(request)
}

func (s *service) send(request *http.Request) answer {
	s.t.Helper()
	response, err := s.http.Client().Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	s.checkAnnounced(request.Method, response)
	return answer{response.StatusCode, response.Header, string(body)}
}

// checkAnnounced fails for a status that the route's row does not list.
func (s *service) checkAnnounced(method string, r *http.Response) {
	s.t.Helper()
	served := s.lastServed()
	for _, row := range api.Routes() {
		if row.Method != method || !strings.HasPrefix(served+" ", row.Method+" "+row.Pattern+" ") {
			continue
		}
		if !slices.Contains(row.Statuses(), r.StatusCode) {
			s.t.Errorf("%s %s answers %d, which is not announced", row.Method, row.Pattern, r.StatusCode)
		}
		media := row.MediaType()
		switch {
		case r.StatusCode >= 400:
			media = wire.ProblemType
		case r.StatusCode == http.StatusNoContent:
			media = ""
		}
		if got := r.Header.Get("Content-Type"); got != media {
			s.t.Errorf("%s %s answers %d with type %q, not %q", row.Method, row.Pattern, r.StatusCode, got, media)
		}
	}
}

// must sends a request and decodes the answer, which must have the status.
func must[T any](s *service, status int, method, path, token, body string) (v T) {
	s.t.Helper()
	a := s.do(method, path, token, body)
	if a.status != status {
		s.t.Fatalf("%s %s: %d, want %d: %s", method, path, a.status, status, a.body)
	}
	if a.body != "" {
		if err := json.Unmarshal([]byte(a.body), &v); err != nil {
			s.t.Fatalf("%s %s: %v: %s", method, path, err, a.body)
		}
	}
	return v
}

// refused sends a request, which must be refused with the status and code.
func (s *service) refused(status int, code *secret.Error, method, path, token, body string) wire.Problem {
	s.t.Helper()
	a := s.do(method, path, token, body)
	p := a.problem(s.t)
	if a.status != status || p.Code != code.Code {
		s.t.Fatalf("%s %s: %d %s, want %d %s: %s", method, path, a.status, p.Code, status, code.Code, a.body)
	}
	return p
}

// tenant makes a tenant and returns its administrator's token.
func (s *service) tenant(name string) string {
	s.t.Helper()
	made := must[struct{ Token string }](s, 201, "POST", "/tenants", s.operator, fmt.Sprintf(`{"tenant":%q}`, name))
	return made.Token
}

// token makes a token of a tenant with one grant.
func (s *service) token(tenant, admin, role string, patterns ...string) string {
	s.t.Helper()
	grant := map[string]any{"role": role}
	if patterns != nil {
		grant["patterns"] = patterns
	}
	body, err := json.Marshal(map[string]any{"principal": role, "grants": []any{grant}})
	if err != nil {
		s.t.Fatal(err)
	}
	return must[struct{ Token string }](s, 201, "POST", "/tenants/"+tenant+"/tokens", admin, string(body)).Token
}

// put stores a text value.
func (s *service) put(tenant, name, token, value string) wire.Written {
	s.t.Helper()
	a := s.do("PUT", secretPath(tenant, name)+"/value", token, fmt.Sprintf(`{"value":%q}`, value))
	var w wire.Written
	if err := json.Unmarshal([]byte(a.body), &w); err != nil || a.status >= 300 {
		s.t.Fatalf("put %s: %d %s", name, a.status, a.body)
	}
	return w
}

func secretPath(tenant, name string) string {
	return "/tenants/" + tenant + "/secrets/" + url.PathEscape(name)
}

// entries lists a tenant's audit entries, newest first.
func (s *service) entries(tenant, query string) []entry {
	s.t.Helper()
	path := "/tenants/" + tenant + "/audit"
	if tenant == "" {
		path = "/audit"
	}
	return must[struct{ Items []entry }](s, 200, "GET", path+"?order=desc&limit=500&"+query, s.operator, "").Items
}

// entry is what the tests look at of an audit entry.
type entry struct {
	Index                                                                int64
	Action, SecretName, TenantID, UserID, Result, Error, CorrelationID   string
	IPAddress, UserAgent, Version, OldVersion, NewVersion, Nonce, Detail string
}

// names lists all of a tenant's secrets.
func (s *service) names(tenant string) (names []string) {
	s.t.Helper()
	for _, deleted := range []string{"", "&deleted=true"} {
		for _, i := range must[struct{ Items []wire.Secret }](s, 200, "GET", "/tenants/"+tenant+"/secrets?limit=500"+deleted, s.operator, "").Items {
			names = append(names, i.Name)
		}
	}
	return names
}
