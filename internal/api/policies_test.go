package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/wire"
)

// textOf is the body that puts a policy.
func textOf(text string) string {
	b, err := json.Marshal(wire.PolicyRequest{Text: text})
	if err != nil {
		panic(err)
	}
	return string(b)
}

const noReads = `forbid(principal, action == Action::"read", resource);`

// TestPolicies goes round the verbs for policies: the next request is decided
// by what was put.
func TestPolicies(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	s.put("acme", "app/db", admin, "v")
	reader := s.token("acme", admin, "reader")
	const path = "/tenants/acme/policies"

	made := must[wire.Policy](s, 200, "PUT", path+"/freeze", admin, strings.TrimSuffix(textOf(noReads), "}")+`,"expectedVersion":0}`)
	if made.Name != "freeze" || made.Version != 1 || made.Text != noReads || len(made.SHA256) != 64 || made.Bytes != len(noReads) ||
		len(made.Versions) != 1 || len(made.Statements) != 1 || made.Statements[0].Effect != "forbid" || made.Statements[0].ID != "freeze" {
		t.Errorf("made %+v", made)
	}
	s.refused(403, secret.ErrAccessDenied, "GET", secretPath("acme", "app/db")+"/value", reader, "")
	if p := s.refused(409, secret.ErrConflict, "PUT", path+"/freeze", admin, strings.TrimSuffix(textOf(noReads), "}")+`,"expectedVersion":0}`); !strings.Contains(p.Detail, "version 1 of the policy is in force") {
		t.Errorf("%+v", p)
	}
	two := textOf(noReads + "\n@id(\"second\")\n" + `forbid(principal, action == Action::"redact", resource);`)
	if p := must[wire.Policy](s, 200, "PUT", path+"/freeze", admin, two); p.Version != 2 || len(p.Versions) != 2 || p.Statements[1].ID != "freeze/second" || p.Statements[1].Line != 2 {
		t.Errorf("changed %+v", p)
	}
	if p := must[wire.Policy](s, 200, "GET", path+"/freeze?version=1", admin, ""); p.Version != 1 || p.Text != noReads || len(p.Versions) != 2 {
		t.Errorf("version 1: %+v", p)
	}
	if p := must[wire.Policy](s, 200, "GET", path+"/freeze", s.token("acme", admin, "auditor"), ""); p.Version != 2 {
		t.Errorf("an auditor sees %+v", p)
	}
	must[wire.Policy](s, 200, "PUT", path+"/other", admin, validBodies["PolicyRequest"])
	page := must[wire.PolicyList](s, 200, "GET", path+"?limit=1", admin, "")
	rest := must[wire.PolicyList](s, 200, "GET", path+"?limit=1&cursor="+page.NextCursor, admin, "")
	if len(page.Items) != 1 || page.Items[0].Name != "freeze" || len(rest.Items) != 1 || rest.Items[0].Name != "other" || rest.NextCursor != "" {
		t.Errorf("pages %+v, %+v", page, rest)
	}
	s.refused(409, secret.ErrConflict, "DELETE", path+"/freeze?expectedVersion=1", admin, "")
	must[any](s, 204, "DELETE", path+"/freeze?expectedVersion=2", admin, "")
	must[any](s, 200, "GET", secretPath("acme", "app/db")+"/value", reader, "")
	s.refused(404, secret.ErrNotFound, "GET", path+"/freeze", admin, "")
	s.refused(404, secret.ErrNotFound, "DELETE", path+"/freeze", admin, "")

	// What changed is in the log, with what was before.
	var details []string
	for _, e := range s.entries("acme", "action=policy.put") {
		details = append(details, e.Detail)
	}
	if all := strings.Join(details, "\n"); !strings.Contains(all, "before: version 1, sha256 "+made.SHA256) || !strings.Contains(all, "now: version 2, sha256 ") {
		t.Errorf("the log says %q", details)
	}
}

