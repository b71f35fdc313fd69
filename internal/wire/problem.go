package wire

import (
	"net/http"

	"fastness/internal/secret"
)

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// Problem is the body of an error (RFC 9457). Its type is "about:blank": the
// status says what it is, and Code, which is stable, says more.
type Problem struct {
	Type          string      `json:"type"`
	Title         string      `json:"title"`
	Status        int         `json:"status"`
	Detail        string      `json:"detail"`
	Code          secret.Code `json:"code"`
	Field         string      `json:"field,omitzero"` // the input at fault, if one is
	Limit         *int64      `json:"limit,omitzero"` // that was reached, if it counts something
	Use           *int64      `json:"use,omitzero"`   // of that limit
	CorrelationID string      `json:"correlationId"`
	Explain       string      `json:"explain,omitzero"` // what tells why, to those who may ask, if it was refused
}

// outcome ties a sentinel to the status it is answered with.
type outcome struct {
	err    *secret.Error
	status int
}

// outcomes has every sentinel once. Where several share a status the first is
// what a client makes of that status when a body tells no code.
var outcomes = []outcome{
	{secret.ErrInvalid, http.StatusBadRequest},
	{secret.ErrLimit, http.StatusBadRequest},
	{secret.ErrUnauthenticated, http.StatusUnauthorized},
	{secret.ErrAccessDenied, http.StatusForbidden},
	{secret.ErrMFARequired, http.StatusForbidden},
	{secret.ErrSuspended, http.StatusForbidden},
	{secret.ErrQuota, http.StatusForbidden},
	{secret.ErrNotFound, http.StatusNotFound},
	{secret.ErrConflict, http.StatusConflict},
	{secret.ErrExists, http.StatusConflict},
	{secret.ErrDeleted, http.StatusConflict},
	{secret.ErrGone, http.StatusGone},
	{secret.ErrArchived, http.StatusGone},
	{secret.ErrNoGenerator, http.StatusUnprocessableEntity},
	{secret.ErrTooMany, http.StatusTooManyRequests},
	{secret.ErrInternal, http.StatusInternalServerError},
	{secret.ErrDecryption, http.StatusInternalServerError},
	{secret.ErrUnavailable, http.StatusServiceUnavailable},
	{secret.ErrUnknownOutcome, http.StatusServiceUnavailable},
}

// Status returns the HTTP status for a code; 500 for one that is unknown.
func Status(code secret.Code) int {
	for _, o := range outcomes {
		if o.err.Code == code {
			return o.status
		}
	}
	return http.StatusInternalServerError
}

// ProblemOf returns the document for an error. The cause stays behind.
func ProblemOf(err *secret.Error, correlationID string) Problem {
	status := Status(err.Code)
	p := Problem{
		Type:          "about:blank",
		Title:         http.StatusText(status),
		Status:        status,
		Detail:        err.Detail,
		Code:          err.Code,
		Field:         err.Field,
		CorrelationID: correlationID,
	}
	if u := err.Usage; u != nil {
		p.Limit, p.Use = &u.Limit, &u.Used
	}
	return p
}

// Err returns the error that the document was made from, without RetryAfter,
// which travels in a header. For a document
// without a code, or with one of a newer server, the status decides.
func (p Problem) Err() *secret.Error {
	e := &secret.Error{Code: p.Code, Field: p.Field, Detail: p.Detail}
	if !known(p.Code) {
		e.Code = StatusError(p.Status).Code
	}
	if e.Detail == "" {
		e.Detail = StatusError(p.Status).Detail
	}
	if p.Limit != nil && p.Use != nil {
		e.Usage = &secret.Usage{Limit: *p.Limit, Used: *p.Use}
	}
	return e
}

func known(code secret.Code) bool {
	for _, o := range outcomes {
		if o.err.Code == code {
			return true
		}
	}
	return false
}

// StatusError returns the sentinel for an answer that carries no code of
// ours, say one of a proxy.
func StatusError(status int) *secret.Error {
	for _, o := range outcomes {
		if o.status == status {
			return o.err
		}
	}
	switch status {
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return secret.ErrUnavailable
	}
	if status >= 400 && status < 500 {
		return secret.ErrInvalid
	}
	return secret.ErrInternal
}
