package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/wire"
)

// Operator is the handle to the deployment: tenants, root key, operators. A
// token that is not an operator's is refused by every method.
type Operator struct{ client *Client }

// Operator returns the handle to the deployment.
func (c *Client) Operator() *Operator { return &Operator{c} }

// CreateTenant makes a tenant and tells its administrator's credentials, which
// are never told again. The empty algorithm is aes-256-gcm.
func (o *Operator) CreateTenant(ctx context.Context, name TenantName, alg Algorithm) (*NewTenant, error) {
	var reply wire.TenantCreated
	_, err := o.client.encode(ctx, request{method: http.MethodPost, path: []string{"tenants"}},
		wire.TenantCreateRequest{Tenant: string(name), Algorithm: string(alg)}, &reply)
	if err != nil {
		return nil, err
	}
	return &NewTenant{
		Name: TenantName(reply.Tenant), Account: secret.AccountNumber(reply.AccountID), Region: reply.Region,
		Token: reply.Token, AccessKeyID: reply.AccessKeyID, SecretAccessKey: reply.SecretAccessKey,
	}, nil
}

// Tenants tells a page of the tenants by name, erased ones too.
func (o *Operator) Tenants(ctx context.Context, limit int, cursor string) (Page[TenantInfo], error) {
	return getPage(ctx, o.client, request{path: []string{"tenants"}, query: pageQuery(limit, cursor)}, tenantInfo)
}

// Tenant tells of one tenant.
func (o *Operator) Tenant(ctx context.Context, name TenantName) (TenantInfo, error) {
	return o.client.tenant(ctx, request{method: http.MethodGet, path: []string{"tenants", string(name)}, repeat: true})
}

// Suspend refuses a tenant's callers everything, until Resume.
func (o *Operator) Suspend(ctx context.Context, name TenantName) (TenantInfo, error) {
	return o.client.tenant(ctx, request{method: http.MethodPost, path: []string{"tenants", string(name), "suspend"}, repeat: true})
}

// Resume ends a suspension.
func (o *Operator) Resume(ctx context.Context, name TenantName) (TenantInfo, error) {
	return o.client.tenant(ctx, request{method: http.MethodPost, path: []string{"tenants", string(name), "resume"}, repeat: true})
}

// Erase destroys a tenant's keys, and so all that it ever stored. Nothing
// brings it back.
func (o *Operator) Erase(ctx context.Context, name TenantName) error {
	return o.client.discard(ctx, request{
		method: http.MethodDelete, path: []string{"tenants", string(name)},
		query: url.Values{"confirm": {string(name)}}, repeat: true, long: true,
	})
}

// rotated is the reply to a change of a key.
type rotated struct {
	Key       uint32 `json:"key"`
	Rewrapped int64  `json:"rewrapped"`
}

// RotateRoot re-wraps every tenant's keys from the old root key to the new one
// and tells how many it re-wrapped.
func (o *Operator) RotateRoot(ctx context.Context) (rewrapped int64, err error) {
	var reply rotated
	_, err = o.client.decode(ctx, request{method: http.MethodPost, path: []string{"keys", "root", "rotate"}, repeat: true, long: true}, &reply)
	return reply.Rewrapped, err
}

// RotateKey gives the tenant a new key and re-wraps all its versions under it.
// It tells the key's number and how many versions it re-wrapped.
func (s *Session) RotateKey(ctx context.Context) (number uint32, rewrapped int64, err error) {
	path, err := s.path(ctx, "keys", "rotate")
	if err != nil {
		return 0, 0, err
	}
	var reply rotated
	_, err = s.client.decode(ctx, request{method: http.MethodPost, path: path, long: true}, &reply)
	return reply.Key, reply.Rewrapped, err
}

// Tenant tells of the session's tenant.
func (s *Session) Tenant(ctx context.Context) (TenantInfo, error) {
	path, err := s.path(ctx)
	if err != nil {
		return TenantInfo{}, err
	}
	return s.client.tenant(ctx, request{method: http.MethodGet, path: path, repeat: true})
}

func (c *Client) tenant(ctx context.Context, r request) (TenantInfo, error) {
	var reply wire.TenantInfo
	if _, err := c.decode(ctx, r, &reply); err != nil {
		return TenantInfo{}, err
	}
	return tenantInfo(reply)
}

func tenantInfo(t wire.TenantInfo) (TenantInfo, error) {
	for _, state := range []store.TenantState{store.Active, store.Suspended, store.Erased} {
		if state.String() == t.State {
			return TenantInfo{
				Name: TenantName(t.Tenant), Account: secret.AccountNumber(t.AccountID), State: state,
				Algorithm: t.Algorithm, Key: t.KeyNumber, Created: t.Created,
			}, nil
		}
	}
	return TenantInfo{}, fmt.Errorf("unknown state of tenant %s", t.Tenant)
}
