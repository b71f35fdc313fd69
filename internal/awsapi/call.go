package awsapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"fastness/internal/awsapi/sigv4"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// recordTime is what the record of a refusal may take, whatever became of the
// request.
const recordTime = 2 * time.Second

// call is one request on its way through the adapter and its handler.
type call struct {
	api    *API
	name   string // of the operation; unknown before it is known
	acts   string // as what resource policies know it
	op     *operation
	w      http.ResponseWriter
	r      *http.Request
	origin vault.Origin
	caller *vault.Caller     // nil before the signature is verified
	body   *secretbuf.Buffer // released by finish
	region string            // that the request is for
	secret secret.Name       // that the request is about, as it is stored
	shown  secret.Name       // the same, as the caller knows it
	keys   map[string][]string
	row    *store.Secret // the secret's row, as the guard saw it last; not to be changed
	status int           // sent; 0 while nothing was
	texts  [2]string     // of headers, for which maps want slices
}

func (a *API) newCall(w http.ResponseWriter, r *http.Request) *call {
	c := &call{api: a, name: unknown, acts: unknown, w: w, r: r, origin: vault.Origin{
		Address: a.proxies.ClientAddress(r.RemoteAddr, r.Header), UserAgent: r.UserAgent(), CorrelationID: secret.NewUUID(),
	}}
	c.texts[0] = c.origin.CorrelationID
	w.Header()["X-Amzn-Requestid"] = c.texts[0:1:1]
	return c
}

// context ends when the client goes away or the server's deadline passes.
func (c *call) context() context.Context { return c.r.Context() }

// session is the caller's handle to its own tenant.
func (c *call) session() *vault.Session { return c.api.vault.Session(c.caller, "") }

// unreached marks an error that no method of the vault has seen, and so none
// has recorded.
type unreached struct{ error }

func (u unreached) Unwrap() error { return u.error }

// reject marks err, unless it is nil, for the adapter to record.
func reject(err error) error {
	if err == nil {
		return nil
	}
	return unreached{err}
}

// run does what comes before the handler, the handler, and the record of what
// was refused without the vault.
func (c *call) run() (err error) {
	defer c.recovered(&err)
	signature, err := c.prepare()
	if err != nil {
		return c.refusedUnknown(err)
	}
	if err := c.authenticate(signature); err != nil {
		return err
	}
	if err = c.route(); err == nil {
		err = c.op.handle(c)
	}
	var u unreached
	if errors.As(err, &u) {
		return c.refused(u.error)
	}
	return err
}

// prepare reads the request so far that its signature can be verified.
func (c *call) prepare() (*sigv4.Signature, error) {
	signature, err := sigv4.Parse(c.r.Header, c.r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	if err := signature.Check(c.r.Header, service, c.api.now()); err != nil {
		return nil, err
	}
	return signature, c.readBody()
}

// route finds the operation.
func (c *call) route() error {
	values := c.r.Header["X-Amz-Target"]
	if len(values) == 1 {
		if name, ok := strings.CutPrefix(values[0], service+"."); ok && operations[name] != nil {
			c.op = operations[name]
			c.name, c.acts = c.op.name, c.op.name // not the header's memory
			return nil
		}
	}
	return reject(&fault{Type: typeUnknownOperation, Message: "X-Amz-Target names no operation of this service."})
}

// refusedUnknown records a refusal of a request whose sender is not known.
func (c *call) refusedUnknown(err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.context()), recordTime)
	defer cancel()
	if rerr := c.api.vault.Refuse(ctx, c.origin, secret.ErrUnauthenticated.With(err)); errors.Is(rerr, secret.ErrUnavailable) {
		return rerr
	}
	return err
}

// refused records a refusal that no method of the vault saw. A body cut short
// has ended the request's context already, so that is not asked.
func (c *call) refused(err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.context()), recordTime)
	defer cancel()
	action := unknownAction
	if c.op != nil {
		action = c.op.action
	}
	// The vault knows its own errors; the protocol's words are the cause.
	recorded := c.session().Refused(ctx, action, c.secret, secret.ErrInvalid.With(err))
	if errors.Is(recorded, secret.ErrUnavailable) {
		return recorded
	}
	return err
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
