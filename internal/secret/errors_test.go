package secret_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"fastness/internal/secret"
)

var sentinels = []*secret.Error{
	secret.ErrNotFound, secret.ErrUnauthenticated, secret.ErrAccessDenied, secret.ErrMFARequired, secret.ErrInvalid, secret.ErrLimit, secret.ErrExists,
	secret.ErrConflict, secret.ErrDeleted, secret.ErrSuspended, secret.ErrDecryption, secret.ErrTooMany, secret.ErrQuota,
	secret.ErrNoGenerator, secret.ErrUnavailable, secret.ErrInternal,
}

// The codes are a promise to clients and to readers of the audit log.
func TestCodes(t *testing.T) {
	want := []secret.Code{"not_found", "unauthenticated", "access_denied", "mfa_required", "invalid_request", "limit_exceeded", "already_exists",
		"conflict", "deleted", "tenant_suspended", "decryption_failed", "too_many_requests", "quota_exceeded", "no_generator", "unavailable", "internal"}
	for i, e := range sentinels {
		if e.Code != want[i] || e.Detail == "" || e.Field != "" || e.Cause != nil {
			t.Errorf("got %+v, want code %s", e, want[i])
		}
	}
}

// An error is its own sentinel through wrapping and causes, and no other.
func TestIs(t *testing.T) {
	for _, e := range sentinels {
		err := fmt.Errorf("reading: %w", e.With(io.ErrUnexpectedEOF))
		for _, other := range sentinels {
			if got, want := errors.Is(err, other), e == other; got != want {
				t.Errorf("%s is %s: %v", e.Code, other.Code, got)
			}
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: the cause is lost", e.Code)
		}
		if e.Cause != nil {
			t.Errorf("%s: With changed the sentinel", e.Code)
		}
		if got := secret.Of(err); got.Code != e.Code || got.Error() != e.Error() {
			t.Errorf("Of: got %v, want %v", got, e)
		}
		if errors.Is(e, io.EOF) {
			t.Errorf("%s is io.EOF", e.Code)
		}
	}
}

func TestConstructors(t *testing.T) {
	for _, tc := range []struct {
		err      error
		sentinel *secret.Error
		text     string
	}{
		{secret.Invalid("name", "only letters"), secret.ErrInvalid, "name: only letters"},
		{secret.Limited("tags", "at most 50"), secret.ErrLimit, "tags: limit: at most 50"},
		{secret.Conflict("the label moved"), secret.ErrConflict, "the label moved"},
		{secret.Exceeded("bytes", 100, 90, 11), secret.ErrQuota, "bytes: the quota is 100: 90 in use, 11 more asked for"},
		{secret.TooMany("too many bad credentials", 0), secret.ErrTooMany, "too many bad credentials; try again in 1 s"},
		{secret.TooMany("too many requests", time.Second+1), secret.ErrTooMany, "too many requests; try again in 2 s"},
	} {
		if !errors.Is(tc.err, tc.sentinel) || tc.err.Error() != tc.text {
			t.Errorf("got %v, want %s: %s", tc.err, tc.sentinel.Code, tc.text)
		}
	}
}

// The wait is told in the text and beside it, and is the same in both.
func TestTooManyWaits(t *testing.T) {
	for wait, want := range map[time.Duration]time.Duration{
		-time.Hour: time.Second, 0: time.Second, 1: time.Second, time.Second: time.Second,
		time.Second + 1: 2 * time.Second, time.Minute: time.Minute,
	} {
		if got := secret.TooMany("x", wait).RetryAfter; got != want {
			t.Errorf("a wait of %v is told as %v, want %v", wait, got, want)
		}
	}
}

// What the operator may know stays out of the text for the caller.
func TestCauseIsNotPrinted(t *testing.T) {
	cause := errors.New("disk /dev/sda1 is full")
	for _, err := range []error{secret.ErrUnavailable.With(cause), secret.Of(cause)} {
		if got := err.Error(); got != "the service cannot do this now; try again" && got != "internal error" {
			t.Errorf("got %q", got)
		}
		if !errors.Is(err, cause) {
			t.Errorf("%v: the cause is lost", err)
		}
	}
	if got := secret.Of(cause); !errors.Is(got, secret.ErrInternal) {
		t.Errorf("an unknown error is %v, want ErrInternal", got)
	}
}
