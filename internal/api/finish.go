package api

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"fastness/internal/secret"
)

// finish answers an error, wipes the body, counts and logs.
func (c *call) finish(err error, took time.Duration, observe func(string, time.Duration)) {
	c.body.Release()
	cut := err != nil && c.status != 0
	if err != nil && !cut {
		c.fail(err)
	}
	code := c.result(err)
	observe(code, took)
	c.log(err, code, took)
	if cut {
		// The answer has begun: that it is not whole can only be told by
		// cutting the connection.
		panic(http.ErrAbortHandler)
	}
}

// canceled is the result of a stream whose reader did not wait for its end.
const canceled = "canceled"

// result names how the request ended; empty for success.
func (c *call) result(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errReader):
		return canceled
	}
	return string(secret.Of(err).Code)
}

// level is how loud a request is: our own faults always are.
func (c *call) level(code string) slog.Level {
	switch {
	case code == string(secret.ErrInternal.Code), code == string(secret.ErrDecryption.Code):
		return slog.LevelError
	case code == string(secret.ErrUnavailable.Code), code == string(secret.ErrUnknownOutcome.Code):
		return slog.LevelWarn
	case c.api.logRequests:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// log writes the request's line: what it was by the table, never what it was
// about.
func (c *call) log(err error, code string, took time.Duration) {
	level := c.level(code)
	if !c.api.log.Enabled(c.context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("route", c.route.Pattern), slog.String("method", c.route.Method), slog.Int("status", c.status),
		slog.String("correlationId", c.origin.CorrelationID), slog.Duration("duration", took),
	}
	if code != "" {
		attrs = append(attrs, slog.String("code", code))
	}
	if c.caller != nil {
		attrs = append(attrs, slog.String("tenant", string(c.caller.Tenant())))
	}
	if err != nil {
		if cause := secret.Of(err).Cause; cause != nil {
			attrs = append(attrs, slog.String("cause", cause.Error()))
		}
	}
	c.api.log.LogAttrs(c.context(), level, "request", attrs...)
}
