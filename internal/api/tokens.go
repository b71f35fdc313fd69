package api

import (
	"context"
	"net/http"
	"time"

	"fastness/internal/identity"
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
	spec, err := c.tokenSpec()
	if err != nil {
		return err
	}
	made, err := c.credentials().Create(c.context(), spec)
	if err != nil {
		return err
	}
	return c.newToken(made)
}

func (c *call) newToken(made *vault.NewToken) error {
	defer made.Token.Release()
	return c.reply(http.StatusCreated, wire.TokenCreated{TokenInfo: tokenOf(made.TokenInfo), Token: made.Token})
}

// createAccessKey makes an access key and tells its secret, once.
func createAccessKey(c *call) error {
	spec, err := c.tokenSpec()
	if err != nil {
		return err
	}
	made, err := c.credentials().CreateAccessKey(c.context(), spec)
	if err != nil {
		return err
	}
	return c.newAccessKey(made)
}

func (c *call) newAccessKey(made *vault.NewAccessKey) error {
	defer made.Secret.Release()
	return c.reply(http.StatusCreated, wire.AccessKeyCreated{TokenInfo: tokenOf(made.TokenInfo), SecretAccessKey: made.Secret})
}

// tokenSpec reads what credential to make.
func (c *call) tokenSpec() (spec vault.TokenSpec, err error) {
	var r wire.TokenCreateRequest
	if err := wire.Decode(c.body, &r); err != nil {
		return spec, reject(err)
	}
	spec = vault.TokenSpec{Principal: r.Principal, Grants: grantsOf(r.Grants), Service: r.Service}
	if spec.Environment, err = secret.ParseEnvironment(r.Environment); err != nil {
		return spec, reject(err)
	}
	if r.ExpiresIn != "" {
		spec.TTL, err = identity.ParseDuration(r.ExpiresIn)
	}
	return spec, reject(err)
}

// rotateToken puts a new token in the place of one.
func rotateToken(c *call) error { return successor(c, c.credentials().Rotate, c.newToken) }

// rotateAccessKey puts a new access key in the place of one.
func rotateAccessKey(c *call) error {
	return successor(c, c.credentials().RotateAccessKey, c.newAccessKey)
}

func successor[T any](c *call, rotate func(ctx context.Context, id string, overlap time.Duration) (T, error), reply func(T) error) error {
	overlap, err := c.overlap()
	if err != nil {
		return err
	}
	made, err := rotate(c.context(), c.id, overlap)
	if err != nil {
		return err
	}
	return reply(made)
}

// overlap reads how long a credential lives on beside its successor.
func (c *call) overlap() (time.Duration, error) {
	var r wire.CredentialRotateRequest
	if c.body.Len() > 0 {
		if err := wire.Decode(c.body, &r); err != nil {
			return 0, reject(err)
		}
	}
	if r.Overlap == "" || r.Overlap == "0" {
		return 0, nil
	}
	d, err := identity.ParseDuration(r.Overlap)
	if err != nil {
		return 0, invalid("overlap", "0, or a number and a unit: 30m, 1h or 7d")
	}
	return d, nil
}

func listTokens(c *call) error {
	q := vault.CredentialQuery{Principal: c.query.Get("principal")}
	switch kind := c.query.Get("kind"); {
	case kind == kindToken:
		q.Kind = new(store.CredentialKind)
	case kind == kindAccessKey:
		return listAccessKeys(c)
	case c.query.Has("kind"):
		return invalid("kind", kindToken+" or "+kindAccessKey)
	}
	return c.listCredentials(q)
}

func listAccessKeys(c *call) error {
	kind := store.AccessKey
	return c.listCredentials(vault.CredentialQuery{Kind: &kind, Principal: c.query.Get("principal")})
}

func (c *call) listCredentials(q vault.CredentialQuery) (err error) {
	if q.Limit, q.Cursor, err = c.page(); err != nil {
		return err
	}
	page, err := c.credentials().List(c.context(), q)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.ListOf(page.Items, tokenOf, page.Next))
}

// Kinds of credential in the API.
const (
	kindToken     = "token"
	kindAccessKey = "accessKey"
)

func tokenOf(t vault.TokenInfo) wire.TokenInfo {
	return wire.TokenInfo{
		ID: t.ID, Kind: credentialKind(t.Kind), Principal: t.Principal, Grants: wireGrants(t.Grants),
		Service: t.Service, Environment: string(t.Environment), Source: t.Source,
		Created: t.Created.UTC(), Expires: t.Expires.UTC(), Revoked: t.Revoked.UTC(), LastUsed: t.LastUsed.UTC(),
	}
}

// credentialKind is a credential's kind as the API writes it.
func credentialKind(k store.CredentialKind) string {
	if k == store.AccessKey {
		return kindAccessKey
	}
	return kindToken
}

func revokeToken(c *call) error {
	if err := c.credentials().Revoke(c.context(), c.id); err != nil {
		return err
	}
	return c.noContent()
}

func revokeAccessKey(c *call) error {
	if err := c.credentials().RevokeAccessKey(c.context(), c.id); err != nil {
		return err
	}
	return c.noContent()
}
