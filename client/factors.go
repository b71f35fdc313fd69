package client

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"fastness/internal/vault"
	"fastness/internal/wire"
)

// Factors is the handle to the second factors of the client's principal, who is a
// person or an operator.
type Factors struct{ client *Client }

// Factors returns the handle to the client's own second factors.
func (c *Client) Factors() *Factors { return &Factors{c} }

func (f *Factors) request(method string, rest ...string) request {
	return request{method: method, path: append([]string{"mfa"}, rest...)}
}

// List tells the factors, and whether one counts now.
func (f *Factors) List(ctx context.Context) (FactorState, error) {
	var reply wire.FactorState
	if _, err := f.client.decode(ctx, f.request(http.MethodGet), &reply); err != nil {
		return FactorState{}, err
	}
	state := FactorState{Locked: reply.Locked, Given: reply.Given, Fresh: reply.Fresh}
	for _, factor := range reply.Factors {
		info, _ := factorInfo(factor)
		state.Factors = append(state.Factors, info)
	}
	return state, nil
}

func factorInfo(f wire.Factor) (FactorInfo, error) {
	return FactorInfo{
		ID: f.ID, Type: vault.FactorType(f.Type), Name: f.Name, Created: f.Created, LastUsed: f.LastUsed, Left: f.Left,
	}, nil
}

// EnrolTOTP begins to enrol an authenticator for one-time codes. The receiver
// releases the URI.
func (f *Factors) EnrolTOTP(ctx context.Context, name string) (*NewTOTP, error) {
	var reply wire.TOTPCreated
	if _, err := f.client.encode(ctx, f.request(http.MethodPost, "totp"), wire.FactorRequest{Name: name}, &reply); err != nil {
		return nil, err
	}
	return &NewTOTP{ID: reply.ID, URI: reply.URI}, nil
}

// Confirm ends the enrolment with the first code. With the first factor come
// recovery codes, one a line, which the receiver releases; nil otherwise.
func (f *Factors) Confirm(ctx context.Context, id string, code *Value) (*Value, error) {
	var reply wire.FactorCreated
	_, err := f.client.encode(ctx, f.request(http.MethodPost, "totp", id, "confirm"), wire.CodeRequest{Code: code}, &reply)
	return reply.RecoveryCodes, err
}

// Verify gives a one-time or recovery code. Until the time it returns the factor
// counts.
func (f *Factors) Verify(ctx context.Context, code *Value) (time.Time, error) {
	var reply wire.SteppedUp
	_, err := f.client.encode(ctx, f.request(http.MethodPost, "verify"), wire.CodeRequest{Code: code}, &reply)
	return reply.Fresh, err
}

// Recover makes recovery codes anew, one a line. The receiver releases them.
func (f *Factors) Recover(ctx context.Context) (*Value, error) {
	var reply wire.RecoveryCodes
	_, err := f.client.decode(ctx, f.request(http.MethodPost, "recovery"), &reply)
	return reply.RecoveryCodes, err
}

// Remove forgets a factor.
func (f *Factors) Remove(ctx context.Context, id string) error {
	return f.client.discard(ctx, f.request(http.MethodDelete, "factors", id))
}

// BeginKey begins to enrol a security key: it returns the options for
// navigator.credentials.create.
func (f *Factors) BeginKey(ctx context.Context, name string) (json.RawMessage, error) {
	var reply wire.Ceremony
	_, err := f.client.encode(ctx, f.request(http.MethodPost, "keys"), wire.FactorRequest{Name: name}, &reply)
	return reply.Options, err
}

// EndKey ends the enrolment with what the authenticator answered. Recovery codes
// are as those of Confirm.
func (f *Factors) EndKey(ctx context.Context, response json.RawMessage) (id string, codes *Value, err error) {
	var reply wire.FactorCreated
	_, err = f.client.encode(ctx, f.request(http.MethodPost, "keys", "confirm"), wire.CeremonyRequest{Response: response}, &reply)
	return reply.ID, reply.RecoveryCodes, err
}

// BeginShow asks for a security key: it returns the options for
// navigator.credentials.get.
func (f *Factors) BeginShow(ctx context.Context) (json.RawMessage, error) {
	var reply wire.Ceremony
	_, err := f.client.decode(ctx, f.request(http.MethodPost, "keys", "challenge"), &reply)
	return reply.Options, err
}

// EndShow gives a security key, as Verify does a code.
func (f *Factors) EndShow(ctx context.Context, response json.RawMessage) (time.Time, error) {
	var reply wire.SteppedUp
	_, err := f.client.encode(ctx, f.request(http.MethodPost, "keys", "verify"), wire.CeremonyRequest{Response: response}, &reply)
	return reply.Fresh, err
}

// Factors tells of a principal's second factors.
func (p *Principals) Factors(ctx context.Context, name string) ([]FactorInfo, error) {
	path, err := p.one(ctx, name, "factors")
	if err != nil {
		return nil, err
	}
	page, err := getPage(ctx, p.client, request{path: path}, factorInfo)
	return page.Items, err
}

// RemoveFactor forgets a second factor that a principal has lost.
func (p *Principals) RemoveFactor(ctx context.Context, name, id string) error {
	path, err := p.one(ctx, name, "factors", id)
	if err != nil {
		return err
	}
	return p.client.discard(ctx, request{method: http.MethodDelete, path: path})
}
