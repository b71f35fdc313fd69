package identity_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/descope/virtualwebauthn"

	"fastness/internal/identity"
	"fastness/internal/secret"
)

const origin = "https://secrets.acme.example"

// person has a security key, and has enrolled it.
type person struct {
	t      *testing.T
	w      *identity.WebAuthn
	holder identity.Holder
	rp     virtualwebauthn.RelyingParty
	device virtualwebauthn.Authenticator
	key    virtualwebauthn.Credential
}

func newPerson(t *testing.T) *person {
	w, err := identity.NewWebAuthn(identity.RelyingParty{ID: "acme.example", Origins: []string{origin}})
	if err != nil {
		t.Fatal(err)
	}
	return &person{t: t, w: w,
		holder: identity.Holder{ID: []byte("a-random-handle"), Name: "alice"},
		rp:     virtualwebauthn.RelyingParty{ID: "acme.example", Name: "Fastness", Origin: origin},
		device: virtualwebauthn.NewAuthenticator(), key: newKey()}
}

// newKey makes a key on the device. The library cuts leading zeros of
// coordinates, which no real device does: such a key is made again.
func newKey() virtualwebauthn.Credential {
	const whole = 77 // bytes of a COSE key with both coordinates
	for {
		if c := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2); len(c.Key.AttestationData()) == whole {
			return c
		}
	}
}

// begin starts an enrolment, and answers it as the device would.
func (p *person) begin() (state []byte, answer string) {
	p.t.Helper()
	options, state, err := p.w.BeginEnrolment(p.holder)
	if err != nil {
		p.t.Fatal(err)
	}
	parsed, err := virtualwebauthn.ParseAttestationOptions(string(options))
	if err != nil {
		p.t.Fatal(err)
	}
	return state, virtualwebauthn.CreateAttestationResponse(p.rp, p.device, p.key, *parsed)
}

func (p *person) enrol() {
	p.t.Helper()
	state, answer := p.begin()
	key, err := p.w.Enrolled(p.holder, state, []byte(answer))
	if err != nil {
		p.t.Fatal(err, secret.Of(err).Cause)
	}
	p.holder.Keys = append(p.holder.Keys, key)
	p.device.AddCredential(p.key)
}

// show starts an assertion, and answers it as the device would.
func (p *person) show() (state []byte, answer string) {
	p.t.Helper()
	options, state, err := p.w.BeginShow(p.holder)
	if err != nil {
		p.t.Fatal(err)
	}
	parsed, err := virtualwebauthn.ParseAssertionOptions(string(options))
	if err != nil {
		p.t.Fatal(err)
	}
	return state, virtualwebauthn.CreateAssertionResponse(p.rp, p.device, p.key, *parsed)
}

func TestWebAuthn(t *testing.T) {
	p := newPerson(t)
	p.enrol()
	if strings.Contains(string(p.holder.Keys[0]), "attestationObject\":\"") {
		t.Errorf("the attestation is kept: %s", p.holder.Keys[0])
	}
	for range 3 {
		p.key.Counter++
		state, answer := p.show()
		index, key, err := p.w.Shown(p.holder, state, []byte(answer))
		if err != nil || index != 0 {
			t.Fatal(index, err, secret.Of(err).Cause)
		}
		p.holder.Keys[0] = key
	}
	// A second device may be enrolled, and each shows itself.
	p.key = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeRSA)
	p.enrol()
	state, answer := p.show()
	if index, _, err := p.w.Shown(p.holder, state, []byte(answer)); err != nil || index != 1 {
		t.Errorf("second key: %d, %v", index, err)
	}
}

