package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// Credentials is a caller's handle to the credentials of one tenant, or of
// the deployment's operators: bearer tokens and, of tenants, access keys.
type Credentials struct{ realm }

// Credentials is the handle to the tenant's credentials. It works on a
// suspended tenant for operators only.
func (s *Session) Credentials() *Credentials { return &Credentials{s.realm()} }

// Credentials is the handle to the operators' credentials.
func (o *Operator) Credentials() *Credentials { return &Credentials{o.realm()} }

// TokenSpec says what token or access key to make.
type TokenSpec struct {
	Principal string
	// Grants narrow those of a tenant's principal; none if they are enough. An
	// operator has none.
	Grants      []policy.Grant
	Service     string // the principal's, if the principal has one
	Environment secret.Environment
	TTL         time.Duration // 0 never expires
}

// TokenInfo is what is told of a credential.
type TokenInfo struct {
	ID          string
	Kind        store.CredentialKind
	Principal   string
	Grants      []policy.Grant // those of its principal, if it has none of its own
	Service     string
	Environment secret.Environment
	Created     time.Time
	Expires     time.Time
	Revoked     time.Time
	LastUsed    time.Time // a day
	Source      string    // how it was come by; "" if it was made here
}

func (t TokenSpec) validate(operator bool) error {
	if err := identity.CheckPrincipal(t.Principal); err != nil {
		return err
	}
	if err := checkAttributes(t.Service, t.Environment); err != nil {
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

// credential makes the row of a new credential, without its id and secret.
func (t TokenSpec) credential(kind store.CredentialKind, now time.Time) *store.Credential {
	c := &store.Credential{
		Kind: kind, Principal: t.Principal, Grants: orNone(t.Grants), Service: t.Service, Environment: t.Environment, Created: now,
	}
	if t.TTL != 0 {
		c.Expires = now.Add(t.TTL)
	}
	return c
}

// add stores a new credential of a realm with its principal, which it makes if
// it is not there.
func (c *Credentials) add(tx store.Tx, cred *store.Credential) error {
	if err := c.makeRoom(tx, cred.Tenant); err != nil {
		return err
	}
	if err := c.belong(tx, cred); err != nil {
		return err
	}
	return tx.EditCredentials().Create(cred)
}

// belong finds the principal that a new credential names, or makes it, and
// holds the two together: the credential must have grants from one of them, and
// cannot be of another service or environment than its principal. What it
// shares with its principal it takes from there.
func (c *Credentials) belong(tx store.Tx, cred *store.Credential) error {
	p, err := tx.Principals().Principal(cred.Tenant, cred.Principal)
	if errors.Is(err, store.ErrAbsent) {
		p = &store.Principal{
			Tenant: cred.Tenant, Name: cred.Principal, Service: cred.Service, Environment: cred.Environment, Created: cred.Created,
		}
		if cred.Tenant.IsZero() {
			p.Kind = store.OperatorKind
		}
		err = c.vault.addPrincipal(tx, p)
	}
	switch {
	case err != nil:
		return err
	case !p.Disabled.IsZero():
		return secret.Conflict("the principal is disabled")
	case !cred.Tenant.IsZero() && cred.Grants == nil && p.Grants == nil:
		return secret.Invalid("grants", "at least one grant, since the principal has none")
	case p.Kind != store.Service && cred.Service != "":
		return secret.Invalid("service", "only a service has one")
	case p.Kind != store.Service && cred.Environment != "":
		return secret.Invalid("environment", "only a service has one")
	}
	if err := fits(cred, p); err != nil {
		return err
	}
	if cred.Service == p.Service {
		cred.Service = ""
	}
	if cred.Environment == p.Environment {
		cred.Environment = ""
	}
	return nil
}

// fits refuses a credential of another service or environment than its
// principal's.
func fits(c *store.Credential, p *store.Principal) error {
	switch {
	case p.Service != "" && c.Service != "" && c.Service != p.Service:
		return secret.Invalid("service", fmt.Sprintf("principal and credential differ: %s and %s", p.Service, c.Service))
	case p.Environment != "" && c.Environment != "" && c.Environment != p.Environment:
		return secret.Invalid("environment", fmt.Sprintf("principal and credential differ: %s and %s", p.Environment, c.Environment))
	}
	return nil
}

// CredentialQuery asks for credentials. The zero value asks for the first page
// of all.
type CredentialQuery struct {
	Kind      *store.CredentialKind // nil: tokens and access keys
	Principal string                // only this one's
	Limit     int                   // 1 to secret.MaxPage; 0 is secret.DefaultPage
	Cursor    string                // a page's Next
}

func (q CredentialQuery) matches(c *store.Credential) bool {
	return (q.Kind == nil || *q.Kind == c.Kind) && (q.Principal == "" || q.Principal == c.Principal)
}

// scope names the list in cursors.
func (q CredentialQuery) scope(realm string) string {
	kind := "all"
	if q.Kind != nil {
		kind = fmt.Sprint(*q.Kind)
	}
	return "tokens\x00" + realm + "\x00" + kind + "\x00" + q.Principal
}

// action is what a listing is in the audit log.
func (q CredentialQuery) action() audit.Action {
	if q.Kind != nil && *q.Kind == store.AccessKey {
		return audit.AccessKeyList
	}
	return audit.TokenList
}

// List tells the credentials by id, those that have ended too.
func (c *Credentials) List(ctx context.Context, q CredentialQuery) (Page[TokenInfo], error) {
	var page Page[TokenInfo]
	e, scope := c.entry(q.action()), q.scope(c.name)
	e.Target = q.Principal
	limit, err := pageSize(q.Limit)
	if err != nil {
		return page, c.vault.refuse(ctx, e, err)
	}
	after, err := c.vault.parseCursor(scope, q.Cursor)
	if err != nil {
		return page, c.vault.refuse(ctx, e, err)
	}
	err = c.look(ctx, e, policy.ManageTokens, func(r store.Reader, t secret.TenantID) error {
		rows, err := listCredentials(r, t, q, after, limit+1)
		if err != nil {
			return err
		}
		page = Page[TokenInfo]{Items: []TokenInfo{}}
		if len(rows) > limit {
			rows = rows[:limit]
			page.Next = c.vault.cursor(scope, rows[limit-1].ID)
		}
		page.Items, err = tokenInfos(r, page.Items, rows)
		return err
	})
	return settled(page, err)
}

// listCredentials returns up to limit credentials that match.
func listCredentials(r store.Reader, t secret.TenantID, q CredentialQuery, after string, limit int) (out []*store.Credential, err error) {
	for {
		rows, err := r.Credentials().List(t, after, secret.MaxPage)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			after = row.ID
			if !q.matches(row) {
				continue
			}
			if out = append(out, row); len(out) == limit {
				return out, nil
			}
		}
		if len(rows) < secret.MaxPage {
			return out, nil
		}
	}
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
		Created: c.Created, Expires: c.Expires, Revoked: c.Revoked, LastUsed: dayTime(c.LastUsed), Source: c.Source,
	}
	if c.Grants == nil {
		info.Grants = p.Grants
	}
	return info
}

