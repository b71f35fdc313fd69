package vault

import (
	"context"
	"time"

	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

// NewAccessKey is an AWS-style access key, whose secret is told only here. The
// receiver releases it.
type NewAccessKey struct {
	TokenInfo
	Secret *secretbuf.Buffer
}

// CreateAccessKey makes an access key for a principal of the tenant, as Create
// makes a token. Operators have none.
func (c *Credentials) CreateAccessKey(ctx context.Context, spec TokenSpec) (*NewAccessKey, error) {
	e := c.entry(audit.AccessKeyCreate)
	e.Target = spec.Principal
	return c.issueAccessKey(ctx, e, func(_ store.Tx, t secret.TenantID) (*store.Credential, error) {
		if err := spec.validate(t.IsZero()); err != nil {
			return nil, err
		}
		return spec.credential(store.AccessKey, c.vault.now()), nil
	})
}

// RotateAccessKey is Rotate for an access key.
func (c *Credentials) RotateAccessKey(ctx context.Context, id string, overlap time.Duration) (*NewAccessKey, error) {
	return c.issueAccessKey(ctx, c.entry(audit.AccessKeyRotate), func(tx store.Tx, t secret.TenantID) (*store.Credential, error) {
		i, err := credential(tx, t, id)
		if err != nil {
			return nil, err
		}
		if i.Credential.Kind != store.AccessKey {
			return nil, secret.ErrNotFound
		}
		return c.successor(tx, i.Credential, overlap)
	})
}

// RevokeAccessKey is Revoke for access keys alone.
func (c *Credentials) RevokeAccessKey(ctx context.Context, id string) error {
	return c.revoke(ctx, audit.AccessKeyRevoke, id, func(cred *store.Credential) bool { return cred.Kind == store.AccessKey })
}

// issueAccessKey stores the access key that prepare describes, sealed under the
// tenant's key, and tells it.
func (c *Credentials) issueAccessKey(ctx context.Context, e audit.Entry,
	prepare func(tx store.Tx, t secret.TenantID) (*store.Credential, error)) (*NewAccessKey, error) {
	id := identity.NewAccessKeyID()
	made := &NewAccessKey{Secret: identity.NewAccessKeySecret()}
	err := c.change(ctx, e, policy.ManageTokens, func(tx store.Tx, t secret.TenantID, e *audit.Entry) error {
		if t.IsZero() {
			return secret.Invalid("principal", "an operator has no access keys")
		}
		cred, err := prepare(tx, t)
		if err != nil {
			return err
		}
		e.Detail = describeIssue("access key", cred, id)
		e.Target = cred.Principal
		cred.Tenant, cred.ID = t, id
		if err := c.sealAccessKey(tx, cred, made.Secret); err != nil {
			return err
		}
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
		made.Secret.Release()
		return nil, err
	}
	return made, nil
}

// sealAccessKey seals the secret half under the key that the tenant has in this
// transaction, so that a rotation of the key cannot miss it.
func (c *Credentials) sealAccessKey(tx store.Tx, cred *store.Credential, half *secretbuf.Buffer) error {
	t, err := tx.Tenants().Tenant(cred.Tenant)
	if err != nil {
		return err
	}
	key, err := c.vault.key(tx, t.ID, t.Key, secret.AES256GCM)
	if err != nil {
		return err
	}
	defer key.release()
	cred.Sealed, err = key.kek.SealAccessKey(t.ID, cred.ID, half.Bytes())
	cred.Key = t.Key
	return err
}
