package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"
)

// Handler is what the main listener serves.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serveMain) }

// NewReadiness is /readyz over another probe.
func NewReadiness(check func(context.Context) error) http.Handler {
	return &readiness{check: check, stopping: context.Background()}
}

// KeyPair is a certificate that follows its files.
type KeyPair struct{ pair *keyPair }

// NewKeyPair reads a pair.
func NewKeyPair(cert, key string, log *slog.Logger) (KeyPair, error) {
	k := &keyPair{certFile: cert, keyFile: key, log: log}
	return KeyPair{k}, k.reload()
}

// Forget makes the next handshake look at the files.
func (k KeyPair) Forget() { k.pair.checked = time.Time{} }

// Get is what a handshake calls.
func (k KeyPair) Get() (*tls.Certificate, error) { return k.pair.get(nil) }

// Framing tells where headers and bodies end.
type Framing struct{ framing }

// Take is told what comes next.
func (f *Framing) Take(b []byte) int { return f.take(b) }

// Credentials are those taken so far.
func (f *Framing) Credentials() []string { return f.taken.values() }

// Body is told of a body.
func (f *Framing) Body(n int) { f.body = int64(n) }

// AtStart reports whether a header would begin with the next byte.
func (f *Framing) AtStart() bool { return f.body == 0 && f.line == 0 }

// ReaderOf is what the buffer of net/http's reader holds while a handler runs.
func ReaderOf(r *http.Request) []byte {
	return bytes.Clone(r.Context().Value(connKey{}).(*conn).reader)
}
