package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"fastness/internal/api"
	"fastness/internal/wire"
)

// tricks are spellings of a segment that no route may take for anything but
// bad input.
var tricks = map[string]string{
	"parent":             "..",
	"this":               ".",
	"encoded parent":     "%2e%2e",
	"half encoded":       ".%2E",
	"encoded this":       "%2e",
	"empty":              "",
	"slash":              "%2F",
	"twice encoded":      "a%252Fb",
	"twice parent":       "%252e%252e",
	"NUL":                "a%00b",
	"newline":            "a%0ab",
	"DEL":                "a%7f",
	"overlong slash":     "a%c0%afb",
	"overlong dot":       "%c0%ae%c0%ae",
	"not UTF-8":          "a%ff",
	"surrogate":          "%ed%a0%80",
	"Cyrillic a":         "%d0%b0",
	"fullwidth slash":    "a%ef%bc%8fb",
	"fullwidth dots":     "%ef%bc%8e%ef%bc%8e",
	"division slash":     "a%e2%88%95b",
	"right-to-left":      "a%e2%80%aeb",
	"zero width":         "a%e2%80%8bb",
	"combining":          "e%cc%81",
	"backslash":          `..%5c..`,
	"raw backslash":      `a\b`,
	"raw UTF-8":          "ä",
	"quote":              `a"%2Fb`,
	"space":              "a%20b",
	"plus and space":     "a+%20",
	"colon":              "a:b",
	"semicolon":          "a;b=c",
	"star":               "*",
	"percent":            "a%25",
	"raw fragment sign":  "a%23b",
	"encoded query sign": "a%3fb=c",
}

// names that hold a slash travel encoded: they are that name and nothing else.
var slashed = []string{"a%2Fvalue", "%2f%2F", "..%2F..%2Fadmin", "a%2F..%2Fb", "x%2Fversions%2F", "a%2F%2Fb"}

// TestPathTricks sends every trick in the place of every parameter of every
// route, as raw bytes, because clients would tidy some of them up.
func TestPathTricks(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	s.put("acme", "kept", admin, "v")
	good := map[string]string{"tenant": "acme", "name": "kept", "stage": "blue", "id": "tok_none", "principal": "none"}
	tried := 0
	for _, r := range api.Routes() {
		for _, param := range pathParams(r.Pattern) {
			for what, spelling := range tricks {
				if param == "stage" && !slices.Contains([]string{"parent", "this", "encoded parent", "half encoded", "encoded this", "empty", "slash", "NUL", "overlong slash", "not UTF-8"}, what) {
					continue // labels may be any text
				}
				path, body := requestOf(r, good)
				path = replaceSegment(r.Pattern, path, param, spelling)
				s.checkTrick(t, r, fmt.Sprintf("%s as %s", what, param), path, admin, body)
				tried++
			}
		}
	}
	if tried < 500 {
		t.Errorf("only %d tricks were tried", tried)
	}
	if got := s.names("acme"); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("secrets after all the tricks: %q", got)
	}
	if got := must[wire.Secret](s, 200, "GET", secretPath("acme", "kept"), admin, ""); len(got.Stages) != 1 || got.Version != "1" {
		t.Errorf("the secret has changed: %+v", got)
	}
}

// replaceSegment puts spelling where the pattern has the parameter.
func replaceSegment(pattern, path, param, spelling string) string {
	path, query, _ := strings.Cut(path, "?")
	segments := strings.Split(api.Prefix+path, "/")
	for i, p := range strings.Split(pattern, "/") {
		if p == "{"+param+"}" {
			segments[i] = spelling
		}
	}
	if query != "" {
		query = "?" + query
	}
	return strings.Join(segments, "/") + query
}

func (s *service) checkTrick(t *testing.T, r api.Route, what, path, token, body string) {
	t.Helper()
	before := s.servedCount()
	status, header := s.raw(t, r.Method, path, token, body)
	if status < 400 || status >= 500 {
		t.Errorf("%s %s: %s was answered with %d", r.Method, path, what, status)
	}
	if header.Get("Location") != "" {
		t.Errorf("%s %s: %s was redirected", r.Method, path, what)
	}
	if s.servedCount() == before {
		return // refused by net/http itself: not a path at all
	}
	if got := header.Get("Content-Type"); got != wire.ProblemType {
		t.Errorf("%s %s: %s was answered with type %q", r.Method, path, what, got)
	}
	served := s.lastServed()
	if !strings.HasPrefix(served, r.Method+" "+r.Pattern+" ") && !strings.HasPrefix(served, "unknown ") {
		t.Errorf("%s %s: %s was served by %q", r.Method, path, what, served)
	}
}

func (s *service) servedCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.served)
}

// raw sends a request byte by byte as given.
func (s *service) raw(t *testing.T, method, path, token, body string) (int, http.Header) {
	t.Helper()
	conn, err := net.Dial("tcp", s.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		method, path, token, len(body), body)
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	io.Copy(io.Discard, response.Body)
	return response.StatusCode, response.Header
}

