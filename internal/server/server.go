// Package server owns what lies below HTTP handlers: listeners, TLS, limits,
// health, metrics and the stop. It hands requests to the native API and, if
// one is given, to the front that answers POST /.
//
// The key idea is that time limits belong to the connection: the whole request
// has one deadline, set before its first byte, that cancels the request's
// context when it passes; a route that needs longer says so in its table. So
// there is no timer and no goroutine a request, and no way to forget one.
//
// It guarantees that no value leaves by plain HTTP on an address that other
// machines reach, that HTTP/2 (whose buffers outlive requests) is off, that
// connections are bounded, and that neither logs nor metrics hold a path, a
// query, a name or a value. Start with Config and Run.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"fastness/internal/api"
	"fastness/internal/identity"
	"fastness/internal/notify"
	"fastness/internal/rotation"
	"fastness/internal/vault"
)

// Limits of one connection and one request.
const (
	// MaxHeader is the most bytes of a request's line and header.
	MaxHeader = 16 << 10
	// headerSlack is what net/http adds to MaxHeaderBytes by itself.
	headerSlack = 4 << 10
	// defaultTimeout is the time for a whole request, from its first byte until
	// its context is cancelled.
	defaultTimeout = 10 * time.Second
	// answerTime is left after that to answer 503 or 408.
	answerTime = 2 * time.Second
	// headerTimeout is short because a header fits one packet or two.
	headerTimeout = 5 * time.Second
	// idleTimeout is how long a connection is kept for the next request. It is
	// longer than the 90 s after which Go's client drops an idle one, so that
	// the client, who knows whether it is about to send, closes first.
	idleTimeout = 120 * time.Second

	defaultConnections = 4096
	defaultGrace       = 15 * time.Second
)

// Config says how a Server runs.
type Config struct {
	// Vault does the work. The caller closes it after Run has returned.
	Vault *vault.Vault
	// Listen is HOST:PORT. Port 0 takes a free one; see Server.Addr.
	Listen string
	// Certificate and Key are PEM files for TLS; both empty for plain HTTP,
	// which only a loopback address may speak. They are read again when they
	// change and on Reload.
	Certificate, Key string
	// TLS12 accepts TLS 1.2 too, which knows no post-quantum key exchange.
	TLS12 bool
	// ClientCertificates asks clients for a certificate, which they need not have.
	// Whose it is, is decided where one is traded for a token.
	ClientCertificates bool
	// Proxies are the trusted ones before the server, which tell a client's address,
	// and certificate if they end TLS.
	Proxies identity.Proxies
	// MetricsListen is HOST:PORT for /metrics, for any peer that reaches it,
	// under the same rule about plain HTTP. Empty: /metrics is served on
	// Listen, to peers on loopback only.
	MetricsListen string
	// MaxConnections bounds open connections; default 4,096. Above it,
	// connections wait in the kernel's queue.
	MaxConnections int
	// RequestTimeout is the time for a whole request, but for routes that state
	// their own; default 10 s.
	RequestTimeout time.Duration
	// Grace is how long requests in flight may take once Run is told to stop;
	// default 15 s.
	Grace time.Duration
	// Logger receives the server's own words; default slog.Default.
	Logger *slog.Logger
	// LogRequests logs every request at level info, not only at debug.
	LogRequests bool
	// Front, if set, makes the handler of POST / (the AWS protocol). It is
	// given a function that counts its requests, as api.Config.Metrics.
	Front func(metrics func(method, route string) func(code string, took time.Duration)) http.Handler
	// Worker, if set, runs while the server serves. Serve returns when it has
	// nothing in hand any more.
	Worker *rotation.Worker
	// Notifier, if set, delivers to webhooks while the server serves, as Worker.
	Notifier *notify.Worker
	// Network says where rotators may connect to, as the worker was told.
	Network rotation.Network
	// Disk says how the disk of an embedded store is looked after.
	Disk Disk
}

func (c Config) withDefaults() Config {
	if c.MaxConnections == 0 {
		c.MaxConnections = defaultConnections
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = defaultTimeout
	}
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Server is a listening server. Make one with Listen.
type Server struct {
	config  Config
	log     *slog.Logger
	main    *listener
	metrics *listener // nil without MetricsListen
	certs   *keyPair  // nil without TLS

	api       http.Handler
	front     http.Handler // nil without Front
	figures   http.Handler // /metrics
	readiness readiness
	disk      *diskWatch // nil for a store without a disk of its own

	stopping context.Context // ends when the stop begins
	stop     context.CancelFunc
}

// Run serves until ctx ends, then stops gracefully.
func Run(ctx context.Context, c Config) error {
	s, err := Listen(c)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve() }()
	select {
	case err := <-failed:
		s.Close()
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), s.config.Grace)
	defer cancel()
	return errors.Join(s.Shutdown(grace), <-failed)
}

