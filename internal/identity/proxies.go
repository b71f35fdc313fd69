package identity

import (
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// HeaderForwardedFor is where proxies tell for whom they ask: each appends the
// address that it was asked from.
const HeaderForwardedFor = "X-Forwarded-For"

// maxHops bounds how many trusted proxies a request may have come through.
const maxHops = 16

// Proxies says which proxies stand before the server, and what they are believed.
// The zero value trusts none: each client then is who its connection says.
//
// A header that a proxy adds is worth what the proxy does with one that it was
// sent, so that headers count only on connections from these networks, and of the
// headers with a client's certificate only the one that the proxies are said to set.
type Proxies struct {
	// Networks are those of the proxies. Any machine in them can say that it is
	// anybody.
	Networks []netip.Prefix
	// ClientCert is the header in which they tell the client's certificate,
	// HeaderXFCC or HeaderClientCert, and which they take out of what they are
	// sent. Empty: they tell none.
	ClientCert string
}

// Validate refuses a header that nobody reads.
func (p Proxies) Validate() error {
	switch p.ClientCert {
	case "", HeaderXFCC, HeaderClientCert:
		return nil
	}
	return errors.New(HeaderXFCC + " or " + HeaderClientCert + " is expected")
}

func (p Proxies) trusts(a netip.Addr) bool {
	for _, network := range p.Networks {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

// ClientAddress returns the address that a request came from. remote is the other
// side of its connection, HOST:PORT. Where that is a trusted proxy, it is the last
// address in X-Forwarded-For that is not one: what stands before it the client may
// have written itself. If a hop tells what is no address, it is the trusted proxy
// that was told so.
func (p Proxies) ClientAddress(remote string, h http.Header) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	if len(p.Networks) == 0 {
		return host
	}
	at, err := netip.ParseAddr(host)
	if err != nil || !p.trusts(at.Unmap()) {
		return host
	}
	return p.forwardedFor(at.Unmap(), h[HeaderForwardedFor]).String()
}

// forwardedFor walks from the proxy that asks to the client. Several lines are one
// list, in their order, as if they had commas between them.
func (p Proxies) forwardedFor(at netip.Addr, lines []string) netip.Addr {
	rest := strings.Join(lines, ",")
	for hops := 0; rest != "" && hops < maxHops && p.trusts(at); {
		i := strings.LastIndexByte(rest, ',')
		element := strings.Trim(rest[i+1:], " \t")
		rest = rest[:max(i, 0)]
		if element == "" {
			continue // as in any list of HTTP's
		}
		before, ok := parseHop(element)
		if !ok {
			break
		}
		at = before
		hops++
	}
	return at
}

// parseHop reads an address; some proxies write the port too.
func parseHop(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		var with netip.AddrPort
		with, err = netip.ParseAddrPort(s)
		a = with.Addr()
	}
	return a.Unmap(), err == nil && a.Zone() == ""
}

// ClientCertificates returns the chain that a client has shown: in the handshake of
// the very connection that the request came on, or, if that is a trusted proxy's,
// to the proxy, which is believed what it forwards and nothing else, not even a
// certificate of its own. Nil if there is none, or if what was forwarded is
// malformed.
func (p Proxies) ClientCertificates(r *http.Request) []*x509.Certificate {
	if p.Trusts(r.RemoteAddr) {
		chain, err := ParseForwarded(p.ClientCert, r.Header.Values)
		if err != nil {
			return nil
		}
		return chain
	}
	if r.TLS == nil {
		return nil
	}
	return r.TLS.PeerCertificates
}

// Trusts reports whether the other side of a connection is a trusted proxy.
func (p Proxies) Trusts(remote string) bool {
	at, err := netip.ParseAddrPort(remote)
	return err == nil && p.trusts(at.Addr().Unmap())
}
