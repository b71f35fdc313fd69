package vault

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// provider is somebody whom a tenant trusts to say who others are.
type provider interface {
	identity.Issuer | identity.Authority
}

// Provided is a provider that a tenant trusts, with what is told of it beside.
type Provided[T any] struct {
	Provider T
	Created  time.Time
	Changed  time.Time
	Revision int64
}

// Providers is a caller's handle to the providers of one kind that a tenant
// trusts.
type Providers[T provider] struct {
	session *Session
	kind    string
	what    string // for errors and the log
	put     audit.Action
	list    audit.Action
	remove  audit.Action
	name    func(T) string
	check   func(T) error
	tell    func(T) string // of what is not about people
}

// Issuers is the handle to the issuers of tokens that the tenant trusts.
func (s *Session) Issuers() *Providers[identity.Issuer] {
	return &Providers[identity.Issuer]{
		session: s, kind: issuerKind, what: "issuer",
		put: audit.IssuerPut, list: audit.IssuerList, remove: audit.IssuerDelete,
		name: func(i identity.Issuer) string { return i.Name },
		check: func(i identity.Issuer) error {
			return cmp.Or(i.Validate(), s.vault.issuers.Check(i), checkBoundGrants(i.Bindings))
		},
		tell: func(i identity.Issuer) string {
			return fmt.Sprintf("%s for %q, %d bindings", i.URL, i.Audiences, len(i.Bindings))
		},
	}
}

// Authorities is the handle to the CAs whose client certificates the tenant
// trusts.
func (s *Session) Authorities() *Providers[identity.Authority] {
	return &Providers[identity.Authority]{
		session: s, kind: authorityKind, what: "CA",
		put: audit.AuthorityPut, list: audit.AuthorityList, remove: audit.AuthorityDelete,
		name:  func(a identity.Authority) string { return a.Name },
		check: func(a identity.Authority) error { return cmp.Or(a.Validate(), checkBoundGrants(a.Bindings)) },
		tell: func(a identity.Authority) string {
			return fmt.Sprintf("trust domain %q, bundle %s, %d bindings", a.TrustDomain, digest([]byte(a.Bundle)), len(a.Bindings))
		},
	}
}

// checkBoundGrants checks the grants that bindings give.
func checkBoundGrants(bindings []identity.Binding) error {
	for i, b := range bindings {
		if len(b.Grants) == 0 {
			continue
		}
		if err := policy.ValidateGrants(boundGrants(b.Grants)); err != nil {
			e := secret.Of(err)
			return &secret.Error{Code: e.Code, Field: fmt.Sprintf("bindings.%d.%s", i, e.Field), Detail: e.Detail}
		}
	}
	return nil
}

// boundGrants returns grants of a binding as those of a credential; nil for none.
func boundGrants(bound []identity.BoundGrant) (grants []policy.Grant) {
	for _, g := range bound {
		grants = append(grants, policy.Grant{Role: policy.Role(g.Role), Patterns: g.Patterns})
	}
	return grants
}

// digest names a text in the log that may itself name people.
func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return fmt.Sprintf("sha256:%x", sum[:8])
}

// change runs a change of a provider, which the entry tells before and after.
func (p *Providers[T]) change(ctx context.Context, a audit.Action, name string, f func(tx store.Tx, t *store.Tenant, d *store.Document) error) error {
	return p.session.editTenant(ctx, a, policy.ManageIssuers, func(tx store.Tx, t *store.Tenant, e *audit.Entry) error {
		d, err := tx.Documents().Document(t.ID, p.kind, name)
		if errors.Is(err, store.ErrAbsent) {
			d, err = &store.Document{Owner: t.ID, Kind: p.kind, ID: name}, nil
		}
		if err != nil {
			return err
		}
		before := p.describe(d)
		if err := f(tx, t, d); err != nil {
			return err
		}
		e.Detail = fmt.Sprintf("%s %q: %s -> %s", p.what, name, before, p.describe(d))
		return nil
	})
}

// describe tells what a document holds, without what may name people.
func (p *Providers[T]) describe(d *store.Document) string {
	if len(d.Data) == 0 {
		return "none"
	}
	held, err := decodeDocument[T](d)
	if err != nil {
		return "unreadable"
	}
	return fmt.Sprintf("%s (%s)", p.tell(held), digest(d.Data))
}

// Put stores a provider, in the place of the one of its name. With expected, that
// one must still have this revision, 0 for none: secret.ErrConflict otherwise.
func (p *Providers[T]) Put(ctx context.Context, held T, expected *int64) (Provided[T], error) {
	var info Provided[T]
	err := p.change(ctx, p.put, p.name(held), func(tx store.Tx, t *store.Tenant, d *store.Document) error {
		if err := p.check(held); err != nil {
			return err
		}
		if expected != nil && *expected != revisionOf(d) {
			return secret.Conflict("the " + p.what + " has changed")
		}
		if revisionOf(d) == 0 {
			if err := p.room(tx, t); err != nil {
				return err
			}
		}
		if err := p.session.vault.putDocument(tx, d, held); err != nil {
			return err
		}
		info = provided(d, held)
		return nil
	})
	return settled(info, err)
}

