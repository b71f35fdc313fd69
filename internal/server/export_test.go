package server

import (
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
