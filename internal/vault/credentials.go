package vault

import (
	"cmp"
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

// Credentials is a caller's handle to the credentials of one tenant, or of
// the deployment's operators.
type Credentials struct {
	vault *Vault
	// authorize decides whether the caller may manage them, and returns whose
	// they are: the zero id is the operators'.
	authorize func(r store.Reader) (secret.TenantID, error)
	entry     func(audit.Action) audit.Entry
	scope     string // names the list in cursors
}

// Credentials is the handle to the tenant's credentials. It works on a
// suspended tenant for operators only.
func (s *Session) Credentials() *Credentials {
	return &Credentials{
		vault: s.vault,
		authorize: func(r store.Reader) (secret.TenantID, error) {
			t, err := s.administered(r)
			if err != nil {
				return secret.TenantID{}, err
			}
			return t.ID, s.authorize(r, t, policy.ManageTokens)
		},
		entry: func(a audit.Action) audit.Entry { return s.entry(a, "") },
		scope: "tokens\x00" + string(s.tenant),
	}
}

// Credentials is the handle to the operators' credentials.
func (o *Operator) Credentials() *Credentials {
	return &Credentials{
		vault:     o.vault,
		authorize: func(store.Reader) (secret.TenantID, error) { return secret.TenantID{}, o.allow(policy.ManageTokens) },
		entry:     func(a audit.Action) audit.Entry { return o.caller.entry(o.vault, a) },
		scope:     "operators",
	}
}

// TokenSpec says what token to make.
type TokenSpec struct {
	Principal   string
	Grants      []policy.Grant // of a tenant's principal; an operator has none
	Service     string
	Environment secret.Environment
	TTL         time.Duration // 0 never expires
}

// NewToken is a token, which is told only here. The receiver releases it.
type NewToken struct {
	ID        string
	Principal string
	Token     *secretbuf.Buffer
	Created   time.Time
	Expires   time.Time // zero: never
}

// TokenInfo is what is told of a credential.
type TokenInfo struct {
	ID          string
	Kind        store.CredentialKind
	Principal   string
	Grants      []policy.Grant
	Service     string
	Environment secret.Environment
	Created     time.Time
	Expires     time.Time
	Revoked     time.Time
	LastUsed    time.Time // a day
}

func (t TokenSpec) validate(operator bool) error {
	if err := identity.CheckPrincipal(t.Principal); err != nil {
		return err
	}
	if t.Service != "" {
		if err := secret.CheckService("service", t.Service); err != nil {
			return err
		}
	}
	if _, err := secret.ParseEnvironment(string(t.Environment)); err != nil {
		return err
	}
	if t.TTL != 0 && (t.TTL < identity.MinExpiry || t.TTL > identity.MaxExpiry) {
		return secret.Limited("expiresIn", "1 minute to 3650 days")
	}
	switch {
	case operator && len(t.Grants) > 0:
		return secret.Invalid("grants", "an operator has none")
	case operator || len(t.Grants) == 0:
		return nil
	}
	return policy.ValidateGrants(t.Grants)
}

// Create makes a token. A principal that is not there is made with it: a
// service with the attributes given, that sets its credentials no bound.
func (c *Credentials) Create(ctx context.Context, spec TokenSpec) (*NewToken, error) {
	return c.create(ctx, spec, func(store.Tx) error { return nil })
}

// create makes a token if check finds nothing against it.
func (c *Credentials) create(ctx context.Context, spec TokenSpec, check func(store.Tx) error) (*NewToken, error) {
	token, hash := identity.NewToken()
	cred := &store.Credential{
		ID: identity.NewTokenID(), Kind: store.Token, Principal: spec.Principal, Hash: hash,
		Service: spec.Service, Environment: spec.Environment, Created: c.vault.now(),
	}
	if len(spec.Grants) > 0 {
		cred.Grants = spec.Grants
	}
	if spec.TTL != 0 {
		cred.Expires = cred.Created.Add(spec.TTL)
	}
	err := c.vault.change(ctx, c.entry(audit.TokenCreate), func(tx store.Tx, e *audit.Entry) error {
		row := *cred // f may run again
		var err error
		if row.Tenant, err = c.authorize(tx); err != nil {
			return err
		}
		if err := spec.validate(row.Tenant.IsZero()); err != nil {
			return err
		}
		if err := check(tx); err != nil {
			return err
		}
		if err := c.makeRoom(tx, row.Tenant); err != nil {
			return err
		}
		e.Detail, e.Target = "token "+row.ID, row.Principal
		if err := belong(tx, &row); err != nil {
			return err
		}
		return tx.EditCredentials().Create(&row)
	})
	if err != nil {
		token.Release()
		return nil, err
	}
	return &NewToken{ID: cred.ID, Principal: cred.Principal, Token: token, Created: cred.Created, Expires: cred.Expires}, nil
}

// belong finds the principal that a new credential names, or makes it, and
// holds the two together: the credential must have grants from one of them, and
// cannot be of another service or environment than its principal. What it
// shares with its principal it takes from there.
func belong(tx store.Tx, c *store.Credential) error {
	p, err := tx.Principals().Principal(c.Tenant, c.Principal)
	if errors.Is(err, store.ErrAbsent) {
		p = &store.Principal{
			Tenant: c.Tenant, Name: c.Principal, Service: c.Service, Environment: c.Environment, Created: c.Created,
		}
		if c.Tenant.IsZero() {
			p.Kind = store.OperatorKind
		}
		err = tx.EditPrincipals().Create(p)
	}
	switch {
	case err != nil:
		return err
	case !c.Tenant.IsZero() && c.Grants == nil && p.Grants == nil:
		return secret.Invalid("grants", "at least one grant, since the principal has none")
	case p.Service != "" && c.Service != "" && c.Service != p.Service:
		return secret.Invalid("service", "the principal is another service")
	case p.Environment != "" && c.Environment != "" && c.Environment != p.Environment:
		return secret.Invalid("environment", "the principal is of another environment")
	}
	if c.Service == p.Service {
		c.Service = ""
	}
	if c.Environment == p.Environment {
		c.Environment = ""
	}
	return nil
}

// keepDead is how long a credential that has ended is still listed, if there
// is room for it.
const keepDead = 30 * 24 * time.Hour

// makeRoom drops credentials that ended long ago, and, where there are as many
// as there may be, the one that ended first. It refuses one too many.
func (c *Credentials) makeRoom(tx store.Tx, t secret.TenantID) error {
	now := c.vault.now()
	if _, err := dropEnded(tx, t, now.Add(-keepDead), secret.MaxTokens); err != nil {
		return err
	}
	n, err := tx.Credentials().Count(t)
	if err != nil || n < secret.MaxTokens {
		return err
	}
	dropped, err := dropEnded(tx, t, now, int(n)-secret.MaxTokens+1)
	if err == nil && int(n)-dropped >= secret.MaxTokens {
		err = secret.Limited("tokens", fmt.Sprintf("at most %d live credentials", secret.MaxTokens))
	}
	return err
}

// dropEnded drops up to limit credentials that had ended by then, and returns
// how many.
func dropEnded(tx store.Tx, t secret.TenantID, by time.Time, limit int) (int, error) {
	ended, err := tx.Credentials().Ended(t, by, limit)
	if err != nil {
		return 0, err
	}
	for _, c := range ended {
		if err := tx.EditCredentials().Delete(c.ID); err != nil {
			return 0, err
		}
	}
	return len(ended), nil
}

// List tells the credentials by id, revoked ones too.
func (c *Credentials) List(ctx context.Context, limit int, cursor string) (Page[TokenInfo], error) {
	var page Page[TokenInfo]
	limit, err := pageSize(limit)
	if err != nil {
		return page, c.vault.refuse(ctx, c.entry(audit.TokenList), err)
	}
	after, err := c.vault.parseCursor(c.scope, cursor)
	if err != nil {
		return page, c.vault.refuse(ctx, c.entry(audit.TokenList), err)
	}
	err = c.vault.store.View(ctx, func(r store.Reader) error {
		t, err := c.authorize(r)
		if err != nil {
			return err
		}
		rows, err := r.Credentials().List(t, after, limit+1)
		if err != nil {
			return err
		}
		page = Page[TokenInfo]{Items: []TokenInfo{}}
		if len(rows) > limit {
			rows = rows[:limit]
			page.Next = c.vault.cursor(c.scope, rows[limit-1].ID)
		}
		page.Items, err = tokenInfos(r, page.Items, rows)
		return err
	})
	return settled(page, c.vault.conclude(ctx, c.entry(audit.TokenList), err))
}

// tokenInfos appends what is told of credentials of one tenant.
func tokenInfos(r store.Reader, infos []TokenInfo, rows []*store.Credential) ([]TokenInfo, error) {
	principals := make(map[string]*store.Principal)
	for _, c := range rows {
		p := principals[c.Principal]
		if p == nil {
			var err error
			if p, err = r.Principals().Principal(c.Tenant, c.Principal); err != nil {
				return nil, err
			}
			principals[c.Principal] = p
		}
		infos = append(infos, tokenInfo(c, p))
	}
	return infos, nil
}

// tokenInfo tells of a credential, with what it has from its principal.
func tokenInfo(c *store.Credential, p *store.Principal) TokenInfo {
	info := TokenInfo{
		ID: c.ID, Kind: c.Kind, Principal: c.Principal, Grants: c.Grants,
		Service: cmp.Or(c.Service, p.Service), Environment: cmp.Or(c.Environment, p.Environment),
		Created: c.Created, Expires: c.Expires, Revoked: c.Revoked, LastUsed: dayTime(c.LastUsed),
	}
	if c.Grants == nil {
		info.Grants = p.Grants
	}
	return info
}

// Revoke ends a credential: the next request that brings it is refused.
// Revoking it again does nothing.
func (c *Credentials) Revoke(ctx context.Context, id string) error {
	return c.vault.change(ctx, c.entry(audit.TokenRevoke), func(tx store.Tx, e *audit.Entry) error {
		t, err := c.authorize(tx)
		if err != nil {
			return err
		}
		i, err := tx.Credentials().ByID(id)
		if errors.Is(err, store.ErrAbsent) || err == nil && i.Credential.Tenant != t {
			return secret.ErrNotFound
		}
		if err != nil {
			return err
		}
		cred := i.Credential
		e.Detail, e.Target = "credential "+cred.ID, cred.Principal
		if !cred.Revoked.IsZero() {
			return nil
		}
		cred.Revoked = c.vault.now()
		return tx.EditCredentials().Update(cred)
	})
}

// InitToken makes the deployment's first operator token; ErrExists while there
// is a live one.
func (o *Operator) InitToken(ctx context.Context) (*NewToken, error) {
	return o.Credentials().create(ctx, TokenSpec{Principal: "operator"}, func(tx store.Tx) error {
		there, err := o.vault.anyOperator(tx, func(*store.Identity) bool { return true })
		if err == nil && there {
			err = &secret.Error{Code: secret.ErrExists.Code, Detail: "the deployment has an operator already"}
		}
		return err
	})
}

// anyOperator reports whether an operator that counts has a live credential.
func (v *Vault) anyOperator(r store.Reader, counts func(*store.Identity) bool) (bool, error) {
	var nobody secret.TenantID
	creds, err := r.Credentials().List(nobody, "", secret.MaxTokens)
	if err != nil {
		return false, err
	}
	for _, c := range creds {
		p, err := r.Principals().Principal(nobody, c.Principal)
		if err != nil {
			return false, err
		}
		if i := (&store.Identity{Credential: c, Principal: p}); usable(i, v.now()) && counts(i) {
			return true, nil
		}
	}
	return false, nil
}

// devPrincipal is the operator of a development server.
const devPrincipal = "dev-operator"

// DevTenant prepares a development server: the tenant, created on the first
// call and found again with its administrator's access key on later ones, and
// a new operator token in the place of the tenant's; the last one is revoked.
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

// openAdministrator opens the access key that a tenant was made with.
func (o *Operator) openAdministrator(ctx context.Context, name secret.TenantName) (*NewTenant, error) {
	var made *NewTenant
	err := o.vault.store.View(ctx, func(r store.Reader) error {
		t, err := tenantByName(r, name)
		if err != nil {
			return err
		}
		made, err = o.openAccessKey(r, t)
		return err
	})
	e := o.entry(audit.TokenList, name)
	e.Detail = "access key opened"
	return settled(made, o.vault.conclude(ctx, e, err))
}

func (o *Operator) openAccessKey(r store.Reader, t *store.Tenant) (*NewTenant, error) {
	creds, err := r.Credentials().OfPrincipal(t.ID, firstAdministrator, secret.MaxTokens)
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
		plain, err := key.kek.OpenAccessKey(t.ID, c.ID, c.Sealed)
		return &NewTenant{Name: t.Name, Account: t.Account, Region: o.vault.region, AccessKeyID: c.ID, SecretAccessKey: plain}, err
	}
	return nil, secret.ErrNotFound
}

func (o *Operator) renewDevToken(ctx context.Context) (*NewToken, error) {
	var old []string
	err := o.vault.store.View(ctx, func(r store.Reader) error {
		creds, err := r.Credentials().List(secret.TenantID{}, "", secret.MaxTokens)
		old = nil
		for _, c := range creds {
			if c.Principal == devPrincipal && c.Revoked.IsZero() {
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
	return o.Credentials().Create(ctx, TokenSpec{Principal: devPrincipal})
}
