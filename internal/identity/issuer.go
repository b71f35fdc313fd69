package identity

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"fastness/internal/secret"
)

// Limits of an issuer.
const (
	MaxIssuers   = 50       // issuers of a tenant, and as many CAs
	MaxKeySet    = 64 << 10 // bytes of a key set that is given
	MaxBundle    = 64 << 10 // bytes of certificates that are given
	maxAudiences = 20
	maxURL       = 1024
	maxScopes    = 20
)

// Lifetimes of what is given in exchange for a token or a certificate.
const (
	DefaultSession = 15 * time.Minute
	MinSession     = time.Minute
	MaxSession     = 12 * time.Hour
)

// longestOnce is how long a token that may be exchanged once may still be valid:
// for so long its exchange is remembered.
const longestOnce = 24 * time.Hour

// algorithms are those of signatures that an issuer may use. All are
// asymmetric: with a shared key whoever can verify could sign.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Algorithms returns all signatures that an issuer may use.
func Algorithms() []string { return slices.Clone(algorithms) }

// Issuer is a provider of tokens that a tenant trusts, and for what.
type Issuer struct {
	// Name is what the tenant calls it: 1 to 63 of a-z, 0-9 and '-'.
	Name string `json:"name"`
	// URL is the issuer as its tokens name it, to the letter.
	URL string `json:"url"`
	// Audiences are those of which a token must name one. There is at least one.
	Audiences []string `json:"audiences"`
	// KeySet is a JWK set, for an issuer that cannot be asked. KeySetURL is where
	// to ask; with neither the issuer's discovery document tells.
	KeySet    string `json:"keySet,omitzero"`
	KeySetURL string `json:"keySetUrl,omitzero"`
	// CA has the certificates, in PEM, of which one must vouch for the issuer's
	// server; empty for those of the system.
	CA string `json:"ca,omitzero"`
	// Algorithms are the signatures that are accepted; default RS256 and ES256.
	Algorithms []string `json:"algorithms,omitzero"`
	// MaxAge is how long after it was issued a token is accepted; 0 for as long
	// as it is valid.
	MaxAge time.Duration `json:"maxAge,omitzero"`
	// Reusable lets a token be exchanged more than once while it is valid.
	Reusable bool `json:"reusable,omitzero"`
	// Session is the lifetime of what is given in exchange; default DefaultSession.
	Session time.Duration `json:"session,omitzero"`
	// ClientID is what people log in with by way of this issuer; empty if they
	// do not. It must be among the audiences.
	ClientID string `json:"clientId,omitzero"`
	// Scopes are what a login asks for besides openid.
	Scopes []string `json:"scopes,omitzero"`
	// Bindings say who the bearers of its tokens are.
	Bindings []Binding `json:"bindings"`
}

// Validate checks what somebody wants to store. Whether the issuer answers is
// another matter.
func (i Issuer) Validate() error {
	if err := CheckProvider("issuer.name", i.Name); err != nil {
		return err
	}
	if err := checkURL("issuer.url", i.URL); err != nil {
		return err
	}
	for _, check := range []func() error{i.validateAudiences, i.validateKeys, i.validateAlgorithms, i.validateTimes, i.validateLogin} {
		if err := check(); err != nil {
			return err
		}
	}
	return validateBindings(i.Bindings)
}

// CheckProvider checks the name of an issuer or of a CA: 1 to 63 of a-z, 0-9 and
// '-'.
func CheckProvider(field, name string) error {
	if _, err := secret.ParseTenantName(name); err != nil { // the same rule
		e := secret.Of(err)
		return &secret.Error{Code: e.Code, Field: field, Detail: e.Detail}
	}
	return nil
}

func (i Issuer) validateAudiences() error {
	const field = "issuer.audiences"
	if n := len(i.Audiences); n < 1 || n > maxAudiences {
		return secret.Limited(field, fmt.Sprintf("1 to %d audiences", maxAudiences))
	}
	for _, a := range i.Audiences {
		if len(a) < 1 || len(a) > maxURL {
			return secret.Limited(field, fmt.Sprintf("1 to %d bytes", maxURL))
		}
		if err := secret.CheckLine(field, a); err != nil {
			return err
		}
	}
	return nil
}

