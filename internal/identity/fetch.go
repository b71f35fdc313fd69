package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Limits of what an issuer's server may send and how long it may take. A key set
// of a hundred RSA keys has some 50 KiB.
const (
	fetchTime     = 5 * time.Second
	maxDocument   = 64 << 10  // of a discovery document
	maxRemoteKeys = 256 << 10 // of a key set
	maxHeader     = 32 << 10
	maxRedirects  = 3
)

// fetcher gets documents from issuers' servers. They are named by tenants'
// administrators, so a fetch must not become a way into the network of the
// server: it goes by TLS, to no address that only the machine itself can reach,
// follows no redirect to another host, and reads no more than a limit.
type fetcher struct {
	loopback bool // this very machine may be asked, also without TLS
	time     time.Duration
}

// get returns the body of a document and for how long its sender lets it be
// kept. roots are nil for those of the system. The context's end does not end it:
// who hangs up must not spend the few fetches that all may make.
func (f fetcher) get(ctx context.Context, address string, roots *x509.CertPool, limit int64) (body []byte, keep time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.time)
	defer cancel()
	u, err := url.Parse(address)
	if err != nil {
		return nil, 0, errors.New("its URL is malformed")
	}
	if err := f.check(u); err != nil {
		return nil, 0, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, 0, errors.New("its URL is malformed")
	}
	request.Header.Set("Accept", "application/json")
	client := f.client(roots)
	response, err := client.Do(request)
	if err != nil {
		return nil, 0, fmt.Errorf("asking %s: %w", u.Host, inner(err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("%s answers with status %d", u.Host, response.StatusCode)
	}
	if kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err == nil && kind == "text/html" {
		return nil, 0, fmt.Errorf("%s answers with a page", u.Host)
	}
	body, err = io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err == nil {
		err = ctx.Err() // a server may end its answer well when we hang up
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading from %s: %w", u.Host, inner(err))
	}
	if int64(len(body)) > limit {
		return nil, 0, fmt.Errorf("%s sends more than %d bytes", u.Host, limit)
	}
	return body, maxAge(response.Header, defaultKeyLife), nil
}

// inner is the error without the method and the URL that net/http puts before it.
func inner(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// check refuses a URL that is not to be asked.
func (f fetcher) check(u *url.URL) error {
	switch {
	case u.Scheme == "https" && u.Host != "":
		return nil
	case u.Scheme == "http" && f.loopback && isLoopback(u):
		return nil
	}
	return errors.New("its URL is not https")
}

// client makes a client for one fetch. Proxies of the environment are not asked,
// as nobody could see then which address is reached.
func (f fetcher) client(roots *x509.CertPool) *http.Client {
	dialer := &net.Dialer{Timeout: f.time, Control: func(_, address string, _ syscall.RawConn) error { return f.checkAddress(address) }}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    f.time,
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: f.checkRedirect,
	}
}

func (f fetcher) checkRedirect(to *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errors.New("too many redirects")
	}
	from := via[0].URL
	if !strings.EqualFold(to.URL.Host, from.Host) || to.URL.Scheme != from.Scheme {
		return errors.New("it redirects to another host")
	}
	return f.check(to.URL)
}

// checkAddress looks at the address that a name was resolved to, just before it
// is used, so that no later answer of the name service gets around it.
func (f fetcher) checkAddress(address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || isForbidden(ap.Addr(), f.loopback) {
		return errors.New("its address is one of the machine's own network")
	}
	return nil
}

// metadata are services of clouds that hand out a machine's credentials, where
// they are not on the local link.
var metadata = []netip.Addr{
	netip.MustParseAddr("100.100.100.200"), // Alibaba Cloud
	netip.MustParseAddr("168.63.129.16"),   // Azure
	netip.MustParseAddr("192.0.0.192"),     // Oracle Cloud
	netip.MustParseAddr("fd00:ec2::254"),   // AWS
	netip.MustParseAddr("fd20:ce::254"),    // Google Cloud
}

// nat64 are the prefixes under which a gateway may lead to an address of IPv4.
var nat64 = []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("::/96")}

// isForbidden reports whether an address must never be asked: that of the
// machine itself unless loopback is set, of the local link, of a cloud's metadata
// service, or of no single machine. Addresses of private networks are allowed,
// as issuers may well be there.
func isForbidden(a netip.Addr, loopback bool) bool {
	a = a.WithZone("").Unmap()
	if a.IsLoopback() {
		return !loopback
	}
	for _, p := range nat64 {
		if p.Contains(a) {
			b := a.As16()
			a = netip.AddrFrom4([4]byte(b[12:]))
			return a.IsLoopback() || isForbidden(a, false)
		}
	}
	if a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return true
	}
	if a.Is4() && a.As4()[0] == 0 {
		return true // "this network", which means the machine itself
	}
	for _, m := range metadata {
		if a == m {
			return true
		}
	}
	return false
}

// maxAge reads how long a document may be kept; absent if its sender does not
// say.
func maxAge(h http.Header, absent time.Duration) time.Duration {
	for directive := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
				return time.Duration(seconds) * time.Second
			}
		}
	}
	return absent
}
