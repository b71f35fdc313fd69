package client

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/wire"
)

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

// Create makes a token, which is told only here. The receiver releases it. A
// principal that is not there is made with it, as a service.
func (c *Credentials) Create(ctx context.Context, spec TokenSpec) (*NewToken, error) {
	return send(ctx, c, newToken, spec, "tokens")
}

// Rotate makes a token that takes the place of another: of the same principal,
// with the same grants, attributes and span of life. The old one ends after the
// overlap, of 30 days at most; at once if that is zero.
func (c *Credentials) Rotate(ctx context.Context, id string, overlap time.Duration) (*NewToken, error) {
	return replace(ctx, c, newToken, overlap, "tokens", id)
}

// CreateAccessKey is Create for an access key of a tenant's principal.
func (c *Credentials) CreateAccessKey(ctx context.Context, spec TokenSpec) (*NewAccessKey, error) {
	return send(ctx, c, newAccessKey, spec, "accesskeys")
}

// RotateAccessKey is Rotate for an access key.
func (c *Credentials) RotateAccessKey(ctx context.Context, id string, overlap time.Duration) (*NewAccessKey, error) {
	return replace(ctx, c, newAccessKey, overlap, "accesskeys", id)
}

// send asks for a new credential.
func send[W, T any](ctx context.Context, c *Credentials, convert func(W) (*T, error), spec TokenSpec, path string) (*T, error) {
	body := wire.TokenCreateRequest{
		Principal: spec.Principal, Grants: wireGrants(spec.Grants), Service: spec.Service, Environment: string(spec.Environment),
	}
	var err error
	if body.ExpiresIn, err = minutes("expiresIn", spec.TTL); err != nil {
		return nil, err
	}
	return issue(ctx, c, convert, body, path)
}

// replace asks for a credential in the place of another.
func replace[W, T any](ctx context.Context, c *Credentials, convert func(W) (*T, error), overlap time.Duration, path, id string) (*T, error) {
	var body wire.CredentialRotateRequest
	var err error
	if body.Overlap, err = minutes("overlap", overlap); err != nil {
		return nil, err
	}
	return issue(ctx, c, convert, body, path, id, "rotate")
}

func issue[W, T any](ctx context.Context, c *Credentials, convert func(W) (*T, error), body any, rest ...string) (*T, error) {
	path, err := c.path(ctx, rest...)
	if err != nil {
		return nil, err
	}
	var reply W
	if _, err := c.client.encode(ctx, request{method: http.MethodPost, path: path}, body, &reply); err != nil {
		return nil, err
	}
	return convert(reply)
}

// minutes is how the API takes a time; empty for none.
func minutes(field string, d time.Duration) (string, error) {
	switch {
	case d == 0:
		return "", nil
	case d%time.Minute != 0:
		return "", secret.Invalid(field, "a whole number of minutes")
	}
	return fmt.Sprintf("%dm", d/time.Minute), nil
}

func newToken(reply wire.TokenCreated) (*NewToken, error) {
	info, err := tokenInfo(reply.TokenInfo)
	return &NewToken{TokenInfo: info, Token: reply.Token}, err
}

func newAccessKey(reply wire.AccessKeyCreated) (*NewAccessKey, error) {
	info, err := tokenInfo(reply.TokenInfo)
	return &NewAccessKey{TokenInfo: info, Secret: reply.SecretAccessKey}, err
}

// List tells a page of the credentials, those that have ended too.
func (c *Credentials) List(ctx context.Context, q CredentialQuery) (Page[TokenInfo], error) {
	path, err := c.path(ctx, "tokens")
	if err != nil {
		return Page[TokenInfo]{}, err
	}
	query := pageQuery(q.Limit, q.Cursor)
	if q.Principal != "" {
		query.Set("principal", q.Principal)
	}
	if q.Kind != nil {
		query.Set("kind", kindOf(*q.Kind))
	}
	return getPage(ctx, c.client, request{path: path, query: query}, tokenInfo)
}

// Revoke ends a credential's life at once.
func (c *Credentials) Revoke(ctx context.Context, id string) error {
	return c.revoke(ctx, "tokens", id)
}

// RevokeAccessKey is Revoke for access keys alone.
func (c *Credentials) RevokeAccessKey(ctx context.Context, id string) error {
	return c.revoke(ctx, "accesskeys", id)
}

func (c *Credentials) revoke(ctx context.Context, rest ...string) error {
	path, err := c.path(ctx, rest...)
	if err != nil {
		return err
	}
	return c.client.discard(ctx, request{method: http.MethodDelete, path: path, repeat: true})
}

// Kinds of credential in the API.
const (
	kindToken     = "token"
	kindAccessKey = "accessKey"
)

func kindOf(k store.CredentialKind) string {
	if k == store.AccessKey {
		return kindAccessKey
	}
	return kindToken
}

func tokenInfo(t wire.TokenInfo) (TokenInfo, error) {
	info := TokenInfo{
		ID: t.ID, Principal: t.Principal, Grants: grants(t.Grants), Service: t.Service, Environment: Environment(t.Environment),
		Created: t.Created, Expires: t.Expires, Revoked: t.Revoked, LastUsed: t.LastUsed, Source: t.Source,
	}
	if t.Kind == kindAccessKey {
		info.Kind = store.AccessKey
	}
	return info, nil
}

// grants returns the grants of a reply; nil for none.
func grants(list []wire.Grant) (out []Grant) {
	for _, g := range list {
		out = append(out, Grant{Role: policy.Role(g.Role), Patterns: g.Patterns})
	}
	return out
}

// wireGrants returns the grants of a request; nil for nil.
func wireGrants(list []Grant) (out []wire.Grant) {
	if list != nil {
		out = []wire.Grant{}
	}
	for _, g := range list {
		out = append(out, wire.Grant{Role: string(g.Role), Patterns: g.Patterns})
	}
	return out
}
