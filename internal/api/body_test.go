package api_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"fastness/internal/api"
	"fastness/internal/secret"
)

// badBodies break a rule in every route's body; %s is a valid one.
var badBodies = map[string]string{
	"empty":         ``,
	"no object":     `[]`,
	"text":          `hello`,
	"null":          `null`,
	"unknown field": `{"nonsense":1}`,
	"trailing":      `{} {}`,
	"cut":           `{"a`,
	"deep":          strings.Repeat(`{"x":`, 100) + "1" + strings.Repeat("}", 100),
	"not UTF-8":     "{\"description\":\"\xff\"}",
	"surrogate":     `{"description":"\ud800"}`,
	"NUL":           "{}\x00",
	"byte mark":     "\ufeff{}",
	"twice":         `{"value":"a","value":"b"}`,
	"comment":       `{}//`,
}

// TestBadBodies sends each to every route with a body. Nothing is stored.
func TestBadBodies(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	s.put("acme", "kept", admin, "v")
	for _, r := range api.Routes() {
		if r.Body == 0 {
			continue
		}
		token := admin
		if !strings.Contains(r.Pattern, "{tenant}") {
			token = s.operator
		}
		path, valid := requestOf(r, map[string]string{"tenant": "acme", "name": "kept", "stage": "blue", "id": "tok_none", "principal": "none"})
		bad := map[string]string{"trailing brace": valid + "}", "trailing comma": valid[:len(valid)-1] + ",}", "wrong types": wrongTypes(t, valid)}
		for what, body := range badBodies {
			bad[what] = body
		}
		for what, body := range bad {
			if body == "" && slices.Contains([]string{"RotateRequest", "ExportRequest", "CredentialRotateRequest"}, r.Request) {
				continue // theirs may be left out
			}
			a := s.do(r.Method, path, token, body)
			if a.status != 400 {
				t.Errorf("%s %s: %s: %d %s", r.Method, r.Pattern, what, a.status, a.body)
				continue
			}
			if p := a.problem(t); p.Field == "" {
				t.Errorf("%s %s: %s: no field is named: %s", r.Method, r.Pattern, what, a.body)
			}
		}
	}
	if got := must[valueReply](s, 200, "GET", secretPath("acme", "kept")+"/value", admin, ""); got.Version != "1" {
		t.Errorf("the secret has changed: %+v", got)
	}
	if got := s.names("acme"); len(got) != 1 {
		t.Errorf("stored: %q", got)
	}
}

// wrongTypes turns every member of a body into a number, numbers into text.
func wrongTypes(t *testing.T, valid string) string {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(valid), &members); err != nil {
		t.Fatal(err)
	}
	for name, v := range members {
		members[name] = 7
		if _, number := v.(float64); number {
			members[name] = "7"
		}
	}
	b, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestContent: bodies are JSON, in UTF-8, not compressed, where one is taken.
