package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// reloadCheck is how often a handshake looks whether the files have changed.
const reloadCheck = 5 * time.Second

// keyPair is a certificate that follows its files. Handshakes look at the
// files now and then, so that nothing has to run in the background.
type keyPair struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex // guards the rest; held while files are read
	current *tls.Certificate
	stamp   [2]fileStamp
	checked time.Time
}

// fileStamp tells whether a file is the one that was read.
type fileStamp struct {
	modified time.Time
	size     int64
}

func stampOf(name string) (fileStamp, error) {
	info, err := os.Stat(name)
	if err != nil {
		return fileStamp{}, err
	}
	return fileStamp{info.ModTime(), info.Size()}, nil
}

// loadCertificate reads the configured pair, if there is one.
func (s *Server) loadCertificate() error {
	c := s.config
	if c.Certificate == "" && c.Key == "" {
		return nil
	}
	if c.Certificate == "" || c.Key == "" {
		return errors.New("TLS needs both a certificate and a key")
	}
	s.certs = &keyPair{certFile: c.Certificate, keyFile: c.Key, log: s.log}
	return s.certs.reload()
}

// Reload reads the certificate and key again, for SIGHUP. If they cannot be
// used the old ones stay, and the error says why.
func (s *Server) Reload() error {
	if s.certs == nil {
		return nil
	}
	return s.certs.reload()
}

func (k *keyPair) reload() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.reloadLocked()
}

// reloadLocked takes the stamps before it reads: a file replaced meanwhile has
// another stamp and is read again at the next look.
func (k *keyPair) reloadLocked() error {
	k.checked = time.Now()
	stamp, err := k.stamps()
	if err != nil {
		return fmt.Errorf("reading TLS certificate: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(k.certFile, k.keyFile)
	if err != nil {
		return fmt.Errorf("reading TLS certificate: %w", err)
	}
	k.current, k.stamp = &pair, stamp
	return nil
}

func (k *keyPair) stamps() (stamp [2]fileStamp, err error) {
	if stamp[0], err = stampOf(k.certFile); err != nil {
		return stamp, err
	}
	stamp[1], err = stampOf(k.keyFile)
	return stamp, err
}

// get is the GetCertificate of a tls.Config.
func (k *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.checked) >= reloadCheck {
		k.checked = time.Now()
		if stamp, err := k.stamps(); err != nil || stamp != k.stamp {
			// A pair caught in the middle of its replacement does not fit
			// together; the next look finds it whole.
			if err := k.reloadLocked(); err != nil {
				k.log.Warn("keeping the old TLS certificate", "error", err.Error())
			}
		}
	}
	return k.current, nil
}

// tlsConfig leaves curves and suites to the standard library, whose defaults
// prefer X25519MLKEM768.
func (s *Server) tlsConfig() *tls.Config {
	c := &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: s.certs.get,
		NextProtos:     []string{"http/1.1"},
	}
	if s.config.TLS12 {
		c.MinVersion = tls.VersionTLS12
	}
	if s.config.ClientCertificates {
		// Nothing is verified here: each tenant trusts authorities of its own.
		c.ClientAuth = tls.RequestClientCert
	}
	return c
}
