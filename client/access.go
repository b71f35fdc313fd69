package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/wire"
)

// Access is a reviewer's handle to who may do what in a tenant.
type Access struct{ session *Session }

// Access returns the handle to who may do what in the tenant.
func (s *Session) Access() *Access { return &Access{s} }

// Explain decides for a principal, as if it asked now, and tells why: once for
// all credentials on which the decision is the same.
func (a *Access) Explain(ctx context.Context, q ExplainQuery) ([]Explanation, error) {
	path, err := a.session.path(ctx, "access", "explain")
	if err != nil {
		return nil, err
	}
	query := given(map[string]string{
		"principal": q.Principal, "action": string(q.Action), "secret": string(q.Secret), "credentialId": q.CredentialID, "address": q.Address,
	})
	page, err := getPage(ctx, a.session.client, request{path: path, query: query}, explanation)
	return page.Items, err
}

// Denial tells why a request was refused, and what would become of it now. The
// id is the CorrelationID of the refused caller's Error.
func (a *Access) Denial(ctx context.Context, id string) (Denial, error) {
	if id == "" {
		return Denial{}, secret.Invalid("denial", "the correlation id of an answer")
	}
	path, err := a.session.path(ctx, "access", "denials", id)
	if err != nil {
		return Denial{}, err
	}
	var reply wire.Denial
	if _, err := a.session.client.decode(ctx, request{method: http.MethodGet, path: path, repeat: true}, &reply); err != nil {
		return Denial{}, err
	}
	return denial(reply)
}

// Who tells a page of the principals that may do anything with a secret, or
// with the tenant, by name.
func (a *Access) Who(ctx context.Context, q WhoQuery) (Page[WhoInfo], error) {
	path, err := a.session.path(ctx, "access", "who")
	if err != nil {
		return Page[WhoInfo]{}, err
	}
	query := given(map[string]string{"secret": string(q.Secret), "address": q.Address})
	for name, values := range pageQuery(q.Limit, q.Cursor) {
		query[name] = values
	}
	return getPage(ctx, a.session.client, request{path: path, query: query}, whoInfo)
}

// Review tells a page of the tenant's principals by name, with credentials,
// grants, last uses and second factors.
func (a *Access) Review(ctx context.Context, q ReviewQuery) (Page[ReviewInfo], error) {
	path, err := a.session.path(ctx, "access", "review")
	if err != nil {
		return Page[ReviewInfo]{}, err
	}
	return getPage(ctx, a.session.client, request{path: path, query: pageQuery(q.Limit, q.Cursor)}, reviewInfo)
}

// ReviewTable writes the whole review as comma-separated values (RFC 4180), a
// line for each credential. What a spreadsheet would take for a formula has an
// apostrophe before it. After an error what was written is not whole.
func (a *Access) ReviewTable(ctx context.Context, w io.Writer) error {
	path, err := a.session.path(ctx, "access", "review.csv")
	if err != nil {
		return err
	}
	reply, err := a.session.client.send(ctx, request{method: http.MethodGet, path: path, repeat: true, long: true})
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if _, err := io.Copy(w, reply.Body); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("reviewing access: the server broke off")
		}
		return fmt.Errorf("reviewing access: %w", err)
	}
	return nil
}

// given is a query with those parameters that are not empty.
func given(params map[string]string) url.Values {
	query := url.Values{}
	for name, value := range params {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

func explanation(w wire.Explanation) (Explanation, error) {
	d, err := decision(w.Decision)
	e := Explanation{Decision: d}
	if w.Login {
		e.CredentialIDs = []string{""}
	}
	e.CredentialIDs = append(e.CredentialIDs, w.CredentialIDs...)
	return e, err
}

func denial(w wire.Denial) (Denial, error) {
	d := Denial{
		ID: w.ID, Time: w.Time, Principal: w.Principal, CredentialID: w.CredentialID, Action: Action(w.Action), Secret: w.Secret,
		Answer: w.Answer, Reason: w.Reason,
	}
	if w.Now == nil {
		return d, nil
	}
	now, err := decision(*w.Now)
	d.Now = &now
	return d, err
}

func whoInfo(w wire.Who) (WhoInfo, error) {
	kind, err := principalKind(w.Kind)
	return WhoInfo{Principal: w.Principal, Kind: kind, Actions: actions(w.Actions), WithMFA: actions(w.WithMFA)}, err
}

func actions(names []string) (all []policy.Action) {
	for _, name := range names {
		all = append(all, policy.Action(name))
	}
	return all
}

func reviewInfo(w wire.Review) (ReviewInfo, error) {
	kind, err := principalKind(w.Kind)
	r := ReviewInfo{
		Principal: w.Principal, Kind: kind, Grants: grants(w.Grants), Service: w.Service, Environment: Environment(w.Environment),
		Created: w.Created, Disabled: w.Disabled, LastUsed: w.LastUsed, LastRead: w.LastRead, Factors: w.Factors,
	}
	for _, c := range w.Credentials {
		info := ReviewCredential{
			ID: c.ID, Source: c.Source, Grants: grants(c.Grants), Created: c.Created, Expires: c.Expires, Revoked: c.Revoked, LastUsed: c.LastUsed,
		}
		if c.Kind == kindAccessKey {
			info.Kind = store.AccessKey
		}
		r.Credentials = append(r.Credentials, info)
	}
	return r, err
}
