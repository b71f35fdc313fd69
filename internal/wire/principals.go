package wire

import (
	"time"

	"fastness/internal/secretbuf"
)

// Lists of the API.
type (
	TokenList     = List[TokenInfo]
	PrincipalList = List[Principal]
)

// Grant gives a role over the names that match one of the patterns; over all
// names without patterns.
type Grant struct {
	Role     string   `json:"role"`
	Patterns []string `json:"patterns,omitzero"`
}

// PrincipalCreateRequest makes a principal: of a tenant, or an operator, who
// has a name alone.
type PrincipalCreateRequest struct {
	Name        string  `json:"name"`
	Kind        string  `json:"kind,omitzero"` // person or service; absent: service
	Grants      []Grant `json:"grants,omitzero"`
	Service     string  `json:"service,omitzero"`
	Environment string  `json:"environment,omitzero"`
	Subject     string  `json:"subject,omitzero"`
}

// PrincipalUpdateRequest changes some of a principal. A field that is absent
// is left as it is; an empty one is taken away.
type PrincipalUpdateRequest struct {
	Grants      []Grant `json:"grants,omitzero"` // replaces all
	Service     *string `json:"service,omitzero"`
	Environment *string `json:"environment,omitzero"`
	Subject     *string `json:"subject,omitzero"`
}

// Principal is what is told of a principal.
type Principal struct {
	Name        string    `json:"name"`
	Kind        string    `json:"kind"`   // service, person or operator
	Grants      []Grant   `json:"grants"` // empty: left to each credential
	Service     string    `json:"service,omitzero"`
	Environment string    `json:"environment,omitzero"`
	Subject     string    `json:"subject,omitzero"` // how a provider names a person
	Created     time.Time `json:"created"`
	Disabled    time.Time `json:"disabled,omitzero"` // absent: enabled
	LastUsed    time.Time `json:"lastUsed,omitzero"` // the day; absent if never
	LastRead    time.Time `json:"lastRead,omitzero"` // the day of the last read of a value; absent if never
	Credentials int       `json:"credentials"`       // live ones
}

// TokenCreateRequest makes a token or an access key.
type TokenCreateRequest struct {
	Principal   string  `json:"principal"`
	Grants      []Grant `json:"grants,omitzero"` // absent: the principal's
	Service     string  `json:"service,omitzero"`
	Environment string  `json:"environment,omitzero"`
	ExpiresIn   string  `json:"expiresIn,omitzero"` // as "30d", "12h", "15m"; absent: never
}

// CredentialRotateRequest makes a credential that takes the place of another.
type CredentialRotateRequest struct {
	Overlap string `json:"overlap,omitzero"` // how long the old one lives on, as "1h"; absent: not at all
}

// TokenInfo is what is told of a credential: a bearer token or an access key.
type TokenInfo struct {
	ID          string    `json:"id"`
	Kind        string    `json:"kind"` // token or accessKey
	Principal   string    `json:"principal"`
	Grants      []Grant   `json:"grants"` // the principal's, if it has none of its own
	Service     string    `json:"service,omitzero"`
	Environment string    `json:"environment,omitzero"`
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires,omitzero"`  // absent: never
	Revoked     time.Time `json:"revoked,omitzero"`  // absent: live
	LastUsed    time.Time `json:"lastUsed,omitzero"` // the day; absent if never
	Source      string    `json:"source,omitzero"`   // how a session's token was come by; absent if it was made by hand
}

// TokenCreated is the reply to making a token, which is never told again.
// Encode it with Append alone.
type TokenCreated struct {
	TokenInfo
	Token *secretbuf.Buffer `json:"token"`
}

// Release wipes the token.
func (t TokenCreated) Release() { t.Token.Release() }

// AccessKeyCreated is the reply to making an access key, whose secret is never
// told again. Encode it with Append alone.
type AccessKeyCreated struct {
	TokenInfo
	SecretAccessKey *secretbuf.Buffer `json:"secretAccessKey"`
}

// Release wipes the secret.
func (k AccessKeyCreated) Release() { k.SecretAccessKey.Release() }