// Listen checks the configuration, reads the certificate and opens the
// listeners. From then on connections queue, until Serve accepts them.
func Listen(c Config) (*Server, error) {
	c = c.withDefaults()
	s := &Server{config: c, log: c.Logger}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.readiness = readiness{check: c.Vault.Ready, stopping: s.stopping}
	if err := s.loadCertificate(); err != nil {
		return nil, err
	}
	m := newMetrics(c.Vault, c.Worker)
	if c.Notifier != nil {
		m.registry.MustRegister(&webhookCollector{c.Notifier})
	}
	if c.Disk.Dir != "" {
		s.disk = &diskWatch{Disk: c.Disk, log: c.Logger}
		s.readiness.low = &s.disk.low
		m.registry.MustRegister(s.disk)
	}
	s.figures = m.handler()
	s.api = api.New(api.Config{
		Vault: c.Vault, Logger: c.Logger, LogRequests: c.LogRequests, Metrics: m.route, Stopping: s.stopping, Proxies: c.Proxies, Network: c.Network,
	})
	if c.Front != nil {
		s.front = c.Front(m.route)
	}
	var err error
	if s.main, err = s.listen(c.Listen, guard(s.serveMain)); err != nil {
		return nil, err
	}
	if c.MetricsListen == "" {
		return s, nil
	}
	if s.metrics, err = s.listen(c.MetricsListen, guard(s.serveMetrics)); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.main.Addr() }

// MetricsAddr is the address of the listener for metrics; nil without one.
func (s *Server) MetricsAddr() net.Addr {
	if s.metrics == nil {
		return nil
	}
	return s.metrics.Addr()
}

// URL is the address that clients use.
func (s *Server) URL() string {
	scheme := "http"
	if s.certs != nil {
		scheme = "https"
	}
	return scheme + "://" + s.Addr().String()
}

// Serve accepts connections, and works through rotations, until Shutdown or
// Close, then returns nil.
func (s *Server) Serve() error {
	var worker sync.WaitGroup
	defer worker.Wait()
	if s.config.Worker != nil {
		worker.Go(func() { s.config.Worker.Run(s.stopping) })
	}
	if s.config.Notifier != nil {
		worker.Go(func() { s.config.Notifier.Run(s.stopping) })
	}
	if s.disk != nil {
		worker.Go(func() { s.disk.run(s.stopping) })
	}
	failed := make(chan error, 2)
	go func() { failed <- s.main.serve() }()
	waiting := 1
	if s.metrics != nil {
		go func() { failed <- s.metrics.serve() }()
		waiting++
	}
	err := <-failed
	if err != nil {
		s.Close()
	}
	for range waiting - 1 {
		err = errors.Join(err, <-failed)
	}
	return err
}

// Shutdown stops accepting, tells streams to end, and waits for requests in
// flight until ctx ends; those that then still run are cut off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	var err error
	for _, l := range s.listeners() {
		err = errors.Join(err, l.server.Shutdown(ctx), l.close())
	}
	if err != nil {
		err = fmt.Errorf("waiting for requests in flight: %w", errors.Join(err, s.Close()))
	}
	return err
}

// Close cuts every connection off.
func (s *Server) Close() error {
	s.stop()
	var err error
	for _, l := range s.listeners() {
		err = errors.Join(err, l.server.Close(), l.close())
	}
	return err
}

func (s *Server) listeners() []*listener {
	if s.metrics == nil {
		return []*listener{s.main}
	}
	return []*listener{s.main, s.metrics}
}

// serveMain picks the front by path. There is no ServeMux here because it
// answers unclean paths with redirects.
func (s *Server) serveMain(w http.ResponseWriter, r *http.Request) {
	defer s.recovered()
	switch r.URL.Path {
	case "/healthz":
		serveHealth(w, r)
	case "/readyz":
		s.readiness.ServeHTTP(w, r)
	case "/metrics":
		if s.metrics != nil || !s.fromLoopback(r) {
			s.api.ServeHTTP(w, r) // which does not know it
			return
		}
		s.serveMetrics(w, r)
	case "/":
		if s.front != nil && r.Method == http.MethodPost {
			s.front.ServeHTTP(w, r)
			return
		}
		s.api.ServeHTTP(w, r)
	default:
		s.api.ServeHTTP(w, r)
	}
}

// recovered is the last resort for a panic that a front let pass: the
// connection is cut. net/http would do the same, but log what was passed to
// panic, which may hold anything.
func (s *Server) recovered() {
	p := recover()
	if p == nil {
		return
	}
	if p != http.ErrAbortHandler {
		s.log.Error("panic in a handler", "type", fmt.Sprintf("%T", p))
	}
	panic(http.ErrAbortHandler)
}

func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/metrics" {
		http.Error(w, http.StatusText(http.StatusNotFound), http.StatusNotFound)
		return
	}
	if allowGet(w, r) {
		s.figures.ServeHTTP(w, r)
	}
}
