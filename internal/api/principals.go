package api

import (
	"context"
	"net/http"

	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

// principals is the handle to those of the path's tenant; to the operators
// where the path names none.
func (c *call) principals() *vault.Principals {
	if c.tenant == "" {
		return c.operator().Principals()
	}
	return c.session().Principals()
}

func createPrincipal(c *call) error {
	var r wire.PrincipalCreateRequest
	if err := wire.Decode(c.body, &r); err != nil {
		return reject(err)
	}
	spec := vault.PrincipalSpec{Name: r.Name, Grants: grantsOf(r.Grants), Service: r.Service, Subject: r.Subject}
	var err error
	if spec.Kind, err = c.principalKind(r.Kind); err != nil {
		return reject(err)
	}
	if spec.Environment, err = secret.ParseEnvironment(r.Environment); err != nil {
		return reject(err)
	}
	made, err := c.principals().Create(c.context(), spec)
	if err != nil {
		return err
	}
	return c.reply(http.StatusCreated, principalOf(made))
}

// principalKind reads a kind that the path allows.
func (c *call) principalKind(s string) (store.PrincipalKind, error) {
	if c.tenant == "" {
		if s != "" && s != store.OperatorKind.String() {
			return 0, secret.Invalid("kind", "operator")
		}
		return store.OperatorKind, nil
	}
	switch s {
	case "", store.Service.String():
		return store.Service, nil
	case store.Person.String():
		return store.Person, nil
	}
	return 0, secret.Invalid("kind", "person or service")
}

func listPrincipals(c *call) error {
	limit, cursor, err := c.page()
	if err != nil {
		return err
	}
	page, err := c.principals().List(c.context(), limit, cursor)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.ListOf(page.Items, principalOf, page.Next))
}

func getPrincipal(c *call) error { return c.changePrincipal((*vault.Principals).Get) }

func disablePrincipal(c *call) error { return c.changePrincipal((*vault.Principals).Disable) }

func enablePrincipal(c *call) error { return c.changePrincipal((*vault.Principals).Enable) }

// changePrincipal answers with the principal of the path once do is done.
func (c *call) changePrincipal(do func(*vault.Principals, context.Context, string) (vault.PrincipalInfo, error)) error {
	info, err := do(c.principals(), c.context(), c.principal)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, principalOf(info))
}

func updatePrincipal(c *call) error {
	var r wire.PrincipalUpdateRequest
	if err := wire.Decode(c.body, &r); err != nil {
		return reject(err)
	}
	patch := vault.PrincipalPatch{Service: r.Service, Subject: r.Subject}
	if r.Grants != nil {
		patch.Grants = append([]policy.Grant{}, grantsOf(r.Grants)...)
	}
	if r.Environment != nil {
		e, err := secret.ParseEnvironment(*r.Environment)
		if err != nil {
			return reject(err)
		}
		patch.Environment = &e
	}
	return c.changePrincipal(func(p *vault.Principals, ctx context.Context, name string) (vault.PrincipalInfo, error) {
		return p.Update(ctx, name, patch)
	})
}

func deletePrincipal(c *call) error {
	if err := c.principals().Delete(c.context(), c.principal); err != nil {
		return err
	}
	return c.noContent()
}

func principalOf(p vault.PrincipalInfo) wire.Principal {
	return wire.Principal{
		Name: p.Name, Kind: p.Kind.String(), Grants: wireGrants(p.Grants), Service: p.Service, Environment: string(p.Environment),
		Subject: p.Subject, Created: p.Created.UTC(), Disabled: p.Disabled.UTC(), LastUsed: p.LastUsed.UTC(), LastRead: p.LastRead.UTC(),
		Credentials: p.Credentials,
	}
}

// grantsOf returns the grants of a request; nil for none.
func grantsOf(list []wire.Grant) (grants []policy.Grant) {
	for _, g := range list {
		grants = append(grants, policy.Grant{Role: policy.Role(g.Role), Patterns: g.Patterns})
	}
	return grants
}

// wireGrants returns the grants of a reply, never nil.
func wireGrants(grants []policy.Grant) []wire.Grant {
	list := make([]wire.Grant, 0, len(grants))
	for _, g := range grants {
		list = append(list, wire.Grant{Role: string(g.Role), Patterns: g.Patterns})
	}
	return list
}
