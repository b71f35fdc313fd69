package api_test

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"fastness/internal/api"
	"fastness/internal/audit"
	"fastness/internal/secret"
)

// requestOf makes a valid request for a row: body, query and parameters but
// those given.
func requestOf(r api.Route, params map[string]string) (path, body string) {
	path = strings.TrimPrefix(r.Pattern, api.Prefix)
	for _, name := range []string{"issuer", "ca", "policy", "denial"} {
		path = strings.ReplaceAll(path, "{"+name+"}", cmp.Or(params[name], "corp"))
	}
	for _, name := range pathParams(path) {
		path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(params[name]))
	}
	switch {
	case r.Action == "tenant.erase":
		path += "?confirm=" + params["tenant"]
	case r.Action == "audit.proof":
		path += "?from=1"
	case strings.HasSuffix(path, "/explain"):
		path += "?principal=admin&action=read&secret=shown%2Fa"
	}
	return path, validBodies[r.Request]
}

// validBodies are accepted, each by the routes that take it.
var validBodies = map[string]string{
	"":                    "",
	"TenantCreateRequest": `{"tenant":"fresh"}`,
	"CreateRequest":       `{"name":"fresh","value":"v"}`,
	"PutRequest":          `{"value":"v"}`,
	"UpdateRequest":       `{"description":"d"}`,
	"RotateRequest":       `{"value":"v"}`,
	"LabelRequest":        `{"version":"1"}`,
	"QuotasRequest":       `{"secrets":1000}`,
	"RotationRequest":     `{"rotator":"password"}`,
	"TokenCreateRequest":  `{"principal":"p","grants":[{"role":"reader"}]}`,
	"ExportRequest":       `{"nonce":"n"}`,

	"PrincipalCreateRequest":  `{"name":"fresh"}`,
	"PrincipalUpdateRequest":  `{"service":"web"}`,
	"CredentialRotateRequest": `{"overlap":"1h"}`,
	"SegmentRequest":          `{"before":"2026-01-02T03:04:05Z"}`,
	"ArchiveRequest":          `{"from":0,"to":1,"root":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","sha256":"0000000000000000000000000000000000000000000000000000000000000000"}`,
	"RedactRequest":           `{"principal":"nobody"}`,

	"PolicyRequest":         `{"text":"forbid(principal == Person::\"nobody\", action, resource);"}`,
	"PolicyTestRequest":     `{"cases":[{"principal":"admin","action":"read","secret":"shown/a"}]}`,
	"SettingsUpdateRequest": `{"mfaWindow":"10m"}`,

	"IssuerRequest":         `{"url":"https://issuer.example","audiences":["a"],"bindings":[]}`,
	"AuthorityRequest":      `{"bundle":"` + strings.ReplaceAll(testBundle, "\n", `\n`) + `","bindings":[]}`,
	"TokenLoginRequest":     `{"token":"a.b.c"}`,
	"PasswordLoginRequest":  `{"principal":"nobody","password":"correct horse battery"}`,
	"PasswordRequest":       `{"password":"correct horse battery"}`,
	"PasswordChangeRequest": `{"oldPassword":"wrong horse battery","password":"correct horse battery"}`,
	"FactorRequest":         `{"name":"phone"}`,
	"CodeRequest":           `{"code":"123456"}`,
	"CeremonyRequest":       `{"response":{}}`,

	"WebhookCreateRequest": `{"url":"https://receiver.example/hook"}`,
	"WebhookUpdateRequest": `{"paused":true}`,
}

// seen is what a caller can tell two answers apart by.
func seen(t *testing.T, a answer) string {
	t.Helper()
	p := a.problem(t)
	body := strings.ReplaceAll(a.body, p.CorrelationID, "ID")
	h := a.header.Clone()
	h.Del("X-Correlation-Id")
	h.Del("Date")
	head, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	return http.StatusText(a.status) + "\n" + string(head) + "\n" + body
}

