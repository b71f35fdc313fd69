package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"fastness/internal/secret"
)

// maxChain is how many certificates a client may show.
const maxChain = 10

// Authority is a CA whose client certificates a tenant trusts, and for what.
type Authority struct {
	// Name is what the tenant calls it: 1 to 63 of a-z, 0-9 and '-'.
	Name string `json:"name"`
	// Bundle has the CA's certificates in PEM.
	Bundle string `json:"bundle"`
	// TrustDomain makes it that of a SPIFFE trust domain: certificates must be
	// X.509-SVIDs of it. Empty for a CA that knows nothing of SPIFFE.
	TrustDomain string `json:"trustDomain,omitzero"`
	// Session is the lifetime of what is given in exchange; default
	// DefaultSession. It never outlasts the certificate.
	Session time.Duration `json:"session,omitzero"`
	// Bindings say who the bearers are, by the claims that CertificateClaims
	// makes of a certificate.
	Bindings []Binding `json:"bindings"`
}

// Validate checks what somebody wants to store.
func (a Authority) Validate() error {
	if err := CheckProvider("ca.name", a.Name); err != nil {
		return err
	}
	if _, err := parseBundle("ca.bundle", a.Bundle); err != nil {
		return err
	}
	if a.TrustDomain != "" {
		td, err := spiffeid.TrustDomainFromString(a.TrustDomain)
		if err != nil || td.Name() != a.TrustDomain {
			return secret.Invalid("ca.trustDomain", "the name of a SPIFFE trust domain, as in acme.example")
		}
	}
	if err := checkSession("ca.session", a.Session); err != nil {
		return err
	}
	for _, b := range a.Bindings {
		if b.Kind == PersonKind {
			return secret.Invalid("ca.bindings", "a certificate is a service's")
		}
	}
	return validateBindings(a.Bindings)
}

// Lifetime is that of what is given in exchange for a certificate.
func (a Authority) Lifetime() time.Duration {
	if a.Session == 0 {
		return DefaultSession
	}
	return a.Session
}

// VerifyCertificate checks a client's chain, its own certificate first, against
// the authority: that it is for clients, valid now, no authority's itself, and
// with a trust domain an X.509-SVID of it. It returns what the certificate
// claims, for Bind. Otherwise it is secret.ErrUnauthenticated with the reason as
// its cause.
func (a Authority) VerifyCertificate(chain []*x509.Certificate, now time.Time) (Claims, error) {
	if len(chain) < 1 || len(chain) > maxChain {
		return nil, refused("there is no certificate, or too many")
	}
	roots, err := parseBundle("ca.bundle", a.Bundle)
	if err != nil {
		return nil, err
	}
	leaf := chain[0]
	if leaf.IsCA || leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0 {
		return nil, refused("the certificate is an authority's")
	}
	if !strongKey(leaf) {
		return nil, refused("the certificate's key is too weak")
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: roots.pool(), Intermediates: bundle(chain[1:]).pool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, refused("the certificate does not verify: " + verifyReason(err))
	}
	claims := CertificateClaims(leaf)
	if a.TrustDomain == "" {
		return claims, nil
	}
	id, err := a.verifySVID(chain, roots, now)
	if err != nil {
		return nil, err
	}
	claims["spiffe"] = map[string]any{"id": id.String(), "path": id.Path(), "trustDomain": id.TrustDomain().Name()}
	return claims, nil
}

// verifySVID checks a chain by the rules of X.509-SVIDs, and that it is one of
// the trust domain that the authority stands for.
func (a Authority) verifySVID(chain []*x509.Certificate, roots bundle, now time.Time) (spiffeid.ID, error) {
	domain, err := spiffeid.TrustDomainFromString(a.TrustDomain)
	if err != nil {
		return spiffeid.ID{}, secret.ErrInternal.With(err)
	}
	id, _, err := x509svid.Verify(chain, x509bundle.FromX509Authorities(domain, roots), x509svid.WithTime(now))
	if err != nil {
		return spiffeid.ID{}, refused("the certificate is no X.509-SVID of the trust domain")
	}
	if id.Path() == "" {
		return spiffeid.ID{}, refused("the SPIFFE id names no workload")
	}
	return id, nil
}

// verifyReason tells in our own words why a chain does not verify: the errors of
// crypto/x509 quote names.
func verifyReason(err error) string {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		return "it is of no known authority"
	case !errors.As(err, &invalid):
		return "its chain is broken"
	}
	switch invalid.Reason {
	case x509.Expired:
		return "it has expired or is not yet valid"
	case x509.IncompatibleUsage:
		return "it is not for clients"
	case x509.CANotAuthorizedForThisName, x509.CANotAuthorizedForExtKeyUsage:
		return "its authority may not vouch for it"
	}
	return "its chain is broken"
}

// strongKey reports whether nobody can guess the certificate's private key.
func strongKey(cert *x509.Certificate) bool {
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey:
		return key.Curve.Params().BitSize >= 256
	case ed25519.PublicKey:
		return true
	}
	return false
}

// CertificateClaims returns the names in a certificate as claims: arrays of its
// "dns", "uri" and "email" names, and its "serial" number in decimal. The common
// name is none: what may stand there was never agreed on.
func CertificateClaims(cert *x509.Certificate) Claims {
	claims := Claims{"serial": cert.SerialNumber.String()}
	var uris []string
	for _, u := range cert.URIs {
		uris = append(uris, u.String())
	}
	for name, list := range map[string][]string{"dns": cert.DNSNames, "uri": uris, "email": cert.EmailAddresses} {
		if len(list) > 0 {
			values := make([]any, len(list))
			for i, s := range list {
				values[i] = s
			}
			claims[name] = values
		}
	}
	return claims
}
