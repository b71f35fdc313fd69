package vault

import (
	"cmp"
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
	identity   *store.Identity   // nil for local and system
	lastRead   int32             // day on which the principal last read a value
	locked     bool              // only second factors can be given
	tenant     secret.TenantName // empty for an operator
	tenantID   secret.TenantID
	account    secret.AccountNumber
}

// Principal is the caller's name in the audit log.
func (c *Caller) Principal() string { return c.principal }

// IsOperator reports whether the caller belongs to the deployment, not to a tenant.
func (c *Caller) IsOperator() bool { return c.subject.Operator }

// Kind tells people, services and operators apart.
func (c *Caller) Kind() store.PrincipalKind {
	switch {
	case c.subject.Operator:
		return store.OperatorKind
	case c.subject.Kind == policy.Person:
		return store.Person
	}
	return store.Service
}

// Locked reports whether nothing works before a second factor is given.
func (c *Caller) Locked() bool { return c.locked }

// Expires is when the caller's credential ends; zero: never.
func (c *Caller) Expires() time.Time {
	if c.identity == nil {
		return time.Time{}
	}
	return c.identity.Credential.Expires
}

// Tenant is the caller's tenant; empty for an operator.
func (c *Caller) Tenant() secret.TenantName { return c.tenant }

// Account is the number of the caller's tenant; empty for an operator.
func (c *Caller) Account() secret.AccountNumber { return c.account }

// CorrelationID is the id of the caller's request.
func (c *Caller) CorrelationID() string { return c.origin.CorrelationID }

// localName is the principal of Local.
const localName = "local"

// Local returns an operator for use inside the process: the library, and
// commands that open the store themselves.
func (v *Vault) Local(o Origin) *Caller {
	return &Caller{origin: o, subject: policy.Subject{Operator: true}, principal: localName}
}

// systemName is the principal of our own work.
const systemName = "system"

// system is the caller of our own work.
func (v *Vault) system() *Caller {
	return &Caller{
		origin:    Origin{CorrelationID: secret.NewUUID()},
		subject:   policy.Subject{Operator: true, System: true},
		principal: systemName,
	}
}

// Authenticate finds out who sent a bearer token. A refusal is recorded before
// it is returned as secret.ErrUnauthenticated, whatever was wrong with the
// token; an empty one is none. From an address that brings many bad ones it is
// secret.ErrTooMany for a while; a good one works from there all the same. A
// good one of a tenant that sends more requests than it may is refused with
// secret.ErrTooMany too, in that tenant's log.
func (v *Vault) Authenticate(ctx context.Context, o Origin, token []byte) (*Caller, error) {
	hash, err := identity.HashToken(token)
	if err != nil {
		return nil, v.refuseCredential(ctx, o, token)
	}
	i, err := v.identity(ctx, hash)
	return v.letIn(ctx, o, i, err, token)
}

// letIn ends a look-up of the credential that a request has brought, whose
// holder has proven to have it.
func (v *Vault) letIn(ctx context.Context, o Origin, i *store.Identity, err error, brought []byte) (*Caller, error) {
	if err == nil {
		err = v.admit(ctx, i)
	}
	switch {
	case errors.Is(err, store.ErrAbsent):
		return nil, v.refuseCredential(ctx, o, brought)
	case err != nil:
		return nil, v.Refuse(ctx, o, v.answer(err))
	}
	c := callerOf(o, i)
	if i.Tenant == nil { // operators have no rate
		return c, nil
	}
	if err := v.pace(ctx, c.tenantID, func() audit.Entry { return c.entry(v, audit.Throttle) }); err != nil {
		return nil, err
	}
	return c, nil
}

// refuseCredential is Refuse for a token that is not good. An address that
// brings many of them is slowed.
func (v *Vault) refuseCredential(ctx context.Context, o Origin, token []byte) error {
	if len(token) == 0 {
		return v.Refuse(ctx, o, secret.ErrUnauthenticated)
	}
	return v.Refuse(ctx, o, v.attempts.failed(o.Address))
}

