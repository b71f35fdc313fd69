package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fastness/internal/audit"
	"fastness/internal/envelope"
	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

// Operator is a caller's handle to the deployment: its tenants, root key and
// operators' credentials. For a caller that is not an operator every method
// refuses, and records it.
type Operator struct {
	vault  *Vault
	caller *Caller
}

// Operator returns the caller's handle to the deployment.
func (v *Vault) Operator(c *Caller) *Operator { return &Operator{v, c} }

// TenantInfo is what is told of a tenant.
type TenantInfo struct {
	Name      secret.TenantName
	Account   secret.AccountNumber
	State     store.TenantState
	Algorithm secret.Algorithm // default of new secrets
	Key       uint32           // number of the key that seals new versions
	Created   time.Time
}

func tenantInfo(t *store.Tenant) TenantInfo {
	return TenantInfo{t.Name, t.Account, t.State, t.Algorithm, t.Key, t.Created}
}

// NewTenant is a tenant with its administrator's credentials, which are told
// only here. The receiver releases them.
type NewTenant struct {
	Name            secret.TenantName
	Account         secret.AccountNumber
	Region          string
	Token           *secretbuf.Buffer
	AccessKeyID     string
	SecretAccessKey *secretbuf.Buffer
}

// Release wipes the credentials.
func (t *NewTenant) Release() {
	t.Token.Release()
	t.SecretAccessKey.Release()
}

func (o *Operator) allow(a policy.Action) error {
	if o.caller.subject.Operator {
		return nil
	}
	return refusal(policy.Deny, &denial{action: a, by: o.caller.credential, reason: "only an operator may"})
}

// entry begins an entry in the log of the tenant that is acted on. A caller
// that is no operator writes to its own tenant's.
func (o *Operator) entry(a audit.Action, t secret.TenantName) audit.Entry {
	e := o.caller.entry(o.vault, a)
	if o.caller.subject.Operator {
		e.TenantID = t
	}
	return e
}

// CreateTenant makes a tenant with a key of its own and an administrator. The
// empty algorithm is aes-256-gcm. A name that was ever used is ErrExists.
func (o *Operator) CreateTenant(ctx context.Context, name secret.TenantName, alg secret.Algorithm) (*NewTenant, error) {
	if alg == "" {
		alg = secret.AES256GCM
	}
	if err := o.checkTenant(name, alg); err != nil {
		return nil, o.vault.conclude(ctx, o.entry(audit.TenantCreate, ""), err)
	}
	for range maxAttempts {
		t, err := o.createTenant(ctx, name, alg)
		if !errors.Is(err, errRetry) {
			return t, err
		}
	}
	return nil, o.vault.conclude(ctx, o.entry(audit.TenantCreate, ""), errBusy)
}

func (o *Operator) checkTenant(name secret.TenantName, alg secret.Algorithm) error {
	if err := o.allow(policy.ManageTenants); err != nil {
		return err
	}
	if _, err := secret.ParseTenantName(string(name)); err != nil {
		return err
	}
	_, err := secret.ParseAlgorithm(string(alg))
	return err
}

func (o *Operator) createTenant(ctx context.Context, name secret.TenantName, alg secret.Algorithm) (*NewTenant, error) {
	v := o.vault
	e := o.entry(audit.TenantCreate, "") // the deployment's, until there is a tenant
	kek, err := envelope.NewKEK(1)
	if err != nil {
		return nil, v.conclude(ctx, e, err)
	}
	defer kek.Destroy()
	row := &store.Tenant{
		ID: secret.NewTenantID(), Name: name, Account: secret.NewAccountNumber(),
		Algorithm: alg, Key: 1, Created: v.now(),
	}
	made, admin, err := v.administrator(row, kek)
	if err != nil {
		return nil, v.conclude(ctx, e, err)
	}
	err = v.change(ctx, e, func(tx store.Tx, e *audit.Entry) error {
		if err := v.storeTenant(tx, row, kek, admin); err != nil {
			return err
		}
		e.TenantID, e.Detail = name, "account "+string(row.Account)
		return nil
	})
	if err != nil {
		made.Release()
		return nil, err
	}
	return made, nil
}

func (v *Vault) storeTenant(tx store.Tx, row *store.Tenant, kek *envelope.KEK, admin *administrator) error {
	switch _, err := tx.Tenants().ByName(row.Name); {
	case err == nil:
		return secret.ErrExists
	case !errors.Is(err, store.ErrAbsent):
		return err
	}
	if err := tx.EditTenants().Create(row); err != nil {
		if errors.Is(err, store.ErrTaken) {
			return errRetry // the account number, or the name by a concurrent call
		}
		return err
	}
	key, err := v.wrap(tx, row.ID, kek)
	if err != nil {
		return err
	}
	return errors.Join(tx.EditTenants().PutKey(row.ID, key), tx.EditPrincipals().Create(admin.principal),
		tx.EditCredentials().Create(admin.token), tx.EditCredentials().Create(admin.key))
}

// firstAdministrator is the name of the principal that a tenant is made with.
const firstAdministrator = "admin"

// administrator is a new tenant's first principal with its credentials.
type administrator struct {
	principal  *store.Principal
	token, key *store.Credential
}

