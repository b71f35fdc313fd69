package api_test

import (
	"encoding/csv"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fastness/internal/api"
	"fastness/internal/secret"
	"fastness/internal/wire"
)

// TestDenial: the id of a refusal leads those who may ask to what decided, and
// the refused caller no further.
func TestDenial(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	s.put("acme", "app/db", admin, "v")
	s.put("acme", "hidden/db", admin, "v")
	reader := s.token("acme", admin, "reader", "app/*")
	must[any](s, 200, "PUT", "/tenants/acme/policies/freeze", admin, textOf(noReads))

	value := secretPath("acme", "app/db") + "/value"
	p := s.refused(403, secret.ErrAccessDenied, "GET", value, reader, "")
	if want := "fastness access explain --denial " + p.CorrelationID; p.Explain != want {
		t.Errorf("the caller is told %q, want %q", p.Explain, want)
	}
	path := "/tenants/acme/access/denials/" + p.CorrelationID
	d := must[wire.Denial](s, 200, "GET", path, s.token("acme", admin, "auditor"), "")
	if d.ID != p.CorrelationID || d.Principal != "reader" || d.Action != "read" || d.Secret != "app/db" || d.Answer != "access_denied" ||
		d.Reason != `denied by policy "freeze"` || d.CredentialID == "" || d.Now == nil {
		t.Fatalf("%+v", d)
	}
	if n := d.Now; n.Effect != "deny" || n.By != "policy" || len(n.Statements) != 1 || n.Statements[0].ID != "freeze" ||
		!slices.Equal(n.Wants, []string{`policy "freeze" must not apply`}) {
		t.Errorf("now %+v", n)
	}
	must[any](s, 204, "DELETE", "/tenants/acme/policies/freeze", admin, "")
	if d = must[wire.Denial](s, 200, "GET", path, admin, ""); d.Now.Effect != "allow" || d.Now.By != "grants" || d.Reason != `denied by policy "freeze"` {
		t.Errorf("now that it may: %+v", d)
	}

	// What is hidden reads like what is not there, and can be asked for as well.
	p = s.refused(404, secret.ErrNotFound, "GET", secretPath("acme", "hidden/db")+"/value", reader, "")
	if d = must[wire.Denial](s, 200, "GET", "/tenants/acme/access/denials/"+p.CorrelationID, admin, ""); d.Answer != "not_found" || d.Now.Effect != "hide" || d.Now.By != "credential" {
		t.Errorf("hidden: %+v", d)
	}
	s.refused(403, secret.ErrAccessDenied, "GET", path, reader, "")
	s.refused(404, secret.ErrNotFound, "GET", "/tenants/acme/access/denials/none", admin, "")
	beta := s.tenant("beta")
	s.refused(404, secret.ErrNotFound, "GET", strings.Replace(path, "acme", "beta", 1), beta, "")
	s.refused(404, secret.ErrNotFound, "GET", path, beta, "")
	if p := s.refused(400, secret.ErrLimit, "GET", "/tenants/acme/access/denials/"+strings.Repeat("x", 129), admin, ""); p.Field != "denial" || p.Explain != "" {
		t.Errorf("%+v", p)
	}
}

// TestExplainHint: who was refused is told what tells more, and nobody else.
func TestExplainHint(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	for _, tc := range []struct {
		token, path string
		hint        bool
	}{
		{"", "/tenants/acme", false},
		{admin, "/tenants/acme", false},
		{admin, secretPath("acme", "none"), true},
		{admin, "/tenants", true},
		{admin, "/nowhere", false},
		{s.operator, secretPath("acme", "none"), false},
		{admin, secretPath("acme", "a b"), false},
	} {
		a := s.do("GET", tc.path, tc.token, "")
		if got := strings.Contains(a.body, `"explain":"fastness access explain --denial `+a.header.Get("X-Correlation-Id")+`"`); got != tc.hint {
			t.Errorf("%s: %d %s", tc.path, a.status, a.body)
		}
	}
}

