package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"fastness/internal/secretbuf"
)

// listener is an open socket with the HTTP server that accepts from it.
type listener struct {
	net.Listener
	server *http.Server
	once   sync.Once
	closed error
}

// listen opens a socket and prepares a server for it.
func (s *Server) listen(address string, h http.Handler) (*listener, error) {
	addr, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", address, err)
	}
	if s.certs == nil && !addr.IP.IsLoopback() {
		return nil, fmt.Errorf("refusing plain HTTP on %s: only a loopback address may go without TLS; "+
			"set a certificate and key, or listen on 127.0.0.1", address)
	}
	tcp, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	gate := make(gate, s.config.MaxConnections)
	server := s.httpServer(h)
	server.ConnState = gate.follow
	gated := &gatedListener{Listener: tcp, gate: gate, closing: make(chan struct{}), wrap: plain}
	if s.certs != nil {
		gated.wrap = s.secured(server.ReadHeaderTimeout)
	}
	return &listener{Listener: gated, server: server}, nil
}

// plain makes the connection that net/http gets of a socket.
func plain(c net.Conn) net.Conn { return &conn{Conn: c} }

// secured is plain for TLS, with that time for a handshake.
func (s *Server) secured(timeout time.Duration) func(net.Conn) net.Conn {
	config := s.tlsConfig()
	failed := func(err error) { s.log.Debug("connection", "problem", "TLS handshake: "+err.Error()) }
	return func(socket net.Conn) net.Conn {
		below := &sealed{Records: secretbuf.NewRecords(socket)}
		above := tls.Server(below, config)
		return secureConn{&conn{Conn: above, secure: above, below: below}, timeout, failed}
	}
}

// httpServer returns a server with all limits set and HTTP/2 off.
func (s *Server) httpServer(h http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           h,
		ConnContext:       withConn,
		Protocols:         protocols,
		ReadTimeout:       s.config.RequestTimeout,
		ReadHeaderTimeout: min(headerTimeout, s.config.RequestTimeout),
		WriteTimeout:      s.config.RequestTimeout + answerTime,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    MaxHeader - headerSlack,
		ErrorLog:          log.New(errorWriter{s.log}, "", 0),
	}
}

func (l *listener) serve() error {
	if err := l.server.Serve(l.Listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("accepting connections: %w", err)
	}
	return nil
}

// close closes the socket of a server that may never have served.
func (l *listener) close() error {
	l.once.Do(func() {
		if err := l.Listener.Close(); !errors.Is(err, net.ErrClosed) {
			l.closed = err
		}
	})
	return l.closed
}

// gate bounds how many connections are open: a token is taken before a
// connection is accepted and put back when net/http says that it is gone.
type gate chan struct{}

func (g gate) follow(c net.Conn, s http.ConnState) {
	if s == http.StateClosed || s == http.StateHijacked {
		connOf(c).forget() // nothing reads it any more
		<-g
	}
}

// gatedListener waits for a place before it accepts, and wraps what it accepts.
type gatedListener struct {
	net.Listener
	gate    gate
	wrap    func(net.Conn) net.Conn
	once    sync.Once
	closing chan struct{}
}

func (l *gatedListener) Accept() (net.Conn, error) {
	select {
	case l.gate <- struct{}{}:
	case <-l.closing:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.gate
		return nil, err
	}
	return l.wrap(c), nil
}

func (l *gatedListener) Close() error {
	l.once.Do(func() { close(l.closing) })
	return l.Listener.Close()
}

// fromLoopback reports whether the client is on this machine. Behind a proxy on it
// that is not everybody.
func (s *Server) fromLoopback(r *http.Request) bool {
	client, err := netip.ParseAddr(s.config.Proxies.ClientAddress(r.RemoteAddr, r.Header))
	return err == nil && client.Unmap().IsLoopback()
}

// errorWriter takes what net/http logs: handshakes that failed and the like,
// which any peer can cause, hence debug.
type errorWriter struct{ log *slog.Logger }

func (w errorWriter) Write(p []byte) (int, error) {
	w.log.Debug("connection", "problem", strings.TrimSpace(string(p)))
	return len(p), nil
}
