package vault

import (
	"context"
	"errors"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// devPrincipal is the operator of a development server.
const devPrincipal = "dev-operator"

// DevTenant prepares a development server: the tenant, created on the first
// call and found again with its administrator's access key on later ones, and
// a new operator token in the place of the tenant's; the last one is revoked.
// An access key that has ended meanwhile is replaced.
func (o *Operator) DevTenant(ctx context.Context, name secret.TenantName) (*NewTenant, error) {
	made, err := o.CreateTenant(ctx, name, "")
	switch {
	case errors.Is(err, secret.ErrExists):
		made, err = o.openAdministrator(ctx, name)
	case err == nil:
		made.Token.Release()
	}
	if err != nil {
		return nil, err
	}
	token, err := o.renewDevToken(ctx)
	if err != nil {
		made.SecretAccessKey.Release()
		return nil, err
	}
	made.Token = token.Token
	return made, nil
}

// openAdministrator opens the access key of a tenant's first administrator, or
// makes one.
func (o *Operator) openAdministrator(ctx context.Context, name secret.TenantName) (*NewTenant, error) {
	var made *NewTenant
	err := o.vault.store.View(ctx, func(r store.Reader) error {
		t, err := tenantByName(r, name)
		if err != nil {
			return err
		}
		made, err = o.findAccessKey(r, t)
		return err
	})
	if err == nil && made.SecretAccessKey == nil {
		return o.renewAccessKey(ctx, made)
	}
	e := o.entry(audit.AccessKeyList, name)
	e.Detail = "access key opened"
	return settled(made, o.vault.conclude(ctx, e, err))
}

// findAccessKey tells of the tenant, with a live access key of its first
// administrator if there is one.
func (o *Operator) findAccessKey(r store.Reader, t *store.Tenant) (*NewTenant, error) {
	found := &NewTenant{Name: t.Name, Account: t.Account, Region: o.vault.region}
	creds, err := r.Credentials().OfPrincipal(t.ID, firstAdministrator, secret.MaxCredentials)
	if err != nil {
		return nil, err
	}
	for _, c := range creds {
		if c.Kind != store.AccessKey || !live(c, o.vault.now()) {
			continue
		}
		key, err := o.vault.key(r, t.ID, c.Key, secret.AES256GCM)
		if err != nil {
			return nil, err
		}
		defer key.release()
		found.AccessKeyID = c.ID
		found.SecretAccessKey, err = key.kek.OpenAccessKey(t.ID, c.ID, c.Sealed)
		return found, err
	}
	return found, nil
}

// renewAccessKey makes an access key for the tenant's first administrator,
// which may have lost its grants, or be gone.
func (o *Operator) renewAccessKey(ctx context.Context, t *NewTenant) (*NewTenant, error) {
	made, err := o.vault.Session(o.caller, t.Name).Credentials().CreateAccessKey(ctx,
		TokenSpec{Principal: firstAdministrator, Grants: []policy.Grant{{Role: policy.Admin}}})
	if err != nil {
		return nil, err
	}
	t.AccessKeyID, t.SecretAccessKey = made.ID, made.Secret
	return t, nil
}

func (o *Operator) renewDevToken(ctx context.Context) (*NewToken, error) {
	var old []string
	err := o.vault.store.View(ctx, func(r store.Reader) error {
		creds, err := r.Credentials().OfPrincipal(secret.TenantID{}, devPrincipal, secret.MaxCredentials)
		old = nil
		for _, c := range creds {
			if c.Revoked.IsZero() {
				old = append(old, c.ID)
			}
		}
		return err
	})
	for _, id := range old {
		if err == nil {
			err = o.Credentials().Revoke(ctx, id)
		}
	}
	if err != nil {
		return nil, o.vault.answer(err)
	}
	return o.Credentials().create(ctx, TokenSpec{Principal: devPrincipal}, func(tx store.Tx) error {
		return enable(tx, secret.TenantID{}, devPrincipal)
	})
}
