package client

import (
	"context"
	"net/http"

	"fastness/internal/wire"
)

// Guest speaks to a server before there is a token, to get one. Safe for
// concurrent use.
type Guest struct{ client *Client }

// NewGuest checks the configuration, whose Token is not looked at. With a client
// certificate in Config.TLS, Certificate trades that.
func NewGuest(c Config) (*Guest, error) {
	client, err := newClient(c, "")
	if err != nil {
		return nil, err
	}
	return &Guest{client}, nil
}

// Close closes idle connections.
func (g *Guest) Close() { g.client.Close() }

// Methods tells by which providers people log in to a tenant; ErrNotFound if by
// none, or if there is no such tenant.
func (g *Guest) Methods(ctx context.Context, tenant TenantName) (Methods, error) {
	var reply wire.LoginMethods
	r := request{method: http.MethodGet, path: authPath(tenant, "methods"), repeat: true}
	if _, err := g.client.decode(ctx, r, &reply); err != nil {
		return Methods{}, err
	}
	var m Methods
	for _, p := range reply.Providers {
		m.Providers = append(m.Providers, LoginProvider(p))
	}
	return m, nil
}

func authPath(tenant TenantName, way string) []string {
	return []string{"tenants", string(tenant), "auth", way}
}

// Token trades a token of an issuer that the tenant trusts. issuer is the
// tenant's name for it; empty for whichever the token names. The token stays the
// caller's.
func (g *Guest) Token(ctx context.Context, tenant TenantName, issuer string, token *Value) (*NewSession, error) {
	return g.login(ctx, tenant, "jwt", wire.TokenLoginRequest{Issuer: issuer, Token: token})
}

// Password trades a person's password, which stays the caller's.
func (g *Guest) Password(ctx context.Context, tenant TenantName, principal string, password *Value) (*NewSession, error) {
	return g.login(ctx, tenant, "password", wire.PasswordLoginRequest{Principal: principal, Password: password})
}

// Certificate trades the client certificate of the connection.
func (g *Guest) Certificate(ctx context.Context, tenant TenantName) (*NewSession, error) {
	var reply wire.SessionCreated
	_, err := g.client.decode(ctx, request{method: http.MethodPost, path: authPath(tenant, "cert"), repeat: true}, &reply)
	return newSession(reply), err
}

// login sends what is shown. Not twice: some of it counts once.
func (g *Guest) login(ctx context.Context, tenant TenantName, way string, body any) (*NewSession, error) {
	var reply wire.SessionCreated
	if _, err := g.client.encode(ctx, request{method: http.MethodPost, path: authPath(tenant, way)}, body, &reply); err != nil {
		return nil, err
	}
	return newSession(reply), nil
}

func newSession(s wire.SessionCreated) *NewSession {
	return &NewSession{
		ID: s.ID, Token: s.Token, Tenant: TenantName(s.Tenant), Principal: s.Principal,
		Created: s.Created, Expires: s.Expires, Locked: s.Locked,
	}
}

// Logout ends the session that the client's token stands for.
func (c *Client) Logout(ctx context.Context) error {
	return c.discard(ctx, request{method: http.MethodPost, path: []string{"logout"}})
}

// ChangePassword changes the password of the client's principal, a person.
func (c *Client) ChangePassword(ctx context.Context, old, password *Value) error {
	r, release, err := withBody(request{method: http.MethodPut, path: []string{"password"}}, wire.PasswordChangeRequest{OldPassword: old, Password: password})
	if err != nil {
		return err
	}
	defer release()
	return c.discard(ctx, r)
}

// SetPassword gives a person a password, which stays the caller's.
func (p *Principals) SetPassword(ctx context.Context, name string, password *Value) error {
	path, err := p.one(ctx, name, "password")
	if err != nil {
		return err
	}
	r, release, err := withBody(request{method: http.MethodPut, path: path, repeat: true}, wire.PasswordRequest{Password: password})
	if err != nil {
		return err
	}
	defer release()
	return p.client.discard(ctx, r)
}

// RemovePassword takes a person's password away.
func (p *Principals) RemovePassword(ctx context.Context, name string) error {
	path, err := p.one(ctx, name, "password")
	if err != nil {
		return err
	}
	return p.client.discard(ctx, request{method: http.MethodDelete, path: path})
}
