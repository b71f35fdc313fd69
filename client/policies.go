package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"fastness/internal/policy"
	"fastness/internal/wire"
)

// Policies is the handle to a tenant's own policies and its settings.
type Policies struct{ session *Session }

// Policies returns the handle to the tenant's own policies.
func (s *Session) Policies() *Policies { return &Policies{s} }

// path is the path of a policy, whose name a path must be able to carry.
func (p *Policies) path(ctx context.Context, name string) ([]string, error) {
	if err := policy.CheckName("name", name); err != nil {
		return nil, err
	}
	return p.session.path(ctx, "policies", name)
}

// Put validates a policy and puts it in force: the next request is decided by
// it. An error about its text says where. It refuses one by which the caller
// could no longer change policies.
func (p *Policies) Put(ctx context.Context, put PolicyPut) (Policy, error) {
	path, err := p.path(ctx, put.Name)
	if err != nil {
		return Policy{}, err
	}
	var reply wire.Policy
	r := request{method: http.MethodPut, path: path}
	_, err = p.session.client.encode(ctx, r, wire.PolicyRequest{Text: put.Text, ExpectedVersion: put.Expected}, &reply)
	return policyOf(reply), err
}

// Get tells a version of a policy; version 0 is the one in force.
func (p *Policies) Get(ctx context.Context, name string, version int64) (Policy, error) {
	path, err := p.path(ctx, name)
	if err != nil {
		return Policy{}, err
	}
	r := request{method: http.MethodGet, path: path, query: url.Values{}, repeat: true}
	if version != 0 {
		r.query.Set("version", strconv.FormatInt(version, 10))
	}
	var reply wire.Policy
	_, err = p.session.client.decode(ctx, r, &reply)
	return policyOf(reply), err
}

// List tells a page of the policies in force, by name.
func (p *Policies) List(ctx context.Context, limit int, cursor string) (Page[PolicyInfo], error) {
	path, err := p.session.path(ctx, "policies")
	if err != nil {
		return Page[PolicyInfo]{}, err
	}
	return getPage(ctx, p.session.client, request{path: path, query: pageQuery(limit, cursor)}, func(i wire.PolicyInfo) (PolicyInfo, error) {
		return PolicyInfo(i), nil
	})
}

// Delete ends a policy; its versions are deleted too. With expected, that
// version must be in force.
func (p *Policies) Delete(ctx context.Context, name string, expected *int64) error {
	path, err := p.path(ctx, name)
	if err != nil {
		return err
	}
	r := request{method: http.MethodDelete, path: path, query: url.Values{}}
	if expected != nil {
		r.query.Set("expectedVersion", strconv.FormatInt(*expected, 10))
	}
	return p.session.client.discard(ctx, r)
}

// Test decides on made-up requests, with drafts in the place of stored
// policies. Nothing is changed.
func (p *Policies) Test(ctx context.Context, test PolicyTest) ([]Decision, error) {
	path, err := p.session.path(ctx, "access", "test")
	if err != nil {
		return nil, err
	}
	body := wire.PolicyTestRequest{Cases: make([]wire.PolicyCase, len(test.Cases))}
	for _, d := range test.Drafts {
		body.Drafts = append(body.Drafts, wire.PolicyDraft(d))
	}
	for i, c := range test.Cases {
		body.Cases[i] = wireCase(c)
	}
	var reply wire.DecisionList
	if _, err := p.session.client.encode(ctx, request{method: http.MethodPost, path: path, repeat: true}, body, &reply); err != nil {
		return nil, err
	}
	return decisions(reply.Items)
}

func wireCase(c PolicyCase) wire.PolicyCase {
	w := wire.PolicyCase{
		Principal: c.Principal, Grants: wireGrants(c.Grants), Service: c.Service, Environment: string(c.Environment),
		Action: string(c.Action), Secret: c.Secret, Tags: c.Tags, Address: c.Address, Time: c.Time,
	}
	if c.Kind != nil {
		w.Kind = c.Kind.String()
	}
	if c.MFAAge != nil {
		seconds := int64(*c.MFAAge / time.Second)
		w.MFAAge = &seconds
	}
	return w
}

// Schema tells what policies are written against, in Cedar's schema language.
func (p *Policies) Schema(ctx context.Context) ([]byte, error) {
	a, err := p.session.client.call(ctx, request{method: http.MethodGet, path: []string{"fastness.cedarschema"}, repeat: true})
	if err != nil {
		return nil, err
	}
	defer a.body.Release()
	return append([]byte(nil), a.body.Bytes()...), nil
}

// Settings tells the tenant's settings for second factors.
func (p *Policies) Settings(ctx context.Context) (Settings, error) {
	return p.settings(ctx, request{method: http.MethodGet, repeat: true}, nil)
}

// UpdateSettings changes the tenant's settings: the next request is decided by
// them.
func (p *Policies) UpdateSettings(ctx context.Context, patch SettingsPatch) (Settings, error) {
	body := wire.SettingsUpdateRequest{MFAForRead: patch.MFAForRead, MFAForLogin: patch.MFAForLogin, ExpectedVersion: patch.Expected}
	if patch.MFAWindow != nil {
		window, err := minutes("mfaWindow", *patch.MFAWindow)
		if err != nil {
			return Settings{}, err
		}
		body.MFAWindow = &window
	}
	return p.settings(ctx, request{method: http.MethodPatch}, body)
}

// settings sends a request whose reply tells the settings; body is nil for
// none.
func (p *Policies) settings(ctx context.Context, r request, body any) (Settings, error) {
	var err error
	if r.path, err = p.session.path(ctx, "settings"); err != nil {
		return Settings{}, err
	}
	var reply wire.SettingsReply
	if body == nil {
		_, err = p.session.client.decode(ctx, r, &reply)
	} else {
		_, err = p.session.client.encode(ctx, r, body, &reply)
	}
	if err != nil {
		return Settings{}, err
	}
	window, err := time.ParseDuration(reply.MFAWindow)
	if err != nil {
		return Settings{}, fmt.Errorf("reading the reply: %w", err)
	}
	return Settings{
		Settings: policy.Settings{MFAWindow: window, MFAForRead: reply.MFAForRead, MFAForLogin: reply.MFAForLogin}, Version: reply.Version,
	}, nil
}

func policyOf(w wire.Policy) Policy {
	p := Policy{PolicyInfo: PolicyInfo(w.PolicyInfo), Text: w.Text, Statements: statements(w.Statements)}
	for _, v := range w.Versions {
		p.Versions = append(p.Versions, PolicyInfo(v))
	}
	return p
}

func statements(list []wire.Statement) (all []Statement) {
	for _, s := range list {
		all = append(all, Statement(s))
	}
	return all
}

func decisions(list []wire.Decision) ([]Decision, error) {
	all := make([]Decision, len(list))
	for i, w := range list {
		var err error
		if all[i], err = decision(w); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func decision(w wire.Decision) (Decision, error) {
	effect, err := policy.ParseEffect(w.Effect)
	if err != nil {
		return Decision{}, fmt.Errorf("reading the reply: %w", err)
	}
	return Decision{Effect: effect, Part: policy.Part(w.By), Reason: w.Reason, Statements: statements(w.Statements), Wants: w.Wants}, nil
}
