package client

import (
	"context"
	"net/http"
	"time"

	"fastness/internal/identity"
	"fastness/internal/wire"
)

// Issuers is the handle to the issuers of tokens that a tenant trusts.
type Issuers struct{ session *Session }

// Issuers returns the handle to the issuers that the tenant trusts.
func (s *Session) Issuers() *Issuers { return &Issuers{s} }

// Put stores an issuer, in the place of the one of its name. With expected, that
// one must still have this revision, 0 for none.
func (i *Issuers) Put(ctx context.Context, issuer Issuer, expected *int64) (Provided[Issuer], error) {
	maxAge, err := minutes("maxAge", issuer.MaxAge)
	if err != nil {
		return Provided[Issuer]{}, err
	}
	session, err := minutes("session", issuer.Session)
	if err != nil {
		return Provided[Issuer]{}, err
	}
	body := wire.IssuerRequest{Revision: expected, IssuerConfig: wire.IssuerConfig{
		URL: issuer.URL, Audiences: append([]string{}, issuer.Audiences...), KeySet: issuer.KeySet, KeySetURL: issuer.KeySetURL, CA: issuer.CA,
		Algorithms: issuer.Algorithms, MaxAge: maxAge, Reusable: issuer.Reusable, Session: session, ClientID: issuer.ClientID,
		Scopes: issuer.Scopes, Bindings: wireBindings(issuer.Bindings),
	}}
	return put(ctx, i.session, issuerOf, body, "issuers", issuer.Name)
}

// Get tells of one issuer.
func (i *Issuers) Get(ctx context.Context, name string) (Provided[Issuer], error) {
	return one(ctx, i.session, issuerOf, "issuers", name)
}

// List tells of all issuers, by name.
func (i *Issuers) List(ctx context.Context) ([]Provided[Issuer], error) {
	return all(ctx, i.session, issuerOf, "issuers")
}

// Delete trusts an issuer no more, and ends the sessions that it vouched for.
func (i *Issuers) Delete(ctx context.Context, name string) error {
	return i.session.drop(ctx, "issuers", name)
}

// Authorities is the handle to the CAs whose client certificates a tenant trusts.
type Authorities struct{ session *Session }

// Authorities returns the handle to the CAs that the tenant trusts.
func (s *Session) Authorities() *Authorities { return &Authorities{s} }

// Put stores a CA, as Issuers.Put does an issuer.
func (a *Authorities) Put(ctx context.Context, ca Authority, expected *int64) (Provided[Authority], error) {
	session, err := minutes("session", ca.Session)
	if err != nil {
		return Provided[Authority]{}, err
	}
	body := wire.AuthorityRequest{Revision: expected, AuthorityConfig: wire.AuthorityConfig{
		Bundle: ca.Bundle, TrustDomain: ca.TrustDomain, Session: session, Bindings: wireBindings(ca.Bindings),
	}}
	return put(ctx, a.session, authorityOf, body, "cas", ca.Name)
}

// Get tells of one CA.
func (a *Authorities) Get(ctx context.Context, name string) (Provided[Authority], error) {
	return one(ctx, a.session, authorityOf, "cas", name)
}

// List tells of all CAs, by name.
func (a *Authorities) List(ctx context.Context) ([]Provided[Authority], error) {
	return all(ctx, a.session, authorityOf, "cas")
}

// Delete trusts a CA no more, and ends the sessions that it vouched for.
func (a *Authorities) Delete(ctx context.Context, name string) error {
	return a.session.drop(ctx, "cas", name)
}

// provider is the path of a provider, whose name a path must be able to carry.
func (s *Session) provider(ctx context.Context, kind, name string) ([]string, error) {
	if err := identity.CheckProvider("name", name); err != nil {
		return nil, err
	}
	return s.path(ctx, kind, name)
}

func put[W, T any](ctx context.Context, s *Session, convert func(W) (T, error), body any, kind, name string) (t T, err error) {
	path, err := s.provider(ctx, kind, name)
	if err != nil {
		return t, err
	}
	var reply W
	if _, err := s.client.encode(ctx, request{method: http.MethodPut, path: path}, body, &reply); err != nil {
		return t, err
	}
	return convert(reply)
}

func one[W, T any](ctx context.Context, s *Session, convert func(W) (T, error), kind, name string) (t T, err error) {
	path, err := s.provider(ctx, kind, name)
	if err != nil {
		return t, err
	}
	var reply W
	if _, err := s.client.decode(ctx, request{method: http.MethodGet, path: path, repeat: true}, &reply); err != nil {
		return t, err
	}
	return convert(reply)
}

func all[W, T any](ctx context.Context, s *Session, convert func(W) (T, error), kind string) ([]T, error) {
	path, err := s.path(ctx, kind)
	if err != nil {
		return nil, err
	}
	page, err := getPage(ctx, s.client, request{path: path}, convert)
	return page.Items, err
}

func (s *Session) drop(ctx context.Context, kind, name string) error {
	path, err := s.provider(ctx, kind, name)
	if err != nil {
		return err
	}
	return s.client.discard(ctx, request{method: http.MethodDelete, path: path})
}

func wireBindings(bindings []Binding) []wire.Binding {
	list := []wire.Binding{}
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

func bindings(list []wire.Binding) (out []Binding) {
	for _, b := range list {
		binding := Binding{
			Match: b.Match, Principal: b.Principal, Kind: b.Kind, Create: b.Create, Service: b.Service, Environment: b.Environment,
		}
		for _, g := range b.Grants {
			binding.Grants = append(binding.Grants, BoundGrant(g))
		}
		out = append(out, binding)
	}
	return out
}

// span reads a span of time of a reply; none is zero.
func span(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	return identity.ParseDuration(s)
}

func issuerOf(i wire.Issuer) (Provided[Issuer], error) {
	p := Provided[Issuer]{Created: i.Created, Changed: i.Changed, Revision: i.Revision, Provider: Issuer{
		Name: i.Name, URL: i.URL, Audiences: i.Audiences, KeySet: i.KeySet, KeySetURL: i.KeySetURL, CA: i.CA, Algorithms: i.Algorithms,
		Reusable: i.Reusable, ClientID: i.ClientID, Scopes: i.Scopes, Bindings: bindings(i.Bindings),
	}}
	var err error
	if p.Provider.MaxAge, err = span(i.MaxAge); err != nil {
		return p, err
	}
	p.Provider.Session, err = span(i.Session)
	return p, err
}

func authorityOf(a wire.Authority) (Provided[Authority], error) {
	p := Provided[Authority]{Created: a.Created, Changed: a.Changed, Revision: a.Revision, Provider: Authority{
		Name: a.Name, Bundle: a.Bundle, TrustDomain: a.TrustDomain, Bindings: bindings(a.Bindings),
	}}
	var err error
	p.Provider.Session, err = span(a.Session)
	return p, err
}
