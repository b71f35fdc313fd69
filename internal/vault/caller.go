package vault

import (
	"context"
	"errors"
	"time"

	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// Origin is where one request came from, for its audit entry.
type Origin struct {
	Address       string // IP address of the peer
	UserAgent     string
	CorrelationID string // made by the front, returned to the caller
}

// Caller is an authenticated principal with one request's origin. It is good
// for one request: what it may do was read from the store when it was made.
type Caller struct {
	origin     Origin
	subject    policy.Subject
	principal  string
	credential string
	tenant     secret.TenantName // empty for an operator
	tenantID   secret.TenantID
}

// Principal is the caller's name in the audit log.
func (c *Caller) Principal() string { return c.principal }

// IsOperator reports whether the caller belongs to the deployment, not to a tenant.
func (c *Caller) IsOperator() bool { return c.subject.Operator }

// Tenant is the caller's tenant; empty for an operator.
func (c *Caller) Tenant() secret.TenantName { return c.tenant }

// CorrelationID is the id of the caller's request.
func (c *Caller) CorrelationID() string { return c.origin.CorrelationID }

// Local returns an operator for use inside the process: the library, and
// commands that open the store themselves.
func (v *Vault) Local(o Origin) *Caller {
	return &Caller{origin: o, subject: policy.Subject{Operator: true}, principal: "local"}
}

// system is the caller of our own work.
func (v *Vault) system() *Caller {
	return &Caller{
		origin:    Origin{CorrelationID: secret.NewUUID()},
		subject:   policy.Subject{Operator: true, System: true},
		principal: "system",
	}
}

// Authenticate finds out who sent a bearer token. A refusal is recorded before
// it is returned as secret.ErrUnauthenticated, whatever was wrong with the
// token; an empty one is none. From an address that brings many bad ones it is
// secret.ErrTooMany for a while; a good one works from there all the same.
func (v *Vault) Authenticate(ctx context.Context, o Origin, token []byte) (*Caller, error) {
	hash, err := identity.HashToken(token)
	if err != nil {
		return nil, v.refuseCredential(ctx, o, token)
	}
	cred, tenant, err := v.credential(ctx, hash)
	switch {
	case errors.Is(err, store.ErrAbsent):
		return nil, v.refuseCredential(ctx, o, token)
	case err != nil:
		return nil, v.Refuse(ctx, o, v.answer(err))
	case !usable(cred, tenant, v.now()):
		return nil, v.refuseCredential(ctx, o, token)
	}
	switch err := v.noteUse(ctx, cred); {
	case errors.Is(err, store.ErrAbsent): // gone meanwhile
		return nil, v.refuseCredential(ctx, o, token)
	case err != nil:
		return nil, v.Refuse(ctx, o, v.answer(err))
	}
	return callerOf(o, cred, tenant), nil
}

// refuseCredential is Refuse for a token that is not good. An address that
// brings many of them is slowed.
func (v *Vault) refuseCredential(ctx context.Context, o Origin, token []byte) error {
	if len(token) == 0 {
		return v.Refuse(ctx, o, secret.ErrUnauthenticated)
	}
	return v.Refuse(ctx, o, v.attempts.failed(o.Address))
}

// credential finds a token and its tenant, among those known or in the store.
func (v *Vault) credential(ctx context.Context, hash [32]byte) (*store.Credential, *store.Tenant, error) {
	row, err := v.callers.look(hash, func() (row knownCaller, err error) {
		err = v.store.View(ctx, func(r store.Reader) error {
			var err error
			row.credential, row.tenant, err = r.Credentials().ByHash(hash)
			return err
		})
		return row, err
	})
	return row.credential, row.tenant, err
}

// usable reports whether a credential is live. Suspension is the session's
// matter: a suspended tenant's caller is known, and refused.
func usable(c *store.Credential, t *store.Tenant, now time.Time) bool {
	if !c.Revoked.IsZero() || !c.Expires.IsZero() && !now.Before(c.Expires) {
		return false
	}
	return t == nil || t.State != store.Erased
}

func callerOf(o Origin, c *store.Credential, t *store.Tenant) *Caller {
	caller := &Caller{origin: o, principal: c.Principal, credential: c.ID, subject: policy.Subject{
		Operator:    t == nil,
		Grants:      c.Grants,
		Service:     c.Service,
		Environment: c.Environment,
	}}
	if t != nil {
		caller.tenant, caller.tenantID = t.Name, t.ID
	}
	return caller
}

// noteUse writes the day of a credential's last use, once a day.
func (v *Vault) noteUse(ctx context.Context, c *store.Credential) error {
	today := day(v.now())
	if c.LastUsed == today {
		return nil
	}
	return v.store.Update(ctx, func(tx store.Tx) error {
		now, _, err := tx.Credentials().ByID(c.ID)
		if err != nil {
			return err
		}
		now.LastUsed = today
		return tx.EditCredentials().Update(now)
	})
}

// Refuse records a request that was refused before its caller was known, in
// the deployment's log, and returns err; or secret.ErrUnavailable if the
// record could not be written. Above a rate, and where err is
// secret.ErrTooMany, such refusals share one counted entry, and wait for it.
func (v *Vault) Refuse(ctx context.Context, o Origin, err error) error {
	e := audit.Entry{
		Timestamp: v.now(), Action: audit.Login,
		IPAddress: o.Address, UserAgent: o.UserAgent, CorrelationID: o.CorrelationID,
	}
	e.Result, e.Error = result(err)
	alone := !errors.Is(err, secret.ErrTooMany) && v.refusals.limiter.Allow()
	if rerr := v.refusals.record(ctx, e, alone); rerr != nil {
		return secret.ErrUnavailable.With(errors.Join(rerr, err))
	}
	return err
}
