package secret

import (
	"errors"
	"fmt"
	"time"
)

// Code is the stable name of an error, the same in the library, in HTTP
// answers and in the audit log.
type Code string

// Error is an error of the business. Its text may be shown to the caller; what
// only the operator may know is in Cause, which Error does not print.
//
// Errors with the same code match under errors.Is, so that callers compare
// with the sentinels below.
type Error struct {
	Code   Code
	Field  string // the input at fault, if one is
	Detail string // for the caller; names the limit where one was passed
	Cause  error  // for the operator's log, never for the caller

	Usage      *Usage        // of the limit that was reached; nil where nothing is counted
	RetryAfter time.Duration // when it is worth trying again; 0 where waiting alone does not help
}

// Usage is how much of a limit is used.
type Usage struct {
	Limit int64 // the tightest one that holds
	Used  int64
}

// Error returns the text for the caller.
func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Detail
	}
	return e.Detail
}

// Is matches any *Error of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// The states that callers branch on.
var (
	// ErrNotFound is the one answer for "not there" and "not yours".
	ErrNotFound = &Error{Code: "not_found", Detail: "there is no such resource"}
	// ErrUnauthenticated is a missing, unknown, expired or revoked credential.
	ErrUnauthenticated = &Error{Code: "unauthenticated", Detail: "a valid credential is required"}
	// ErrAccessDenied is a known caller who may not do this.
	ErrAccessDenied = &Error{Code: "access_denied", Detail: "the caller may not do this"}
	// ErrMFARequired is a caller who needs a fresh second factor for this.
	ErrMFARequired = &Error{Code: "mfa_required", Detail: "a fresh second factor is required"}
	// ErrInvalid is input that breaks a rule.
	ErrInvalid = &Error{Code: "invalid_request", Detail: "the request is not valid"}
	// ErrLimit is input that passes a limit.
	ErrLimit = &Error{Code: "limit_exceeded", Detail: "a limit was passed"}
	// ErrExists is a name that is taken.
	ErrExists = &Error{Code: "already_exists", Detail: "the name is already taken"}
	// ErrConflict is a state other than the caller expected: a request token
	// used with another value, a label that has moved.
	ErrConflict = &Error{Code: "conflict", Detail: "the state is not the expected one"}
	// ErrDeleted is a secret in its recovery window.
	ErrDeleted = &Error{Code: "deleted", Detail: "the secret is scheduled for deletion"}
	// ErrSuspended is a tenant that is suspended.
	ErrSuspended = &Error{Code: "tenant_suspended", Detail: "the tenant is suspended"}
	// ErrDecryption is a stored value that does not open.
	ErrDecryption = &Error{Code: "decryption_failed", Detail: "the stored value could not be opened"}
	// ErrTooMany is a caller, or an address, that asks too often for now.
	ErrTooMany = &Error{Code: "too_many_requests", Detail: "too many requests; try again later"}
	// ErrQuota is a write that would take a tenant past one of its quotas.
	ErrQuota = &Error{Code: "quota_exceeded", Detail: "a quota of the tenant is used up"}
	// ErrGone is a position in a tenant's events from which nobody can go on.
	ErrGone = &Error{Code: "gone", Detail: "the events after this id are not told any more; read anew what you need, and follow from now on"}
	// ErrArchived is an entry of the audit log that is kept in an archive alone.
	ErrArchived = &Error{Code: "archived", Detail: "these entries of the audit log were archived"}
	// ErrNoGenerator is a rotation without a value and without a rule to make one.
	ErrNoGenerator = &Error{Code: "no_generator", Detail: "no rule makes a value for this name; give one, or use a name that contains \"password\" or \"api-key\""}
	// ErrUnavailable is a store or an audit log that cannot be written now.
	ErrUnavailable = &Error{Code: "unavailable", Detail: "the service cannot do this now; try again"}
	// ErrUnknownOutcome is a change of which nobody knows whether it was made: the
	// store went away while it committed. Under the same request token it can be
	// sent again; of others the audit log tells.
	ErrUnknownOutcome = &Error{Code: "outcome_unknown", Detail: "the store went away before it said whether this was done; look before you try again, or send it again under the same request token"}
	// ErrInternal is a fault of ours.
	ErrInternal = &Error{Code: "internal", Detail: "internal error"}
)

// Invalid is an ErrInvalid that names the field and the rule.
func Invalid(field, rule string) error {
	return &Error{Code: ErrInvalid.Code, Field: field, Detail: rule}
}

// Archived is an ErrArchived that names the range: the entries before a leaf index.
func Archived(size int64) error {
	return &Error{Code: ErrArchived.Code, Detail: fmt.Sprintf("the entries with an index from 0 to %d were archived: their hashes are here, "+
		"their text is in the archive alone; give that with --archive", size-1)}
}

// Limited is an ErrLimit that names the field and the limit.
func Limited(field, limit string) error {
	return &Error{Code: ErrLimit.Code, Field: field, Detail: "limit: " + limit}
}

// TooMany is an ErrTooMany that says of what, and how long to wait: whole
// seconds, at least one.
func TooMany(what string, wait time.Duration) *Error {
	seconds := max((wait+time.Second-1)/time.Second, 1)
	return &Error{
		Code: ErrTooMany.Code, Detail: fmt.Sprintf("%s; try again in %d s", what, seconds),
		RetryAfter: seconds * time.Second,
	}
}

// Exceeded is an ErrQuota that names the quota, its limit, how much of it is
// used, and how much more was asked for.
func Exceeded(quota string, limit, used, more int64) *Error {
	return &Error{
		Code: ErrQuota.Code, Field: quota, Usage: &Usage{Limit: limit, Used: used},
		Detail: fmt.Sprintf("the quota is %d: %d in use, %d more asked for", limit, used, more),
	}
}

// Conflict is an ErrConflict that says what was expected.
func Conflict(detail string) error { return &Error{Code: ErrConflict.Code, Detail: detail} }

// With returns a copy of the sentinel that carries a cause for the operator.
func (e *Error) With(cause error) error {
	c := *e
	c.Cause = cause
	return &c
}

// Of returns the *Error within err, or an ErrInternal that carries err: the
// last stop before an answer leaves.
func Of(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: ErrInternal.Code, Detail: ErrInternal.Detail, Cause: err}
}
