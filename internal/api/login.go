package api

import (
	"net/http"

	"fastness/internal/vault"
	"fastness/internal/wire"
)

// loginToken trades a token of an issuer.
func loginToken(c *call) error {
	var r wire.TokenLoginRequest
	if err := wire.Decode(c.body, &r); err != nil {
		return reject(err)
	}
	defer r.Token.Release()
	if r.Token.Len() == 0 {
		return invalid("token", "is required")
	}
	return c.replySession(c.api.vault.ExchangeToken(c.context(), c.origin, c.tenant, r.Issuer, r.Token.Bytes()))
}

// loginCertificate trades the certificate of the connection, or that of which a
// trusted proxy tells.
func loginCertificate(c *call) error {
	return c.replySession(c.api.vault.ExchangeCertificate(c.context(), c.origin, c.tenant, c.api.proxies.ClientCertificates(c.r)))
}

// loginPassword trades a password.
func loginPassword(c *call) error {
	var r wire.PasswordLoginRequest
	if err := wire.Decode(c.body, &r); err != nil {
		return reject(err)
	}
	defer r.Password.Release()
	return c.replySession(c.api.vault.LoginPassword(c.context(), c.origin, c.tenant, r.Principal, r.Password.Bytes()))
}

func (c *call) replySession(made *vault.NewSession, err error) error {
	if err != nil {
		return err
	}
	defer made.Token.Release()
	return c.reply(http.StatusCreated, wire.SessionCreated{
		ID: made.ID, Token: made.Token, Tenant: string(made.Tenant), Principal: made.Principal,
		Created: made.Created.UTC(), Expires: made.Expires.UTC(), Locked: made.Locked,
	})
}

func loginMethods(c *call) error {
	m, err := c.api.vault.Methods(c.context(), c.tenant)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.LoginMethods{Providers: wire.ListOf(m.Providers, providerOf, "").Items})
}

func providerOf(p vault.LoginProvider) wire.LoginProvider {
	return wire.LoginProvider{Name: p.Name, URL: p.URL, ClientID: p.ClientID, Scopes: append([]string{}, p.Scopes...)}
}

// logout ends the session that the caller came with.
func logout(c *call) error {
	if err := c.api.vault.Logout(c.context(), c.caller); err != nil {
		return err
	}
	return c.noContent()
}

// changePassword changes the caller's own password.
func changePassword(c *call) error {
	var r wire.PasswordChangeRequest
	if err := wire.Decode(c.body, &r); err != nil {
		return reject(err)
	}
	defer r.OldPassword.Release()
	defer r.Password.Release()
	if err := c.api.vault.ChangePassword(c.context(), c.caller, r.OldPassword.Bytes(), r.Password.Bytes()); err != nil {
		return err
	}
	return c.noContent()
}

// setPassword sets somebody else's.
func setPassword(c *call) error {
	var r wire.PasswordRequest
	if err := wire.Decode(c.body, &r); err != nil {
		return reject(err)
	}
	defer r.Password.Release()
	if err := c.principals().SetPassword(c.context(), c.principal, r.Password.Bytes()); err != nil {
		return err
	}
	return c.noContent()
}

func removePassword(c *call) error {
	if err := c.principals().RemovePassword(c.context(), c.principal); err != nil {
		return err
	}
	return c.noContent()
}
