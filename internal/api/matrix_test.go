package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"fastness/internal/api"
	"fastness/internal/audit"
	"fastness/internal/secret"
)

const matrixPage = "../../docs/access.md"

// matrixCallers are the columns of the matrix, in its order: the least may come
// before who may more, so that what one does is not in the way of the next.
var matrixCallers = []string{"anonymous", "reader", "rotator", "auditor", "writer", "admin", "operator"}

// matrixPlace is where a request of the matrix goes, and who sends it.
type matrixPlace struct {
	*service
	route         api.Route
	tenant, admin string // and its administrator's token
	caller        string
}

// matrixFixture makes what the path parameters of a row name. Each caller gets
// its own, since routes destroy things.
var matrixFixture = map[string]func(p matrixPlace) string{
	"tenant": func(p matrixPlace) string { return p.tenant },
	"name": func(p matrixPlace) string {
		name := "of/" + p.caller + "-password"
		p.put(p.tenant, name, p.admin, "v")
		must[any](p.service, 200, "PUT", secretPath(p.tenant, name)+"/stages/blue", p.admin, `{"version":"1"}`)
		if strings.Contains(p.route.Pattern, "/rotation") {
			must[any](p.service, 200, "PUT", secretPath(p.tenant, name)+"/rotation", p.admin, validBodies["RotationRequest"])
		}
		return name
	},
	"stage": func(matrixPlace) string { return "blue" },
	"issuer": func(p matrixPlace) string {
		must[any](p.service, 200, "PUT", "/tenants/"+p.tenant+"/issuers/of-"+p.caller, p.operator, validBodies["IssuerRequest"])
		return "of-" + p.caller
	},
	"ca": func(p matrixPlace) string {
		must[any](p.service, 200, "PUT", "/tenants/"+p.tenant+"/cas/of-"+p.caller, p.operator, validBodies["AuthorityRequest"])
		return "of-" + p.caller
	},
	"policy": func(p matrixPlace) string {
		must[any](p.service, 200, "PUT", "/tenants/"+p.tenant+"/policies/of-"+p.caller, p.operator, validBodies["PolicyRequest"])
		return "of-" + p.caller
	},
	"denial": func(p matrixPlace) string {
		reader := p.token(p.tenant, p.admin, "reader")
		return p.refused(403, secret.ErrAccessDenied, "GET", "/tenants/"+p.tenant+"/tokens", reader, "").CorrelationID
	},
	"principal": func(p matrixPlace) string {
		path, name := "/tenants/"+p.tenant+"/principals", "of/"+p.caller+"/"+secret.NewUUID()
		if p.route.Operator {
			path = "/operators"
		}
		must[any](p.service, 201, "POST", path, p.operator, fmt.Sprintf(`{"name":%q%s}`, name, matrixKind(p.route)))
		switch {
		case strings.HasSuffix(p.route.Pattern, "/password"):
			must[any](p.service, 204, "PUT", path+"/"+url.PathEscape(name)+"/password", p.operator, validBodies["PasswordRequest"])
		case strings.HasSuffix(p.route.Pattern, "/factors/{id}"):
			matrixFactors[p.tenant+p.caller] = p.factorOf(strings.TrimSuffix(strings.TrimSuffix(path, "/principals"), "/operators"), name)
		}
		return name
	},
	"id": func(p matrixPlace) string {
		path, body := "/tenants/"+p.tenant+"/tokens", validBodies["TokenCreateRequest"]
		switch {
		case strings.Contains(p.route.Pattern, "/mfa/"):
			return "fct_none"
		case strings.Contains(p.route.Pattern, "/webhooks/"):
			path, body = "/tenants/"+p.tenant+"/webhooks", validBodies["WebhookCreateRequest"]
		case strings.Contains(p.route.Pattern, "/factors/"):
			return matrixFactors[p.tenant+p.caller] // of the principal that was just made
		case p.route.Operator:
			path, body = "/tokens", `{"principal":"another"}`
		case strings.Contains(p.route.Pattern, "/accesskeys/"):
			path = "/tenants/" + p.tenant + "/accesskeys"
		}
		return must[struct{ ID string }](p.service, 201, "POST", path, p.operator, body).ID
	},
}

// matrixFactors are the second factors of the principals that were made, by tenant
// and caller.
var matrixFactors = map[string]string{}

// matrixKind is the kind of principal that a route is about: some are about people.
func matrixKind(r api.Route) string {
	if !r.Operator && (strings.HasSuffix(r.Pattern, "/password") || strings.Contains(r.Pattern, "/factors")) {
		return `,"kind":"person"`
	}
	return ""
}

