// Package awsapi is the front that speaks the protocol of AWS Secrets Manager:
// AWS JSON 1.1 over POST /, signed with Signature Version 4. It decodes requests,
// calls the vault and encodes answers, so that unmodified clients of AWS work.
//
// The key idea is the table in operations.go: a row an operation, with its
// handler and how a refusal is recorded. One adapter (call.go) does for all of
// them what is the same: the signature, the body in a wiped buffer, the error in
// the protocol's form, the log line and the metrics. What the protocol decides
// beyond the vault (whether an ARN means this very secret, and its resource policy)
// is a vault.Guard, asked within the vault's own transaction.
//
// The package guarantees that values stay in secretbuf memory from the socket
// to the vault and back, that nothing of a request is believed before its
// signature is verified, that another tenant's ARN is answered like one that is
// not there, and that an error quotes nothing of a request. Start with New.
package awsapi

import (
	"log/slog"
	"net/http"
	"time"

	ids "fastness/internal/identity" // identity is how answers begin here
	"fastness/internal/rotation"
	"fastness/internal/vault"
)

// service is the name in the credential scope and in ARNs.
const service = "secretsmanager"

// Config says what the front works on.
type Config struct {
	// Vault does the work. Its region is the one in ARNs.
	Vault *vault.Vault
	// Regions are further ones, besides the vault's: secrets may be replicated to
	// them, and written in them.
	Regions []string
	// Logger receives a line a request; default slog.Default.
	Logger *slog.Logger
	// LogRequests logs every request at level info, not only at debug.
	LogRequests bool
	// Metrics, if set, is called once an operation, and returns the function that
	// counts its requests: code is empty for success, otherwise the error's type.
	Metrics func(method, route string) func(code string, took time.Duration)
	// Proxies are those before the server: what they forward of a client's address is
	// believed, and what anybody else does is not looked at.
	Proxies ids.Proxies
	// Network says where rotators may connect to, as the worker was told.
	Network rotation.Network
	// Now is the clock for signatures; default time.Now.
	Now func() time.Time
}

// API answers requests. Safe for concurrent use.
type API struct {
	vault       *vault.Vault
	regions     []string // the vault's first
	log         *slog.Logger
	logRequests bool
	proxies     ids.Proxies
	network     rotation.Network
	now         func() time.Time
	keys        *signingKeys
	policies    policies
	observers   map[string]func(code string, took time.Duration)
}

// unknown stands in logs and metrics for what is no operation.
const unknown = "unknown"

// New returns the front's handler.
func New(c Config) *API {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Metrics == nil {
		c.Metrics = func(string, string) func(string, time.Duration) { return func(string, time.Duration) {} }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	a := &API{
		vault: c.Vault, regions: append([]string{c.Vault.Region()}, c.Regions...), log: c.Logger, logRequests: c.LogRequests,
		proxies: c.Proxies, network: c.Network, now: c.Now, keys: newSigningKeys(c.Now),
		observers: map[string]func(string, time.Duration){unknown: c.Metrics(http.MethodPost, service+"."+unknown)},
	}
	for name := range operations {
		a.observers[name] = c.Metrics(http.MethodPost, service+"."+name)
	}
	return a
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	c := a.newCall(w, r)
	err := c.run()
	c.finish(err, time.Since(start))
}