// room refuses one provider too many.
func (p *Providers[T]) room(r store.Reader, t *store.Tenant) error {
	rows, err := r.Documents().Documents(t.ID, p.kind, "", "", identity.MaxIssuers)
	if err == nil && len(rows) >= identity.MaxIssuers {
		err = secret.Limited(p.kind+"s", fmt.Sprintf("at most %d", identity.MaxIssuers))
	}
	return err
}

func provided[T any](d *store.Document, held T) Provided[T] {
	return Provided[T]{held, d.Created, d.Changed, revisionOf(d)}
}

// Get tells of one provider.
func (p *Providers[T]) Get(ctx context.Context, name string) (Provided[T], error) {
	var info Provided[T]
	err := p.look(ctx, func(r store.Reader, t *store.Tenant) error {
		d, held, err := document[T](r, t.ID, p.kind, name, p.session.vault.now())
		if err == nil {
			info = provided(d, held)
		}
		return err
	})
	return settled(info, err)
}

// List tells of all providers, by name.
func (p *Providers[T]) List(ctx context.Context) ([]Provided[T], error) {
	var all []Provided[T]
	err := p.look(ctx, func(r store.Reader, t *store.Tenant) error {
		all = []Provided[T]{}
		rows, held, err := documents[T](r, t.ID, p.kind, "", p.session.vault.now())
		for i, d := range rows {
			all = append(all, provided(d, held[i]))
		}
		return err
	})
	return settled(all, err)
}

func (p *Providers[T]) look(ctx context.Context, f func(r store.Reader, t *store.Tenant) error) error {
	s := p.session
	err := s.vault.store.View(ctx, func(r store.Reader) error {
		t, err := s.administered(r)
		if err != nil {
			return err
		}
		if err := s.authorize(r, t, policy.ManageIssuers); err != nil {
			return err
		}
		return f(r, t)
	})
	return s.vault.conclude(ctx, s.entry(p.list, ""), err)
}

// Delete ends the trust in a provider: nobody comes in by it from now on. Sessions
// that it vouched for end with it.
func (p *Providers[T]) Delete(ctx context.Context, name string) error {
	return p.change(ctx, p.remove, name, func(tx store.Tx, t *store.Tenant, d *store.Document) error {
		if revisionOf(d) == 0 {
			return secret.ErrNotFound
		}
		if err := tx.EditDocuments().Delete(t.ID, p.kind, name); err != nil {
			return err
		}
		d.Data = nil
		return p.session.vault.endSessionsOf(tx, t.ID, p.kind, name)
	})
}

// endSessionsOf revokes the sessions of those whom a provider vouched for.
func (v *Vault) endSessionsOf(tx store.Tx, t secret.TenantID, kind, name string) error {
	sources := map[string][]string{
		issuerKind:    {"exchange:jwt:" + name, "login:oidc:" + name},
		authorityKind: {"exchange:cert:" + name},
	}[kind]
	for after := ""; ; {
		creds, err := tx.Credentials().List(t, after, secret.MaxPage)
		if err != nil {
			return err
		}
		for _, c := range creds {
			after = c.ID
			if !slices.Contains(sources, c.Source) || !live(c, v.now()) {
				continue
			}
			c.Revoked = v.now()
			if err := tx.EditCredentials().Update(c); err != nil {
				return err
			}
		}
		if len(creds) < secret.MaxPage {
			return nil
		}
	}
}

// Methods are the ways in which people can log in to a tenant, beside a password:
// what a page for that has to know.
type Methods struct {
	Providers []LoginProvider
}

// LoginProvider is an issuer by which people log in.
type LoginProvider struct {
	Name     string
	URL      string
	ClientID string
	Scopes   []string
}

// Methods tells how people log in to a tenant, to anybody who asks. A tenant that
// has no provider for people is secret.ErrNotFound, as is one that is not there.
func (v *Vault) Methods(ctx context.Context, tenant secret.TenantName) (Methods, error) {
	_, all, err := providers[identity.Issuer](ctx, v, tenant, issuerKind)
	if err != nil {
		return Methods{}, v.answer(err)
	}
	var m Methods
	for _, p := range all {
		if p.T.ClientID != "" {
			m.Providers = append(m.Providers, LoginProvider{p.T.Name, p.T.URL, p.T.ClientID, p.T.Scopes})
		}
	}
	if len(m.Providers) == 0 {
		return Methods{}, secret.ErrNotFound
	}
	return m, nil
}