func TestWebAuthnEnrolmentRefuses(t *testing.T) {
	for name, change := range map[string]func(p *person, state *[]byte, answer *string){
		"another ceremony's state": func(p *person, state *[]byte, _ *string) { *state, _ = p.begin() },
		"another person's":         func(p *person, _ *[]byte, _ *string) { p.holder.ID = []byte("somebody else") },
		"another origin": func(p *person, state *[]byte, answer *string) {
			p.rp.Origin = "https://evil.example"
			*state, *answer = p.begin()
		},
		"another relying party": func(p *person, state *[]byte, answer *string) { p.rp.ID = "evil.example"; *state, *answer = p.begin() },
		"plain http": func(p *person, state *[]byte, answer *string) {
			p.rp.Origin = "http://secrets.acme.example"
			*state, *answer = p.begin()
		},
		"nobody touched it": func(p *person, state *[]byte, answer *string) {
			p.device.Options.UserNotPresent = true
			*state, *answer = p.begin()
		},
		"an assertion": func(p *person, state *[]byte, answer *string) { p.enrol(); _, *answer = p.show() },
		"not JSON":     func(_ *person, _ *[]byte, answer *string) { *answer = "x" },
		"empty":        func(_ *person, _ *[]byte, answer *string) { *answer = "" },
	} {
		p := newPerson(t)
		state, answer := p.begin()
		change(p, &state, &answer)
		key, err := p.w.Enrolled(p.holder, state, []byte(answer))
		if !errors.Is(err, secret.ErrUnauthenticated) || key != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestWebAuthnShowRefuses(t *testing.T) {
	for name, change := range map[string]func(p *person, state *[]byte, answer *string){
		"another ceremony's state": func(p *person, state *[]byte, _ *string) { *state, _ = p.show() },
		"another origin": func(p *person, state *[]byte, answer *string) {
			p.rp.Origin = "https://evil.example"
			*state, *answer = p.show()
		},
		"another relying party": func(p *person, state *[]byte, answer *string) { p.rp.ID = "evil.example"; *state, *answer = p.show() },
		"nobody touched it": func(p *person, state *[]byte, answer *string) {
			p.device.Options.UserNotPresent = true
			*state, *answer = p.show()
		},
		"a key of nobody's": func(p *person, state *[]byte, answer *string) {
			p.key = newKey()
			*state, *answer = p.show()
		},
		"another key, same id": func(p *person, state *[]byte, answer *string) {
			id := p.key.ID
			p.key = newKey()
			p.key.ID = id
			*state, *answer = p.show()
		},
		"a counter that stands still": func(p *person, state *[]byte, answer *string) {
			p.key.Counter = 5
			*state, *answer = p.show()
			_, key, err := p.w.Shown(p.holder, *state, []byte(*answer))
			if err != nil {
				t.Fatal(err)
			}
			p.holder.Keys[0] = key
			*state, *answer = p.show()
		},
		"an enrolment": func(p *person, _ *[]byte, answer *string) { _, *answer = p.begin() },
		"not JSON":     func(_ *person, _ *[]byte, answer *string) { *answer = "x" },
	} {
		p := newPerson(t)
		p.enrol()
		state, answer := p.show()
		change(p, &state, &answer)
		_, key, err := p.w.Shown(p.holder, state, []byte(answer))
		if !errors.Is(err, secret.ErrUnauthenticated) || key != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
	p := newPerson(t)
	p.enrol()
	state, _ := p.show()
	if _, _, err := p.w.Shown(p.holder, state, bytes.Repeat([]byte(" "), identity.MaxCeremony+1)); !errors.Is(err, secret.ErrLimit) {
		t.Errorf("too long: %v", err)
	}
	p.holder.Keys[0] = []byte("x")
	if _, _, err := p.w.BeginShow(p.holder); !errors.Is(err, secret.ErrInternal) {
		t.Errorf("a broken key: %v", err)
	}
	if _, _, err := p.w.BeginEnrolment(p.holder); !errors.Is(err, secret.ErrInternal) {
		t.Errorf("a broken key: %v", err)
	}
}

// Keys that are enrolled are told to the browser, which then takes no second of
// one device; and only the holder's are asked for.
func TestWebAuthnOptions(t *testing.T) {
	p := newPerson(t)
	p.enrol()
	options, _, err := p.w.BeginEnrolment(p.holder)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := virtualwebauthn.ParseAttestationOptions(string(options))
	if err != nil || len(parsed.ExcludeCredentials) != 1 || !p.key.IsExcludedForAttestation(*parsed) {
		t.Errorf("excluded: %+v, %v", parsed, err)
	}
	options, _, err = p.w.BeginShow(p.holder)
	if err != nil {
		t.Fatal(err)
	}
	show, err := virtualwebauthn.ParseAssertionOptions(string(options))
	if err != nil || len(show.AllowCredentials) != 1 || !json.Valid(options) {
		t.Errorf("allowed: %+v, %v", show, err)
	}
}

func TestRelyingParty(t *testing.T) {
	for name, tc := range map[string]struct {
		rp identity.RelyingParty
		ok bool
	}{
		"host":           {identity.RelyingParty{ID: "secrets.acme.example", Origins: []string{origin}}, true},
		"domain above":   {identity.RelyingParty{ID: "acme.example", Origins: []string{origin, "https://acme.example:8443"}}, true},
		"localhost":      {identity.RelyingParty{ID: "localhost", Origins: []string{"http://localhost:8420"}}, true},
		"none":           {identity.RelyingParty{ID: "acme.example"}, false},
		"no id":          {identity.RelyingParty{Origins: []string{origin}}, false},
		"another domain": {identity.RelyingParty{ID: "evil.example", Origins: []string{origin}}, false},
		"a suffix":       {identity.RelyingParty{ID: "cme.example", Origins: []string{origin}}, false},
		"plain http":     {identity.RelyingParty{ID: "acme.example", Origins: []string{"http://acme.example"}}, false},
		"a path":         {identity.RelyingParty{ID: "acme.example", Origins: []string{origin + "/"}}, false},
		"not an origin":  {identity.RelyingParty{ID: "acme.example", Origins: []string{"acme.example"}}, false},
		"a URL as id":    {identity.RelyingParty{ID: origin, Origins: []string{origin}}, false},
	} {
		_, err := identity.NewWebAuthn(tc.rp)
		if (err == nil) != tc.ok || err != nil && !errors.Is(err, secret.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
