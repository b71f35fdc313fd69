// Package client is the Go client of a Fastness server: the verbs, types and
// errors of the library (package fastness), over the native HTTP API.
//
//	c, err := client.New(client.Config{Address: "https://vault.example:8420", Token: token})
//	...
//	defer c.Close()
//	got, err := c.Session("shop").Get(ctx, "db/password", client.Selector{})
//	...
//	defer got.Value.Release()
//	use(got.Value.Bytes())
//
// The key idea is that a value never becomes a Go string and never stays
// behind: bodies are built and decoded in buffers that are wiped, and the
// connection under net/http (conn.go) clears what net/http's own buffers held.
//
// A call that failed on the way, or that the server refused for the moment, is
// sent again where that cannot do anything twice; writes carry a request token
// for the purpose. Errors match the library's sentinels under errors.Is and
// carry the server's correlation id as *Error.
//
// Start with Config, New and Session.
package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

const (
	// DefaultAddress is where `fastness dev` listens.
	DefaultAddress = "http://127.0.0.1:8420"
	// defaultTimeout leaves a server that takes its full 10 s for a request
	// room for two more attempts.
	defaultTimeout = 30 * time.Second
	defaultRetries = 3
	// dialTimeout is short: a host that takes longer will not do better.
	dialTimeout = 5 * time.Second
	// idleTimeout is shorter than the server's, so that the side that knows
	// whether it is about to send is the one that closes.
	idleTimeout = 90 * time.Second
	// maxIdle connections are kept for callers that work in parallel.
	maxIdle = 64
)

// Config says where the server is and who asks. The zero value but for Token
// speaks to `fastness dev` on this machine.
type Config struct {
	// Address is the server's URL, maybe with a path in front of the API's;
	// default DefaultAddress. Plain http is refused for all hosts but this
	// one, because it would show the token and every value to the network.
	Address string
	// Token is the bearer token. New copies it; it stays the caller's.
	Token *Value
	// Tenant is what an empty tenant means. Empty itself, it is the tenant
	// that the token belongs to, which costs one more request, once.
	Tenant TenantName
	// RootCAs are PEM certificates that may sign the server's, instead of the
	// system's.
	RootCAs []byte
	// TLS replaces the whole TLS configuration, say for a client certificate.
	TLS *tls.Config
	// Timeout bounds a call with all its attempts; default 30 s. Streams
	// (Audit.Tail, Audit.Export) and key rotations are bounded by their context
	// alone.
	Timeout time.Duration
	// Retries is how often a call is sent again; default 3, negative for never.
	Retries int
	// UserAgent goes into the audit log; default "fastness-go".
	UserAgent string
	// Transport replaces the HTTP transport. Values then pass through buffers
	// that are not wiped.
	Transport http.RoundTripper
	// OnReply, if set, is lent the body of each successful reply, for programs
	// that show the API's own JSON. It may carry a value or a credential, and
	// must not be kept.
	OnReply func(body []byte)
}

func (c Config) withDefaults() Config {
	if c.Address == "" {
		c.Address = DefaultAddress
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Retries == 0 {
		c.Retries = defaultRetries
	}
	if c.UserAgent == "" {
		c.UserAgent = "fastness-go"
	}
	return c
}

// Client speaks to one server with one token. Safe for concurrent use.
type Client struct {
	config  Config
	base    string // URL without a slash at the end
	http    *http.Client
	sleep   func(context.Context, time.Duration) error
	bearer  func() string // the Authorization header; a function so that printing a Client shows nothing
	closing sync.Once

	mu   sync.Mutex // guards self while it is asked for
	self *Identity
}

// New checks the configuration. It does not connect.
func New(c Config) (*Client, error) {
	bearer, err := authorization(c.Token)
	if err != nil {
		return nil, err
	}
	return newClient(c, bearer)
}

// newClient makes a client that sends the header, or none if that is empty.
func newClient(c Config, bearer string) (*Client, error) {
	c = c.withDefaults()
	base, err := checkAddress(c.Address)
	if err != nil {
		return nil, err
	}
	c.Token = nil
	if c.Transport == nil {
		if c.Transport, err = transport(c); err != nil {
			return nil, err
		}
	}
	return &Client{
		config: c,
		base:   base,
		http: &http.Client{
			Transport:     c.Transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		sleep:  sleep,
		bearer: func() string { return bearer },
	}, nil
}

// Close wipes the token and closes idle connections. Calls that still run
// fail.
func (c *Client) Close() {
	c.closing.Do(func() {
		c.http.CloseIdleConnections()
		secretbuf.WipeString(c.bearer())
	})
}

// checkAddress returns the URL that paths are appended to.
func checkAddress(address string) (string, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("the server's address is a URL as in https://host:8420")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("the server's address has no user, query or fragment")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return "", fmt.Errorf("refusing plain http to %s: it would show token and values to the network; use https", u.Host)
	}
	return strings.TrimRight(u.String(), "/"), nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// authorization makes the header's value. net/http takes it as a string, so
// one is made, once a client, and overwritten by Close.
func authorization(token *Value) (string, error) {
	if token.Len() == 0 {
		return "", &secret.Error{Code: secret.ErrUnauthenticated.Code, Detail: "no token was given"}
	}
	for _, c := range token.Bytes() {
		if c <= ' ' || c > '~' {
			return "", &secret.Error{Code: secret.ErrUnauthenticated.Code, Detail: "the token has characters that no token has"}
		}
	}
	var b strings.Builder
	b.Grow(len("Bearer ") + token.Len())
	b.WriteString("Bearer ")
	b.Write(token.Bytes())
	return b.String(), nil
}

// transport is net/http's with connections that wipe; see conn.go. Setting
// DialTLSContext also keeps HTTP/2 off, whose buffers cannot be reached. There
// is no proxy, which would see names, for https too when it ends TLS.
func transport(c Config) (*http.Transport, error) {
	tlsConfig := c.TLS.Clone()
	if tlsConfig == nil {
		tlsConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if len(c.RootCAs) > 0 {
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(c.RootCAs) {
			return nil, errors.New("reading RootCAs: there is no PEM certificate")
		}
	}
	d := &dialer{net.Dialer{Timeout: dialTimeout}, tlsConfig}
	return &http.Transport{
		DialContext:         d.plain,
		DialTLSContext:      d.secure,
		DisableCompression:  true, // would decode through a buffer of its own
		MaxIdleConns:        maxIdle,
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     idleTimeout,
	}, nil
}