func TestExplain(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	s.put("acme", "app/db", admin, "v")
	s.token("acme", admin, "reader", "app/*")
	explain := func(query string) []wire.Explanation {
		return must[wire.ExplanationList](s, 200, "GET", "/tenants/acme/access/explain?"+query, admin, "").Items
	}
	all := explain("principal=reader&action=update&secret=app%2Fdb")
	if len(all) != 2 || !all[0].Login || len(all[0].CredentialIDs) != 0 || all[0].Decision.Reason != "no grant allows update" ||
		all[1].Login || len(all[1].CredentialIDs) != 1 || all[1].Decision.By != "credential" || len(all[1].Decision.Wants) == 0 {
		t.Fatalf("%+v", all)
	}
	one := explain("principal=reader&action=read&secret=app%2Fdb&address=::1&credentialId=" + all[1].CredentialIDs[0])
	if len(one) != 1 || one[0].Decision.Effect != "allow" || len(one[0].Decision.Statements) == 0 {
		t.Errorf("%+v", one)
	}
	if got := explain("principal=admin&action=redact"); got[len(got)-1].Decision.Effect != "allow" {
		t.Errorf("%+v", got)
	}
	for _, tc := range []struct {
		query, field string
		code         *secret.Error
	}{
		{"", "principal", secret.ErrLimit},
		{"principal=reader&secret=a", "action", secret.ErrInvalid},
		{"principal=reader&action=read", "name", secret.ErrLimit},
		{"principal=reader&action=tokens&secret=a", "secret", secret.ErrInvalid},
		{"principal=reader&action=read&secret=a&address=there", "address", secret.ErrInvalid},
		{"principal=reader&action=read&secret=a&credentialId=a-b", "credentialId", secret.ErrInvalid},
		{"principal=reader&action=read&secret=a&secret=b", "secret", secret.ErrInvalid},
		{"principal=" + strings.Repeat("p", 129) + "&action=read&secret=a", "principal", secret.ErrLimit},
	} {
		if p := s.refused(400, tc.code, "GET", "/tenants/acme/access/explain?"+tc.query, admin, ""); p.Field != tc.field {
			t.Errorf("%s: %+v", tc.query, p)
		}
	}
	s.refused(404, secret.ErrNotFound, "GET", "/tenants/acme/access/explain?principal=none&action=read&secret=a", admin, "")
}

func TestWho(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	s.put("acme", "app/db", admin, "v")
	s.token("acme", admin, "reader", "app/*")
	s.token("acme", admin, "rotator")
	got := map[string]string{}
	for path, pages := "/tenants/acme/access/who?secret=app%2Fdb&limit=2", 0; ; pages++ {
		page := must[wire.WhoList](s, 200, "GET", path, admin, "")
		for _, w := range page.Items {
			got[w.Principal] = fmt.Sprint(w.Kind, w.Actions, w.WithMFA)
		}
		if page.NextCursor == "" {
			break
		}
		if pages > 3 {
			t.Fatal("pages without end")
		}
		path = "/tenants/acme/access/who?secret=app%2Fdb&limit=2&cursor=" + url.QueryEscape(page.NextCursor)
	}
	if got["reader"] != "service[list describe read] []" || got["rotator"] == "" || got["admin"] == "" || len(got) != 3 {
		t.Errorf("%v", got)
	}
	if page := must[wire.WhoList](s, 200, "GET", "/tenants/acme/access/who", admin, ""); len(page.Items) != 1 || page.Items[0].Principal != "admin" {
		t.Errorf("of the tenant: %+v", page)
	}
	s.refused(400, secret.ErrInvalid, "GET", "/tenants/acme/access/who?address=x", admin, "")
	s.refused(400, secret.ErrLimit, "GET", "/tenants/acme/access/who?limit=501", admin, "")
	s.refused(400, secret.ErrInvalid, "GET", "/tenants/acme/access/who?secret=a%20b", admin, "")
}

