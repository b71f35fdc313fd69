package api

import (
	"net/http"
	"time"

	"fastness/internal/secret"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

func (c *call) operator() *vault.Operator { return c.api.vault.Operator(c.caller) }

// createTenant makes a tenant and tells its administrator's credentials, once.
func createTenant(c *call) error {
	var request wire.TenantCreateRequest
	if err := wire.Decode(c.body, &request); err != nil {
		return reject(err)
	}
	name, err := secret.ParseTenantName(request.Tenant)
	if err != nil {
		return reject(err)
	}
	var algorithm secret.Algorithm
	if request.Algorithm != "" {
		if algorithm, err = secret.ParseAlgorithm(request.Algorithm); err != nil {
			return reject(err)
		}
	}
	made, err := c.operator().CreateTenant(c.context(), name, algorithm)
	if err != nil {
		return err
	}
	defer made.Release()
	return c.reply(http.StatusCreated, wire.TenantCreated{
		Tenant: string(made.Name), Token: made.Token, AccessKeyID: made.AccessKeyID,
		SecretAccessKey: made.SecretAccessKey, AccountID: string(made.Account), Region: made.Region,
	})
}

func listTenants(c *call) error {
	limit, cursor, err := c.page()
	if err != nil {
		return err
	}
	page, err := c.operator().Tenants(c.context(), limit, cursor)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.ListOf(page.Items, tenantOf, page.Next))
}

func tenantOf(t vault.TenantInfo) wire.TenantInfo {
	return wire.TenantInfo{
		Tenant: string(t.Name), AccountID: string(t.Account), State: t.State.String(),
		Algorithm: t.Algorithm, KeyNumber: t.Key, Created: t.Created.UTC(),
	}
}

// tenantInfo answers with a tenant, or with the error that stood in the way.
func (c *call) tenantInfo(t vault.TenantInfo, err error) error {
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, tenantOf(t))
}

func getTenant(c *call) error { return c.tenantInfo(c.session().Tenant(c.context())) }

func suspendTenant(c *call) error { return c.tenantInfo(c.operator().Suspend(c.context(), c.tenant)) }

func resumeTenant(c *call) error { return c.tenantInfo(c.operator().Resume(c.context(), c.tenant)) }

// eraseTenant wants the tenant's name a second time, because nothing brings
// the tenant back.
func eraseTenant(c *call) error {
	if c.query.Get("confirm") != string(c.tenant) {
		return invalid("confirm", "the tenant's name, once more")
	}
	if err := c.operator().Erase(c.context(), c.tenant); err != nil {
		return err
	}
	return c.noContent()
}

// KeyRotated is the answer to a change of a key.
type KeyRotated struct {
	Key       uint32 `json:"key,omitzero"` // the new number; absent for the root key
	Rewrapped int64  `json:"rewrapped"`
}

func rotateTenantKey(c *call) error {
	var done KeyRotated
	number, err := c.session().RotateKey(c.context(), func(n int64) { done.Rewrapped = n })
	if err != nil {
		return err
	}
	done.Key = number
	return c.reply(http.StatusOK, done)
}

func rotateRootKey(c *call) error {
	n, err := c.operator().RotateRoot(c.context(), nil)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, KeyRotated{Rewrapped: n})
}

// Identity is the answer to whoami.
type Identity struct {
	Principal string            `json:"principal"`
	Tenant    secret.TenantName `json:"tenant"` // empty for an operator
	Operator  bool              `json:"operator"`
	Region    string            `json:"region"`
	Kind      string            `json:"kind"`             // service, person or operator
	Locked    bool              `json:"locked,omitzero"`  // nothing else works before a second factor is given
	Expires   time.Time         `json:"expires,omitzero"` // of the credential; absent: never
}

func whoAmI(c *call) error {
	return c.reply(http.StatusOK, Identity{
		Principal: c.caller.Principal(), Tenant: c.caller.Tenant(), Operator: c.caller.IsOperator(),
		Region: c.api.vault.Region(), Kind: c.caller.Kind().String(), Locked: c.caller.Locked(), Expires: c.caller.Expires(),
	})
}
