package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/vault"
)

// answerTime is what an answer may take beyond the deadline of its route.
const answerTime = 2 * time.Second

// call is one request on its way through the adapter and its handler.
type call struct {
	api    *API
	route  *Route
	w      http.ResponseWriter
	r      *http.Request
	origin vault.Origin
	caller *vault.Caller // nil on open routes

	arguments
	body     *secretbuf.Buffer // released by the adapter
	bodyRead bool              // nothing of the body waits on the connection
	status   int               // sent; 0 while nothing was
	values   [2]string         // of headers, for which maps want slices
}

// context ends when the client goes away or the route's deadline passes.
func (c *call) context() context.Context { return c.r.Context() }

// session is the caller's handle to the tenant of the path, or to its own.
func (c *call) session() *vault.Session { return c.api.vault.Session(c.caller, c.tenant) }

// unreached marks an error that no method of the vault has seen, and so none
// has recorded.
type unreached struct{ error }

func (u unreached) Unwrap() error { return u.error }

// invalid is secret.Invalid for the adapter to record.
func invalid(field, rule string) error { return unreached{secret.Invalid(field, rule)} }

// reject marks err, unless it is nil, for the adapter to record.
func reject(err error) error {
	if err == nil {
		return nil
	}
	return unreached{err}
}

// pathHandler answers all methods of one pattern.
func (a *API) pathHandler(rows []*Route, metrics func(method, route string) func(string, time.Duration)) http.Handler {
	handlers := make(map[string]http.HandlerFunc, len(rows))
	allow := make([]string, 0, len(rows))
	for _, row := range rows {
		observe := metrics(row.Method, row.Pattern)
		handlers[row.Method] = func(w http.ResponseWriter, r *http.Request) { a.serve(row, observe, w, r) }
		allow = append(allow, row.Method)
	}
	slices.Sort(allow)
	allowed := strings.Join(allow, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, ok := handlers[r.Method]; ok {
			h(w, r)
			return
		}
		w.Header().Set("Allow", allowed)
		a.refuseUnrouted(w, r, errMethod)
	})
}

func (a *API) newCall(row *Route, w http.ResponseWriter, r *http.Request) *call {
	id := secret.NewUUID()
	c := &call{api: a, route: row, w: w, r: r, origin: vault.Origin{
		Address: a.proxies.ClientAddress(r.RemoteAddr, r.Header), UserAgent: r.UserAgent(), CorrelationID: id,
	}}
	c.values[0] = id
	w.Header()["X-Correlation-Id"] = c.values[0:1:1]
	return c
}

// serve answers a request that has a row in the table.
func (a *API) serve(row *Route, observe func(string, time.Duration), w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	c := a.newCall(row, w, r)
	err := c.run()
	c.finish(err, time.Since(start), observe)
}

// refuseUnrouted answers a request that is nobody's. It touches nothing of the
// vault, so there is nothing to record.
func (a *API) refuseUnrouted(w http.ResponseWriter, r *http.Request, err error) {
	start := time.Now()
	bearer(r.Header).Release()
	c := a.newCall(&Route{Pattern: "unknown"}, w, r)
	c.finish(err, time.Since(start), a.unrouted)
}

// run does what comes before the handler, the handler, and the record of what
// the handler refused by itself.
func (c *call) run() (err error) {
	defer c.recovered(&err)
	if err := c.extend(); err != nil {
		return err
	}
	if err := c.identify(); err != nil {
		return err
	}
	if err = c.readArguments(); err == nil {
		err = c.readBody()
	}
	if err == nil {
		err = c.route.handle(c)
	}
	if err == nil || c.caller == nil {
		return err
	}
	var u unreached
	if errors.As(err, &u) {
		err = c.refused(u.error)
	}
	return err
}

// refused records a refusal that no method of the vault saw. A body cut short
// has ended the request's context already, so that is not asked.
func (c *call) refused(err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.context()), answerTime)
	defer cancel()
	return c.session().Refused(ctx, c.route.Action, c.name, err)
}

// identify authenticates, unless the route is open, and refuses tenants'
// callers on routes that work on the deployment.
func (c *call) identify() (err error) {
	if c.route.Open {
		bearer(c.r.Header).Release()
		return nil
	}
	if c.caller, err = c.api.authenticate(c.r, c.origin); err != nil {
		return err
	}
	if c.route.Operator && !c.caller.IsOperator() {
		return c.refused(secret.ErrAccessDenied)
	}
	return nil
}

// extend gives a route with a deadline of its own more time than the server
// gives all others. When the time for reading is over, net/http ends the
// request's context.
func (c *call) extend() error {
	if c.route.Deadline == 0 {
		return nil
	}
	rc := http.NewResponseController(c.w)
	end := time.Now().Add(c.route.Deadline)
	return errors.Join(rc.SetReadDeadline(end), rc.SetWriteDeadline(end.Add(answerTime)))
}

// recovered turns a panic into an error, whose cause says what may be known.
func (c *call) recovered(err *error) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	*err = secret.ErrInternal.With(secret.Panicked(p))
}