func TestContent(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	send := func(name, value string) answer {
		request, err := http.NewRequest("PUT", s.http.URL+api.Prefix+secretPath("acme", "x")+"/value", strings.NewReader(`{"value":"v"}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+admin)
		request.Header.Set(name, value)
		return s.send(request)
	}
	for _, value := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"} {
		if a := send("Content-Type", value); a.status >= 300 {
			t.Errorf("%s: %d %s", value, a.status, a.body)
		}
	}
	for _, value := range []string{"text/plain", "application/json; charset=latin1", "application/x-www-form-urlencoded", "nonsense/;", "multipart/form-data"} {
		if a := send("Content-Type", value); a.status != 415 || a.problem(t).Field != "Content-Type" {
			t.Errorf("%s: %d %s", value, a.status, a.body)
		}
	}
	if a := send("Content-Encoding", "gzip"); a.status != 415 {
		t.Errorf("gzip: %d %s", a.status, a.body)
	}
	if a := send("Content-Encoding", "identity"); a.status != 200 {
		t.Errorf("identity: %d %s", a.status, a.body)
	}
	if p := s.refused(400, secret.ErrInvalid, "GET", "/whoami", admin, "{}"); p.Field != "body" {
		t.Errorf("a body where none is taken: %+v", p)
	}
}

// TestBodyFraming: bodies cut short, too long, announced too long, sent in
// chunks. Each is refused, recorded, and stores nothing.
func TestBodyFraming(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	head := "PUT /api/v1/tenants/acme/secrets/x/value HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + admin + "\r\n"
	big := `{"value":"` + strings.Repeat("a", api.MaxBody) + `"}`
	for what, c := range map[string]struct {
		request string
		half    bool // close our side of the connection
		code    *secret.Error
	}{
		"cut short":         {head + "Content-Length: 100\r\n\r\n{\"value\":\"v\"}", true, secret.ErrInvalid},
		"chunks cut short":  {head + "Transfer-Encoding: chunked\r\n\r\nd\r\n{\"value\":\"v\"}\r\n", true, secret.ErrInvalid},
		"broken chunks":     {head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", false, secret.ErrInvalid},
		"announced too big": {head + "Content-Length: 9999999\r\n\r\n", true, secret.ErrLimit},
		"too big":           {head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(big)) + big, false, secret.ErrLimit},
		"too big, chunked":  {head + "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(big), big), false, secret.ErrLimit},
	} {
		status, body := s.exchange(t, c.request, c.half)
		var p struct{ Code, Field, CorrelationID string }
		if err := json.Unmarshal([]byte(body), &p); err != nil || status != 400 || p.Code != string(c.code.Code) || p.Field != "body" {
			t.Errorf("%s: %v %d %s", what, err, status, body)
			continue
		}
		if got := s.entries("acme", "correlationId="+p.CorrelationID); len(got) != 1 || got[0].Result != "failed" {
			t.Errorf("%s: entries %+v", what, got)
		}
	}
	if got := s.names("acme"); len(got) != 0 {
		t.Errorf("stored: %q", got)
	}
	chunked := head + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\n{\"val\r\n8\r\nue\":\"v\"}\r\n0\r\n\r\n"
	if status, body := s.exchange(t, chunked, false); status != 201 {
		t.Errorf("chunks: %d %s", status, body)
	}
}

// exchange sends bytes and reads one answer.
func (s *service) exchange(t *testing.T, request string, half bool) (int, string) {
	t.Helper()
	conn, err := net.Dial("tcp", s.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if half {
		conn.(*net.TCPConn).CloseWrite()
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// TestRefusedBodyKeepsConnection: after a refusal that read the body to its
// end, the next request on the connection is served.
func TestRefusedBodyKeepsConnection(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	conn, err := net.Dial("tcp", s.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	body := `{"value":"` + strings.Repeat("a", 100_000) + `"}`
	for _, token := range []string{"wrong", "wrong"} {
		fmt.Fprintf(conn, "PUT /api/v1/tenants/acme/secrets/x/value HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", token, len(body), body)
	}
	fmt.Fprintf(conn, "GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", admin)
	reader := bufio.NewReader(conn)
	for _, want := range []int{401, 401, 200} {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("answered %d, want %d", response.StatusCode, want)
		}
	}
}

// TestLimits passes each row of the table of limits by one, after having met
// it exactly.
func TestLimits(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	text := func(n int) string { return strings.Repeat("x", n) }
	put := func(field string) string { return `{"value":"v",` + field + `}` }
	value := func(n int) string { return `{"value":"` + text(n) + `"}` }
	binary := func(n int) string {
		return `{"valueBase64":"` + base64.StdEncoding.EncodeToString(make([]byte, n)) + `"}`
	}
	tags := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(`"k%d":"v"`, i))
		}
		return put(`"tags":{` + strings.Join(all, ",") + `}`)
	}
	services := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(`"s%d"`, i))
		}
		return put(`"accessPolicy":{"allowedServices":[` + strings.Join(all, ",") + `]}`)
	}
	tag := func(key, val int) string { return put(`"tags":{"` + text(key) + `":"` + text(val) + `"}`) }
	for what, c := range map[string]struct {
		good, bad, field string
	}{
		"value":            {value(65536), value(65537), "value"},
		"empty value":      {value(1), value(0), "value"},
		"binary":           {binary(65536), binary(65537), "value"},
		"escaped value":    {`{"value":"` + strings.Repeat(`\u0000`, 65536) + `"}`, `{"value":"` + strings.Repeat(`\u00fc`, 32769) + `"}`, "value"},
		"both":             {value(1), `{"value":"a","valueBase64":"YQ=="}`, "value"},
		"neither":          {value(1), `{}`, "value"},
		"description":      {put(`"description":"` + strings.Repeat("ü", 500) + `"`), put(`"description":"` + text(501) + `"`), "description"},
		"tag key":          {tag(128, 1), tag(129, 1), "tags"},
		"empty tag key":    {tag(1, 0), tag(0, 1), "tags"},
		"tag value":        {tag(1, 100), tag(1, 101), "tags"},
		"tags":             {tags(50), tags(51), "tags"},
		"rotationInterval": {put(`"rotationInterval":"365d"`), put(`"rotationInterval":"8d"`), "rotationInterval"},
		"algorithm":        {put(`"algorithm":"hybrid-quantum"`), put(`"algorithm":"AES-256-GCM"`), "algorithm"},
		"services":         {services(100), services(101), "accessPolicy.allowedServices"},
		"environment":      {put(`"accessPolicy":{"allowedEnvironments":["prod"]}`), put(`"accessPolicy":{"allowedEnvironments":["moon"]}`), "accessPolicy.allowedEnvironments"},
		"request token":    {put(`"requestToken":"` + text(64) + `"`), put(`"requestToken":"` + text(65) + `"`), "requestToken"},
		"short token":      {put(`"requestToken":"` + text(32) + `"`), put(`"requestToken":"` + text(31) + `"`), "requestToken"},
	} {
		path := secretPath("acme", what2name(what)) + "/value"
		a := s.do("PUT", path, admin, c.bad)
		if p := a.problem(t); a.status != 400 || p.Field != c.field {
			t.Errorf("%s: %d %s, want field %s", what, a.status, a.body, c.field)
		}
		if got := s.do("GET", path, admin, ""); got.status != 404 {
			t.Errorf("%s: stored: %d", what, got.status)
		}
		if a := s.do("PUT", path, admin, c.good); a.status != 201 {
			t.Errorf("%s at its limit: %d %s", what, a.status, a.body)
		}
	}
	s.put("acme", text(255), admin, "v")
	p := s.refused(400, secret.ErrLimit, "PUT", secretPath("acme", text(256))+"/value", admin, value(1))
	if p.Field != "name" || !strings.Contains(p.Detail, "255") {
		t.Errorf("long name: %+v", p)
	}
	s.refused(404, secret.ErrNotFound, "GET", secretPath("acme", text(512))+"/value", admin, "")
	s.refused(400, secret.ErrLimit, "GET", secretPath("acme", text(513))+"/value", admin, "")
	s.refused(404, secret.ErrNotFound, "GET", "/tenants/"+text(63), admin, "")
	s.refused(400, secret.ErrLimit, "GET", "/tenants/"+text(64), admin, "")
	s.refused(400, secret.ErrLimit, "PUT", secretPath("acme", "value")+"/stages/"+text(257), admin, `{"version":"1"}`)
}

func what2name(what string) string { return strings.ReplaceAll(what, " ", "-") }