// Revoke ends a credential: the next request that brings it is refused.
// Revoking it again does nothing.
func (c *Credentials) Revoke(ctx context.Context, id string) error {
	return c.revoke(ctx, audit.TokenRevoke, id, func(*store.Credential) bool { return true })
}

func (c *Credentials) revoke(ctx context.Context, a audit.Action, id string, meant func(*store.Credential) bool) error {
	return c.change(ctx, c.entry(a), policy.ManageTokens, func(tx store.Tx, t secret.TenantID, e *audit.Entry) error {
		i, err := credential(tx, t, id)
		if err != nil {
			return err
		}
		cred := i.Credential
		if !meant(cred) {
			return secret.ErrNotFound
		}
		e.Detail, e.Target = credentialDetail+cred.ID, cred.Principal
		if !cred.Revoked.IsZero() {
			return nil
		}
		cred.Revoked = c.vault.now()
		return tx.EditCredentials().Update(cred)
	})
}

// EndsCredentials reports whether entries of an action may tell of a credential
// that has ended.
func EndsCredentials(a audit.Action) bool {
	switch a {
	case audit.TokenRevoke, audit.AccessKeyRevoke, audit.Logout, audit.TokenRotate, audit.AccessKeyRotate:
		return true
	}
	return false
}

// EndedBy returns the id of the credential of which an entry says that it was
// revoked or replaced; "" if it tells of none. One that may live on for a while
// beside its successor counts too.
func EndedBy(e audit.Entry) string {
	if !EndsCredentials(e.Action) || e.Result != audit.Success {
		return ""
	}
	for _, before := range []string{credentialDetail, sessionDetail} {
		if id, ok := strings.CutPrefix(e.Detail, before); ok {
			return id
		}
	}
	_, old, _ := strings.Cut(e.Detail, placeDetail)
	id, _, _ := strings.Cut(old, ",")
	return id
}

// How entries name a credential that ends; EndedBy reads them.
const (
	credentialDetail = "credential "
	sessionDetail    = "session "
	placeDetail      = " in the place of "
)

// credential reads a credential of a tenant, or of the operators.
func credential(r store.Reader, t secret.TenantID, id string) (*store.Identity, error) {
	i, err := r.Credentials().ByID(id)
	if errors.Is(err, store.ErrAbsent) || err == nil && i.Credential.Tenant != t {
		return nil, secret.ErrNotFound
	}
	return i, err
}

// successor prepares the credential that takes the place of one that is live:
// of the same principal, with the same grants, and the life that the old one
// was given, anew. The old one ends after the overlap; at once if that is zero.
func (c *Credentials) successor(tx store.Tx, old *store.Credential, overlap time.Duration) (*store.Credential, error) {
	now := c.vault.now()
	switch {
	case overlap < 0 || overlap > MaxOverlap:
		return nil, secret.Limited("overlap", "0 to 30 days")
	case !live(old, now):
		return nil, secret.Conflict("the credential has ended")
	case old.Source != "":
		return nil, secret.Conflict("the credential is of a session; log in again")
	}
	next := *old
	next.Created, next.LastUsed, next.MFA, next.Revision = now, 0, time.Time{}, 0
	if !old.Expires.IsZero() {
		next.Expires = now.Add(old.Expires.Sub(old.Created))
	}
	switch end := now.Add(overlap); {
	case overlap == 0:
		old.Revoked = now
	case old.Expires.IsZero() || end.Before(old.Expires):
		old.Expires = end
	}
	return &next, tx.EditCredentials().Update(old)
}

// MaxOverlap is how long a credential may live on beside its successor.
const MaxOverlap = 30 * 24 * time.Hour