// TestBadPolicies: what is wrong is said by place and by limit, and nothing is
// stored.
func TestBadPolicies(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	const path = "/tenants/acme/policies"
	for _, tc := range []struct {
		name, body   string
		code         *secret.Error
		field, wants string
	}{
		{"p", textOf("forbid(principal, action, resource"), secret.ErrInvalid, "text", "line 1, column 35"},
		{"p", textOf(`permit(principal, action == Action::"fly", resource);`), secret.ErrInvalid, "text", "line 1, column 1"},
		{"p", textOf(""), secret.ErrInvalid, "text", "at least one statement"},
		{"p", textOf("forbid(principal, action, resource);"), secret.ErrConflict, "", "could no longer change policies"},
		{"p", textOf(strings.Repeat(" ", policy.MaxText+1)), secret.ErrLimit, "text", "16384 bytes"},
		{"p", textOf(strings.Repeat(" ", 1<<20)), secret.ErrLimit, "body", "131072 bytes"},
		{"p", `{"text":1}`, secret.ErrInvalid, "text", "a string is expected"},
		{"p", `{"text":"","nonsense":1}`, secret.ErrInvalid, "body", "unknown field"},
		{"Freeze", textOf(noReads), secret.ErrInvalid, "policy", "1 to 63 characters"},
		{"-x", textOf(noReads), secret.ErrInvalid, "policy", "not beginning with '-'"},
		{"a%2Fb", textOf(noReads), secret.ErrInvalid, "policy", ""},
		{strings.Repeat("p", 64), textOf(noReads), secret.ErrInvalid, "policy", ""},
	} {
		p := s.refused(wire.Status(tc.code.Code), tc.code, "PUT", path+"/"+tc.name, admin, tc.body)
		if p.Field != tc.field || !strings.Contains(p.Detail, tc.wants) {
			t.Errorf("%.40s %.60s: %+v", tc.name, tc.body, p)
		}
	}
	s.refused(400, secret.ErrInvalid, "GET", path+"/p?version=-1", admin, "")
	s.refused(400, secret.ErrInvalid, "DELETE", path+"/p?expectedVersion=x", admin, "")
	if page := must[wire.PolicyList](s, 200, "GET", path, admin, ""); len(page.Items) != 0 {
		t.Errorf("stored are %+v", page.Items)
	}
}