// TestHiddenIsAbsent compares, for every route and every kind of caller, the
// answers for what the caller may not know of with those for what is not there.
func TestHiddenIsAbsent(t *testing.T) {
	s := newService(t)
	admin, beta := s.tenant("acme"), s.tenant("beta")
	for _, name := range []string{"shown/a", "hidden/a"} {
		s.put("acme", name, admin, "v")
		s.put("beta", name, beta, "v")
	}
	foreign := must[struct{ ID string }](s, 201, "POST", "/tenants/beta/tokens", beta, validBodies["TokenCreateRequest"]).ID
	callers := map[string]string{
		"admin":           admin,
		"partial admin":   s.token("acme", admin, "admin", "shown/*"),
		"partial writer":  s.token("acme", admin, "writer", "shown/*"),
		"partial reader":  s.token("acme", admin, "reader", "shown/*"),
		"partial auditor": s.token("acme", admin, "auditor", "shown/*"),
	}
	compared := 0
	for caller, token := range callers {
		for _, r := range api.Routes() {
			if !strings.Contains(r.Pattern, "{tenant}") || r.Action == audit.Login {
				continue // who comes in is slowed: see TestLoginsLookAlike
			}
			send := func(tenant, name, id string) string {
				principal := map[bool]string{true: "p", false: "none"}[id == foreign]
				path, body := requestOf(r, map[string]string{"tenant": tenant, "name": name, "stage": "blue", "id": id, "principal": principal})
				return seen(t, s.do(r.Method, path, token, body))
			}
			same := func(what, a, b string) {
				compared++
				if a != b {
					t.Errorf("%s as %s: %s differ:\n%s\n%s", r.Method+" "+r.Pattern, caller, what, a, b)
				}
			}
			other := send("beta", "hidden/a", foreign)
			same("another tenant's and one of no tenant", other, send("nobody", "hidden/a", foreign))
			same("another tenant's secret and one it does not have", other, send("beta", "hidden/none", "tok_none"))
			if !strings.Contains(r.Pattern, "{name}") || caller == "admin" {
				continue
			}
			hidden := send("acme", "hidden/a", "")
			same("a hidden secret and an absent one", hidden, send("acme", "hidden/none", ""))
			if r.Method == http.MethodGet {
				same("a hidden secret and another tenant's", hidden, other)
			}
		}
	}
	if compared < 150 {
		t.Errorf("only %d comparisons were made", compared)
	}
	// Nothing of all this has done anything.
	for tenant, token := range map[string]string{"acme": admin, "beta": beta} {
		for _, name := range []string{"shown/a", "hidden/a"} {
			if v := must[valueReply](s, 200, "GET", secretPath(tenant, name)+"/value", token, ""); v.Version != "1" {
				t.Errorf("%s of %s is at version %s", name, tenant, v.Version)
			}
		}
		if n := s.names(tenant); len(n) != 2 {
			t.Errorf("%s has %q", tenant, n)
		}
	}
	// A foreign token's id is no id, for those who may manage their own.
	for _, id := range []string{foreign, "tok_none"} {
		s.refused(404, secret.ErrNotFound, "DELETE", "/tenants/acme/tokens/"+id, admin, "")
	}
}

// TestEveryRefusalIsRecorded sends every route a request that the adapter, a
// decoder or the vault refuses, and looks for its entry.
func TestEveryRefusalIsRecorded(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	reader := s.token("acme", admin, "reader", "shown/*")
	ids := map[string]string{}
	for _, r := range api.Routes() {
		if r.Open || r.Pattern == api.Prefix+"/whoami" {
			continue
		}
		params := map[string]string{"tenant": "acme", "name": "hidden/a", "stage": "blue", "id": "tok_none", "principal": "none"}
		path, body := requestOf(r, params)
		note := func(what string, a answer) {
			if a.status < 400 {
				t.Errorf("%s %s: %s was answered with %d", r.Method, r.Pattern, what, a.status)
				return
			}
			ids[a.problem(t).CorrelationID] = r.Method + " " + r.Pattern + ": " + what
		}
		if r.Method != http.MethodGet || strings.Contains(r.Pattern, "{name}") || r.Operator {
			note("a refused caller", s.do(r.Method, path, reader, body))
		}
		unknown := path + "?nonsense=1"
		if strings.Contains(path, "?") {
			unknown = path + "&nonsense=1"
		}
		note("an unknown parameter", s.do(r.Method, unknown, admin, body))
		if r.Body > 0 {
			note("a bad body", s.do(r.Method, path, admin, `{"nonsense":1}`))
		}
		note("no credential", s.do(r.Method, path, "", body))
		if strings.Contains(r.Pattern, "{name}") {
			params["name"] = "not a name"
			path, body := requestOf(r, params)
			note("a bad name", s.do(r.Method, path, admin, body))
		}
	}
	for _, e := range append(s.entries("acme", ""), s.entries("", "")...) {
		delete(ids, e.CorrelationID)
		if e.Result == "success" && e.Error != "" || e.Result != "success" && e.Error == "" {
			t.Errorf("entry says both: %+v", e)
		}
	}
	for id, what := range ids {
		t.Errorf("%s: no entry %s", what, id)
	}
}
