package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

// NewSession is what a login or an exchange gives: a token that ends soon. It is
// told only here; the receiver releases it.
type NewSession struct {
	ID        string
	Token     *secretbuf.Buffer
	Tenant    secret.TenantName
	Principal string
	Created   time.Time
	Expires   time.Time
	// Locked says that the token is of no use before a second factor is given
	// with it.
	Locked bool
}

// login is somebody who has proven something to come in as a tenant's principal.
type login struct {
	origin   Origin
	tenant   *store.Tenant
	source   string          // of the credential
	proof    string          // what was shown, for the log, naming no person
	bearer   identity.Bearer // who that is
	subject  string          // what the provider calls a person; "" if none does
	lifetime time.Duration
	// check makes sure, in the transaction that lets somebody in, that what was
	// shown still counts, and that it does not count again. It comes after the
	// principal was looked at, and room was made for the session: of whoever ends
	// what counted, and the sessions by it, one then waits for the other.
	check func(tx store.Tx) error
}

// refuseLogin records that somebody was not let in, in the tenant's log if there
// is such a tenant, and returns err. To the sender all reasons look alike.
// principal is whom somebody wanted to be, if that is known.
func (v *Vault) refuseLogin(ctx context.Context, o Origin, t *store.Tenant, principal string, err error) error {
	e := loginEntry(v, o, t)
	v.finish(ctx, &e, v.answer(err))
	v.refused.countCredential(err)
	if errors.Is(err, secret.ErrUnavailable) {
		v.log.WarnContext(ctx, "login failed", "tenant", e.TenantID, "cause", secret.Of(err).Cause, "correlationId", e.CorrelationID)
	}
	alone := !errors.Is(err, secret.ErrTooMany) && v.refusals.limiter.Allow()
	if alone {
		e.Target = principal
	}
	if rerr := v.refusals.record(ctx, e, alone); rerr != nil {
		return secret.ErrUnavailable.With(errors.Join(rerr, err))
	}
	return v.answer(err)
}

func loginEntry(v *Vault, o Origin, t *store.Tenant) audit.Entry {
	e := audit.Entry{
		Timestamp: v.now(), Action: audit.Login,
		IPAddress: o.Address, UserAgent: o.UserAgent, CorrelationID: o.CorrelationID,
	}
	if t != nil {
		e.TenantID = t.Name
	}
	return e
}

// failLogin is refuseLogin for something shown that is not good, and cannot be
// guessed. An address that brings much of that is slowed.
func (v *Vault) failLogin(ctx context.Context, o Origin, t *store.Tenant, err error) error {
	if errors.Is(err, secret.ErrUnauthenticated) {
		if slow := v.attempts.failed(o.Address); errors.Is(slow, secret.ErrTooMany) {
			err = slow
		}
	}
	return v.refuseLogin(ctx, o, t, "", err)
}

// loginTenant reads the tenant that somebody wants to come into; nil, without an
// error, if nobody can: it is not there, erased or suspended.
func loginTenant(r store.Reader, name secret.TenantName) (*store.Tenant, error) {
	t, err := r.Tenants().ByName(name)
	switch {
	case errors.Is(err, store.ErrAbsent):
		return nil, nil
	case err != nil:
		return nil, err
	case t.State != store.Active:
		return nil, nil
	}
	return t, nil
}

// notIn is a login that is refused, with the reason for the log.
func notIn(reason string) error { return secret.ErrUnauthenticated.With(errors.New(reason)) }

// enter makes the session of somebody who has proven who they are. A refusal is
// secret.ErrUnauthenticated, whatever the reason, and is recorded.
//
// It counts as a request of the tenant: whoever has something good to show could
// otherwise have sessions made without end.
func (v *Vault) enter(ctx context.Context, l login) (*NewSession, error) {
	if err := v.pace(ctx, l.tenant.ID, func() audit.Entry { return loginEntry(v, l.origin, l.tenant) }); err != nil {
		return nil, err
	}
	token, hash := identity.NewToken()
	made := &NewSession{ID: identity.NewTokenID(), Token: token, Tenant: l.tenant.Name, Principal: l.bearer.Principal}
	err := v.change(ctx, loginEntry(v, l.origin, l.tenant), func(tx store.Tx, e *audit.Entry) error {
		if err := v.stillOpen(tx, l); err != nil {
			return err
		}
		e.Target = l.bearer.Principal // whom somebody wanted to be
		p, err := v.bearerOf(tx, l, e)
		if err != nil {
			return err
		}
		row, err := v.session(tx, l, p)
		if err != nil {
			return err
		}
		if err := l.check(tx); err != nil {
			e.Detail = ""
			return err
		}
		e.UserID, e.Target = p.Name, ""
		row.ID, row.Hash = made.ID, hash
		made.Principal, made.Created, made.Expires, made.Locked = p.Name, row.Created, row.Expires, row.Locked
		e.Detail += fmt.Sprintf("%s; session %s until %s", l.proof, row.ID, row.Expires.Format(time.RFC3339))
		if row.Locked {
			e.Detail += ", locked until a second factor is given"
		}
		return tx.EditCredentials().Create(row)
	})
	if err != nil {
		token.Release()
		return nil, err
	}
	v.sweep.note(l.tenant.ID, v.now())
	return made, nil
}

// stillOpen looks at the tenant again, where it can change no more.
func (v *Vault) stillOpen(tx store.Tx, l login) error {
	t, err := tx.Tenants().Tenant(l.tenant.ID)
	if err == nil && t.State != store.Active {
		return notIn("the tenant is not active")
	}
	return err
}

