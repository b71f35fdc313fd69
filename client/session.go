package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/wire"
)

// Identity is whom the server takes the client's token for.
type Identity struct {
	Principal string     `json:"principal"`
	Tenant    TenantName `json:"tenant"` // empty for an operator
	Operator  bool       `json:"operator"`
	Region    string     `json:"region"`
	Kind      string     `json:"kind"`             // service, person or operator
	Locked    bool       `json:"locked,omitzero"`  // nothing else works before a second factor is given
	Expires   time.Time  `json:"expires,omitzero"` // of the token; zero: never
}

// WhoAmI asks whom the server takes the token for.
func (c *Client) WhoAmI(ctx context.Context) (Identity, error) {
	var i Identity
	_, err := c.decode(ctx, request{method: http.MethodGet, path: []string{"whoami"}, repeat: true}, &i)
	return i, err
}

// Tenant is what an empty tenant means for this client: Config.Tenant, or the
// token's own, which is asked for once. For an operator's token without
// Config.Tenant it is ErrNoTenant.
func (c *Client) Tenant(ctx context.Context) (TenantName, error) {
	if c.config.Tenant != "" {
		return c.config.Tenant, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.self == nil {
		i, err := c.WhoAmI(ctx)
		if err != nil {
			return "", err
		}
		c.self = &i
	}
	if c.self.Tenant == "" {
		return "", ErrNoTenant
	}
	return c.self.Tenant, nil
}

// Session is the handle to one tenant's secrets. Safe for concurrent use.
type Session struct {
	client *Client
	tenant TenantName // empty: Client.Tenant says
}

// Session returns the handle to a tenant. The empty name is Client.Tenant.
func (c *Client) Session(tenant TenantName) *Session { return &Session{c, tenant} }

// path is the tenant's part of the API and what follows.
func (s *Session) path(ctx context.Context, rest ...string) ([]string, error) {
	tenant := s.tenant
	if tenant == "" {
		var err error
		if tenant, err = s.client.Tenant(ctx); err != nil {
			return nil, err
		}
	}
	return append([]string{"tenants", string(tenant)}, rest...), nil
}

// secretPath is the path of a secret. The API's paths cannot carry the names
// "." and "..", which are nobody's.
func (s *Session) secretPath(ctx context.Context, name Name, rest ...string) ([]string, error) {
	if _, err := secret.ParseName(string(name)); err != nil {
		return nil, err
	}
	if name == "." || name == ".." {
		return nil, secret.Invalid("name", `"." and ".." are not allowed`)
	}
	return s.path(ctx, append([]string{"secrets", string(name)}, rest...)...)
}

// Put creates a secret, or adds a version, which takes the label AWSCURRENT or
// those of Put.Labels. Without Put.Token it makes a token of its own, so that it can be sent again.
func (s *Session) Put(ctx context.Context, name Name, p Put) (Written, error) {
	body := wire.PutRequest{RequestToken: requestToken(p.Token), Changes: wire.ChangesOf(p.Patch)}
	if p.Labels != nil {
		body.Stages = wire.StagesOf(p.Labels)
	}
	if p.IfAbsent {
		path, err := s.path(ctx, "secrets")
		if err != nil {
			return Written{}, err
		}
		// Not to be repeated: the second attempt would find the first one's secret.
		return s.write(ctx, request{method: http.MethodPost, path: path}, wire.CreateRequest{Name: string(name), PutRequest: body}, p)
	}
	path, err := s.secretPath(ctx, name, "value")
	if err != nil {
		return Written{}, err
	}
	return s.write(ctx, request{method: http.MethodPut, path: path, repeat: true}, body, p)
}

// Rotate adds a version to a secret that exists. With a nil Put.Value the
// server makes one by the rule for the name, or, if the secret rotates by itself,
// asks the worker for a rotation: Written.Version is then 0, and Rotation tells
// how it stands.
func (s *Session) Rotate(ctx context.Context, name Name, p Put) (Written, error) {
	written, _, err := s.RotateOrAsk(ctx, name, p)
	return written, err
}

// RotateOrAsk is Rotate, and tells how the rotation stood when it was asked for;
// nil if a version was written.
func (s *Session) RotateOrAsk(ctx context.Context, name Name, p Put) (Written, *Rotation, error) {
	path, err := s.secretPath(ctx, name, "rotate")
	if err != nil {
		return Written{}, nil, err
	}
	r := request{method: http.MethodPost, path: path}
	body := wire.RotateRequest{RequestToken: string(p.Token)}
	if p.Value != nil {
		// A value that the server makes differs each time, so only a given one
		// can be told from its repetition.
		body.RequestToken, r.repeat = requestToken(p.Token), true
		written, err := s.write(ctx, r, body, p)
		return written, nil, err
	}
	return s.rotate(ctx, r, body)
}

// rotate sends a request without a value, whose reply is of one of two kinds.
func (s *Session) rotate(ctx context.Context, r request, body wire.RotateRequest) (Written, *Rotation, error) {
	r, release, err := withBody(r, body)
	if err != nil {
		return Written{}, nil, err
	}
	defer release()
	a, err := s.client.call(ctx, r)
	if err != nil {
		return Written{}, nil, err
	}
	defer a.body.Release()
	if a.status == http.StatusAccepted {
		asked := new(Rotation)
		if err := wire.DecodeReply(a.body, asked); err != nil {
			return Written{}, nil, fmt.Errorf("reading the reply: %w", err)
		}
		return Written{Name: Name(asked.Name), NextRotation: asked.NextRotation}, asked, nil
	}
	var reply wire.Written
	if err := wire.DecodeReply(a.body, &reply); err != nil {
		return Written{}, nil, fmt.Errorf("reading the reply: %w", err)
	}
	written, err := writtenOf(reply, a.status)
	return written, nil, err
}

func requestToken(t VersionID) string {
	if t == "" {
		t = secret.NewVersionID()
	}
	return string(t)
}

// write sends a body with a value and reads what was written.
func (s *Session) write(ctx context.Context, r request, fields any, p Put) (Written, error) {
	var b secretbuf.Builder
	defer b.Release()
	b.Grow(2*p.Value.Len() + 1024)
	if err := wire.AppendRequest(&b, fields, p.Value.Bytes(), p.Kind); err != nil {
		return Written{}, err
	}
	r.body = b.Buffer()
	defer r.body.Release()
	var reply wire.Written
	status, err := s.client.decode(ctx, r, &reply)
	if err != nil {
		return Written{}, err
	}
	return writtenOf(reply, status)
}

func writtenOf(reply wire.Written, status int) (Written, error) {
	version, err := secret.ParseVersion(reply.Version)
	if err != nil {
		return Written{}, fmt.Errorf("reading the reply: %w", err)
	}
	return Written{
		Name:         Name(reply.Name),
		Version:      version,
		VersionID:    VersionID(reply.VersionID),
		Labels:       wire.LabelsOf(reply.Stages),
		Created:      status == http.StatusCreated,
		NextRotation: reply.NextRotation,
	}, nil
}

// Get reads a version's value: the one labelled AWSCURRENT for the zero
// Selector. The caller releases Reading.Value. Reading.Created stays zero: the
// API does not tell it with a value.
func (s *Session) Get(ctx context.Context, name Name, sel Selector) (*Reading, error) {
	path, err := s.secretPath(ctx, name, "value")
	if err != nil {
		return nil, err
	}
	query := url.Values{}
	if sel.Number != 0 {
		query.Set("version", sel.Number.String())
	}
	if sel.ID != "" {
		query.Set("versionId", string(sel.ID))
	}
	if sel.Label != "" {
		query.Set("stage", string(sel.Label))
	}
	a, err := s.client.call(ctx, request{method: http.MethodGet, path: path, query: query, repeat: true})
	if err != nil {
		return nil, err
	}
	defer a.body.Release()
	reply, value, kind, err := wire.DecodeValueReply(a.body)
	if err != nil {
		return nil, fmt.Errorf("reading the reply: %w", err)
	}
	version, err := secret.ParseVersion(reply.Version)
	if err != nil {
		value.Release()
		return nil, fmt.Errorf("reading the reply: %w", err)
	}
	return &Reading{
		Name: Name(reply.Name), Version: version, VersionID: VersionID(reply.VersionID),
		Labels: wire.LabelsOf(reply.Stages), Kind: kind, Value: value,
	}, nil
}

// info sends a request about a secret whose reply is its metadata.
func (s *Session) info(ctx context.Context, r request, body any) (Info, error) {
	var reply wire.Secret
	var err error
	if body == nil {
		_, err = s.client.decode(ctx, r, &reply)
	} else {
		_, err = s.client.encode(ctx, r, body, &reply)
	}
	if err != nil {
		return Info{}, err
	}
	i, err := reply.Info()
	if err != nil {
		return Info{}, fmt.Errorf("reading the reply: %w", err)
	}
	return i, nil
}

// Describe tells a secret's metadata and where its labels are.
func (s *Session) Describe(ctx context.Context, name Name) (Info, error) {
	path, err := s.secretPath(ctx, name)
	if err != nil {
		return Info{}, err
	}
	return s.info(ctx, request{method: http.MethodGet, path: path, repeat: true}, nil)
}

// Update changes metadata without a new version.
func (s *Session) Update(ctx context.Context, name Name, p Patch) (Info, error) {
	path, err := s.secretPath(ctx, name)
	if err != nil {
		return Info{}, err
	}
	return s.info(ctx, request{method: http.MethodPatch, path: path, repeat: true},
		wire.UpdateRequest{Changes: wire.ChangesOf(p)})
}

// MoveLabel moves a staging label, or takes it off.
func (s *Session) MoveLabel(ctx context.Context, name Name, m Move) (Info, error) {
	path, err := s.secretPath(ctx, name, "stages", string(m.Label))
	if err != nil {
		return Info{}, err
	}
	// A move from an expected version, sent twice, would refuse itself.
	r := request{method: http.MethodPut, path: path, repeat: m.From == nil}
	if m.To != 0 {
		body := wire.LabelRequest{Version: m.To.String()}
		if m.From != nil {
			body.ExpectedVersion = new(string)
			if *m.From != 0 {
				*body.ExpectedVersion = m.From.String()
			}
		}
		return s.info(ctx, r, body)
	}
	r.method = http.MethodDelete
	if m.From != nil {
		r.query = url.Values{"expectedVersion": {m.From.String()}}
	}
	return s.info(ctx, r, nil)
}

// Delete schedules a secret for deletion when window has passed.
func (s *Session) Delete(ctx context.Context, name Name, window time.Duration) (Info, error) {
	const day = 24 * time.Hour
	if window%day != 0 {
		return Info{}, secret.Invalid("recoveryDays", "a whole number of days")
	}
	path, err := s.secretPath(ctx, name)
	if err != nil {
		return Info{}, err
	}
	query := url.Values{"recoveryDays": {strconv.FormatInt(int64(window/day), 10)}}
	return s.info(ctx, request{method: http.MethodDelete, path: path, query: query, repeat: true}, nil)
}

// Purge destroys a secret and its envelopes at once.
func (s *Session) Purge(ctx context.Context, name Name) error {
	path, err := s.secretPath(ctx, name)
	if err != nil {
		return err
	}
	return s.client.discard(ctx, request{method: http.MethodDelete, path: path, query: url.Values{"purge": {"true"}}})
}

// Restore ends a secret's scheduled deletion.
func (s *Session) Restore(ctx context.Context, name Name) (Info, error) {
	path, err := s.secretPath(ctx, name, "restore")
	if err != nil {
		return Info{}, err
	}
	return s.info(ctx, request{method: http.MethodPost, path: path}, nil)
}
