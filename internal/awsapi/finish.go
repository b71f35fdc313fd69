package awsapi

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/wire"
)

// Header values that every answer shares. net/http only reads them.
var (
	mediaType = []string{contentType}
	noStore   = []string{"no-store"}
)

// send is the one way by which a body leaves: its type and length are set and it
// is written at once. The caller wipes the builder.
func (c *call) send(status int, body *secretbuf.Builder) {
	h := c.w.Header()
	h["Content-Type"] = mediaType
	h["Cache-Control"] = noStore
	c.texts[1] = strconv.Itoa(body.Len())
	h["Content-Length"] = c.texts[1:2:2]
	c.status = status
	c.w.WriteHeader(status)
	c.w.Write(body.Bytes()) // who did not wait for the answer is no error: the access is recorded
}

// reply answers with a JSON object.
func (c *call) reply(v any) error {
	var b secretbuf.Builder
	defer b.Release()
	if err := wire.Append(&b, v); err != nil {
		return err
	}
	c.send(http.StatusOK, &b)
	return nil
}

// finish answers an error, wipes the body, counts and logs.
func (c *call) finish(err error, took time.Duration) {
	c.body.Release()
	var f *fault
	if err != nil {
		f = c.faultOf(err)
		if c.status == 0 {
			c.fail(f)
		}
	}
	code := ""
	if f != nil {
		code = f.Type
	}
	c.api.observers[c.name](code, took)
	c.log(f, code, took)
}

// fail is the one place where an error becomes an answer.
func (c *call) fail(f *fault) {
	var b secretbuf.Builder
	defer b.Release()
	b.AppendString(`{"__type":`)
	wire.AppendText(&b, f.Type)
	b.AppendString(`,"Message":`)
	wire.AppendText(&b, f.Message)
	b.AppendString(`}`)
	if f.unavailable() {
		c.w.Header().Set("Retry-After", "1")
	}
	c.send(f.status(), &b)
}

// level is how loud a request is: our own faults always are.
func (c *call) level(f *fault) slog.Level {
	switch {
	case f != nil && f.unavailable():
		return slog.LevelWarn
	case f != nil && (f.Type == typeInternal || f.Type == typeDecryption):
		return slog.LevelError
	case c.api.logRequests:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// log writes the request's line: what it was by the table, never what it was
// about.
func (c *call) log(f *fault, code string, took time.Duration) {
	level := c.level(f)
	if !c.api.log.Enabled(c.context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("route", service+"."+c.name), slog.String("method", http.MethodPost), slog.Int("status", c.status),
		slog.String("correlationId", c.origin.CorrelationID), slog.Duration("duration", took),
	}
	if code != "" {
		attrs = append(attrs, slog.String("code", code))
	}
	if c.caller != nil {
		attrs = append(attrs, slog.String("tenant", string(c.caller.Tenant())))
	}
	if f != nil {
		var known *secret.Error
		if errors.As(f.cause, &known) && known.Cause != nil {
			attrs = append(attrs, slog.String("cause", known.Cause.Error()))
		}
	}
	c.api.log.LogAttrs(c.context(), level, "request", attrs...)
}
