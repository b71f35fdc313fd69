package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fastness/internal/api"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/wire"
)

// answerTo serves an error as a handler's.
func answerTo(t *testing.T, s *service, f func() error) (*http.Response, wire.Problem) {
	t.Helper()
	recorder := httptest.NewRecorder()
	api.ServeWith(s.api, f).ServeHTTP(recorder, httptest.NewRequest("GET", "/test", nil))
	response := recorder.Result()
	body, err := secretbuf.ReadAll(response.Body, 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Release()
	var p wire.Problem
	if err := wire.DecodeReply(body, &p); err != nil {
		t.Fatal(err)
	}
	return response, p
}

// TestErrorsGoRound: what the vault returns is what a client makes of the
// answer; what only the operator may know stays behind.
func TestErrorsGoRound(t *testing.T) {
	s := newService(t)
	for _, want := range []*secret.Error{
		secret.ErrNotFound, secret.ErrUnauthenticated, secret.ErrAccessDenied, secret.ErrMFARequired, secret.ErrInvalid,
		secret.ErrLimit, secret.ErrExists, secret.ErrConflict, secret.ErrDeleted, secret.ErrSuspended, secret.ErrDecryption,
		secret.ErrNoGenerator, secret.ErrTooMany, secret.ErrQuota, secret.ErrUnavailable, secret.ErrInternal,
	} {
		thrown := fmt.Errorf("outer: %w", (&secret.Error{Code: want.Code, Field: "f", Detail: want.Detail}).With(errors.New("inner cause")))
		response, p := answerTo(t, s, func() error { return thrown })
		got := p.Err()
		if !errors.Is(got, want) || got.Field != "f" || got.Detail != want.Detail {
			t.Errorf("%s came back as %+v", want.Code, got)
		}
		if response.StatusCode != p.Status || p.Status != wire.Status(want.Code) || p.Title != http.StatusText(p.Status) || p.Type != "about:blank" {
			t.Errorf("%s: status %d, problem %+v", want.Code, response.StatusCode, p)
		}
		if retry := response.Header.Get("Retry-After"); (retry != "") != (p.Status == 503 || p.Status == 429) {
			t.Errorf("%s: Retry-After %q", want.Code, retry)
		}
	}
	response, _ := answerTo(t, s, func() error { return secret.TooMany("too many", 90*time.Second) })
	if got := response.Header.Get("Retry-After"); got != "90" {
		t.Errorf("Retry-After %q, want 90", got)
	}
	_, p := answerTo(t, s, func() error { return errors.New("disk sda1 on fire") })
	if diff := cmp.Diff(wire.Problem{Type: "about:blank", Title: "Internal Server Error", Status: 500,
		Detail: "internal error", Code: "internal", CorrelationID: p.CorrelationID}, p); diff != "" {
		t.Errorf("unknown error:\n%s", diff)
	}
	if !strings.Contains(s.logged(), "disk sda1 on fire") {
		t.Error("the operator's log lacks the cause")
	}
}

// TestPanic: a fault of ours is answered, and its log holds no value.
func TestPanic(t *testing.T) {
	s := newService(t)
	_, p := answerTo(t, s, func() error { panic("value-in-a-panic") })
	if p.Code != secret.ErrInternal.Code {
		t.Errorf("problem %+v", p)
	}
	log := s.logged()
	if strings.Contains(log, "value-in-a-panic") {
		t.Error("the log holds what was passed to panic")
	}
	if !strings.Contains(log, "panic with a string at ") || !strings.Contains(log, "TestPanic") || !strings.Contains(log, p.CorrelationID) {
		t.Errorf("the log does not say where: %s", log)
	}
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("an abort must pass")
		}
	}()
	answerTo(t, s, func() error { panic(http.ErrAbortHandler) })
}

// TestLogsNameNothing plants words in every place of a request and looks for
// them in the log.
func TestLogsNameNothing(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	s.put("acme", "planted-name", admin, "planted-value")
	path := secretPath("acme", "planted-name")
	s.do("GET", path+"/value", admin, "")
	s.do("GET", path+"/value?stage=planted-stage", admin, "")
	s.do("GET", path+"/value?planted-query=planted-argument", admin, "")
	s.do("PUT", path+"/value", admin, `{"value":7,"planted-field":"planted-value"}`)
	s.do("PUT", path+"/value", admin, `{"planted-value`)
	s.do("PATCH", path, admin, `{"description":"planted-description","tags":{"planted-tag":"planted-tag"}}`)
	s.do("GET", "/tenants/planted%20tenant", admin, "")
	s.do("GET", "/planted/path", admin, "")
	s.do("GET", "/whoami", "planted-token", "")
	s.do("PURGE", path, admin, "")
	log := s.logged()
	if strings.Contains(log, "planted") {
		t.Errorf("the log names what a request was about:\n%s", log)
	}
	for _, want := range []string{`"route":"/api/v1/tenants/{tenant}/secrets/{name}/value"`, `"status":201`, `"code":"invalid_request"`, `"tenant":"acme"`, `"correlationId":"`, `"duration":`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
}

// TestErrorsEchoNothing: what a client put in the wrong place is not repeated
// to it, nor to the audit log.
func TestErrorsEchoNothing(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	path := secretPath("acme", "x")
	for _, body := range []string{
		`{"value":"v","description":7,"planted":"planted"}`, `{"planted":1}`, `{"value":"planted`, `{"value":"v","tags":{"a":planted}}`,
		`{"value":"v","requestToken":"planted"}`, `{"value":"v","algorithm":"planted"}`, `{"value":"v","rotationInterval":"planted"}`,
		`{"valueBase64":"planted!"}`, `{"value":"v"}planted`, "{\"value\":\"planted\xff\"}", `{"value":"v","accessPolicy":{"planted":1}}`,
	} {
		if a := s.do("PUT", path+"/value", admin, body); a.status != 400 || strings.Contains(a.body, "planted") {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	for _, e := range s.entries("acme", "result=failed") {
		if strings.Contains(e.Error+e.Detail, "planted") {
			t.Errorf("entry: %+v", e)
		}
	}
}
