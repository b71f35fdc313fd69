package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/wire"
)

// ErrNoTenant is a call with an operator's token and no tenant named.
var ErrNoTenant = errors.New("the token is an operator's, of no tenant: name one")

// Error is a refusal or failure that the server answered with. It matches the
// sentinel of its code under errors.Is: errors.Is(err, client.ErrNotFound).
type Error struct {
	Status        int    // of HTTP
	Code          Code   // stable name of the error
	Field         string // the input at fault, if one is
	Detail        string
	CorrelationID string        // finds the audit entry; the id of a denial
	Explain       string        // command that tells why, to those who may ask; empty if access was certainly not refused
	Usage         *Usage        // of the limit that was reached; nil where nothing is counted
	RetryAfter    time.Duration // what the server asks to wait; 0 if it asks nothing
	cause         *secret.Error
}

// Error returns the server's words.
func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Detail
	}
	return e.Detail
}

// Unwrap returns the *secret.Error that sentinels match.
func (e *Error) Unwrap() error { return e.cause }

// maxProblem bounds what is read of an error's body.
const maxProblem = 64 << 10

// errorOf reads an error answer. One without a body of ours, say of a proxy,
// still gets the sentinel of its status.
func errorOf(r *http.Response) *Error {
	e := &Error{Status: r.StatusCode, RetryAfter: retryAfter(r.Header.Get("Retry-After"))}
	body, err := secretbuf.ReadAll(io.LimitReader(r.Body, maxProblem), maxProblem)
	if err == nil {
		defer body.Release()
	}
	var p wire.Problem
	if err != nil || wire.DecodeReply(body, &p) != nil || p.Code == "" {
		sentinel := wire.StatusError(r.StatusCode)
		e.Code, e.cause = sentinel.Code, sentinel
		e.Detail = fmt.Sprintf("the server answered %d %s without saying why", r.StatusCode, http.StatusText(r.StatusCode))
		return e
	}
	e.cause = p.Err()
	e.cause.RetryAfter = e.RetryAfter
	e.Code, e.Field, e.Detail, e.Usage = e.cause.Code, e.cause.Field, e.cause.Detail, e.cause.Usage
	e.CorrelationID, e.Explain = p.CorrelationID, p.Explain
	return e
}

// retryAfter reads the header's form in seconds, the one that our server sends.
func retryAfter(s string) time.Duration {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
