package rotation

import (
	"context"
	"errors"
	"fmt"

	"fastness/internal/secret"
)

// Class says what kind of thing went wrong with a rotation, for alerts and for
// the decision what to do next.
type Class string

// The classes of failure.
const (
	// Unreachable is a target that did not answer in time, or not fully:
	// nobody knows what it did.
	Unreachable Class = "unreachable"
	// Refused is a target that answered and would not.
	Refused Class = "refused"
	// Unverified is a credential that the target does not accept.
	Unverified Class = "verification_failed"
	// Misconfigured is a config or a secret's value that cannot work.
	Misconfigured Class = "config"
)

// Error is a failed step of a rotation. Its text may be shown to the tenant
// and never holds a part of a value, nor what a target said, which may quote
// one; Cause is for the operator's log.
type Error struct {
	Class  Class
	Detail string
	Cause  error
}

// The classes as errors, for errors.Is.
var (
	ErrUnreachable   = &Error{Class: Unreachable, Detail: "the target does not answer"}
	ErrRefused       = &Error{Class: Refused, Detail: "the target refuses"}
	ErrUnverified    = &Error{Class: Unverified, Detail: "the target does not accept the credential"}
	ErrMisconfigured = &Error{Class: Misconfigured, Detail: "the rotation is not configured well"}
)

// Error returns the text for the tenant.
func (e *Error) Error() string { return e.Detail }

// Is matches any *Error of the same class.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Class == e.Class
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// ClassOf returns the class of a step's error: that of the *Error within, or
// Unreachable, since of any other nobody knows what it left behind.
func ClassOf(err error) Class {
	if e, ok := asError(err); ok {
		return e.Class
	}
	switch {
	case errors.Is(err, secret.ErrInvalid), errors.Is(err, secret.ErrLimit), errors.Is(err, secret.ErrNotFound), errors.Is(err, secret.ErrDeleted):
		return Misconfigured
	}
	return Unreachable
}

func unreachable(cause error) error {
	detail := ErrUnreachable.Detail
	if errors.Is(cause, context.DeadlineExceeded) {
		detail = "the target did not answer in time"
	}
	return &Error{Unreachable, detail, cause}
}

func refused(cause error, format string, args ...any) error {
	return &Error{Refused, fmt.Sprintf(format, args...), cause}
}

func unverified(cause error) error { return &Error{Unverified, ErrUnverified.Detail, cause} }

// misconfigured is an ErrMisconfigured that names a field of the config or of
// the value; it also matches secret.ErrInvalid, so that a front answers as to
// any bad input.
func misconfigured(field, rule string) error {
	cause := secret.Invalid(field, rule)
	return &Error{Misconfigured, cause.Error(), cause}
}

func asError(err error) (e *Error, ok bool) {
	ok = errors.As(err, &e)
	return e, ok
}
