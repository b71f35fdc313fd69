package api_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"fastness/internal/api"
	"fastness/internal/secret"
)

func TestAuthorization(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	fake := admin[:len(admin)-1] + "0"
	if fake == admin {
		fake = admin[:len(admin)-1] + "1"
	}
	for name, values := range map[string][]string{
		"none":            nil,
		"empty":           {""},
		"one byte":        {"x"},
		"scheme only":     {"Bearer "},
		"another scheme":  {"Basic " + admin},
		"no scheme":       {admin},
		"twice":           {"Bearer " + admin, "Bearer " + admin},
		"two in one":      {"Bearer " + admin + ", Bearer " + admin},
		"checksum":        {"Bearer " + fake},
		"not a token":     {"Bearer nonsense"},
		"long":            {"Bearer " + strings.Repeat("f", 8000)},
		"space in front":  {"Bearer  " + admin},
		"token and space": {"Bearer " + admin + " x"},
	} {
		request, err := http.NewRequest("GET", s.http.URL+api.Prefix+"/whoami", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header["Authorization"] = values
		a := s.send(request)
		if p := a.problem(t); a.status != 401 || p.Code != secret.ErrUnauthenticated.Code || p.Detail != secret.ErrUnauthenticated.Detail {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		if a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no challenge", name)
		}
	}
	request, err := http.NewRequest("GET", s.http.URL+api.Prefix+"/whoami", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "bearer "+admin)
	if a := s.send(request); a.status != 200 {
		t.Errorf("lower-case scheme: %d %s", a.status, a.body)
	}
}

// TestCredentialInURL: it works nowhere, not even beside a good header.
func TestCredentialInURL(t *testing.T) {
	s := newService(t)
	for _, query := range []string{"?token=" + s.operator, "?access_token=x", "?x=" + s.operator} {
		for _, token := range []string{"", s.operator} {
			p := s.refused(400, secret.ErrInvalid, "GET", "/whoami"+query, token, "")
			if !strings.Contains(p.Detail, "Authorization") {
				t.Errorf("detail: %s", p.Detail)
			}
		}
	}
	if log := s.logged(); strings.Contains(log, s.operator) {
		t.Error("the token is in the log")
	}
	if got := s.entries("", "action=login"); len(got) != 6 {
		t.Errorf("%d entries, want 6", len(got))
	}
}

// TestBadCredentialsAreSlowed: the connection's address counts, whatever a
// header says; a good token works from there all the same.
func TestBadCredentialsAreSlowed(t *testing.T) {
	s := newService(t)
	try := func(i int, token string) answer {
		request, err := http.NewRequest("GET", s.http.URL+api.Prefix+"/whoami", nil)
		if err != nil {
			t.Fatal(err)
		}
		other := fmt.Sprintf("198.51.100.%d", i)
		for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip"} {
			request.Header[name] = []string{other, "203.0.113." + fmt.Sprint(i)}
		}
		request.Header.Set("Forwarded", "for="+other)
		request.Header.Set("Authorization", "Bearer "+token)
		return s.send(request)
	}
	var slowed answer
	for i := range 22 {
		if slowed = try(i, "fst_nonsense"); i < 21 && slowed.status != 401 {
			t.Fatalf("try %d: %d %s", i, slowed.status, slowed.body)
		}
	}
	p := slowed.problem(t)
	if slowed.status != 429 || p.Code != secret.ErrTooMany.Code || slowed.header.Get("Retry-After") != "1" {
		t.Errorf("%d, Retry-After %q: %s", slowed.status, slowed.header.Get("Retry-After"), slowed.body)
	}
	if a := try(0, s.operator); a.status != 200 {
		t.Errorf("a good token: %d %s", a.status, a.body)
	}
	for _, e := range s.entries("", "action=login") {
		if e.IPAddress != "127.0.0.1" {
			t.Errorf("an entry names %s", e.IPAddress)
		}
	}
}

// TestUnauthenticatedFirst: without a credential nothing is told about paths,
// queries and bodies.
func TestUnauthenticatedFirst(t *testing.T) {
	s := newService(t)
	s.put("acme", "x", s.tenant("acme"), "v")
	for _, path := range []string{
		"/tenants/acme/secrets/x", "/tenants/nobody/secrets/x", "/tenants/NOT%20A%20NAME/secrets/x", "/tenants/acme/secrets/x?nonsense=1",
		"/tenants/acme/secrets/%00", "/tenants/acme/secrets?limit=x", "/audit", "/tenants",
	} {
		s.refused(401, secret.ErrUnauthenticated, "GET", path, "", "")
	}
	s.refused(401, secret.ErrUnauthenticated, "PUT", "/tenants/acme/secrets/x/value", "", "{")
	if a := s.do("GET", "/openapi.json", "", ""); a.status != 200 || !strings.Contains(a.body, `"openapi": "3.1.0"`) {
		t.Errorf("document: %d", a.status)
	}
	s.refused(400, secret.ErrInvalid, "GET", "/openapi.json?x=1", "", "")
}

// TestHeaderIsWiped looks at the string that net/http makes of a header.
func TestHeaderIsWiped(t *testing.T) {
	s := newService(t)
	for path, status := range map[string]int{"/whoami": 200, "/nowhere": 404, "/openapi.json": 200} {
		request := httptest.NewRequest("GET", api.Prefix+path, nil)
		header := strings.Clone("Bearer " + s.operator)
		request.Header["Authorization"] = []string{header}
		recorder := httptest.NewRecorder()
		s.api.ServeHTTP(recorder, request)
		if recorder.Code != status {
			t.Errorf("%s: %d", path, recorder.Code)
		}
		if header != strings.Repeat("\x00", len(header)) {
			t.Errorf("%s: the header still holds %q", path, header)
		}
		if request.Header["Authorization"] != nil {
			t.Errorf("%s: the header is still there", path)
		}
	}
}

// FuzzBearer: a token is what follows the scheme, and the header is wiped.
func FuzzBearer(f *testing.F) {
	for _, seed := range []string{"", "x", "Bearer ", "Bearer x", "bearer  x", "Basic eA==", "Bearerx", "Bearer \x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		header := string(append([]byte(nil), value...))
		token := api.Bearer(http.Header{"Authorization": {header}})
		defer token.Release()
		want := ""
		if len(value) > 7 && strings.EqualFold(value[:7], "bearer ") {
			want = value[7:]
		}
		if string(token.Bytes()) != want {
			t.Errorf("%q gave %q", value, token.Bytes())
		}
		if len(value) >= 8 && strings.Trim(header, "\x00") != "" {
			t.Errorf("%q is not wiped", value)
		}
	})
}