// TestSlashedNames stores names full of slashes and dots. Each is one name, on
// its own route.
func TestSlashedNames(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	want := []string{}
	for _, segment := range slashed {
		path := "/api/v1/tenants/acme/secrets/" + segment + "/value"
		if status, _ := s.raw(t, "PUT", path, admin, `{"value":"v"}`); status != 201 {
			t.Errorf("PUT %s: %d", path, status)
		}
		if got, pattern := s.lastServed(), "PUT /api/v1/tenants/{tenant}/secrets/{name}/value"; got != pattern {
			t.Errorf("PUT %s was served by %q", path, got)
		}
		want = append(want, strings.NewReplacer("%2F", "/", "%2f", "/").Replace(segment))
	}
	slices.Sort(want)
	if got := s.names("acme"); !slices.Equal(got, want) {
		t.Errorf("stored %q, want %q", got, want)
	}
}

// TestUnknownPaths are nobody's, whoever asks.
func TestUnknownPaths(t *testing.T) {
	s := newService(t)
	for _, path := range []string{
		"/", "/api", "/api/", "/api/v1", "/api/v1/", "/api/v2/whoami", "//api/v1/whoami", "/api/v1//whoami", "/api/v1/whoami/",
		"/api/v1/./whoami", "/api/v1/x/../whoami", "/api/v1/%2e%2e/v1/whoami", "/api/v1/tenants/acme/secrets/", "/API/v1/whoami",
		"/api/v1/tenants/acme/secrets/a/value/", "/api/v1/tenants/acme/secrets/a/b/value", "http://x/api/v1//whoami", "*",
	} {
		method := "GET"
		if path == "*" {
			method = "OPTIONS"
		}
		status, header := s.raw(t, method, path, s.operator, "")
		if path == "*" && status == 200 {
			continue // net/http's own answer
		}
		if status != 404 && status != 400 || header.Get("Content-Type") != wire.ProblemType || header.Get("Location") != "" {
			t.Errorf("%s %s: %d %v", method, path, status, header)
		}
	}
	if status, _ := s.raw(t, "GET", "http://elsewhere/api/v1/whoami", s.operator, ""); status != 200 {
		t.Errorf("absolute form: %d", status)
	}
}

// TestMethods: what a path does not take is refused with what it takes.
func TestMethods(t *testing.T) {
	s := newService(t)
	allowed := map[string][]string{}
	for _, r := range api.Routes() {
		allowed[r.Pattern] = append(allowed[r.Pattern], r.Method)
	}
	for pattern, methods := range allowed {
		slices.Sort(methods)
		path, _ := requestOf(api.Route{Pattern: pattern}, map[string]string{"tenant": "acme", "name": "a", "stage": "b", "id": "c", "principal": "d"})
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "NONSENSE"} {
			if slices.Contains(methods, method) {
				continue
			}
			recorder := httptest.NewRecorder()
			request := httptest.NewRequest("GET", api.Prefix+path, nil)
			request.Method = method
			s.api.ServeHTTP(recorder, request)
			if got := recorder.Header().Get("Allow"); recorder.Code != 405 || got != strings.Join(methods, ", ") {
				t.Errorf("%s %s: %d, allow %q", method, pattern, recorder.Code, got)
			}
		}
	}
}

// FuzzPath: what passes for unambiguous is neither redirected by the mux nor
// read in another way by a second reader.
func FuzzPath(f *testing.F) {
	for _, r := range api.Routes() {
		f.Add(strings.NewReplacer("{", "", "}", "").Replace(r.Pattern))
	}
	for _, spelling := range tricks {
		f.Add("/api/v1/tenants/acme/secrets/" + spelling + "/value")
	}
	for _, segment := range slashed {
		f.Add("/api/v1/tenants/acme/secrets/" + segment)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	patterns := map[string]bool{}
	for _, r := range api.Routes() {
		if !patterns[r.Pattern] {
			mux.HandleFunc(r.Pattern, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Pattern", r.Pattern) })
			patterns[r.Pattern] = true
		}
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !api.Unambiguous(u) {
			return
		}
		if clean := path.Clean(u.EscapedPath()); clean != u.EscapedPath() {
			t.Errorf("%q is cleaned to %q", target, clean)
		}
		recorder := httptest.NewRecorder()
		mux.ServeHTTP(recorder, &http.Request{Method: "GET", URL: u, Host: "x"})
		pattern := recorder.Header().Get("Pattern")
		switch {
		case recorder.Code >= 300 && recorder.Code < 400:
			t.Errorf("%q is redirected", target)
		case pattern != "" && strings.Count(pattern, "/") != strings.Count(u.EscapedPath(), "/"):
			t.Errorf("%q reaches %s", target, pattern)
		}
	})
}
