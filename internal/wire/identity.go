package wire

import (
	"encoding/json"
	"time"

	"fastness/internal/secretbuf"
)

// Lists of the API.
type (
	IssuerList    = List[Issuer]
	AuthorityList = List[Authority]
	FactorList    = List[Factor]
)

// IssuerConfig says whom an issuer vouches for. Spans of time are written as
// "15m", "12h" or "30d".
type IssuerConfig struct {
	URL        string    `json:"url"`
	Audiences  []string  `json:"audiences"`
	KeySet     string    `json:"keySet,omitzero"`    // a JWK set, for an issuer that cannot be asked
	KeySetURL  string    `json:"keySetUrl,omitzero"` // absent: the discovery document tells
	CA         string    `json:"ca,omitzero"`        // PEM; absent: the system's
	Algorithms []string  `json:"algorithms,omitzero"`
	MaxAge     string    `json:"maxAge,omitzero"` // absent: as long as a token is valid
	Reusable   bool      `json:"reusable,omitzero"`
	Session    string    `json:"session,omitzero"`  // absent: 15m
	ClientID   string    `json:"clientId,omitzero"` // of people's logins; absent: they do not
	Scopes     []string  `json:"scopes,omitzero"`
	Bindings   []Binding `json:"bindings"`
}

// Binding says who the bearer of certain claims is.
type Binding struct {
	Match       map[string][]string `json:"match"`     // of each claim one value; '*' is any run of characters
	Principal   string              `json:"principal"` // may hold one "{claim}"
	Kind        string              `json:"kind,omitzero"`
	Create      bool                `json:"create,omitzero"`
	Service     string              `json:"service,omitzero"`
	Environment string              `json:"environment,omitzero"`
	Grants      []Grant             `json:"grants,omitzero"`
}

// IssuerRequest stores an issuer.
type IssuerRequest struct {
	IssuerConfig
	Revision *int64 `json:"revision,omitzero"` // that it must have now, 0 for none; absent: any
}

// Issuer is what is told of an issuer.
type Issuer struct {
	Name string `json:"name"`
	IssuerConfig
	Created  time.Time `json:"created"`
	Changed  time.Time `json:"changed"`
	Revision int64     `json:"revision"`
}

// AuthorityConfig says whom a CA vouches for.
type AuthorityConfig struct {
	Bundle      string    `json:"bundle"`               // PEM
	TrustDomain string    `json:"trustDomain,omitzero"` // of SPIFFE; absent: none
	Session     string    `json:"session,omitzero"`     // absent: 15m
	Bindings    []Binding `json:"bindings"`
}

// AuthorityRequest stores a CA.
type AuthorityRequest struct {
	AuthorityConfig
	Revision *int64 `json:"revision,omitzero"`
}

// Authority is what is told of a CA.
type Authority struct {
	Name string `json:"name"`
	AuthorityConfig
	Created  time.Time `json:"created"`
	Changed  time.Time `json:"changed"`
	Revision int64     `json:"revision"`
}

// TokenLoginRequest shows a token of an issuer.
type TokenLoginRequest struct {
	Issuer string            `json:"issuer,omitzero"` // as the tenant calls it; absent: whichever the token names
	Token  *secretbuf.Buffer `json:"token"`
}

// PasswordLoginRequest shows a password.
type PasswordLoginRequest struct {
	Principal string            `json:"principal"`
	Password  *secretbuf.Buffer `json:"password"`
}

// SessionCreated is the reply to a login or an exchange. Encode it with Append
// alone.
type SessionCreated struct {
	ID        string            `json:"id"`
	Token     *secretbuf.Buffer `json:"token"`
	Tenant    string            `json:"tenant"`
	Principal string            `json:"principal"`
	Created   time.Time         `json:"created"`
	Expires   time.Time         `json:"expires"`
	Locked    bool              `json:"locked"` // of no use before a second factor is given
}

// Release wipes the token.
func (s SessionCreated) Release() { s.Token.Release() }

// LoginMethods are how people log in to a tenant.
type LoginMethods struct {
	Providers []LoginProvider `json:"providers"`
}

// LoginProvider is an OpenID provider by which people log in.
type LoginProvider struct {
	Name     string   `json:"name"`
	URL      string   `json:"url"`
	ClientID string   `json:"clientId"`
	Scopes   []string `json:"scopes"`
}

// PasswordRequest sets a password of somebody else.
type PasswordRequest struct {
	Password *secretbuf.Buffer `json:"password"`
}

// PasswordChangeRequest changes the caller's own.
type PasswordChangeRequest struct {
	OldPassword *secretbuf.Buffer `json:"oldPassword"`
	Password    *secretbuf.Buffer `json:"password"`
}

// Factor is what is told of a second factor.
type Factor struct {
	ID       string    `json:"id"`
	Type     string    `json:"type"` // totp, webauthn or recovery
	Name     string    `json:"name,omitzero"`
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"lastUsed,omitzero"` // the day; absent if never
	Left     int       `json:"left,omitzero"`     // recovery codes not used yet
}

// FactorState is what is told of the caller's second factors.
type FactorState struct {
	Factors []Factor  `json:"factors"`
	Locked  bool      `json:"locked"`         // nothing else works before one is given
	Given   time.Time `json:"given,omitzero"` // with this credential; absent if never
	Fresh   time.Time `json:"fresh,omitzero"` // until when it counts; absent if it does not
}

// FactorRequest begins to enrol a factor.
type FactorRequest struct {
	Name string `json:"name,omitzero"`
}

// TOTPCreated is an authenticator that is being enrolled. Encode it with Append
// alone.
type TOTPCreated struct {
	ID  string            `json:"id"`
	URI *secretbuf.Buffer `json:"uri"` // otpauth, with the seed
}

// Release wipes the seed.
func (t TOTPCreated) Release() { t.URI.Release() }

// CodeRequest gives a one-time or a recovery code.
type CodeRequest struct {
	Code *secretbuf.Buffer `json:"code"`
}

// FactorCreated is the reply to the end of an enrolment. Encode it with Append
// alone.
type FactorCreated struct {
	ID            string            `json:"id"`
	RecoveryCodes *secretbuf.Buffer `json:"recoveryCodes,omitzero"` // one a line; with the first factor alone
}

// Release wipes the codes.
func (f FactorCreated) Release() { f.RecoveryCodes.Release() }

// RecoveryCodes is the reply to making recovery codes anew. Encode it with Append
// alone.
type RecoveryCodes struct {
	RecoveryCodes *secretbuf.Buffer `json:"recoveryCodes"` // one a line
}

// Release wipes the codes.
func (r RecoveryCodes) Release() { r.RecoveryCodes.Release() }

// SteppedUp is the reply to a factor that was given.
type SteppedUp struct {
	Fresh time.Time `json:"fresh"` // until when it counts
}

// Ceremony is what a page hands to navigator.credentials.
type Ceremony struct {
	Options json.RawMessage `json:"options"`
}

// CeremonyRequest is what the authenticator answered.
type CeremonyRequest struct {
	Response json.RawMessage `json:"response"`
}
