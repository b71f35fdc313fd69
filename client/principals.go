package client

import (
	"context"
	"errors"
	"net/http"

	"fastness/internal/identity"
	"fastness/internal/store"
	"fastness/internal/wire"
)

// Principals is the handle to a tenant's people and services, or to the
// deployment's operators.
type Principals struct {
	client *Client
	path   func(ctx context.Context, rest ...string) ([]string, error)
	kind   func(store.PrincipalKind) string // of a new one, as the API takes it
}

// Principals returns the handle to the tenant's people and services.
func (s *Session) Principals() *Principals {
	return &Principals{s.client, func(ctx context.Context, rest ...string) ([]string, error) {
		return s.path(ctx, append([]string{"principals"}, rest...)...)
	}, store.PrincipalKind.String}
}

// Principals returns the handle to the deployment's operators.
func (o *Operator) Principals() *Principals {
	return &Principals{o.client, func(_ context.Context, rest ...string) ([]string, error) {
		return append([]string{"operators"}, rest...), nil
	}, func(store.PrincipalKind) string { return "" }}
}

// Create makes a principal, which has no credentials yet.
func (p *Principals) Create(ctx context.Context, spec PrincipalSpec) (PrincipalInfo, error) {
	path, err := p.path(ctx)
	if err != nil {
		return PrincipalInfo{}, err
	}
	return p.info(ctx, request{method: http.MethodPost, path: path}, wire.PrincipalCreateRequest{
		Name: spec.Name, Kind: p.kind(spec.Kind), Grants: wireGrants(spec.Grants), Service: spec.Service,
		Environment: string(spec.Environment), Subject: spec.Subject,
	})
}

// List tells a page of the principals by name, disabled ones too.
func (p *Principals) List(ctx context.Context, limit int, cursor string) (Page[PrincipalInfo], error) {
	path, err := p.path(ctx)
	if err != nil {
		return Page[PrincipalInfo]{}, err
	}
	return getPage(ctx, p.client, request{path: path, query: pageQuery(limit, cursor)}, principalInfo)
}

// Get tells of one principal.
func (p *Principals) Get(ctx context.Context, name string) (PrincipalInfo, error) {
	return p.call(ctx, http.MethodGet, nil, name)
}

// Update changes grants and attributes of a tenant's principal.
func (p *Principals) Update(ctx context.Context, name string, patch PrincipalPatch) (PrincipalInfo, error) {
	body := wire.PrincipalUpdateRequest{
		Grants: wireGrants(patch.Grants), Service: patch.Service, Environment: (*string)(patch.Environment), Subject: patch.Subject,
	}
	return p.call(ctx, http.MethodPatch, body, name)
}

// Disable refuses all credentials of a principal from now on, until Enable.
func (p *Principals) Disable(ctx context.Context, name string) (PrincipalInfo, error) {
	return p.call(ctx, http.MethodPost, nil, name, "disable")
}

// Enable lets a principal's credentials in again.
func (p *Principals) Enable(ctx context.Context, name string) (PrincipalInfo, error) {
	return p.call(ctx, http.MethodPost, nil, name, "enable")
}

// Delete removes a principal with all its credentials.
func (p *Principals) Delete(ctx context.Context, name string) error {
	path, err := p.one(ctx, name)
	if err != nil {
		return err
	}
	return p.client.discard(ctx, request{method: http.MethodDelete, path: path, repeat: true})
}

// one is the path of a principal, whose name a path must be able to carry.
func (p *Principals) one(ctx context.Context, name string, rest ...string) ([]string, error) {
	if err := identity.CheckPrincipal(name); err != nil {
		return nil, err
	}
	return p.path(ctx, append([]string{name}, rest...)...)
}

// call sends a request about a principal whose reply tells of it.
func (p *Principals) call(ctx context.Context, method string, body any, name string, rest ...string) (PrincipalInfo, error) {
	path, err := p.one(ctx, name, rest...)
	if err != nil {
		return PrincipalInfo{}, err
	}
	return p.info(ctx, request{method: method, path: path, repeat: true}, body)
}

func (p *Principals) info(ctx context.Context, r request, body any) (PrincipalInfo, error) {
	var reply wire.Principal
	var err error
	if body == nil {
		_, err = p.client.decode(ctx, r, &reply)
	} else {
		_, err = p.client.encode(ctx, r, body, &reply)
	}
	if err != nil {
		return PrincipalInfo{}, err
	}
	return principalInfo(reply)
}

func principalInfo(p wire.Principal) (PrincipalInfo, error) {
	kind, err := principalKind(p.Kind)
	return PrincipalInfo{
		Name: p.Name, Kind: kind, Grants: grants(p.Grants), Service: p.Service, Environment: Environment(p.Environment),
		Subject: p.Subject, Created: p.Created, Disabled: p.Disabled, LastUsed: p.LastUsed, LastRead: p.LastRead,
		Credentials: p.Credentials,
	}, err
}

// principalKind reads a kind of principal in a reply.
func principalKind(s string) (store.PrincipalKind, error) {
	for _, kind := range []store.PrincipalKind{store.Service, store.Person, store.OperatorKind} {
		if kind.String() == s {
			return kind, nil
		}
	}
	return store.Service, errors.New("unknown kind of principal")
}
