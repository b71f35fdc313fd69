package api

import (
	"net/http"
	"strconv"
	"time"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/wire"
)

// Errors of HTTP itself; all others are the vault's.
var (
	errNoRoute         = secret.ErrNotFound
	errPath            = secret.Invalid("path", `no empty segments and no ".", ".." or "/" as one, in any encoding; a name is one percent-encoded segment`)
	errMethod          = &secret.Error{Code: "method_not_allowed", Detail: "this path does not take that method"}
	errContentType     = &secret.Error{Code: "unsupported_media_type", Field: "Content-Type", Detail: "application/json in UTF-8"}
	errContentEncoding = &secret.Error{Code: "unsupported_media_type", Field: "Content-Encoding", Detail: "bodies are not compressed"}
	errSlow            = &secret.Error{Code: "timeout", Field: "body", Detail: "the request did not arrive in time"}
)

// statusOf is the status of an error: that of wire, which the client shares,
// but for the errors of HTTP itself.
func statusOf(e *secret.Error) int {
	switch e.Code {
	case errMethod.Code:
		return http.StatusMethodNotAllowed
	case errContentType.Code:
		return http.StatusUnsupportedMediaType
	case errSlow.Code:
		return http.StatusRequestTimeout
	}
	return wire.Status(e.Code)
}

// fail is the one place where an error becomes an answer.
func (c *call) fail(err error) {
	c.drain()
	e := secret.Of(err)
	status := statusOf(e)
	h := c.w.Header()
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="fastness"`)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	case http.StatusTooManyRequests:
		h.Set("Retry-After", strconv.FormatInt(int64(max(e.RetryAfter, time.Second)/time.Second), 10))
	}
	var b secretbuf.Builder
	defer b.Release()
	p := wire.ProblemOf(e, c.origin.CorrelationID)
	p.Status, p.Title, p.Explain = status, http.StatusText(status), c.explain(e)
	if wire.Append(&b, p) != nil {
		status = http.StatusInternalServerError
	}
	c.send(status, problemType, &b)
}

// explain is the command that tells why, to those who may ask. What is hidden
// looks like what is not there, so it stands there too; to operators nothing is
// hidden.
func (c *call) explain(e *secret.Error) string {
	switch {
	case c.caller == nil:
		return "" // of no tenant's log
	case e.Code == secret.ErrAccessDenied.Code, e.Code == secret.ErrMFARequired.Code,
		e.Code == secret.ErrNotFound.Code && !c.caller.IsOperator():
		return "fastness access explain --denial " + c.origin.CorrelationID
	}
	return ""
}
