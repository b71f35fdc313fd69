package identity

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"fastness/internal/secret"
)

// maxBundleCerts is how many certificates a bundle may have.
const maxBundleCerts = 100

var errNoCertificate = errors.New("there is no certificate")

// bundle are the certificates of authorities.
type bundle []*x509.Certificate

// parseBundle reads certificates in PEM. There is at least one, each is an
// authority's, and nothing else stands between them but blank lines.
func parseBundle(field, text string) (bundle, error) {
	if len(text) > MaxBundle {
		return nil, secret.Limited(field, fmt.Sprintf("at most %d bytes", MaxBundle))
	}
	var certs bundle
	rest := []byte(text)
	for len(bytes.TrimSpace(rest)) > 0 {
		cert, after, err := nextCertificate(rest)
		if err != nil || !cert.BasicConstraintsValid || !cert.IsCA {
			return nil, secret.Invalid(field, "certificates of authorities in PEM, and nothing else")
		}
		certs, rest = append(certs, cert), after
	}
	if len(certs) < 1 || len(certs) > maxBundleCerts {
		return nil, secret.Limited(field, fmt.Sprintf("1 to %d certificates", maxBundleCerts))
	}
	return certs, nil
}

// nextCertificate reads the block with which text begins, strictly: no text
// before it, no headers in it, one certificate.
func nextCertificate(text []byte) (cert *x509.Certificate, rest []byte, err error) {
	text = bytes.TrimSpace(text)
	block, rest := pem.Decode(text)
	if block == nil || !bytes.HasPrefix(text, []byte("-----BEGIN CERTIFICATE-----")) || block.Type != "CERTIFICATE" || len(block.Headers) > 0 {
		return nil, nil, errNoCertificate
	}
	cert, err = x509.ParseCertificate(block.Bytes)
	return cert, rest, err
}

// pool returns the bundle as what roots are given as.
func (b bundle) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, cert := range b {
		pool.AddCert(cert)
	}
	return pool
}
