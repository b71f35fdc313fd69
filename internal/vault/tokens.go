package vault

import (
	"context"
	"errors"
	"time"

	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

// NewToken is a token, which is told only here. The receiver releases it.
type NewToken struct {
	TokenInfo
	Token *secretbuf.Buffer
}

// Create makes a token. A principal that is not there is made with it: a
// service with the attributes given, that sets its credentials no bound.
func (c *Credentials) Create(ctx context.Context, spec TokenSpec) (*NewToken, error) {
	return c.create(ctx, spec, func(store.Tx) error { return nil })
}

// create makes a token if check finds nothing against it.
func (c *Credentials) create(ctx context.Context, spec TokenSpec, check func(store.Tx) error) (*NewToken, error) {
	e := c.entry(audit.TokenCreate)
	e.Target = spec.Principal
	return c.issue(ctx, e, func(tx store.Tx, t secret.TenantID) (*store.Credential, error) {
		if err := spec.validate(t.IsZero()); err != nil {
			return nil, err
		}
		return spec.credential(store.Token, c.vault.now()), check(tx)
	})
}

// Rotate makes a token that takes the place of another: of the same principal,
// with the same grants, attributes and span of life. The old one ends after the
// overlap, of 30 days at most; at once if that is zero.
func (c *Credentials) Rotate(ctx context.Context, id string, overlap time.Duration) (*NewToken, error) {
	return c.issue(ctx, c.entry(audit.TokenRotate), func(tx store.Tx, t secret.TenantID) (*store.Credential, error) {
		i, err := credential(tx, t, id)
		if err != nil {
			return nil, err
		}
		if i.Credential.Kind != store.Token {
			return nil, secret.ErrNotFound
		}
		return c.successor(tx, i.Credential, overlap)
	})
}

// issue stores the token that prepare describes, and tells it.
func (c *Credentials) issue(ctx context.Context, e audit.Entry,
	prepare func(tx store.Tx, t secret.TenantID) (*store.Credential, error)) (*NewToken, error) {
	token, hash := identity.NewToken()
	id := identity.NewTokenID()
	made := &NewToken{Token: token}
	err := c.change(ctx, e, policy.ManageTokens, func(tx store.Tx, t secret.TenantID, e *audit.Entry) error {
		cred, err := prepare(tx, t)
		if err != nil {
			return err
		}
		e.Detail = describeIssue("token", cred, id)
		e.Target = cred.Principal
		cred.Tenant, cred.ID, cred.Hash = t, id, hash
		if err := c.add(tx, cred); err != nil {
			return err
		}
		p, err := tx.Principals().Principal(t, cred.Principal)
		if err == nil {
			made.TokenInfo = tokenInfo(cred, p)
		}
		return err
	})
	if err != nil {
		token.Release()
		return nil, err
	}
	return made, nil
}

// describeIssue tells what credential was made, in the place of which, if cred
// still has that one's id.
func describeIssue(what string, cred *store.Credential, id string) string {
	text := what + " " + id
	if cred.ID != "" {
		text += placeDetail + cred.ID
	}
	if cred.Grants != nil {
		text += ", grants " + describeGrants(cred.Grants)
	}
	if !cred.Expires.IsZero() {
		text += ", until " + cred.Expires.Format(time.RFC3339)
	}
	return text
}

// InitToken makes the deployment's first operator token; ErrExists while there
// is a live one.
func (o *Operator) InitToken(ctx context.Context) (*NewToken, error) {
	const name = "operator"
	return o.Credentials().create(ctx, TokenSpec{Principal: name}, func(tx store.Tx) error {
		n, err := administrators(tx, secret.TenantID{}, o.vault.now(), nil)
		if err == nil && n > 0 {
			err = &secret.Error{Code: secret.ErrExists.Code, Detail: "the deployment has an operator already"}
		}
		if err != nil {
			return err
		}
		return enable(tx, secret.TenantID{}, name)
	})
}

// enable enables a principal, if it is there and disabled.
func enable(tx store.Tx, t secret.TenantID, name string) error {
	p, err := tx.Principals().Principal(t, name)
	switch {
	case errors.Is(err, store.ErrAbsent):
		return nil
	case err != nil || p.Disabled.IsZero():
		return err
	}
	p.Disabled = time.Time{}
	return tx.EditPrincipals().Update(p)
}
