package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

// passwordSession is how long somebody who came in by a password stays in.
const passwordSession = 8 * time.Hour

// hashers is how many passwords are hashed at once: each takes 64 MiB and a
// processor for a tenth of a second. Others wait.
const hashers = 2

// passwordSource is that of sessions which a password gave.
const passwordSource = "login:password"

// passwordDocument is what is kept beside the sealed hash.
type passwordDocument struct{}

// hashing runs f when it is its turn.
func (v *Vault) hashing(ctx context.Context, f func()) error {
	select {
	case v.hashers <- struct{}{}:
		defer func() { <-v.hashers }()
		f()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// LoginPassword lets a person in who knows the password of a local account.
// Whatever is wrong is secret.ErrUnauthenticated, after the same work; somebody
// who guesses is told secret.ErrTooMany. The password stays the caller's to wipe.
func (v *Vault) LoginPassword(ctx context.Context, o Origin, tenant secret.TenantName, principal string, password []byte) (*NewSession, error) {
	if identity.CheckPrincipal(principal) != nil {
		return nil, v.failLogin(ctx, o, nil, notIn("the name is no principal's"))
	}
	by := claim{tenant, principal, "password"}
	t, hash, err := v.passwordOf(ctx, tenant, principal)
	if err != nil {
		return nil, v.refuseLogin(ctx, o, t, principal, err)
	}
	defer hash.Release()
	if err := v.attempts.begin(o.Address, by); err != nil {
		return nil, v.refuseLogin(ctx, o, t, principal, err)
	}
	outdated, err := v.verifyPassword(ctx, hash, password)
	if err != nil {
		return nil, v.refuseLogin(ctx, o, t, principal, err)
	}
	v.attempts.passed(o.Address, by)
	made, err := v.enter(ctx, login{
		origin: o, tenant: t, source: passwordSource, lifetime: passwordSession, proof: "a password",
		bearer: identity.Bearer{Principal: principal, Kind: identity.PersonKind},
		check:  func(tx store.Tx) error { return v.samePassword(tx, t.ID, principal, hash) },
	})
	if err == nil && outdated {
		v.renewHash(ctx, t.ID, principal, hash, password)
	}
	return made, err
}

// PasswordOf returns the principal whose password a document keeps.
func PasswordOf(d *store.Document) (principal string, ok bool) { return d.ID, d.Kind == passwordKind }

// passwordOf reads the hash of a person's password. A person or a tenant that is
// not there has none, which is no error: the hash is empty then.
func (v *Vault) passwordOf(ctx context.Context, tenant secret.TenantName, principal string) (t *store.Tenant, hash *secretbuf.Buffer, err error) {
	err = v.store.View(ctx, func(r store.Reader) error {
		if t, err = loginTenant(r, tenant); err != nil || t == nil {
			return err
		}
		hash, err = v.openPassword(r, t.ID, principal)
		return err
	})
	return t, hash, err
}

// openPassword opens the hash of a principal's password; an empty one if there is
// none.
func (v *Vault) openPassword(r store.Reader, t secret.TenantID, principal string) (*secretbuf.Buffer, error) {
	d, _, err := document[passwordDocument](r, t, passwordKind, principal, v.now())
	if errors.Is(err, secret.ErrNotFound) {
		return secretbuf.New(0), nil
	}
	if err != nil {
		return nil, err
	}
	return v.openSealed(r, d)
}

// verifyPassword compares a password with a hash; with an empty one it does the
// same work, and refuses.
func (v *Vault) verifyPassword(ctx context.Context, hash *secretbuf.Buffer, password []byte) (outdated bool, err error) {
	ok := false
	turn := v.hashing(ctx, func() {
		if hash.Len() == 0 {
			identity.SpendPassword(password)
			return
		}
		ok, outdated, err = identity.VerifyPassword(password, hash.Bytes())
	})
	switch {
	case turn != nil:
		return false, turn
	case err == nil && !ok:
		return false, notIn("the password is wrong, or there is none")
	}
	return outdated, err
}

// samePassword makes sure that the hash that was compared with is still the
// principal's.
func (v *Vault) samePassword(tx store.Tx, t secret.TenantID, principal string, hash *secretbuf.Buffer) error {
	now, err := v.openPassword(tx, t, principal)
	if err != nil {
		return err
	}
	defer now.Release()
	if !secretbuf.Equal(now, hash) {
		return notIn("the password has changed meanwhile")
	}
	return nil
}

// renewHash makes the hash anew with today's parameters, while the password is at
// hand. If that cannot be, the next login does it.
func (v *Vault) renewHash(ctx context.Context, t secret.TenantID, principal string, old *secretbuf.Buffer, password []byte) {
	hash, err := v.hashPassword(ctx, password)
	if err == nil {
		defer hash.Release()
		err = v.store.Update(ctx, func(tx store.Tx) error {
			if err := v.samePassword(tx, t, principal, old); err != nil {
				return err
			}
			_, err := v.putPassword(tx, t, principal, hash)
			return err
		})
	}
	if err != nil {
		v.log.WarnContext(ctx, "renewing a password's hash", "error", err)
	}
}

func (v *Vault) hashPassword(ctx context.Context, password []byte) (hash *secretbuf.Buffer, err error) {
	turn := v.hashing(ctx, func() { hash, err = identity.HashPassword(password) })
	return hash, errors.Join(turn, err)
}

// putPassword stores the hash of a principal's password, and reports whether
// there was one before.
func (v *Vault) putPassword(tx store.Tx, t secret.TenantID, principal string, hash *secretbuf.Buffer) (replaced bool, err error) {
	d, _, err := document[passwordDocument](tx, t, passwordKind, principal, v.now())
	if replaced = err == nil; errors.Is(err, secret.ErrNotFound) {
		d, err = &store.Document{Owner: t, Kind: passwordKind, ID: principal}, nil
	}
	if err != nil {
		return false, err
	}
	if err := v.sealInto(tx, d, hash.Bytes()); err != nil {
		return false, err
	}
	return replaced, v.putDocument(tx, d, passwordDocument{})
}

// ChangePassword replaces the password of the caller, a person who has one and
// gives it. Sessions that the old one gave end, but for the caller's.
func (v *Vault) ChangePassword(ctx context.Context, c *Caller, old, password []byte) error {
	e := c.entry(v, audit.PasswordSet)
	if err := identity.CheckPassword(password); err != nil {
		return v.conclude(ctx, e, err)
	}
	hash, err := v.proveOldPassword(ctx, c, old)
	if err != nil {
		return v.conclude(ctx, e, err)
	}
	defer hash.Release()
	next, err := v.hashPassword(ctx, password)
	if err != nil {
		return v.conclude(ctx, e, err)
	}
	defer next.Release()
	return v.change(ctx, e, func(tx store.Tx, e *audit.Entry) error {
		if _, err := v.callersOwn(tx, c); err != nil {
			return err
		}
		if err := v.samePassword(tx, c.tenantID, c.principal, hash); err != nil {
			return err
		}
		if _, err := v.putPassword(tx, c.tenantID, c.principal, next); err != nil {
			return err
		}
		n, err := v.endPasswordSessions(tx, c.tenantID, c.principal, c.credential)
		e.Target, e.Detail = c.principal, fmt.Sprintf("by the person; %d other sessions ended", n)
		return err
	})
}

// proveOldPassword has the caller prove that the password is known, by the same
// rules as a login.
func (v *Vault) proveOldPassword(ctx context.Context, c *Caller, old []byte) (hash *secretbuf.Buffer, err error) {
	if c.subject.Kind != policy.Person || c.subject.Operator {
		return nil, secret.Invalid("password", "only people have one")
	}
	by := claim{c.tenant, c.principal, "password"}
	if err := v.attempts.begin(c.origin.Address, by); err != nil {
		return nil, err
	}
	err = v.store.View(ctx, func(r store.Reader) error {
		hash, err = v.openPassword(r, c.tenantID, c.principal)
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, err := v.verifyPassword(ctx, hash, old); err != nil {
		hash.Release()
		if errors.Is(err, secret.ErrUnauthenticated) {
			return nil, &secret.Error{Code: secret.ErrAccessDenied.Code, Field: "oldPassword", Detail: "it is wrong, or there is none"}
		}
		return nil, err
	}
	v.attempts.passed(c.origin.Address, by)
	return hash, nil
}

// endPasswordSessions revokes the sessions that a principal's password gave, but
// for one, and returns how many.
func (v *Vault) endPasswordSessions(tx store.Tx, t secret.TenantID, principal, but string) (n int, err error) {
	creds, err := tx.Credentials().OfPrincipal(t, principal, secret.MaxCredentials)
	if err != nil {
		return 0, err
	}
	for _, c := range creds {
		if c.Source != passwordSource || c.ID == but || !live(c, v.now()) {
			continue
		}
		c.Revoked = v.now()
		if err := tx.EditCredentials().Update(c); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