func TestPolicySchema(t *testing.T) {
	s := newService(t)
	if a := s.do("GET", "/fastness.cedarschema", "", ""); a.status != 200 || a.body != policy.Schema() {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestPolicyTest: drafts and made-up requests are decided on, with the
// statement that settled each.
func TestPolicyTest(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	s.put("acme", "app/db", admin, "v")
	s.token("acme", admin, "reader")
	const path = "/tenants/acme/access/test"
	body := fmt.Sprintf(`{"drafts":[{"name":"night","text":%q}],"cases":[
		{"principal":"admin","kind":"person","grants":[{"role":"reader"}],"action":"read","secret":"app/db","time":"2026-01-01T12:00:00Z"},
		{"principal":"bob","kind":"person","grants":[{"role":"reader"}],"action":"read","secret":"app/db","time":"2026-01-01T23:00:00Z"},
		{"principal":"bob","kind":"person","grants":[{"role":"reader"}],"action":"read","secret":"app/db","time":"2026-01-01T23:00:00Z","mfaAge":20},
		{"principal":"web","kind":"service","action":"read","secret":"none","tags":{"team":"web"},"service":"web","environment":"prod","address":"10.1.2.3"}]}`,
		`forbid(principal, action == Action::"read", resource is Secret) when { context.time.toTime() > duration("22h") } unless { context has mfaAge && context.mfaAge < 60 };`)
	all := must[wire.DecisionList](s, 200, "POST", path, admin, body).Items
	var got []string
	for _, d := range all {
		got = append(got, fmt.Sprintf("%s by %s %q", d.Effect, d.By, d.Reason))
	}
	if diff := cmp.Diff([]string{`allow by grants ""`, `mfa by policy "denied by policy \"night\""`, `allow by grants ""`, `hide by grants "no grant allows read"`}, got); diff != "" {
		t.Error(diff)
	}
	if d := all[1]; len(d.Statements) != 1 || d.Statements[0].ID != "night" || d.Statements[0].Effect != "forbid" || !strings.Contains(d.Statements[0].Text, "mfaAge") || len(d.Wants) == 0 {
		t.Errorf("%+v", d)
	}
	for _, tc := range []struct{ body, field string }{
		{`{"cases":[]}`, "cases"},
		{`{"cases":[{"principal":"nobody","action":"read","secret":"a"}]}`, "cases[0].principal"},
		{`{"cases":[{"principal":"a","kind":"robot","action":"read","secret":"a"}]}`, "cases[0].kind"},
		{`{"cases":[{"principal":"admin","action":"read","secret":"a"},{"principal":"admin","action":"fly"}]}`, "cases[1].action"},
		{`{"cases":[{"principal":"admin","action":"read","secret":"a","environment":"moon"}]}`, "cases[0].environment"},
		{`{"cases":[{"principal":"admin","action":"read","secret":"a","address":"here"}]}`, "cases[0].address"},
		{`{"cases":[{"principal":"admin","action":"read","secret":"a","mfaAge":-1}]}`, "cases[0].mfaAge"},
		{`{"cases":[{"principal":"admin","action":"read","secret":"a","mfaAge":9223372036854775807}]}`, "cases[0].mfaAge"},
		{`{"cases":[{"principal":"admin","action":"read","secret":"a","time":"noon"}]}`, "cases.time"},
		{`{"drafts":[{"name":"P","text":"x"}],"cases":[{"principal":"admin","action":"redact"}]}`, "name"},
	} {
		a := s.do("POST", path, admin, tc.body)
		if p := a.problem(t); a.status != 400 || p.Field != tc.field {
			t.Errorf("%s: %+v", tc.body, p)
		}
	}
	if page := must[wire.PolicyList](s, 200, "GET", "/tenants/acme/policies", admin, ""); len(page.Items) != 0 {
		t.Errorf("stored are %+v", page.Items)
	}
}

func TestSettings(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	const path = "/tenants/acme/settings"
	if got := must[wire.SettingsReply](s, 200, "GET", path, admin, ""); got != (wire.SettingsReply{MFAWindow: "5m"}) {
		t.Errorf("at first %+v", got)
	}
	want := wire.SettingsReply{MFAWindow: "1h", MFAForRead: true, Version: 1}
	if got := must[wire.SettingsReply](s, 200, "PATCH", path, admin, `{"mfaWindow":"1h","mfaForRead":true,"expectedVersion":0}`); got != want {
		t.Errorf("changed %+v", got)
	}
	s.refused(409, secret.ErrConflict, "PATCH", path, admin, `{"mfaForRead":false,"expectedVersion":0}`)
	want.MFAForRead, want.Version = false, 2
	if got := must[wire.SettingsReply](s, 200, "PATCH", path, admin, `{"mfaForRead":false}`); got != want {
		t.Errorf("changed again %+v", got)
	}
	for body, code := range map[string]*secret.Error{
		`{"mfaWindow":"2h"}`: secret.ErrLimit, `{"mfaWindow":"soon"}`: secret.ErrInvalid, `{"mfaWindow":5}`: secret.ErrInvalid, `{"mfa":true}`: secret.ErrInvalid,
	} {
		s.refused(400, code, "PATCH", path, admin, body)
	}
	if e := s.entries("acme", "action=settings.update"); e[len(e)-1].Detail != "mfaWindow: 5m0s -> 1h0m0s\nmfaForRead: false -> true" {
		t.Errorf("the log says %+v", e)
	}
}