// admit lets a credential in whose holder has proven to have it, and notes its
// use; store.ErrAbsent if it is not live, or was deleted meanwhile.
func (v *Vault) admit(ctx context.Context, i *store.Identity) error {
	if !usable(i, v.now()) {
		return store.ErrAbsent
	}
	return v.noteUse(ctx, i)
}

// identity finds a token with its principal and tenant, among those known or in
// the store.
func (v *Vault) identity(ctx context.Context, hash [32]byte) (*store.Identity, error) {
	return v.callers.look(hash, func() (i *store.Identity, err error) {
		err = v.store.Look(ctx, func(r store.Reader) error {
			i, err = r.Credentials().ByHash(hash)
			return err
		})
		return i, err
	})
}

// usable reports whether a credential is live, and its principal enabled.
// Suspension is the session's matter: a suspended tenant's caller is known, and
// refused.
func usable(i *store.Identity, now time.Time) bool {
	return live(i.Credential, now) && i.Principal.Disabled.IsZero() && (i.Tenant == nil || i.Tenant.State != store.Erased)
}

// live reports whether a credential is neither revoked nor expired.
func live(c *store.Credential, now time.Time) bool {
	return c.Revoked.IsZero() && (c.Expires.IsZero() || now.Before(c.Expires))
}

func callerOf(o Origin, i *store.Identity) *Caller {
	c := &Caller{
		origin: o, subject: subjectOf(i), principal: i.Principal.Name, credential: i.Credential.ID,
		identity: i, lastRead: i.Principal.LastRead, locked: i.Credential.Locked,
	}
	if i.Tenant != nil {
		c.tenant, c.tenantID, c.account = i.Tenant.Name, i.Tenant.ID, i.Tenant.Account
	}
	return c
}

// subjectOf is what decisions need to know of a credential's holder. An
// attribute that the credential does not have of its own is its principal's.
func subjectOf(i *store.Identity) policy.Subject {
	c, p := i.Credential, i.Principal
	s := policy.Subject{
		Operator: i.Tenant == nil, Name: p.Name, Grants: p.Grants, Bound: c.Grants, MFA: c.MFA,
		Service: cmp.Or(c.Service, p.Service), Environment: cmp.Or(c.Environment, p.Environment),
	}
	if p.Kind == store.Person {
		s.Kind = policy.Person
	}
	return s
}

// noteUse writes the day of the last use of a credential and its principal,
// once a day.
func (v *Vault) noteUse(ctx context.Context, i *store.Identity) error {
	today := day(v.now())
	if i.Credential.LastUsed >= today && i.Principal.LastUsed >= today {
		return nil
	}
	return v.store.Update(ctx, func(tx store.Tx) error {
		now, err := tx.Credentials().ByID(i.Credential.ID)
		if err != nil {
			return err
		}
		if now.Credential.LastUsed < today {
			now.Credential.LastUsed = today
			if err := tx.EditCredentials().Update(now.Credential); err != nil {
				return err
			}
		}
		if now.Principal.LastUsed < today {
			now.Principal.LastUsed = today
			return tx.EditPrincipals().Update(now.Principal)
		}
		return nil
	})
}

// noteRead writes the day on which the caller last read a value, once a day.
func (c *Caller) noteRead(tx store.Tx, today int32) error {
	if c.credential == "" || c.lastRead >= today {
		return nil
	}
	p, err := tx.Principals().Principal(c.tenantID, c.principal)
	switch {
	case errors.Is(err, store.ErrAbsent):
		return nil // deleted meanwhile
	case err != nil || p.LastRead >= today:
		return err
	}
	p.LastRead = today
	return tx.EditPrincipals().Update(p)
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
	v.refused.countCredential(err)
	alone := !errors.Is(err, secret.ErrTooMany) && v.refusals.limiter.Allow()
	if rerr := v.refusals.record(ctx, e, alone); rerr != nil {
		return secret.ErrUnavailable.With(errors.Join(rerr, err))
	}
	return err
}