// TestReview: every principal and credential is there, in pages and as a
// table that no spreadsheet evaluates.
func TestReview(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	const path = "/tenants/acme/access/review"
	for _, body := range []string{
		`{"name":"@SUM","service":"=cmd|'/c calc'!A1","environment":"prod"}`,
		`{"name":"-1:2","kind":"person","grants":[{"role":"reader","patterns":["a/*","=b"]},{"role":"auditor"}]}`,
		`{"name":"last"}`,
	} {
		must[any](s, 201, "POST", "/tenants/acme/principals", admin, body)
	}
	must[any](s, 200, "POST", "/tenants/acme/principals/last/disable", admin, "")
	made := must[struct{ ID string }](s, 201, "POST", "/tenants/acme/tokens", admin, `{"principal":"-1:2","expiresIn":"1h"}`)
	key := must[struct{ ID string }](s, 201, "POST", "/tenants/acme/accesskeys", admin, `{"principal":"-1:2","grants":[{"role":"reader","patterns":["a/*"]}]}`)
	must[any](s, 204, "DELETE", "/tenants/acme/tokens/"+key.ID, admin, "")

	var all []wire.Review
	for cursor := ""; ; {
		page := must[wire.ReviewList](s, 200, "GET", path+"?limit=2&cursor="+url.QueryEscape(cursor), admin, "")
		all = append(all, page.Items...)
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if len(all) != 4 || all[0].Principal != "-1:2" || len(all[0].Credentials) != 2 || all[3].Principal != "last" || all[3].Disabled.IsZero() || len(all[3].Credentials) != 0 {
		t.Fatalf("%+v", all)
	}
	for _, c := range all[0].Credentials {
		if c.ID == made.ID && (c.Kind != "token" || c.Expires.IsZero() || len(c.Grants) != 0) ||
			c.ID == key.ID && (c.Kind != "accessKey" || c.Revoked.IsZero() || len(c.Grants) != 1) {
			t.Errorf("%+v", c)
		}
	}

	a := s.do("GET", path+".csv", s.token("acme", admin, "auditor"), "")
	if a.status != 200 || strings.Count(a.body, "\r\n") != strings.Count(a.body, "\n") {
		t.Fatalf("%d %q", a.status, a.body)
	}
	table, err := csv.NewReader(strings.NewReader(a.body)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range table[0] {
		column[name] = i
	}
	var got []string
	for _, line := range table[1:] {
		for _, cell := range line {
			if strings.IndexAny(cell, "=+-@\t\r") == 0 {
				t.Errorf("a spreadsheet evaluates %q", cell)
			}
		}
		words := []string{line[column["principal"]], line[column["service"]], line[column["grants"]], line[column["credentialKind"]], line[column["credentialGrants"]]}
		if line[column["credentialRevoked"]] != "" {
			words = append(words, "revoked")
		}
		if line[column["disabled"]] != "" {
			words = append(words, "disabled")
		}
		got = append(got, strings.Join(words, ";"))
	}
	want := []string{
		"'-1:2;;reader=a/*,=b auditor;accessKey;reader=a/*;revoked",
		"'-1:2;;reader=a/*,=b auditor;token;",
		"'@SUM;'=cmd|'/c calc'!A1;;;",
		"admin;;admin;accessKey;", "admin;;admin;token;",
		"auditor;;;token;auditor",
		"last;;;;;disabled",
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestInert(t *testing.T) {
	for cell, want := range map[string]string{
		"": "", "a": "a", "a=b": "a=b", "=1": "'=1", "+1": "'+1", "-1": "'-1", "@a": "'@a", "\ta": "'\ta", "\ra": "'\ra", "\na": "'\na", "'a": "''a", "＝1": "'＝1",
	} {
		if got := api.Inert(cell); got != want {
			t.Errorf("%q becomes %q, want %q", cell, got, want)
		}
	}
}
