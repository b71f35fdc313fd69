package vault

import (
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

// Principals is a caller's handle to the principals of one tenant, or to the
// deployment's operators.
type Principals struct{ realm }

// Principals is the handle to the tenant's people and services. It works on a
// suspended tenant for operators only.
func (s *Session) Principals() *Principals { return &Principals{s.realm()} }

// Principals is the handle to the deployment's operators.
func (o *Operator) Principals() *Principals { return &Principals{o.realm()} }

// PrincipalSpec says what principal to make.
type PrincipalSpec struct {
	Name string
	Kind store.PrincipalKind // service or person; operators are always operators
	// Grants bound what each of its credentials may do. Without any, that is
	// left to each credential. An operator has none.
	Grants      []policy.Grant
	Service     string // of a service
	Environment secret.Environment
	Subject     string // how a provider names a person; "" if none does
}

// PrincipalPatch changes some of a principal. A field that is nil stays.
type PrincipalPatch struct {
	Grants      []policy.Grant // all of them; none leaves it to each credential
	Service     *string        // "" for none
	Environment *secret.Environment
	Subject     *string
}

// PrincipalInfo is what is told of a principal.
type PrincipalInfo struct {
	Name        string
	Kind        store.PrincipalKind
	Grants      []policy.Grant
	Service     string
	Environment secret.Environment
	Subject     string
	Created     time.Time
	Disabled    time.Time // zero: enabled
	LastUsed    time.Time // a day; zero: never
	LastRead    time.Time // the day on which it last read a value; zero: never
	Credentials int       // live ones
}

// info tells of a principal, its live credentials counted.
func (p *Principals) info(r store.Reader, row *store.Principal) (PrincipalInfo, error) {
	creds, err := r.Credentials().OfPrincipal(row.Tenant, row.Name, secret.MaxCredentials)
	if err != nil {
		return PrincipalInfo{}, err
	}
	n := 0
	for _, c := range creds {
		if live(c, p.vault.now()) {
			n++
		}
	}
	return PrincipalInfo{
		Name: row.Name, Kind: row.Kind, Grants: row.Grants, Service: row.Service, Environment: row.Environment,
		Subject: row.Subject, Created: row.Created, Disabled: row.Disabled,
		LastUsed: dayTime(row.LastUsed), LastRead: dayTime(row.LastRead), Credentials: n,
	}, nil
}

// validate checks a principal's row against the limits and against what its
// kind may have.
func validate(p *store.Principal) error {
	if err := identity.CheckPrincipal(p.Name); err != nil {
		return err
	}
	if err := checkSubject(p.Subject); err != nil {
		return err
	}
	if err := checkAttributes(p.Service, p.Environment); err != nil {
		return err
	}
	switch {
	case p.Kind == store.OperatorKind && p.Grants != nil:
		return secret.Invalid("grants", "an operator has none")
	case p.Kind != store.Service && p.Service != "":
		return secret.Invalid("service", "only a service has one")
	case p.Kind != store.Service && p.Environment != "":
		return secret.Invalid("environment", "only a service has one")
	case p.Kind != store.Person && p.Subject != "":
		return secret.Invalid("subject", "only a person has one")
	case p.Grants != nil:
		return policy.ValidateGrants(p.Grants)
	}
	return nil
}

func checkAttributes(service string, e secret.Environment) error {
	if service != "" {
		if err := secret.CheckService("service", service); err != nil {
			return err
		}
	}
	_, err := secret.ParseEnvironment(string(e))
	return err
}

// maxSubject is the length of a subject: an issuer's id and what the issuer
// calls the person, which OpenID Connect lets have 255 characters.
const maxSubject = 512

func checkSubject(s string) error {
	if len(s) > maxSubject {
		return secret.Limited("subject", fmt.Sprintf("at most %d bytes", maxSubject))
	}
	return secret.CheckText("subject", s)
}

// orNone returns the grants of a principal, nil for an empty list: the store
// keeps apart who has no grants of its own and who has been given none.
func orNone(grants []policy.Grant) []policy.Grant {
	if len(grants) == 0 {
		return nil
	}
	return grants
}

// Create makes a principal, which has no credentials yet; secret.ErrExists if
// the name, or a person's subject, is taken.
func (p *Principals) Create(ctx context.Context, spec PrincipalSpec) (PrincipalInfo, error) {
	var info PrincipalInfo
	e := p.entry(audit.PrincipalCreate)
	e.Target = spec.Name
	err := p.change(ctx, e, policy.ManagePrincipals, func(tx store.Tx, t secret.TenantID, e *audit.Entry) error {
		row := &store.Principal{
			Tenant: t, Name: spec.Name, Kind: spec.Kind, Grants: orNone(spec.Grants), Service: spec.Service,
			Environment: spec.Environment, Subject: spec.Subject, Created: p.vault.now(),
		}
		if err := kindIn(t, row); err != nil {
			return err
		}
		if err := validate(row); err != nil {
			return err
		}
		e.Detail = "new " + describePrincipal(row)
		if err := p.vault.addPrincipal(tx, row); err != nil {
			return err
		}
		var err error
		info, err = p.info(tx, row)
		return err
	})
	return settled(info, err)
}

// kindIn holds a principal's kind to its realm.
func kindIn(t secret.TenantID, p *store.Principal) error {
	switch {
	case t.IsZero():
		p.Kind = store.OperatorKind
	case p.Kind != store.Service && p.Kind != store.Person:
		return secret.Invalid("kind", "person or service")
	}
	return nil
}

// addPrincipal stores a new principal. All ways to make one end here.
func (v *Vault) addPrincipal(tx store.Tx, p *store.Principal) error {
	err := tx.EditPrincipals().Create(p)
	if errors.Is(err, store.ErrTaken) {
		return secret.ErrExists
	}
	return err
}

// List tells the principals by name, disabled ones too.
func (p *Principals) List(ctx context.Context, limit int, cursor string) (Page[PrincipalInfo], error) {
	var page Page[PrincipalInfo]
	e := p.entry(audit.PrincipalList)
	scope := "principals\x00" + p.name
	limit, err := pageSize(limit)
	if err != nil {
		return page, p.vault.refuse(ctx, e, err)
	}
	after, err := p.vault.parseCursor(scope, cursor)
	if err != nil {
		return page, p.vault.refuse(ctx, e, err)
	}
	err = p.look(ctx, e, policy.ManagePrincipals, func(r store.Reader, t secret.TenantID) error {
		rows, err := r.Principals().List(t, after, limit+1)
		if err != nil {
			return err
		}
		page = Page[PrincipalInfo]{Items: []PrincipalInfo{}}
		if len(rows) > limit {
			rows = rows[:limit]
			page.Next = p.vault.cursor(scope, rows[limit-1].Name)
		}
		for _, row := range rows {
			info, err := p.info(r, row)
			if err != nil {
				return err
			}
			page.Items = append(page.Items, info)
		}
		return nil
	})
	return settled(page, err)
}

// Get tells of one principal.
func (p *Principals) Get(ctx context.Context, name string) (PrincipalInfo, error) {
	var info PrincipalInfo
	e := p.entry(audit.PrincipalList)
	e.Target = name
	err := p.look(ctx, e, policy.ManagePrincipals, func(r store.Reader, t secret.TenantID) error {
		row, err := principal(r, t, name)
		if err != nil {
			return err
		}
		info, err = p.info(r, row)
		return err
	})
	return settled(info, err)
}

// principal reads a principal's row.
func principal(r store.Reader, t secret.TenantID, name string) (*store.Principal, error) {
	row, err := r.Principals().Principal(t, name)
	if errors.Is(err, store.ErrAbsent) {
		return nil, secret.ErrNotFound
	}
	return row, err
}

// Update changes grants and attributes. The next request by any of the
// principal's credentials is decided by them.
func (p *Principals) Update(ctx context.Context, name string, patch PrincipalPatch) (PrincipalInfo, error) {
	return p.edit(ctx, audit.PrincipalUpdate, name, func(tx store.Tx, row *store.Principal) error {
		patch.apply(row)
		if err := validate(row); err != nil {
			return err
		}
		return agree(tx, row, p.vault.now())
	})
}

func (patch PrincipalPatch) apply(row *store.Principal) {
	if patch.Grants != nil {
		row.Grants = orNone(patch.Grants)
	}
	if patch.Service != nil {
		row.Service = *patch.Service
	}
	if patch.Environment != nil {
		row.Environment = *patch.Environment
	}
	if patch.Subject != nil {
		row.Subject = *patch.Subject
	}
}

// agree refuses attributes that differ from those that a live credential of the
// principal has of its own.
func agree(r store.Reader, p *store.Principal, now time.Time) error {
	creds, err := r.Credentials().OfPrincipal(p.Tenant, p.Name, secret.MaxCredentials)
	if err != nil {
		return err
	}
	for _, c := range creds {
		if !live(c, now) {
			continue
		}
		if err := fits(c, p); err != nil {
			return err
		}
	}
	return nil
}

// Disable refuses a principal's credentials from now on, until Enable.
// Disabling it again does nothing.
func (p *Principals) Disable(ctx context.Context, name string) (PrincipalInfo, error) {
	return p.edit(ctx, audit.PrincipalDisable, name, func(_ store.Tx, row *store.Principal) error {
		if row.Disabled.IsZero() {
			row.Disabled = p.vault.now()
		}
		return nil
	})
}

// Enable lets a disabled principal's credentials in again: those that are live.
func (p *Principals) Enable(ctx context.Context, name string) (PrincipalInfo, error) {
	return p.edit(ctx, audit.PrincipalEnable, name, func(_ store.Tx, row *store.Principal) error {
		row.Disabled = time.Time{}
		return nil
	})
}

// edit changes a principal's row, and records what it was before and after.
func (p *Principals) edit(ctx context.Context, a audit.Action, name string,
	f func(tx store.Tx, row *store.Principal) error) (PrincipalInfo, error) {
	var info PrincipalInfo
	e := p.entry(a)
	e.Target = name
	err := p.change(ctx, e, policy.ManagePrincipals, func(tx store.Tx, t secret.TenantID, e *audit.Entry) error {
		row, err := principal(tx, t, name)
		if err != nil {
			return err
		}
		before := *row
		if err := f(tx, row); err != nil {
			return err
		}
		e.Detail = describeChange(&before, row)
		if err := p.keepAdministrator(tx, t, row); err != nil {
			return err
		}
		if err := tx.EditPrincipals().Update(row); err != nil {
			return subjectTaken(err)
		}
		info, err = p.info(tx, row)
		return err
	})
	return settled(info, err)
}

// subjectTaken names the one field of a principal that can be another's already.
func subjectTaken(err error) error {
	if errors.Is(err, store.ErrTaken) {
		return &secret.Error{Code: secret.ErrExists.Code, Field: "subject", Detail: "it is another's already"}
	}
	return err
}

// Delete removes a principal with all its credentials, and what else is kept of
// it. What it did stays in the audit log.
func (p *Principals) Delete(ctx context.Context, name string) error {
	e := p.entry(audit.PrincipalDelete)
	e.Target = name
	err := p.change(ctx, e, policy.ManagePrincipals, func(tx store.Tx, t secret.TenantID, e *audit.Entry) error {
		row, err := principal(tx, t, name)
		if err != nil {
			return err
		}
		if err := p.keepAdministrator(tx, t, nobody(row)); err != nil {
			return err
		}
		n, err := dropCredentials(tx, row)
		if err != nil {
			return err
		}
		e.Detail = fmt.Sprintf("was %s, with %d credentials", describePrincipal(row), n)
		if err := dropPossessions(tx, row); err != nil {
			return err
		}
		return tx.EditPrincipals().Delete(t, name)
	})
	if err != nil {
		return err
	}
	return p.vault.answer(p.vault.store.Scrub(ctx))
}

// nobody is what is left of a principal that is deleted.
func nobody(p *store.Principal) *store.Principal {
	return &store.Principal{Tenant: p.Tenant, Name: p.Name, Kind: p.Kind, Disabled: time.Unix(0, 0)}
}

// dropCredentials deletes all credentials of a principal, and returns how many.
func dropCredentials(tx store.Tx, p *store.Principal) (n int, err error) {
	for {
		creds, err := tx.Credentials().OfPrincipal(p.Tenant, p.Name, secret.MaxCredentials)
		if err != nil || len(creds) == 0 {
			return n, err
		}
		for _, c := range creds {
			if err := tx.EditCredentials().Delete(c.ID); err != nil {
				return n, err
			}
		}
		n += len(creds)
	}
}

// possessions are the kinds of document that belong to a principal: of some it
// has one, whose id is its name; of others many, whose ids are its name, a slash,
// and more without one.
var possessions = []struct {
	kind string
	many bool
}{{passwordKind, false}, {factorKind, true}}

// dropPossessions deletes a principal's documents, so that none of them is
// inherited by another of its name.
func dropPossessions(tx store.Tx, p *store.Principal) error {
	for _, has := range possessions {
		ids := []string{p.Name}
		if has.many {
			var err error
			if ids, err = possessed(tx, p, has.kind); err != nil {
				return err
			}
		}
		for _, id := range ids {
			err := tx.EditDocuments().Delete(p.Tenant, has.kind, id)
			if err != nil && !errors.Is(err, store.ErrAbsent) {
				return err
			}
		}
	}
	return nil
}

// possessed returns the ids of a principal's documents of a kind. Names can
// hold slashes: a/b/1 is a possession of a/b, and not of a.
func possessed(r store.Reader, p *store.Principal, kind string) (ids []string, err error) {
	prefix := p.Name + "/"
	for after := ""; ; {
		docs, err := r.Documents().Documents(p.Tenant, kind, prefix, after, secret.MaxPage)
		if err != nil {
			return nil, err
		}
		for _, d := range docs {
			after = d.ID
			if !strings.Contains(d.ID[len(prefix):], "/") {
				ids = append(ids, d.ID)
			}
		}
		if len(docs) < secret.MaxPage {
			return ids, nil
		}
	}
}