func (i Issuer) validateKeys() error {
	switch {
	case i.KeySet != "" && i.KeySetURL != "":
		return secret.Invalid("issuer.keySet", "keySet or keySetUrl, not both")
	case i.KeySet != "" && i.CA != "":
		return secret.Invalid("issuer.ca", "with keySet nobody is asked")
	case i.KeySet != "":
		return validateKeySet(i.KeySet)
	}
	if i.KeySetURL != "" {
		if err := checkURL("issuer.keySetUrl", i.KeySetURL); err != nil {
			return err
		}
	}
	if i.CA == "" {
		return nil
	}
	_, err := parseBundle("issuer.ca", i.CA)
	return err
}

func (i Issuer) validateAlgorithms() error {
	for _, a := range i.Algorithms {
		if !slices.Contains(algorithms, a) {
			return secret.Invalid("issuer.algorithms", "of "+strings.Join(algorithms, ", "))
		}
	}
	if len(i.Algorithms) > len(algorithms) {
		return secret.Limited("issuer.algorithms", fmt.Sprintf("at most %d", len(algorithms)))
	}
	return nil
}

func (i Issuer) validateTimes() error {
	if i.MaxAge < 0 || i.MaxAge > MaxExpiry {
		return secret.Limited("issuer.maxAge", fmt.Sprintf("at most %dd", MaxExpiry/(24*time.Hour)))
	}
	return checkSession("issuer.session", i.Session)
}

// checkSession checks the lifetime of what is given in exchange; 0 is the
// default.
func checkSession(field string, d time.Duration) error {
	if d != 0 && (d < MinSession || d > MaxSession) {
		return secret.Limited(field, "from 1m to 12h")
	}
	return nil
}

func (i Issuer) validateLogin() error {
	if i.ClientID == "" {
		if len(i.Scopes) > 0 {
			return secret.Invalid("issuer.scopes", "only with clientId")
		}
		return nil
	}
	if !slices.Contains(i.Audiences, i.ClientID) {
		return secret.Invalid("issuer.clientId", "must be among the audiences")
	}
	if i.KeySet != "" {
		return secret.Invalid("issuer.clientId", "people need an issuer that can be asked")
	}
	if len(i.Scopes) > maxScopes {
		return secret.Limited("issuer.scopes", fmt.Sprintf("at most %d", maxScopes))
	}
	for _, s := range i.Scopes {
		if len(s) < 1 || len(s) > 128 || secret.CheckLine("", s) != nil || strings.Contains(s, " ") {
			return secret.Invalid("issuer.scopes", "names of scopes, without spaces")
		}
	}
	return nil
}

// accepted returns the algorithms that are accepted.
func (i Issuer) accepted() []string {
	if len(i.Algorithms) == 0 {
		return []string{"RS256", "ES256"}
	}
	return i.Algorithms
}

// Lifetime is that of what is given in exchange.
func (i Issuer) Lifetime() time.Duration {
	if i.Session == 0 {
		return DefaultSession
	}
	return i.Session
}

// checkURL checks the URL of something that is to be trusted: https, or http on
// this very machine, which a deployment must allow besides. It has a host and
// neither user, query nor fragment.
func checkURL(field, s string) error {
	if len(s) < 1 || len(s) > maxURL {
		return secret.Limited(field, fmt.Sprintf("1 to %d bytes", maxURL))
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.ContainsAny(s, "# \\") ||
		secret.CheckLine(field, s) != nil {
		return secret.Invalid(field, "a URL without user, query and fragment")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u)) {
		return secret.Invalid(field, "must begin with https://")
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && isForbidden(addr, true) {
		return secret.Invalid(field, "must not be an address of the machine's own network")
	}
	return nil
}

// isLoopback reports whether a URL names this very machine.
func isLoopback(u *url.URL) bool {
	host := u.Hostname()
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}
