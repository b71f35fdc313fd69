package identity_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"fastness/internal/identity"
)

func networks(all ...string) (out []netip.Prefix) {
	for _, p := range all {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// TestClientAddress tries what a client can write into the header that a proxy
// adds to: only what trusted proxies have appended counts.
func TestClientAddress(t *testing.T) {
	behind := identity.Proxies{Networks: networks("10.0.0.0/8", "2001:db8:1::/48", "127.0.0.1/32")}
	const proxy = "10.0.0.1:4711"
	for name, tc := range map[string]struct {
		remote string
		lines  []string
		want   string
	}{
		"nobody told":                       {proxy, nil, "10.0.0.1"},
		"a client":                          {proxy, []string{"192.0.2.7"}, "192.0.2.7"},
		"a client over IPv6":                {proxy, []string{"2001:db8:2::7"}, "2001:db8:2::7"},
		"a proxy over IPv6":                 {"[2001:db8:1::1]:4711", []string{"192.0.2.7"}, "192.0.2.7"},
		"an IPv4 proxy on an IPv6 socket":   {"[::ffff:10.0.0.1]:4711", []string{"192.0.2.7"}, "192.0.2.7"},
		"an IPv4 client, mapped":            {proxy, []string{"::ffff:192.0.2.7"}, "192.0.2.7"},
		"from anybody":                      {"192.0.2.9:4711", []string{"198.51.100.1"}, "192.0.2.9"},
		"from anybody, naming a proxy":      {"192.0.2.9:4711", []string{"10.0.0.1"}, "192.0.2.9"},
		"what the client wrote before":      {proxy, []string{"198.51.100.1, 192.0.2.7"}, "192.0.2.7"},
		"a proxy's address, forged":         {proxy, []string{"10.0.0.9, 192.0.2.7"}, "192.0.2.7"},
		"loopback, forged":                  {proxy, []string{"127.0.0.1, 192.0.2.7"}, "192.0.2.7"},
		"two proxies":                       {proxy, []string{"198.51.100.1, 192.0.2.7, 10.0.0.2"}, "192.0.2.7"},
		"a second line":                     {proxy, []string{"198.51.100.1", "192.0.2.7"}, "192.0.2.7"},
		"a second line from another proxy":  {proxy, []string{"198.51.100.1, 192.0.2.7", "10.0.0.2"}, "192.0.2.7"},
		"an empty second line":              {proxy, []string{"192.0.2.7", ""}, "192.0.2.7"},
		"only proxies":                      {proxy, []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		"with a port":                       {proxy, []string{"192.0.2.7:55000"}, "192.0.2.7"},
		"IPv6 in brackets":                  {proxy, []string{"[2001:db8:2::7]"}, "2001:db8:2::7"},
		"IPv6 with a port":                  {proxy, []string{"[2001:db8:2::7]:55000"}, "2001:db8:2::7"},
		"no spaces":                         {proxy, []string{"198.51.100.1,192.0.2.7"}, "192.0.2.7"},
		"empty elements":                    {proxy, []string{"192.0.2.7,, ,\t"}, "192.0.2.7"},
		"empty":                             {proxy, []string{""}, "10.0.0.1"},
		"unknown":                           {proxy, []string{"192.0.2.7, unknown"}, "10.0.0.1"},
		"unknown, told to the first proxy":  {proxy, []string{"192.0.2.7, unknown, 10.0.0.2"}, "10.0.0.2"},
		"a name":                            {proxy, []string{"client.example"}, "10.0.0.1"},
		"a zone":                            {proxy, []string{"fe80::1%eth0"}, "10.0.0.1"},
		"octal":                             {proxy, []string{"192.0.2.07"}, "10.0.0.1"},
		"a short form":                      {proxy, []string{"192.0.519"}, "10.0.0.1"},
		"digits of another script":          {proxy, []string{"١٩٢.0.2.7"}, "10.0.0.1"},
		"a semicolon":                       {proxy, []string{"192.0.2.7; 198.51.100.1"}, "10.0.0.1"},
		"in quotes":                         {proxy, []string{`"192.0.2.7"`}, "10.0.0.1"},
		"half a bracket":                    {proxy, []string{"[192.0.2.7"}, "192.0.2.7"},
		"more proxies than there are":       {proxy, []string{"192.0.2.7" + strings.Repeat(", 10.0.0.2", 100)}, "10.0.0.2"},
		"no address":                        {"pipe", []string{"192.0.2.7"}, "pipe"},
		"no port, as a front in tests has":  {"10.0.0.1", []string{"192.0.2.7"}, "192.0.2.7"},
		"a proxy's neighbour, not a proxy":  {"11.0.0.1:1", []string{"192.0.2.7"}, "11.0.0.1"},
		"a client with a zone, from itself": {"[fe80::1%eth0]:1", []string{"192.0.2.7"}, "fe80::1%eth0"},
	} {
		h := http.Header{}
		for _, line := range tc.lines {
			h.Add(identity.HeaderForwardedFor, line)
		}
		if got := behind.ClientAddress(tc.remote, h); got != tc.want {
			t.Errorf("%s: got %s, want %s", name, got, tc.want)
		}
		if got, direct := (identity.Proxies{}).ClientAddress(tc.remote, h), (identity.Proxies{}).ClientAddress(tc.remote, nil); got != direct {
			t.Errorf("%s, without proxies: got %s, want %s", name, got, direct)
		}
	}
	// Headers that look alike, and those of other products, tell nothing.
	h := http.Header{}
	for _, name := range []string{"X_Forwarded_For", "X-Forwarded-For ", "Forwarded", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "X-Original-Forwarded-For"} {
		h[name] = []string{"192.0.2.7"}
	}
	if got := behind.ClientAddress(proxy, h); got != "10.0.0.1" {
		t.Errorf("another header: %s", got)
	}
}

// FuzzClientAddress: whatever a client has written before what the proxy appends,
// the client is who the proxy says.
func FuzzClientAddress(f *testing.F) {
	f.Add("127.0.0.1")
	f.Add(",,unknown, [::1]:1,")
	f.Add(strings.Repeat("10.0.0.1,", 40))
	behind := identity.Proxies{Networks: networks("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, written string) {
		for _, lines := range [][]string{{written + ", 192.0.2.7"}, {written, "192.0.2.7"}, {written, "192.0.2.7, 10.0.0.2"}} {
			if got := behind.ClientAddress("10.0.0.1:1", http.Header{identity.HeaderForwardedFor: lines}); got != "192.0.2.7" {
				t.Errorf("%q: %s", lines, got)
			}
		}
		got := behind.ClientAddress("10.0.0.1:1", http.Header{identity.HeaderForwardedFor: {written}})
		if a, err := netip.ParseAddr(got); err != nil || a.Zone() != "" || a.Is4In6() {
			t.Errorf("%q: %s", written, got)
		}
	})
}

func TestProxiesValidate(t *testing.T) {
	for header, ok := range map[string]bool{"": true, identity.HeaderXFCC: true, identity.HeaderClientCert: true, "Client-cert": false, "X-Client-Cert": false} {
		if err := (identity.Proxies{ClientCert: header}).Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", header, err)
		}
	}
}