func (v *Vault) administrator(t *store.Tenant, kek *envelope.KEK) (*NewTenant, *administrator, error) {
	token, hash := identity.NewToken()
	made := &NewTenant{
		Name: t.Name, Account: t.Account, Region: v.region,
		Token: token, AccessKeyID: identity.NewAccessKeyID(), SecretAccessKey: identity.NewAccessKeySecret(),
	}
	sealed, err := kek.SealAccessKey(t.ID, made.AccessKeyID, made.SecretAccessKey.Bytes())
	if err != nil {
		made.Release()
		return nil, nil, err
	}
	now := v.now()
	return made, &administrator{
		principal: &store.Principal{
			Tenant: t.ID, Name: firstAdministrator, Grants: []policy.Grant{{Role: policy.Admin}}, Created: now,
		},
		token: &store.Credential{
			ID: identity.NewTokenID(), Kind: store.Token, Tenant: t.ID, Principal: firstAdministrator, Hash: hash, Created: now,
		},
		key: &store.Credential{
			ID: made.AccessKeyID, Kind: store.AccessKey, Tenant: t.ID, Principal: firstAdministrator,
			Sealed: sealed, Key: t.Key, Created: now,
		},
	}, nil
}

// Tenants lists the tenants by name, erased ones too.
func (o *Operator) Tenants(ctx context.Context, limit int, cursor string) (Page[TenantInfo], error) {
	page := Page[TenantInfo]{Items: []TenantInfo{}}
	v, e := o.vault, o.caller.entry(o.vault, audit.TenantList)
	if err := o.allow(policy.ManageTenants); err != nil {
		return page, v.conclude(ctx, e, err)
	}
	limit, err := pageSize(limit)
	if err != nil {
		return page, v.conclude(ctx, e, err)
	}
	after, err := v.parseCursor("tenants", cursor)
	if err != nil {
		return page, v.conclude(ctx, e, err)
	}
	err = v.store.View(ctx, func(r store.Reader) error {
		rows, err := r.Tenants().List(secret.TenantName(after), limit+1)
		if err != nil {
			return err
		}
		page = Page[TenantInfo]{Items: []TenantInfo{}}
		if len(rows) > limit {
			rows = rows[:limit]
			page.Next = v.cursor("tenants", string(rows[limit-1].Name))
		}
		for _, row := range rows {
			page.Items = append(page.Items, tenantInfo(row))
		}
		return nil
	})
	return settled(page, v.conclude(ctx, e, err))
}

// Tenant tells of one tenant, also of a suspended or erased one.
func (o *Operator) Tenant(ctx context.Context, name secret.TenantName) (TenantInfo, error) {
	var info TenantInfo
	e := o.entry(audit.TenantList, name)
	if err := o.allow(policy.ManageTenants); err != nil {
		return info, o.vault.conclude(ctx, e, err)
	}
	err := o.vault.store.View(ctx, func(r store.Reader) error {
		t, err := tenantByName(r, name)
		if err == nil {
			info = tenantInfo(t)
		}
		return err
	})
	return settled(info, o.vault.conclude(ctx, e, err))
}

// Tenant tells a session's caller of its tenant.
func (s *Session) Tenant(ctx context.Context) (TenantInfo, error) {
	var info TenantInfo
	err := s.vault.store.View(ctx, func(r store.Reader) error {
		t, err := s.administered(r)
		if err == nil {
			info = tenantInfo(t)
		}
		return err
	})
	return settled(info, s.vault.conclude(ctx, s.entry(audit.TenantList, ""), err))
}

func tenantByName(r store.Reader, name secret.TenantName) (*store.Tenant, error) {
	t, err := r.Tenants().ByName(name)
	if errors.Is(err, store.ErrAbsent) {
		return nil, secret.ErrNotFound.With(errNoTenant)
	}
	return t, err
}

// Suspend refuses a tenant's callers everything, until Resume.
func (o *Operator) Suspend(ctx context.Context, name secret.TenantName) (TenantInfo, error) {
	return o.setState(ctx, audit.TenantSuspend, name, store.Suspended)
}

// Resume ends a suspension.
func (o *Operator) Resume(ctx context.Context, name secret.TenantName) (TenantInfo, error) {
	return o.setState(ctx, audit.TenantResume, name, store.Active)
}

func (o *Operator) setState(ctx context.Context, a audit.Action, name secret.TenantName, state store.TenantState) (TenantInfo, error) {
	var info TenantInfo
	err := o.onTenant(ctx, a, name, func(tx store.Tx, t *store.Tenant, e *audit.Entry) error {
		if t.State == store.Erased {
			return secret.Conflict("the tenant was erased")
		}
		e.Detail = fmt.Sprintf("%s -> %s", t.State, state)
		t.State = state
		info = tenantInfo(t)
		return tx.EditTenants().Update(t)
	})
	return settled(info, err)
}

// Erase destroys a tenant's keys and with them everything sealed under them,
// its secrets and credentials. Its audit entries stay, and verify. Name and
// account number are never given out again. Erasing it again does nothing.
func (o *Operator) Erase(ctx context.Context, name secret.TenantName) error {
	var id secret.TenantID
	err := o.onTenant(ctx, audit.TenantErase, name, func(tx store.Tx, t *store.Tenant, _ *audit.Entry) error {
		id = t.ID
		if t.State == store.Erased {
			return nil
		}
		t.State = store.Erased
		if err := tx.EditTenants().Update(t); err != nil {
			return err
		}
		return tx.EditTenants().Erase(t.ID)
	})
	if err != nil {
		return err
	}
	o.vault.keys.forget(id)
	o.vault.expireKnown()
	return o.vault.answer(o.vault.store.Scrub(ctx))
}

// onTenant runs a change of one tenant's row.
func (o *Operator) onTenant(ctx context.Context, a audit.Action, name secret.TenantName,
	f func(tx store.Tx, t *store.Tenant, e *audit.Entry) error) error {
	e := o.entry(a, name)
	if err := o.allow(policy.ManageTenants); err != nil {
		return o.vault.conclude(ctx, e, err)
	}
	return o.vault.change(ctx, e, func(tx store.Tx, e *audit.Entry) error {
		t, err := tenantByName(tx, name)
		if err != nil {
			return err
		}
		return f(tx, t, e)
	})
}
