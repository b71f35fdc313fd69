package rotation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

const (
	// connectTimeout is how long a target may take until it is connected.
	connectTimeout = 10 * time.Second
	// stepTimeout is how long one step may take, as long as the worker has its
	// lease.
	stepTimeout = 30 * time.Second
	// holdTimeout is how long a target waits for a worker that holds others off
	// before it ends the worker's session: one that was frozen must neither block
	// the next worker for long nor come back to what it began.
	holdTimeout = 10 * time.Second
)

// Network says where rotators may connect to. The zero value lets webhooks
// reach public addresses only.
type Network struct {
	// PrivateWebhooks lets webhooks reach private and loopback addresses.
	PrivateWebhooks bool
}

// errForbidden is an address that no rotator may reach.
var errForbidden = errors.New("the address is not one that may be reached")

// metadata are addresses outside the link-local range at which clouds give
// their machines credentials, and which no target has.
var metadata = []netip.Prefix{
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure
	netip.MustParsePrefix("fd00:ec2::/32"),      // AWS over IPv6
}

// private are ranges that netip does not call private and that still are not
// the public Internet.
var private = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),   // carriers' NAT
	netip.MustParsePrefix("192.0.0.0/24"),    // IETF protocols
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("fec0::/10"),       // site-local
}

// embedded are ranges of IPv6 that stand for an IPv4 address in them, at the
// given byte.
var embedded = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
	{netip.MustParsePrefix("::/96"), 12},
}

// plain returns the address that is really meant.
func plain(a netip.Addr) netip.Addr {
	a = a.WithZone("").Unmap()
	for _, e := range embedded {
		if a.Is6() && e.prefix.Contains(a) && !a.IsLoopback() && !a.IsUnspecified() {
			b := a.As16()
			return netip.AddrFrom4([4]byte(b[e.at : e.at+4]))
		}
	}
	return a
}

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// reachable reports whether any rotator may reach an address: no database
// lives at link-local, metadata, multicast or unspecified ones.
func reachable(a netip.Addr) bool {
	a = plain(a)
	return a.IsValid() && !a.IsLinkLocalUnicast() && !a.IsMulticast() && !a.IsUnspecified() && !contains(metadata, a)
}

// public reports whether an address is on the public Internet.
func public(a netip.Addr) bool {
	a = plain(a)
	return reachable(a) && !a.IsPrivate() && !a.IsLoopback() && !contains(private, a)
}

// dialer connects to allowed addresses only. It looks at the address that the
// kernel is about to connect to, so that no name can resolve to one thing when
// it is checked and to another when it is used.
func dialer(allowed func(netip.Addr) bool) *net.Dialer {
	return &net.Dialer{
		Timeout: connectTimeout,
		Control: func(_, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil || !allowed(at.Addr()) {
				return errForbidden
			}
			return nil
		},
	}
}

// dial connects to a database.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	return dialer(reachable).DialContext(ctx, network, address)
}

// dialWebhook connects to a webhook, over which TLS is spoken then.
func (n Network) dialWebhook(ctx context.Context, network, address string) (net.Conn, error) {
	if n.PrivateWebhooks {
		return dial(ctx, network, address)
	}
	return dialer(public).DialContext(ctx, network, address)
}

// dialPlain connects to a webhook without TLS: at no address to which the way
// leads through the public Internet, nor at any that dialWebhook refuses.
func (n Network) dialPlain(ctx context.Context, network, address string) (net.Conn, error) {
	return dialer(func(a netip.Addr) bool { return n.PrivateWebhooks && reachable(a) && !public(a) }).DialContext(ctx, network, address)
}

// The TLS modes, strictest first.
const (
	verifyFull = "verify-full" // the certificate must be valid and of that host
	verifyCA   = "verify-ca"   // the certificate must be valid
	require    = "require"     // any certificate: safe from who listens, not from who interferes
	disable    = "disable"
)

// security is how a connection to a database is kept private.
type security struct {
	mode  string
	roots *x509.CertPool // nil: the system's
}

func newSecurity(mode, ca string) (s security, err error) {
	if err := choose("tls", &mode, verifyFull, verifyCA, require, disable); err != nil {
		return s, err
	}
	s.mode = mode
	if ca == "" {
		return s, nil
	}
	if mode == require || mode == disable {
		return s, misconfigured("rotationConfig.caCertificate", "it is of use with verify-full and verify-ca only")
	}
	s.roots = x509.NewCertPool()
	if !s.roots.AppendCertsFromPEM([]byte(ca)) {
		return s, misconfigured("rotationConfig.caCertificate", "certificates in PEM")
	}
	return s, nil
}

// verified reports whether whoever answers has proved to be the server.
func (s security) verified() bool { return s.mode == verifyFull || s.mode == verifyCA }

// config returns the TLS settings for a host; nil for none.
func (s security) config(host string) *tls.Config {
	switch s.mode {
	case disable:
		return nil
	case require:
		return &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}
	case verifyCA:
		return &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, VerifyConnection: s.verifyChain}
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, RootCAs: s.roots}
}

// handshake puts TLS over a connection.
func handshake(ctx context.Context, conn net.Conn, settings *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	secured := tls.Client(conn, settings)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

// verifyChain checks all of a certificate but its name.
func (s security) verifyChain(c tls.ConnectionState) error {
	options := x509.VerifyOptions{Roots: s.roots, Intermediates: x509.NewCertPool()}
	for _, between := range c.PeerCertificates[1:] {
		options.Intermediates.AddCert(between)
	}
	_, err := c.PeerCertificates[0].Verify(options)
	return err
}

// failure is the class of a connection that did not come about.
func failure(err error) error {
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, errForbidden):
		return &Error{Misconfigured, "the host is at an address that may not be reached", err}
	case errors.As(err, &certificate), isCertificate(err):
		return refused(err, "the target's certificate is not valid")
	case errors.As(err, &record):
		return refused(err, "the target does not speak TLS")
	}
	return unreachable(err)
}

// isCertificate reports whether err is one of package x509 that reached us
// without its wrapping.
func isCertificate(err error) bool {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	return errors.As(err, &invalid) || errors.As(err, &unknown) || errors.As(err, &host)
}
