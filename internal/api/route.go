package api

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"fastness/internal/audit"
)

// Route is a row of the table: everything about one method of one path.
type Route struct {
	Method  string
	Pattern string // as http.ServeMux takes it; {name} and the like are one segment
	Summary string // for the document

	Open     bool          // needs no credential
	Operator bool          // is about the deployment: refuses tenants' callers
	Body     int           // most bytes of a body; 0: takes none
	Deadline time.Duration // of the whole request; 0: the server's
	Stream   bool          // answers piece by piece, at the pace of its reader

	Action audit.Action // how a refusal is recorded that no method of the vault saw
	Query  []Param

	Request  string // schema of the body; "" for none
	Response string // schema of the answer; "" for one without a body
	Accepted string // schema of an answer with 202; "" for Response
	Media    string // of the answer; "" is application/json
	Success  []int  // statuses; nil is 200
	Failures []int  // statuses besides those that every route of its kind has

	handle func(*call) error
}

// Param is a query parameter.
type Param struct {
	Name string
	Kind string // string, integer, boolean or date-time
	Doc  string
}

// takes reports whether the route knows a query parameter.
func (r *Route) takes(name string) bool {
	return slices.ContainsFunc(r.Query, func(p Param) bool { return p.Name == name })
}

// Routes returns the table.
func Routes() []Route {
	all := make([]Route, len(routes))
	for i, r := range routes {
		all[i] = *r
	}
	return all
}

// byPattern groups the table's rows.
func byPattern(rows []*Route) map[string][]*Route {
	m := map[string][]*Route{}
	for _, r := range rows {
		m[r.Pattern] = append(m[r.Pattern], r)
	}
	return m
}

// Statuses returns all that the route answers with, in rising order.
func (r *Route) Statuses() []int {
	all := append([]int{http.StatusBadRequest, http.StatusInternalServerError}, r.Failures...)
	if r.Success == nil {
		all = append(all, http.StatusOK)
	}
	all = append(all, r.Success...)
	if !r.Open {
		all = append(all, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable)
	}
	if strings.Contains(r.Pattern, "{") || r.Action == audit.AuditProof || r.Action == audit.AuditCheckpoint {
		all = append(all, http.StatusNotFound)
	}
	if r.Body > 0 {
		all = append(all, http.StatusRequestTimeout, http.StatusUnsupportedMediaType)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// MediaType returns the type of a successful answer's body.
func (r *Route) MediaType() string {
	if r.Media == "" {
		return mediaJSON
	}
	return r.Media
}
