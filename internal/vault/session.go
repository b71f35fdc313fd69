package vault

import (
	"cmp"
	"context"
	"errors"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// Session is one caller's handle to one tenant: the only way to its data.
type Session struct {
	vault  *Vault
	caller *Caller
	tenant secret.TenantName
	guard  Guard // nil for none
}

// Session binds a caller to a tenant. The empty name is the caller's own. A
// caller that names a tenant which is not there, or not its own, gets a
// session in which nothing is found: the two cannot be told apart.
func (v *Vault) Session(c *Caller, tenant secret.TenantName) *Session {
	if tenant == "" {
		tenant = c.tenant
	}
	return &Session{vault: v, caller: c, tenant: tenant}
}

// own reports whether the caller may know of the session's tenant at all.
func (s *Session) own() bool { return s.caller.subject.Operator || s.caller.tenant == s.tenant }

// errHidden marks a secret.ErrNotFound that stands for "not yours", so that
// the audit log can say what the answer must not.
var errHidden = errors.New("hidden from the caller")

// row reads the tenant's row. A tenant that is not the caller's is looked up
// like any other, so that time tells nothing.
func (s *Session) row(r store.Reader) (*store.Tenant, error) {
	t, err := r.Tenants().ByName(s.tenant)
	return s.admit(t, err)
}

// admit decides on a look-up of the tenant's row that ended with err.
func (s *Session) admit(t *store.Tenant, err error) (*store.Tenant, error) {
	switch {
	case err != nil && !errors.Is(err, store.ErrAbsent):
		return nil, err
	case !s.own():
		return nil, secret.ErrNotFound.With(errHidden)
	case err != nil || t.State == store.Erased:
		return nil, secret.ErrNotFound.With(errNoTenant)
	case s.caller.locked:
		return nil, secret.ErrMFARequired
	}
	return t, nil
}

// errNoTenant marks a secret.ErrNotFound for a tenant that is not there: the
// entry then belongs to the deployment, so that no log begins before its tenant.
var errNoTenant = errors.New("there is no such tenant")

// active reads the tenant's row and refuses a suspended tenant.
func (s *Session) active(r store.Reader) (*store.Tenant, error) {
	return unlessSuspended(s.row(r))
}

// known is active for a read, which may take the row from those that are kept.
func (s *Session) known(r store.Reader) (*store.Tenant, error) {
	t, err := s.vault.tenants.look(s.tenant, func() (*store.Tenant, error) { return r.Tenants().ByName(s.tenant) })
	return unlessSuspended(s.admit(t, err))
}

// admitKnown is active on a row that is kept; secret.ErrNotFound if none is.
func (s *Session) admitKnown() (*store.Tenant, error) {
	t, ok := s.vault.tenants.get(s.tenant)
	if !ok {
		return nil, secret.ErrNotFound
	}
	return unlessSuspended(s.admit(t, nil))
}

func unlessSuspended(t *store.Tenant, err error) (*store.Tenant, error) {
	if err == nil && t.State == store.Suspended {
		return nil, secret.ErrSuspended
	}
	return t, err
}

// administered is active for administration, which operators may do in a
// suspended tenant too.
func (s *Session) administered(r store.Reader) (*store.Tenant, error) {
	if s.caller.subject.Operator {
		return s.row(r)
	}
	return s.active(r)
}

// entry begins the audit entry of an action. It belongs to the caller's
// tenant; an operator's to the tenant it works on.
func (s *Session) entry(a audit.Action, name secret.Name) audit.Entry {
	e := s.caller.entry(s.vault, a)
	e.SecretName = string(name)
	if s.caller.subject.Operator {
		e.TenantID = s.tenant
	}
	return e
}

// entry begins an audit entry in the log of the caller's tenant.
func (c *Caller) entry(v *Vault, a audit.Action) audit.Entry {
	return audit.Entry{
		Timestamp: v.now(), Action: a, TenantID: c.tenant, UserID: c.principal,
		IPAddress: c.origin.Address, UserAgent: c.origin.UserAgent, CorrelationID: c.origin.CorrelationID,
	}
}

// append makes one entry durable.
func (v *Vault) append(ctx context.Context, e audit.Entry) error {
	record, err := audit.NewRecord(e)
	if err != nil {
		return err
	}
	return v.store.Record(ctx, record)
}

// conclude records how an action that changed nothing ended, and returns its
// error; or secret.ErrUnavailable if the record could not be written.
func (v *Vault) conclude(ctx context.Context, e audit.Entry, err error) error {
	err = v.answer(err)
	v.finish(ctx, &e, err)
	if rerr := v.append(ctx, e); rerr != nil {
		return secret.ErrUnavailable.With(errors.Join(rerr, err))
	}
	return err
}

// finish completes an entry with how its action ended. What only the operator
// may know of a fault goes to the log.
func (v *Vault) finish(ctx context.Context, e *audit.Entry, err error) {
	e.Result, e.Error = result(err)
	if why := denialIn(err); why != "" {
		e.Detail = why
	}
	if errors.Is(err, errNoTenant) {
		e.TenantID = ""
	}
	if errors.Is(err, secret.ErrDecryption) || errors.Is(err, secret.ErrInternal) {
		v.log.ErrorContext(ctx, "request failed", "action", e.Action, "tenant", e.TenantID, "code", secret.Of(err).Code,
			"cause", secret.Of(err).Cause, "correlationId", e.CorrelationID)
	}
}

// refuse is conclude for a request that is refused before its tenant was looked
// up: an operator can name one that is not there, whose log must not begin.
func (v *Vault) refuse(ctx context.Context, e audit.Entry, err error) error {
	verr := v.store.View(ctx, func(r store.Reader) error {
		_, err := r.Tenants().ByName(e.TenantID)
		return err
	})
	switch {
	case errors.Is(verr, store.ErrAbsent):
		e.TenantID = ""
	case verr != nil:
		err = verr
	}
	return v.conclude(ctx, e, err)
}

// Refused records that a request was refused before the session's methods were
// reached, say because its body was not valid, and returns err; or
// secret.ErrUnavailable if the record could not be written.
func (s *Session) Refused(ctx context.Context, a audit.Action, name secret.Name, err error) error {
	return s.vault.refuse(ctx, s.entry(a, name), err)
}

// errRetry ends a transaction that found another state than it was prepared
// for. Nothing is recorded; the caller prepares again.
var errRetry = errors.New("state changed meanwhile")

// maxAttempts bounds how often a write is prepared anew.
const maxAttempts = 8

// change runs f in a transaction, with the entry that f may add to. An error
// of f, or a quota that f has passed, rolls back what f wrote; the entry is
// recorded either way.
func (v *Vault) change(ctx context.Context, e audit.Entry, f func(tx store.Tx, e *audit.Entry) error) error {
	err := v.answer(v.store.Update(ctx, func(tx store.Tx) error {
		entry := e // f may run again
		m := &metered{Tx: tx, vault: v}
		err := f(m, &entry)
		if err == nil {
			err = m.check()
		}
		if errors.Is(err, errRetry) {
			return err
		}
		err = v.answer(err)
		v.finish(ctx, &entry, err)
		record, rerr := audit.NewRecord(entry)
		if rerr != nil {
			return rerr
		}
		tx.Audit(record)
		return err
	}))
	v.refused.count(err)
	return err
}

// edit is change for a tenant that must be active.
func (s *Session) edit(ctx context.Context, a audit.Action, name secret.Name,
	f func(tx store.Tx, t *store.Tenant, e *audit.Entry) error) error {
	if err := s.prepare(ctx); err != nil {
		return s.vault.conclude(ctx, s.entry(a, name), err)
	}
	for range maxAttempts {
		err := s.vault.change(ctx, s.entry(a, name), func(tx store.Tx, e *audit.Entry) error {
			t, err := s.active(tx)
			if err != nil {
				return err
			}
			return f(tx, t, e)
		})
		if !errors.Is(err, errRetry) {
			return err
		}
	}
	return s.vault.conclude(ctx, s.entry(a, name), errBusy)
}

// settled returns v, or nothing of it beside an error: what could not be
// recorded is not answered.
func settled[T any](v T, err error) (T, error) {
	if err != nil {
		var none T
		return none, err
	}
	return v, nil
}

// errBusy is a write that always met another one.
var errBusy = &secret.Error{Code: secret.ErrConflict.Code, Detail: "the secret is changing too fast; try again"}

// look runs f over a snapshot and records the action.
func (s *Session) look(ctx context.Context, a audit.Action, name secret.Name,
	f func(r store.Reader, t *store.Tenant) error) error {
	err := s.vault.store.View(ctx, func(r store.Reader) error {
		t, err := s.active(r)
		if err != nil {
			return err
		}
		return f(r, t)
	})
	return s.vault.conclude(ctx, s.entry(a, name), err)
}

// load reads a secret that the caller must be allowed to do a to. What is
// refused whatever the secret's tags is refused before any look-up, so that it
// takes the same time whether or not there is such a secret.
func (s *Session) load(r store.Reader, t *store.Tenant, a policy.Action, name secret.Name) (*store.Secret, error) {
	j, err := s.ruler(r, t)
	if err != nil {
		return nil, err
	}
	return j.load(r, t, a, name)
}

func (j ruler) load(r store.Reader, t *store.Tenant, a policy.Action, name secret.Name) (*store.Secret, error) {
	if err := j.allow(a, unseen(name)); err != nil {
		return nil, err
	}
	sec, err := r.Secrets(t.ID).Secret(name)
	if errors.Is(err, store.ErrAbsent) {
		return nil, cmp.Or(j.allow(a, absent(name, nil)), error(secret.ErrNotFound))
	}
	if err != nil {
		return nil, err
	}
	if err := j.allow(a, present(sec)); err != nil {
		return nil, err
	}
	if err := j.session.pass(sec); err != nil {
		return nil, err
	}
	return sec, nil
}
