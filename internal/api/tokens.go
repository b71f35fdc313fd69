package api

import (
	"net/http"

	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

// credentials is the handle to those of the path's tenant; to the operators'
// where the path names none.
func (c *call) credentials() *vault.Credentials {
	if c.tenant == "" {
		return c.operator().Credentials()
	}
	return c.session().Credentials()
}

// createToken makes a token and tells it, once.
func createToken(c *call) error {
	var request wire.TokenCreateRequest
	if err := wire.Decode(c.body, &request); err != nil {
		return reject(err)
	}
	spec, err := specOf(request)
	if err != nil {
		return reject(err)
	}
	made, err := c.credentials().Create(c.context(), spec)
	if err != nil {
		return err
	}
	defer made.Token.Release()
	return c.reply(http.StatusCreated, wire.TokenCreated{
		TokenInfo: tokenOf(vault.TokenInfo{
			ID: made.ID, Kind: store.Token, Principal: made.Principal, Grants: spec.Grants,
			Service: spec.Service, Environment: spec.Environment, Created: made.Created, Expires: made.Expires,
		}),
		Token: made.Token,
	})
}

func specOf(r wire.TokenCreateRequest) (spec vault.TokenSpec, err error) {
	spec = vault.TokenSpec{Principal: r.Principal, Service: r.Service}
	for _, g := range r.Grants {
		spec.Grants = append(spec.Grants, policy.Grant{Role: policy.Role(g.Role), Patterns: g.Patterns})
	}
	if spec.Environment, err = secret.ParseEnvironment(r.Environment); err != nil {
		return spec, err
	}
	if r.ExpiresIn != "" {
		spec.TTL, err = identity.ParseDuration(r.ExpiresIn)
	}
	return spec, err
}

func listTokens(c *call) error {
	limit, cursor, err := c.page()
	if err != nil {
		return err
	}
	page, err := c.credentials().List(c.context(), limit, cursor)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.ListOf(page.Items, tokenOf, page.Next))
}

func tokenOf(t vault.TokenInfo) wire.TokenInfo {
	info := wire.TokenInfo{
		ID: t.ID, Kind: "token", Principal: t.Principal, Grants: make([]wire.Grant, 0, len(t.Grants)),
		Service: t.Service, Environment: string(t.Environment),
		Created: t.Created.UTC(), Expires: t.Expires.UTC(), Revoked: t.Revoked.UTC(), LastUsed: t.LastUsed.UTC(),
	}
	if t.Kind == store.AccessKey {
		info.Kind = "accessKey"
	}
	for _, g := range t.Grants {
		info.Grants = append(info.Grants, wire.Grant{Role: string(g.Role), Patterns: g.Patterns})
	}
	return info
}

func revokeToken(c *call) error {
	if err := c.credentials().Revoke(c.context(), c.id); err != nil {
		return err
	}
	return c.noContent()
}
