package api_test

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fastness/internal/secret"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

func principalPath(tenant, name string) string {
	return "/tenants/" + tenant + "/principals/" + url.PathEscape(name)
}

var untimed = cmpopts.IgnoreFields(wire.Principal{}, "Created", "Disabled", "LastUsed", "LastRead")

func TestPrincipals(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	const name = "spiffe://acme/web:1@eu"
	want := wire.Principal{
		Name: name, Kind: "service", Grants: []wire.Grant{{Role: "reader", Patterns: []string{"db/*"}}}, Service: "web", Environment: "prod",
	}
	made := must[wire.Principal](s, 201, "POST", "/tenants/acme/principals", admin,
		`{"name":"`+name+`","grants":[{"role":"reader","patterns":["db/*"]}],"service":"web","environment":"prod"}`)
	if diff := cmp.Diff(want, made, untimed); diff != "" || made.Created.IsZero() || !made.Disabled.IsZero() {
		t.Errorf("made %+v:\n%s", made, diff)
	}
	path := principalPath("acme", name)
	if diff := cmp.Diff(made, must[wire.Principal](s, 200, "GET", path, admin, "")); diff != "" {
		t.Errorf("got:\n%s", diff)
	}
	s.refused(409, secret.ErrExists, "POST", "/tenants/acme/principals", admin, `{"name":"`+name+`"}`)
	person := must[wire.Principal](s, 201, "POST", "/tenants/acme/principals", admin, `{"name":"alice@example.com","kind":"person","subject":"idp 1"}`)
	if person.Kind != "person" || person.Subject != "idp 1" || person.Grants == nil {
		t.Errorf("person %+v", person)
	}
	var names []string
	for cursor := ""; ; {
		list := must[wire.PrincipalList](s, 200, "GET", "/tenants/acme/principals?limit=2&cursor="+cursor, admin, "")
		for _, p := range list.Items {
			names = append(names, p.Name)
		}
		if cursor = list.NextCursor; cursor == "" {
			break
		}
	}
	if !slices.Equal(names, []string{"admin", "alice@example.com", name}) {
		t.Errorf("listed %q", names)
	}

	// A token of it is bound by its grants, and is refused while it is disabled.
	s.put("acme", "db/a", admin, "v")
	token := must[struct{ Token string }](s, 201, "POST", "/tenants/acme/tokens", admin, `{"principal":"`+name+`"}`).Token
	must[any](s, 200, "GET", secretPath("acme", "db/a")+"/value", token, "")
	if got := must[wire.Principal](s, 200, "POST", path+"/disable", admin, ""); got.Disabled.IsZero() || got.Credentials != 1 || got.LastRead.IsZero() {
		t.Errorf("disabled %+v", got)
	}
	s.refused(401, secret.ErrUnauthenticated, "GET", "/whoami", token, "")
	if got := must[wire.Principal](s, 200, "POST", path+"/enable", admin, ""); !got.Disabled.IsZero() {
		t.Errorf("enabled %+v", got)
	}
	must[any](s, 200, "GET", "/whoami", token, "")

	want.Grants, want.Environment, want.Credentials = []wire.Grant{{Role: "auditor"}}, "", 1
	got := must[wire.Principal](s, 200, "PATCH", path, admin, `{"grants":[{"role":"auditor"}],"environment":""}`)
	if diff := cmp.Diff(want, got, untimed); diff != "" {
		t.Errorf("updated:\n%s", diff)
	}
	s.refused(404, secret.ErrNotFound, "GET", secretPath("acme", "db/a")+"/value", token, "")
	want.Grants = []wire.Grant{}
	if diff := cmp.Diff(want, must[wire.Principal](s, 200, "PATCH", path, admin, `{"grants":[]}`), untimed); diff != "" {
		t.Errorf("without grants:\n%s", diff)
	}
	for _, body := range []string{`{"grants":[{"role":"king"}]}`, `{"environment":"moon"}`, `{"name":"x"}`, `{"kind":"person"}`, `{"subject":"x"}`, `{"grants":null}`} {
		if a := s.do("PATCH", path, admin, body); a.status != 400 {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	for _, body := range []string{`{}`, `{"name":"system"}`, `{"name":".."}`, `{"name":"x","kind":"operator"}`, `{"name":"x","kind":"person","service":"web"}`,
		`{"name":"x","grants":[{"role":"reader","patterns":[]}]}`} {
		if a := s.do("POST", "/tenants/acme/principals", admin, body); a.status != 400 {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	if a := s.do("DELETE", path, admin, ""); a.status != 204 {
		t.Errorf("delete: %d %s", a.status, a.body)
	}
	s.refused(401, secret.ErrUnauthenticated, "GET", "/whoami", token, "")
	s.refused(404, secret.ErrNotFound, "GET", path, admin, "")
	s.refused(409, secret.ErrConflict, "POST", principalPath("acme", "admin")+"/disable", admin, "")
}

func TestOperators(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	made := must[wire.Principal](s, 201, "POST", "/operators", s.operator, `{"name":"bob"}`)
	if made.Kind != "operator" {
		t.Errorf("made %+v", made)
	}
	for _, body := range []string{`{"name":"x","kind":"person"}`, `{"name":"x","grants":[{"role":"admin"}]}`, `{"name":"x","service":"web"}`} {
		if a := s.do("POST", "/operators", s.operator, body); a.status != 400 {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	token := must[struct{ Token string }](s, 201, "POST", "/tokens", s.operator, `{"principal":"bob"}`).Token
	if n := len(must[wire.PrincipalList](s, 200, "GET", "/operators", token, "").Items); n != 2 {
		t.Errorf("%d operators", n)
	}
	must[wire.Principal](s, 200, "POST", "/operators/operator/disable", token, "")
	s.refused(401, secret.ErrUnauthenticated, "GET", "/whoami", s.operator, "")
	s.refused(409, secret.ErrConflict, "POST", "/operators/bob/disable", token, "")
	s.refused(409, secret.ErrConflict, "DELETE", "/operators/bob", token, "")
	must[wire.Principal](s, 200, "POST", "/operators/operator/enable", token, "")
	if a := s.do("DELETE", "/operators/bob", s.operator, ""); a.status != 204 {
		t.Errorf("delete: %d %s", a.status, a.body)
	}
	s.refused(401, secret.ErrUnauthenticated, "GET", "/whoami", token, "")
	s.refused(403, secret.ErrAccessDenied, "GET", "/operators", admin, "")
	s.refused(404, secret.ErrNotFound, "GET", "/operators/admin", s.operator, "") // a tenant's principal is none
}

// signed reports whether an access key is let in.
func (s *service) signed(id, half string) error {
	_, err := s.vault.AuthenticateAccessKey(s.t.Context(), vault.Origin{}, id, func(open vault.SecretHalf) error {
		b, err := open()
		if err != nil {
			return err
		}
		defer b.Release()
		if string(b.Bytes()) != half {
			return secret.ErrUnauthenticated
		}
		return nil
	})
	return err
}

func TestAccessKeys(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	type key struct {
		wire.TokenInfo
		SecretAccessKey string `json:"secretAccessKey"`
	}
	made := must[key](s, 201, "POST", "/tenants/acme/accesskeys", admin, `{"principal":"ci","grants":[{"role":"reader"}],"expiresIn":"30d"}`)
	if made.Kind != "accessKey" || len(made.ID) != 20 || len(made.SecretAccessKey) != 40 || made.Expires.Before(time.Now()) {
		t.Errorf("made %+v", made.TokenInfo)
	}
	if err := s.signed(made.ID, made.SecretAccessKey); err != nil {
		t.Error(err)
	}
	next := must[key](s, 201, "POST", "/tenants/acme/accesskeys/"+made.ID+"/rotate", admin, `{"overlap":"1h"}`)
	last := must[key](s, 201, "POST", "/tenants/acme/accesskeys/"+next.ID+"/rotate", admin, "")
	for id, half := range map[string]string{made.ID: made.SecretAccessKey, last.ID: last.SecretAccessKey} {
		if err := s.signed(id, half); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if s.signed(next.ID, next.SecretAccessKey) == nil || s.signed(last.ID, made.SecretAccessKey) == nil {
		t.Error("a key that has ended is let in, or with another's secret")
	}
	list := func(query string) (ids []string) {
		for _, i := range must[wire.TokenList](s, 200, "GET", "/tenants/acme/"+query, admin, "").Items {
			ids = append(ids, i.ID)
		}
		return ids
	}
	if got := list("accesskeys?principal=ci"); len(got) != 3 {
		t.Errorf("listed %q", got)
	}
	all, keys, tokens := list("tokens"), list("tokens?kind=accessKey"), list("tokens?kind=token")
	if len(keys) != 4 || len(tokens) != 1 || len(all) != 5 || !slices.Equal(keys, list("accesskeys")) {
		t.Errorf("all %q, keys %q, tokens %q", all, keys, tokens)
	}
	s.refused(400, secret.ErrInvalid, "GET", "/tenants/acme/tokens?kind=password", admin, "")
	for _, overlap := range []string{"soon", "31d", "-1h", "1s", "00"} {
		if a := s.do("POST", "/tenants/acme/accesskeys/"+last.ID+"/rotate", admin, fmt.Sprintf(`{"overlap":%q}`, overlap)); a.status != 400 {
			t.Errorf("overlap %s: %d %s", overlap, a.status, a.body)
		}
	}
	s.refused(409, secret.ErrConflict, "POST", "/tenants/acme/accesskeys/"+next.ID+"/rotate", admin, "")
	s.refused(404, secret.ErrNotFound, "DELETE", "/tenants/acme/accesskeys/"+tokens[0], admin, "")
	if a := s.do("DELETE", "/tenants/acme/accesskeys/"+last.ID, admin, ""); a.status != 204 {
		t.Errorf("revoke: %d %s", a.status, a.body)
	}
	if s.signed(last.ID, last.SecretAccessKey) == nil {
		t.Error("a revoked key is let in")
	}
}

func TestRotateToken(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	type token struct {
		wire.TokenInfo
		Token string `json:"token"`
	}
	old := must[token](s, 201, "POST", "/tenants/acme/tokens", admin, `{"principal":"ci","grants":[{"role":"reader"}],"service":"web"}`)
	next := must[token](s, 201, "POST", "/tenants/acme/tokens/"+old.ID+"/rotate", admin, `{"overlap":"1h"}`)
	if next.Principal != "ci" || next.Service != "web" || next.ID == old.ID || next.Token == old.Token {
		t.Errorf("next %+v", next.TokenInfo)
	}
	must[any](s, 200, "GET", "/whoami", old.Token, "")
	last := must[token](s, 201, "POST", "/tenants/acme/tokens/"+next.ID+"/rotate", admin, `{"overlap":"0"}`)
	s.refused(401, secret.ErrUnauthenticated, "GET", "/whoami", next.Token, "")
	must[any](s, 200, "GET", "/whoami", last.Token, "")
	s.refused(403, secret.ErrAccessDenied, "POST", "/tenants/acme/tokens/"+last.ID+"/rotate", last.Token, "")
	s.refused(404, secret.ErrNotFound, "POST", "/tenants/acme/tokens/tok_none/rotate", admin, "")
}
