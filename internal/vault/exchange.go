package vault

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"fastness/internal/identity"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// trusted is a provider that a tenant trusts, with the row that says so.
type trusted[T any] struct {
	row *store.Document
	T   T
}

// providers reads all providers of a kind that a tenant trusts; the tenant is nil
// if nobody can come into it.
func providers[T any](ctx context.Context, v *Vault, name secret.TenantName, kind string) (t *store.Tenant, all []trusted[T], err error) {
	err = v.store.View(ctx, func(r store.Reader) error {
		all = nil
		if t, err = loginTenant(r, name); err != nil || t == nil {
			return err
		}
		rows, held, err := documents[T](r, t.ID, kind, "", v.now())
		for i := range rows {
			all = append(all, trusted[T]{rows[i], held[i]})
		}
		return err
	})
	return t, all, err
}

// unchanged makes sure that the tenant still trusts the provider in the same way.
func (p trusted[T]) unchanged(tx store.Tx) error {
	now, err := tx.Documents().Document(p.row.Owner, p.row.Kind, p.row.ID)
	if errors.Is(err, store.ErrAbsent) || err == nil && now.Revision != p.row.Revision {
		return notIn("what the tenant trusts has changed meanwhile")
	}
	return err
}

// ExchangeToken gives a short-lived token for one of an issuer that the tenant
// trusts. issuer is the tenant's name for it; empty for whichever the token names.
// A token that is not good, or is nobody's, and a tenant that is not there, are
// secret.ErrUnauthenticated and recorded; an issuer whose keys cannot be had is
// secret.ErrUnavailable. The token stays the caller's to wipe.
func (v *Vault) ExchangeToken(ctx context.Context, o Origin, tenant secret.TenantName, issuer string, jwt []byte) (*NewSession, error) {
	t, all, err := providers[identity.Issuer](ctx, v, tenant, issuerKind)
	if err != nil {
		return nil, v.refuseLogin(ctx, o, t, "", err)
	}
	url, err := identity.IssuerOf(jwt)
	if err != nil {
		return nil, v.failLogin(ctx, o, t, err)
	}
	if t == nil {
		return nil, v.failLogin(ctx, o, nil, notIn("there is no such tenant to come into"))
	}
	err = notIn("the tenant trusts no such issuer")
	for _, p := range all {
		if p.T.URL != url || issuer != "" && issuer != p.T.Name {
			continue
		}
		var l login
		if l, err = v.vouchedToken(ctx, o, t, p, jwt); err == nil {
			return v.enter(ctx, l)
		}
	}
	return nil, v.failLogin(ctx, o, t, err)
}

// vouchedToken says who comes in by a token at one issuer.
func (v *Vault) vouchedToken(ctx context.Context, o Origin, t *store.Tenant, p trusted[identity.Issuer], jwt []byte) (login, error) {
	l := login{
		origin: o, tenant: t, source: "exchange:jwt:" + p.T.Name, lifetime: p.T.Lifetime(),
		proof: fmt.Sprintf("a token of the issuer %q", p.T.Name),
	}
	token, err := v.issuers.Verify(ctx, &p.T, jwt)
	if err != nil {
		return l, err
	}
	l.check = func(tx store.Tx) error {
		if err := p.unchanged(tx); err != nil {
			return err
		}
		return v.once(tx, t.ID, token.ReplayID, token.Expires)
	}
	if l.bearer, err = v.bearer(ctx, t, p.T, token); err != nil {
		return l, err
	}
	if l.bearer.Kind == identity.PersonKind {
		l.subject, l.source = subjectAt(p.T, token), "login:oidc:"+p.T.Name
	}
	return l, nil
}

// subjectAt is what an issuer calls a person, apart from what others do.
func subjectAt(i identity.Issuer, token *identity.Token) string { return i.Name + " " + token.Subject }

// bearer says who shows a token: whom a binding names; or, if people log in by the
// issuer, somebody whose subject is noted, with the grants of a binding for people
// if one matches.
func (v *Vault) bearer(ctx context.Context, t *store.Tenant, issuer identity.Issuer, token *identity.Token) (identity.Bearer, error) {
	b, unbound := identity.Bind(issuer.Bindings, token.Claims)
	if issuer.ClientID == "" {
		return b, unbound
	}
	var known *store.Principal
	err := v.store.View(ctx, func(r store.Reader) (err error) {
		known, err = r.Principals().BySubject(t.ID, subjectAt(issuer, token))
		return err
	})
	switch {
	case errors.Is(err, store.ErrAbsent):
		return b, unbound
	case err != nil:
		return identity.Bearer{}, err
	case unbound != nil || b.Kind != identity.PersonKind:
		b = identity.Bearer{Kind: identity.PersonKind}
	}
	b.Principal = known.Name
	return b, nil
}

// once notes that a token was shown. One that was shown before is refused.
func (v *Vault) once(tx store.Tx, t secret.TenantID, id string, until time.Time) error {
	if id == "" {
		return nil // it may come again
	}
	err := tx.EditDocuments().Create(&store.Document{
		Owner: t, Kind: onceKind, ID: id, Expires: until, Created: v.now(), Changed: v.now(),
	})
	if errors.Is(err, store.ErrTaken) {
		return notIn("the token was used before")
	}
	return err
}

// ExchangeCertificate gives a short-lived token to whoever has shown, in the
// handshake of this very connection or to a trusted proxy, a certificate of a CA
// that the tenant trusts. Errors are as those of ExchangeToken.
func (v *Vault) ExchangeCertificate(ctx context.Context, o Origin, tenant secret.TenantName, chain []*x509.Certificate) (*NewSession, error) {
	t, all, err := providers[identity.Authority](ctx, v, tenant, authorityKind)
	if err != nil {
		return nil, v.refuseLogin(ctx, o, t, "", err)
	}
	if t == nil {
		return nil, v.failLogin(ctx, o, nil, notIn("there is no such tenant to come into"))
	}
	err = notIn("the tenant trusts no CA")
	for _, p := range all {
		var l login
		if l, err = v.vouchedCertificate(o, t, p, chain); err == nil {
			return v.enter(ctx, l)
		}
	}
	return nil, v.failLogin(ctx, o, t, err)
}

// vouchedCertificate says who comes in by a certificate at one CA.
func (v *Vault) vouchedCertificate(o Origin, t *store.Tenant, p trusted[identity.Authority], chain []*x509.Certificate) (login, error) {
	l := login{
		origin: o, tenant: t, source: "exchange:cert:" + p.T.Name, check: p.unchanged,
		proof: fmt.Sprintf("a certificate of the CA %q", p.T.Name),
	}
	claims, err := p.T.VerifyCertificate(chain, v.now())
	if err != nil {
		return l, err
	}
	l.lifetime = min(p.T.Lifetime(), chain[0].NotAfter.Sub(v.now()))
	l.bearer, err = identity.Bind(p.T.Bindings, claims)
	return l, err
}
