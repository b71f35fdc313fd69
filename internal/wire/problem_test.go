package wire_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fastness/internal/secret"
	"fastness/internal/wire"
)

var statuses = []struct {
	err    *secret.Error
	status int
}{
	{secret.ErrNotFound, 404},
	{secret.ErrUnauthenticated, 401},
	{secret.ErrAccessDenied, 403},
	{secret.ErrMFARequired, 403},
	{secret.ErrSuspended, 403},
	{secret.ErrInvalid, 400},
	{secret.ErrLimit, 400},
	{secret.ErrExists, 409},
	{secret.ErrConflict, 409},
	{secret.ErrDeleted, 409},
	{secret.ErrNoGenerator, 422},
	{secret.ErrTooMany, 429},
	{secret.ErrQuota, 403},
	{secret.ErrDecryption, 500},
	{secret.ErrInternal, 500},
	{secret.ErrUnavailable, 503},
}

// Every sentinel comes back as itself, and as no other.
func TestProblemRoundTrip(t *testing.T) {
	for _, tc := range statuses {
		t.Run(string(tc.err.Code), func(t *testing.T) {
			sent := secret.Of(fmt.Errorf("wrapped: %w", tc.err.With(errors.New("for the operator"))))
			text := encode(t, wire.ProblemOf(sent, "id-1"))
			if strings.Contains(text, "for the operator") {
				t.Errorf("the cause is told: %s", text)
			}
			var p wire.Problem
			if err := wire.DecodeReply(body(t, text), &p); err != nil {
				t.Fatal(err)
			}
			if p.Status != tc.status || p.CorrelationID != "id-1" {
				t.Errorf("got %+v, want status %d", p, tc.status)
			}
			for _, other := range statuses {
				if got, want := errors.Is(p.Err(), other.err), other.err == tc.err; got != want {
					t.Errorf("is %s: %v, want %v", other.err.Code, got, want)
				}
			}
			if p.Err().Error() != tc.err.Error() {
				t.Errorf("got text %q, want %q", p.Err(), tc.err)
			}
		})
	}
}

func TestProblem(t *testing.T) {
	e := secret.Of(secret.Limited("name", "1 to 255 characters"))
	want := `{"type":"about:blank","title":"Bad Request","status":400,"detail":"limit: 1 to 255 characters","code":"limit_exceeded","field":"name","correlationId":"c"}`
	if diff := cmp.Diff(want, encode(t, wire.ProblemOf(e, "c"))); diff != "" {
		t.Error(diff)
	}
	var p wire.Problem
	if err := wire.DecodeReply(body(t, want), &p); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, p.Err()); diff != "" {
		t.Error(diff)
	}
}

// The figures of a limit travel, also where nothing of it is used.
func TestProblemOfLimit(t *testing.T) {
	for _, used := range []int64{0, 3} {
		e := secret.TooMany("too many", time.Minute)
		e.Usage = &secret.Usage{Limit: 3, Used: used}
		text := encode(t, wire.ProblemOf(e, "c"))
		if want := fmt.Sprintf(`"limit":3,"use":%d,`, used); !strings.Contains(text, want) {
			t.Errorf("%s lacks %s", text, want)
		}
		var p wire.Problem
		if err := wire.DecodeReply(body(t, text), &p); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e.Usage, p.Err().Usage); diff != "" {
			t.Error(diff)
		}
	}
	if text := encode(t, wire.ProblemOf(secret.ErrNotFound, "c")); strings.Contains(text, "limit") {
		t.Errorf("figures of no limit: %s", text)
	}
}

// An answer without a code that we know is judged by its status.
func TestForeignProblem(t *testing.T) {
	for _, tc := range []struct {
		status int
		want   *secret.Error
	}{
		{400, secret.ErrInvalid}, {401, secret.ErrUnauthenticated}, {403, secret.ErrAccessDenied}, {404, secret.ErrNotFound},
		{405, secret.ErrInvalid}, {409, secret.ErrConflict}, {413, secret.ErrInvalid}, {422, secret.ErrNoGenerator}, {429, secret.ErrTooMany},
		{500, secret.ErrInternal}, {502, secret.ErrUnavailable}, {503, secret.ErrUnavailable}, {504, secret.ErrUnavailable},
		{0, secret.ErrInternal}, {200, secret.ErrInternal}, {302, secret.ErrInternal}, {599, secret.ErrInternal},
	} {
		for _, code := range []secret.Code{"", "of_a_newer_server"} {
			got := wire.Problem{Status: tc.status, Code: code}.Err()
			if !errors.Is(got, tc.want) || got.Detail != tc.want.Detail {
				t.Errorf("status %d, code %q: got %v, want %v", tc.status, code, got, tc.want)
			}
		}
	}
	if got := wire.Status("of_nobody"); got != 500 {
		t.Errorf("unknown code: status %d, want 500", got)
	}
}
