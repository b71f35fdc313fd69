package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"fastness/internal/secret"
)

// CeremonyTime is how long a ceremony may take; its state is to be forgotten then.
const CeremonyTime = 5 * time.Minute

// MaxCeremony is the most bytes of what an authenticator answers.
const MaxCeremony = 32 << 10

// RelyingParty says as whom the deployment meets authenticators.
type RelyingParty struct {
	// ID is the domain to which keys are bound; a key made for another works no
	// more. It is the host of all Origins or a domain above them.
	ID string
	// Origins are those of the pages on which ceremonies run.
	Origins []string
}

// WebAuthn runs the ceremonies in which a person enrols and shows a security key
// or passkey as a second factor (WebAuthn Level 2). It keeps nothing: what has to
// be remembered between begin and finish is handed out as bytes, which must not
// reach the person's hands. Safe for concurrent use.
type WebAuthn struct{ library *webauthn.WebAuthn }

// NewWebAuthn checks the relying party.
func NewWebAuthn(rp RelyingParty) (*WebAuthn, error) {
	for _, origin := range rp.Origins {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" ||
			u.Scheme != "https" && (u.Scheme != "http" || u.Hostname() != "localhost") {
			return nil, secret.Invalid("webauthn.origins", "origins such as https://secrets.example.com, or of http://localhost")
		}
		if host := u.Hostname(); host != rp.ID && !strings.HasSuffix(host, "."+rp.ID) {
			return nil, secret.Invalid("webauthn.id", "the host of each origin, or a domain above it")
		}
	}
	limit := webauthn.TimeoutConfig{Timeout: CeremonyTime, TimeoutUVD: CeremonyTime}
	library, err := webauthn.New(&webauthn.Config{
		RPID: rp.ID, RPDisplayName: "Fastness", RPOrigins: rp.Origins,
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey:      protocol.ResidentKeyRequirementDiscouraged,
			UserVerification: protocol.VerificationPreferred,
		},
		// The end of a ceremony is kept with its state, by its keeper's clock.
		Timeouts: webauthn.TimeoutsConfig{Login: limit, Registration: limit},
	})
	if err != nil {
		return nil, &secret.Error{Code: secret.ErrInvalid.Code, Field: "webauthn", Detail: "a domain and the origins of pages below it", Cause: err}
	}
	return &WebAuthn{library}, nil
}

// Holder is the person whose keys are enrolled or shown.
type Holder struct {
	ID   []byte   // the same for ever, telling nothing, 1 to 64 bytes
	Name string   // as the authenticator shows it
	Keys [][]byte // as Enrolled returned them
}

// holder is Holder as the library wants it.
type holder struct {
	Holder
	credentials []webauthn.Credential
}

func (h holder) WebAuthnID() []byte                         { return h.ID }
func (h holder) WebAuthnName() string                       { return h.Name }
func (h holder) WebAuthnDisplayName() string                { return h.Name }
func (h holder) WebAuthnCredentials() []webauthn.Credential { return h.credentials }

func holderOf(h Holder) (holder, error) {
	all := holder{Holder: h}
	for _, key := range h.Keys {
		var c webauthn.Credential
		if err := json.Unmarshal(key, &c); err != nil {
			return all, secret.ErrInternal.With(fmt.Errorf("reading a stored key: %w", err))
		}
		all.credentials = append(all.credentials, c)
	}
	return all, nil
}

// BeginEnrolment returns the options for navigator.credentials.create, in JSON,
// and the state of the ceremony. Keys that are enrolled are not taken again.
func (w *WebAuthn) BeginEnrolment(h Holder) (options, state []byte, err error) {
	who, err := holderOf(h)
	if err != nil {
		return nil, nil, err
	}
	creation, session, err := w.library.BeginRegistration(who,
		webauthn.WithExclusions(webauthn.Credentials(who.credentials).CredentialDescriptors()))
	if err != nil {
		return nil, nil, secret.ErrInternal.With(err)
	}
	return marshalCeremony(creation, session)
}

// Enrolled ends an enrolment with what the authenticator answered. It returns the
// key, to be kept and given in Holder, which holds no secret. An answer that is
// not of this ceremony, origin and relying party is secret.ErrUnauthenticated.
func (w *WebAuthn) Enrolled(h Holder, state, response []byte) (key []byte, err error) {
	who, session, err := openCeremony(h, state, response)
	if err != nil {
		return nil, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return nil, ceremonyRefused(err)
	}
	credential, err := w.library.CreateCredential(who, session, parsed)
	if err != nil {
		return nil, ceremonyRefused(err)
	}
	// Nobody asks for these again, and they may tell the model of a person's key.
	credential.Attestation = webauthn.CredentialAttestation{}
	return json.Marshal(credential)
}

// BeginShow returns the options for navigator.credentials.get, in JSON, and the
// state of the ceremony. The holder has at least one key.
func (w *WebAuthn) BeginShow(h Holder) (options, state []byte, err error) {
	who, err := holderOf(h)
	if err != nil {
		return nil, nil, err
	}
	assertion, session, err := w.library.BeginLogin(who)
	if err != nil {
		return nil, nil, secret.ErrInternal.With(err)
	}
	return marshalCeremony(assertion, session)
}

// Shown ends the ceremony with what the authenticator answered. It returns which
// of the holder's keys was shown, and the key as it is to be kept from now on:
// its counter has moved. A counter that did not move on may be a copy's: it is
// refused, as all that is not of this ceremony, as secret.ErrUnauthenticated.
func (w *WebAuthn) Shown(h Holder, state, response []byte) (index int, key []byte, err error) {
	who, session, err := openCeremony(h, state, response)
	if err != nil {
		return 0, nil, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return 0, nil, ceremonyRefused(err)
	}
	shown, err := w.library.ValidateLogin(who, session, parsed)
	if err != nil {
		return 0, nil, ceremonyRefused(err)
	}
	if shown.Authenticator.CloneWarning {
		return 0, nil, refused("the key's counter did not move on: it may be a copy")
	}
	for i, c := range who.credentials {
		if string(c.ID) == string(shown.ID) {
			key, err = json.Marshal(shown)
			return i, key, err
		}
	}
	return 0, nil, refused("the key is not the holder's")
}

func marshalCeremony(options any, session *webauthn.SessionData) (text, state []byte, err error) {
	text, err1 := json.Marshal(options)
	state, err2 := json.Marshal(session)
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, secret.ErrInternal.With(err)
	}
	return text, state, nil
}

func openCeremony(h Holder, state, response []byte) (who holder, session webauthn.SessionData, err error) {
	if len(response) > MaxCeremony {
		return who, session, secret.Limited("response", fmt.Sprintf("at most %d bytes", MaxCeremony))
	}
	if who, err = holderOf(h); err != nil {
		return who, session, err
	}
	if err := json.Unmarshal(state, &session); err != nil {
		return who, session, secret.ErrInternal.With(fmt.Errorf("reading the state of a ceremony: %w", err))
	}
	return who, session, nil
}

// ceremonyRefused keeps the kind of the library's error, and not its details,
// which quote what the authenticator sent.
func ceremonyRefused(err error) error {
	var e *protocol.Error
	if errors.As(err, &e) {
		return refused("the authenticator's answer does not verify: " + e.Type)
	}
	return refused("the authenticator's answer does not verify")
}
