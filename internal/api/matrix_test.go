package api_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"fastness/internal/api"
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
		return name
	},
	"stage": func(matrixPlace) string { return "blue" },
	"principal": func(p matrixPlace) string {
		path, name := "/tenants/"+p.tenant+"/principals", "of/"+p.caller+"/"+secret.NewUUID()
		if p.route.Operator {
			path = "/operators"
		}
		must[any](p.service, 201, "POST", path, p.operator, fmt.Sprintf(`{"name":%q}`, name))
		return name
	},
	"id": func(p matrixPlace) string {
		path, body := "/tenants/"+p.tenant+"/tokens", validBodies["TokenCreateRequest"]
		switch {
		case p.route.Operator:
			path, body = "/tokens", `{"principal":"another"}`
		case strings.Contains(p.route.Pattern, "/accesskeys/"):
			path = "/tenants/" + p.tenant + "/accesskeys"
		}
		return must[struct{ ID string }](p.service, 201, "POST", path, p.operator, body).ID
	},
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
		return outcome(s.status(r, params, tokens[caller]))
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
	response, err := s.http.Client().Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	response.Body.Close()
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
