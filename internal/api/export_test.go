package api

import (
	"net/http"
	"net/url"
	"time"

	"fastness/internal/secretbuf"
)

// ServeWith answers every request as a route with that handler would, without
// authentication.
func ServeWith(a *API, f func() error) http.Handler {
	row := &Route{Method: "GET", Pattern: "/test", Open: true, handle: func(*call) error { return f() }}
	return a.pathHandler([]*Route{row}, func(string, string) func(string, time.Duration) { return func(string, time.Duration) {} })
}

// Unambiguous is what a path must be to reach the mux.
func Unambiguous(u *url.URL) bool { return unambiguous(u) }

// Bearer takes the token out of a header.
func Bearer(h http.Header) *secretbuf.Buffer { return bearer(h) }

// Inert is inert, for a test.
var Inert = inert
