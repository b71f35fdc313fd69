package api_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"fastness/internal/api"
	"fastness/internal/identity"
	"fastness/internal/vault"
)

// through sends requests to the same service as if all senders on this machine
// were trusted proxies.
type through struct {
	*service
	server *httptest.Server
}

func behindProxy(s *service) through {
	proxies := identity.Proxies{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	server := httptest.NewServer(api.New(api.Config{Vault: s.vault, Logger: slog.New(slog.DiscardHandler), Proxies: proxies}))
	s.t.Cleanup(server.Close)
	return through{s, server}
}

// get sends a request of a client, as lines of X-Forwarded-For tell it.
func (p through) get(path, token string, lines ...string) (int, string) {
	p.t.Helper()
	request, err := http.NewRequest("GET", p.server.URL+api.Prefix+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header["X-Forwarded-For"] = lines
	response, err := p.server.Client().Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// TestClientsBehindProxy: who tries bad credentials is slowed by the address that
// the proxy tells, with whatever it writes before that; neighbours are not.
func TestClientsBehindProxy(t *testing.T) {
	s := newService(t)
	p := behindProxy(s)
	slowed := false
	for i := 0; i < 40 && !slowed; i++ { // the waits are of the real clock
		forged := fmt.Sprintf("198.51.100.%d", i)
		status, body := p.get("/whoami", "fst_nonsense", [][]string{{forged + ", 192.0.2.7"}, {forged, "192.0.2.7"}}[i%2]...)
		if slowed = status == 429; slowed && i < 20 || !slowed && status != 401 {
			t.Fatalf("try %d: %d %s", i, status, body)
		}
	}
	if !slowed {
		t.Error("whoever writes another address each time is not slowed")
	}
	for _, line := range []string{"192.0.2.8", "2001:db8::7"} {
		if status, body := p.get("/whoami", "fst_nonsense", line); status != 401 {
			t.Errorf("a neighbour: %d %s", status, body)
		}
	}
	if status, body := p.get("/whoami", "fst_nonsense"); status != 401 {
		t.Errorf("the proxy itself: %d %s", status, body)
	}
	if status, body := p.get("/whoami", s.operator, "192.0.2.7"); status != 200 {
		t.Errorf("a good token: %d %s", status, body)
	}
	seen := map[string]bool{}
	for _, e := range s.entries("", "action=login") {
		seen[e.IPAddress] = true
	}
	for _, address := range []string{"192.0.2.7", "192.0.2.8", "2001:db8::7", "127.0.0.1"} {
		if !seen[address] {
			t.Errorf("no entry names %s: %v", address, seen)
		}
		delete(seen, address)
	}
	if len(seen) > 0 {
		t.Errorf("entries name %v", seen)
	}
}

// TestPolicyBehindProxy: a policy over the caller's address decides by the client's,
// and not by what a client writes.
func TestPolicyBehindProxy(t *testing.T) {
	s := newService(t)
	p := behindProxy(s)
	admin := s.tenant("acme")
	s.put("acme", "app/db", admin, "v")
	reader := s.token("acme", admin, "reader")
	session := s.vault.Session(s.vault.Local(vault.Origin{}), "acme")
	if _, err := session.Policies().Put(t.Context(), vault.PolicyPut{Name: "office", Text: `forbid(principal, action == Action::"read", resource)
		unless { context has sourceAddress && context.sourceAddress.isInRange(ip("192.0.2.0/24")) };`}); err != nil {
		t.Fatal(err)
	}
	path := secretPath("acme", "app/db") + "/value"
	for name, tc := range map[string]struct {
		lines []string
		want  int
	}{
		"the office":              {[]string{"192.0.2.7"}, 200},
		"the office, mapped":      {[]string{"::ffff:192.0.2.7"}, 200},
		"elsewhere":               {[]string{"198.51.100.1"}, 403},
		"elsewhere, forged":       {[]string{"192.0.2.7, 198.51.100.1"}, 403},
		"elsewhere, forged twice": {[]string{"192.0.2.7", "198.51.100.1"}, 403},
		"no address":              {[]string{"192.0.2.7, unknown"}, 403},
		"the proxy":               {nil, 403},
	} {
		if status, body := p.get(path, reader, tc.lines...); status != tc.want {
			t.Errorf("%s: %d, want %d: %s", name, status, tc.want, body)
		}
	}
	request, err := http.NewRequest("GET", s.http.URL+api.Prefix+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+reader)
	request.Header.Set("X-Forwarded-For", "192.0.2.7")
	if a := s.send(request); a.status != 403 {
		t.Errorf("forged, where no proxy is trusted: %d %s", a.status, a.body)
	}
}
