package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"fastness/internal/policy"
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

// Credentials is the handle to a tenant's tokens and access keys, or to the
// operators'.
type Credentials struct {
	client *Client
	path   func(ctx context.Context, rest ...string) ([]string, error)
}

// Credentials returns the handle to the tenant's credentials.
func (s *Session) Credentials() *Credentials { return &Credentials{s.client, s.path} }

// Credentials returns the handle to the operators' credentials.
func (o *Operator) Credentials() *Credentials {
	return &Credentials{o.client, func(_ context.Context, rest ...string) ([]string, error) { return rest, nil }}
}

// Create makes a token, which is told only here. The receiver releases it.
func (c *Credentials) Create(ctx context.Context, spec TokenSpec) (*NewToken, error) {
	path, err := c.path(ctx, "tokens")
	if err != nil {
		return nil, err
	}
	body := wire.TokenCreateRequest{
		Principal: spec.Principal, Grants: []wire.Grant{}, Service: spec.Service, Environment: string(spec.Environment),
	}
	for _, g := range spec.Grants {
		body.Grants = append(body.Grants, wire.Grant{Role: string(g.Role), Patterns: g.Patterns})
	}
	if spec.TTL != 0 {
		if spec.TTL%time.Minute != 0 {
			return nil, secret.Invalid("expiresIn", "a whole number of minutes")
		}
		body.ExpiresIn = fmt.Sprintf("%dm", spec.TTL/time.Minute)
	}
	var reply wire.TokenCreated
	if _, err := c.client.encode(ctx, request{method: http.MethodPost, path: path}, body, &reply); err != nil {
		return nil, err
	}
	return &NewToken{ID: reply.ID, Principal: reply.Principal, Token: reply.Token, Created: reply.Created, Expires: reply.Expires}, nil
}

// List tells a page of the credentials, revoked ones too.
func (c *Credentials) List(ctx context.Context, limit int, cursor string) (Page[TokenInfo], error) {
	path, err := c.path(ctx, "tokens")
	if err != nil {
		return Page[TokenInfo]{}, err
	}
	return getPage(ctx, c.client, request{path: path, query: pageQuery(limit, cursor)}, tokenInfo)
}

// Revoke ends a credential's life at once.
func (c *Credentials) Revoke(ctx context.Context, id string) error {
	path, err := c.path(ctx, "tokens", id)
	if err != nil {
		return err
	}
	return c.client.discard(ctx, request{method: http.MethodDelete, path: path, repeat: true})
}

func tokenInfo(t wire.TokenInfo) (TokenInfo, error) {
	info := TokenInfo{
		ID: t.ID, Principal: t.Principal, Service: t.Service, Environment: Environment(t.Environment),
		Created: t.Created, Expires: t.Expires, Revoked: t.Revoked, LastUsed: t.LastUsed,
	}
	if t.Kind == "accessKey" {
		info.Kind = store.AccessKey
	}
	for _, g := range t.Grants {
		info.Grants = append(info.Grants, policy.Grant{Role: policy.Role(g.Role), Patterns: g.Patterns})
	}
	return info, nil
}