// factorOf enrols a second factor for a principal, and returns its id.
func (s *service) factorOf(base, principal string) string {
	s.t.Helper()
	body := fmt.Sprintf(`{"principal":%q,"grants":[{"role":"reader"}]}`, principal)
	if base == "" {
		body = fmt.Sprintf(`{"principal":%q}`, principal)
	}
	token := must[struct{ Token string }](s, 201, "POST", base+"/tokens", s.operator, body).Token
	made := must[struct{ ID, URI string }](s, 201, "POST", "/mfa/totp", token, `{}`)
	must[any](s, 200, "POST", "/mfa/totp/"+made.ID+"/confirm", token, fmt.Sprintf(`{"code":%q}`, codeOf(s.t, made.URI, 0)))
	return made.ID
}

// codeOf is an authenticator's code some steps from now.
func codeOf(t testing.TB, uri string, steps int) string {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	code, err := totp.GenerateCode(u.Query().Get("secret"), time.Now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// outcome is what the matrix says of an answer. Whatever is neither a refusal
// nor hidden has passed the decision, even if the request then failed.
func outcome(status int) string {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return fmt.Sprint(status)
	}
	return "yes"
}

// matrixRow tries a route as every caller, on its own tenant and on another's,
// and returns the row that the page must have.
func (s *service) matrixRow(t *testing.T, number int, r api.Route) string {
	t.Helper()
	own, other := fmt.Sprintf("own-%d", number), fmt.Sprintf("other-%d", number)
	admins := map[string]string{own: s.tenant(own), other: s.tenant(other)}
	tokens := map[string]string{"anonymous": "", "admin": admins[own], "operator": s.operator}
	for _, caller := range matrixCallers {
		if _, ok := tokens[caller]; !ok {
			tokens[caller] = s.token(own, admins[own], caller)
		}
	}
	try := func(tenant, caller string) string {
		params := map[string]string{}
		for _, name := range pathParams(r.Pattern) {
			fixture, ok := matrixFixture[name]
			if !ok {
				t.Fatalf("matrixFixture makes nothing for {%s} of %s", name, r.Pattern)
			}
			params[name] = fixture(matrixPlace{s, r, tenant, admins[tenant], caller})
		}
		status := s.status(r, params, tokens[caller])
		if r.Action == audit.Login && status == http.StatusTooManyRequests {
			status = http.StatusUnauthorized // by then the address is known for bad ones
		}
		return outcome(status)
	}
	// Another tenant's first: what an operator does at last may end the own one.
	var foreign []string
	if strings.Contains(r.Pattern, "{tenant}") {
		for _, caller := range matrixCallers[1 : len(matrixCallers)-1] {
			foreign = append(foreign, try(other, caller))
		}
	}
	slices.Sort(foreign)
	cells := []string{fmt.Sprintf("`%s %s`", r.Method, strings.TrimPrefix(r.Pattern, api.Prefix))}
	for _, caller := range matrixCallers {
		cells = append(cells, try(own, caller))
	}
	cells = append(cells, strings.Join(slices.Compact(foreign), ", "))
	return "| " + strings.Join(cells, " | ") + " |"
}

// status sends a valid request and looks at nothing but the answer's status:
// some answers never end.
func (s *service) status(r api.Route, params map[string]string, token string) int {
	s.t.Helper()
	path, body := requestOf(r, params)
	if strings.HasSuffix(r.Pattern, "/tail") {
		path += "?after=0" // has entries to begin with
	}
	request, err := http.NewRequestWithContext(s.t.Context(), r.Method, s.http.URL+api.Prefix+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	before := s.answered()
	response, err := s.http.Client().Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	response.Body.Close()
	// Or its end would be taken for that of the next request.
	for begun := time.Now(); s.answered() == before; time.Sleep(time.Millisecond) {
		if time.Since(begun) > time.Minute {
			s.t.Fatalf("%s %s does not end", r.Method, path)
		}
	}
	return response.StatusCode
}

// TestAccessMatrix tries every route as every role, on its own tenant and on
// another's, and compares with the matrix that users read. A route without its
// row fails, and so does a row without its route.
func TestAccessMatrix(t *testing.T) {
	page, err := os.ReadFile(matrixPage)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| `") && strings.Contains(line, " /") {
			rows[strings.TrimSpace(line)] = true
		}
	}
	s := newService(t)
	for i, r := range api.Routes() {
		want := s.matrixRow(t, i, r)
		if !rows[want] {
			t.Errorf("%s does not have this row, which is how it is:\n%s", matrixPage, want)
		}
		delete(rows, want)
	}
	for row := range rows {
		t.Errorf("%s has a row that does not hold:\n%s", matrixPage, row)
	}
}
