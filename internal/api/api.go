// Package api is the native HTTP API: it decodes requests, calls the vault and
// encodes answers. It holds no rule of the business.
//
// The key idea is the table in routes.go. A row says everything about a route:
// method, pattern, who may call it, how much body it takes, how long it may
// run, which query parameters it knows, and its handler. One adapter
// (adapter.go) does for all rows what is the same: the correlation id,
// authentication, the body in a wiped buffer, the error as a problem document,
// the log line and the metrics. The OpenAPI document is tested against the
// table.
//
// The package guarantees that a path is either one row's or nobody's (never a
// redirect, never another row by way of encoding), that a request refused
// before it reached the vault is recorded all the same, that values stay in
// secretbuf memory from the socket to the vault and back, and that an answer
// says no more than the *secret.Error behind it.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"fastness/internal/identity"
	"fastness/internal/rotation"
	"fastness/internal/vault"
)

// Prefix is where the API begins.
const Prefix = "/api/v1"

// Config says what the API works on.
type Config struct {
	// Vault does the work.
	Vault *vault.Vault
	// Logger receives a line a request, and what only the operator may know;
	// default slog.Default.
	Logger *slog.Logger
	// LogRequests logs every request at level info, not only at debug.
	// Requests that failed through our own fault are always logged.
	LogRequests bool
	// Metrics, if set, is called once a route and returns the function that
	// counts the route's requests: code is empty for success, otherwise the
	// error's code.
	Metrics func(method, route string) func(code string, took time.Duration)
	// Proxies are those before the server: what they forward of a client's address
	// and certificate is believed, and what anybody else does is not looked at.
	Proxies identity.Proxies
	// Network says where rotators may connect to, which their configs are checked by.
	Network rotation.Network
	// Stopping, if set, ends when the server is about to stop: streams without
	// an end of their own then end.
	Stopping context.Context
}

// API answers requests under Prefix, and all others with a problem document.
// Safe for concurrent use.
type API struct {
	vault       *vault.Vault
	log         *slog.Logger
	logRequests bool
	stopping    context.Context
	proxies     identity.Proxies
	network     rotation.Network
	mux         *http.ServeMux
	unrouted    func(code string, took time.Duration)
}

// New returns the API's handler.
func New(c Config) *API {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Metrics == nil {
		c.Metrics = func(string, string) func(string, time.Duration) { return func(string, time.Duration) {} }
	}
	if c.Stopping == nil {
		c.Stopping = context.Background()
	}
	a := &API{
		vault: c.Vault, log: c.Logger, logRequests: c.LogRequests, stopping: c.Stopping, proxies: c.Proxies, network: c.Network,
		mux: http.NewServeMux(), unrouted: c.Metrics("", "unknown"),
	}
	for pattern, rows := range byPattern(routes) {
		a.mux.Handle(pattern, a.pathHandler(rows, c.Metrics))
	}
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		a.refuseUnrouted(w, r, errNoRoute)
	})
	return a
}

// ServeHTTP answers one request. Paths that could mean two things never reach
// the mux, which would answer some of them with a redirect.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !unambiguous(r.URL) {
		a.refuseUnrouted(w, r, errPath)
		return
	}
	a.mux.ServeHTTP(w, r)
}