// bearerOf finds the principal who comes in, or makes it if the binding says so.
func (v *Vault) bearerOf(tx store.Tx, l login, e *audit.Entry) (*store.Principal, error) {
	p, err := v.findBearer(tx, l, e)
	switch {
	case err != nil:
		return nil, err
	case !p.Disabled.IsZero():
		return nil, notIn("the principal is disabled")
	case p.Kind == store.Person != (l.bearer.Kind == identity.PersonKind) || p.Kind == store.OperatorKind:
		return nil, notIn("the principal is of another kind")
	}
	return p, nil
}

// findBearer finds who comes in, or makes the principal. Where another node has
// just made it, it is found, by the same rules.
func (v *Vault) findBearer(tx store.Tx, l login, e *audit.Entry) (*store.Principal, error) {
	p, err := v.knownBearer(tx, l, e)
	if errors.Is(err, store.ErrAbsent) && l.bearer.Create {
		p, err = v.createBearer(tx, l, e)
		if errors.Is(err, secret.ErrExists) {
			e.Detail = ""
			p, err = v.knownBearer(tx, l, e)
		}
	}
	if errors.Is(err, store.ErrAbsent) {
		return nil, notIn("there is no such principal, and the binding does not make one")
	}
	return p, err
}

// knownBearer finds who comes in: by what a provider calls a person, or by name.
func (v *Vault) knownBearer(tx store.Tx, l login, e *audit.Entry) (*store.Principal, error) {
	if l.subject != "" {
		p, err := tx.Principals().BySubject(l.tenant.ID, l.subject)
		if !errors.Is(err, store.ErrAbsent) {
			return p, err
		}
	}
	p, err := tx.Principals().Principal(l.tenant.ID, l.bearer.Principal)
	if err != nil || l.subject == "" {
		return p, err
	}
	return p, v.claimPerson(tx, l, p, e)
}

// createBearer makes the principal that a binding names. Its grants are left to
// its credentials.
func (v *Vault) createBearer(tx store.Tx, l login, e *audit.Entry) (*store.Principal, error) {
	p := &store.Principal{
		Tenant: l.tenant.ID, Name: l.bearer.Principal, Service: l.bearer.Service, Environment: l.bearer.Environment,
		Subject: l.subject, Created: v.now(),
	}
	if l.bearer.Kind == identity.PersonKind {
		p.Kind = store.Person
	}
	e.Detail = "made the principal; "
	return p, v.addPrincipal(tx, p)
}

// claimPerson notes what the provider calls a person, the first time that it
// vouches for the person. Somebody who has another subject, or can come in by a
// password, is not to be had by a name.
func (v *Vault) claimPerson(tx store.Tx, l login, p *store.Principal, e *audit.Entry) error {
	if p.Kind != store.Person {
		return notIn("the principal is of another kind")
	}
	if p.Subject != "" {
		return notIn("the provider calls the person otherwise")
	}
	_, _, err := document[passwordDocument](tx, p.Tenant, passwordKind, p.Name, v.now())
	if err == nil {
		return notIn("the person has a password; name its subject to let it in by the provider")
	}
	if !errors.Is(err, secret.ErrNotFound) {
		return err
	}
	p.Subject = l.subject
	e.Detail = "noted the provider's subject; "
	return tx.EditPrincipals().Update(p)
}

// session makes the row of a session, without its id and hash.
func (v *Vault) session(tx store.Tx, l login, p *store.Principal) (*store.Credential, error) {
	c := &store.Credential{
		Kind: store.Token, Tenant: p.Tenant, Principal: p.Name, Source: l.source, Grants: boundGrants(l.bearer.Grants),
		Service: l.bearer.Service, Environment: l.bearer.Environment, Created: v.now(),
	}
	c.Expires = c.Created.Add(l.lifetime)
	switch {
	case c.Grants == nil && p.Grants == nil:
		return nil, notIn("neither the principal nor the binding has grants")
	case fits(c, p) != nil:
		return nil, notIn("the principal has other attributes than the binding")
	}
	if c.Service == p.Service {
		c.Service = ""
	}
	if c.Environment == p.Environment {
		c.Environment = ""
	}
	if p.Kind == store.Person {
		rules, err := v.factorRules(tx, p.Tenant)
		if err != nil {
			return nil, err
		}
		c.Locked = rules.MFAForLogin
	}
	return c, v.roomForSession(tx, p)
}

// Logout ends the session that the caller came with. A credential that was made
// by hand is not the caller's to end.
func (v *Vault) Logout(ctx context.Context, c *Caller) error {
	return v.change(ctx, c.entry(v, audit.Logout), func(tx store.Tx, e *audit.Entry) error {
		i, err := v.callersOwn(tx, c)
		if err != nil {
			return err
		}
		if i.Credential.Source == "" {
			return secret.Conflict("this credential was made by an administrator, who can revoke it")
		}
		e.Detail = sessionDetail + i.Credential.ID
		i.Credential.Revoked = v.now()
		return tx.EditCredentials().Update(i.Credential)
	})
}

// callersOwn reads the credential that the caller came with, and its principal,
// as they are now.
func (v *Vault) callersOwn(r store.Reader, c *Caller) (*store.Identity, error) {
	if c.credential == "" {
		return nil, &secret.Error{Code: secret.ErrAccessDenied.Code, Detail: "the caller has no credential of its own"}
	}
	i, err := r.Credentials().ByID(c.credential)
	if errors.Is(err, store.ErrAbsent) || err == nil && !usable(i, v.now()) {
		return nil, secret.ErrUnauthenticated
	}
	if err == nil && i.Tenant != nil && i.Tenant.State == store.Suspended {
		return nil, secret.ErrSuspended
	}
	return i, err
}
