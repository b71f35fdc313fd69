package api

import (
	"fmt"
	"net/http"
	"time"

	"fastness/internal/identity"
	"fastness/internal/secret"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

func putIssuer(c *call) error {
	var r wire.IssuerRequest
	if err := wire.Decode(c.body, &r); err != nil {
		return reject(err)
	}
	issuer := identity.Issuer{
		Name: c.provider, URL: r.URL, Audiences: r.Audiences, KeySet: r.KeySet, KeySetURL: r.KeySetURL, CA: r.CA,
		Algorithms: r.Algorithms, Reusable: r.Reusable, ClientID: r.ClientID, Scopes: r.Scopes, Bindings: bindingsOf(r.Bindings),
	}
	var err error
	if issuer.MaxAge, err = spanOf("maxAge", r.MaxAge); err != nil {
		return reject(err)
	}
	if issuer.Session, err = spanOf("session", r.Session); err != nil {
		return reject(err)
	}
	made, err := c.session().Issuers().Put(c.context(), issuer, r.Revision)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, issuerOf(made))
}

func getIssuer(c *call) error {
	issuer, err := c.session().Issuers().Get(c.context(), c.provider)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, issuerOf(issuer))
}

func listIssuers(c *call) error {
	all, err := c.session().Issuers().List(c.context())
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.ListOf(all, issuerOf, ""))
}

func deleteIssuer(c *call) error {
	if err := c.session().Issuers().Delete(c.context(), c.provider); err != nil {
		return err
	}
	return c.noContent()
}

func putAuthority(c *call) error {
	var r wire.AuthorityRequest
	if err := wire.Decode(c.body, &r); err != nil {
		return reject(err)
	}
	ca := identity.Authority{Name: c.provider, Bundle: r.Bundle, TrustDomain: r.TrustDomain, Bindings: bindingsOf(r.Bindings)}
	var err error
	if ca.Session, err = spanOf("session", r.Session); err != nil {
		return reject(err)
	}
	made, err := c.session().Authorities().Put(c.context(), ca, r.Revision)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, authorityOf(made))
}

func getAuthority(c *call) error {
	ca, err := c.session().Authorities().Get(c.context(), c.provider)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, authorityOf(ca))
}

func listAuthorities(c *call) error {
	all, err := c.session().Authorities().List(c.context())
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.ListOf(all, authorityOf, ""))
}

func deleteAuthority(c *call) error {
	if err := c.session().Authorities().Delete(c.context(), c.provider); err != nil {
		return err
	}
	return c.noContent()
}

// spanOf reads a span of time; none is zero.
func spanOf(field, s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := identity.ParseDuration(s)
	if err != nil {
		e := secret.Of(err)
		return 0, &secret.Error{Code: e.Code, Field: field, Detail: e.Detail}
	}
	return d, nil
}

// spanText is how a span of time is written; zero is none.
func spanText(d time.Duration) string {
	for _, unit := range []struct {
		of     time.Duration
		letter string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d >= unit.of && d%unit.of == 0 {
			return fmt.Sprintf("%d%s", d/unit.of, unit.letter)
		}
	}
	return ""
}

func bindingsOf(list []wire.Binding) (bindings []identity.Binding) {
	for _, b := range list {
		binding := identity.Binding{
			Match: b.Match, Principal: b.Principal, Kind: b.Kind, Create: b.Create, Service: b.Service, Environment: b.Environment,
		}
		for _, g := range b.Grants {
			binding.Grants = append(binding.Grants, identity.BoundGrant(g))
		}
		bindings = append(bindings, binding)
	}
	return bindings
}

func wireBindings(bindings []identity.Binding) []wire.Binding {
	list := make([]wire.Binding, 0, len(bindings))
	for _, b := range bindings {
		binding := wire.Binding{
			Match: b.Match, Principal: b.Principal, Kind: b.Kind, Create: b.Create, Service: b.Service, Environment: b.Environment,
		}
		for _, g := range b.Grants {
			binding.Grants = append(binding.Grants, wire.Grant(g))
		}
		list = append(list, binding)
	}
	return list
}

func issuerOf(p vault.Provided[identity.Issuer]) wire.Issuer {
	i := p.Provider
	return wire.Issuer{
		Name: i.Name,
		IssuerConfig: wire.IssuerConfig{
			URL: i.URL, Audiences: i.Audiences, KeySet: i.KeySet, KeySetURL: i.KeySetURL, CA: i.CA, Algorithms: i.Algorithms,
			MaxAge: spanText(i.MaxAge), Reusable: i.Reusable, Session: spanText(i.Session), ClientID: i.ClientID, Scopes: i.Scopes,
			Bindings: wireBindings(i.Bindings),
		},
		Created: p.Created.UTC(), Changed: p.Changed.UTC(), Revision: p.Revision,
	}
}

func authorityOf(p vault.Provided[identity.Authority]) wire.Authority {
	a := p.Provider
	return wire.Authority{
		Name: a.Name,
		AuthorityConfig: wire.AuthorityConfig{
			Bundle: a.Bundle, TrustDomain: a.TrustDomain, Session: spanText(a.Session), Bindings: wireBindings(a.Bindings),
		},
		Created: p.Created.UTC(), Changed: p.Changed.UTC(), Revision: p.Revision,
	}
}
