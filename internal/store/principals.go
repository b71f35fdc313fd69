package store

import (
	"time"

	"fastness/internal/policy"
	"fastness/internal/secret"
)

// PrincipalKind tells services, people and operators apart.
type PrincipalKind uint8

// The kinds of principal. Stores keep their numbers.
const (
	Service PrincipalKind = iota
	Person
	OperatorKind // of the deployment, and of no tenant
)

// String returns the kind as users see it.
func (k PrincipalKind) String() string {
	return [...]string{"service", "person", "operator"}[k]
}

// Principal is a row: who credentials belong to. Tenant, name and kind never
// change.
type Principal struct {
	Tenant secret.TenantID // zero for an operator
	Name   string
	Kind   PrincipalKind
	// Grants bound what each of its credentials may do. Nil sets no bound and
	// leaves it to the credentials; a list that is there but empty gives nothing.
	Grants      []policy.Grant
	Service     string             // of a service; "" if it has none
	Environment secret.Environment // of a service; "" if it has none
	Subject     string             // how a provider names a person, unique in the tenant; "" if none does
	Created     time.Time
	Disabled    time.Time // zero: enabled
	LastUsed    int32     // day of the last use of a credential, in days since 1970-01-01; 0 if never
	LastRead    int32     // day on which it last read a value; 0 if never
	Revision    int64
}

// PrincipalReader reads the principals of tenants, and the operators, who are
// those of the zero tenant.
type PrincipalReader interface {
	Principal(t secret.TenantID, name string) (*Principal, error)
	// BySubject finds the person whom a provider calls so; nobody has subject "".
	BySubject(t secret.TenantID, subject string) (*Principal, error)
	// List returns a tenant's principals, disabled ones too, by name from after
	// (exclusive).
	List(t secret.TenantID, after string, limit int) ([]*Principal, error)
	// Count tells how many principals a tenant has, by a counter.
	Count(secret.TenantID) (int64, error)
}

// PrincipalWriter changes principals.
type PrincipalWriter interface {
	// Create adds a principal; ErrTaken if its name or subject is in use,
	// ErrAbsent if there is no such tenant.
	Create(*Principal) error
	// Update replaces the row if its revision still is p.Revision, which it then
	// raises, in p too; otherwise ErrStale. ErrTaken if its subject is another's.
	Update(p *Principal) error
	// Delete removes a principal; ErrInUse while it has credentials.
	Delete(t secret.TenantID, name string) error
}

// CredentialKind tells tokens from access keys.
type CredentialKind uint8

// The kinds of credential.
const (
	Token CredentialKind = iota
	AccessKey
)

// Credential is a row: how a principal proves who it is, and what it may do.
// Id, kind, tenant and principal never change.
type Credential struct {
	ID        string // "tok_…", or the 20 characters of an access key
	Kind      CredentialKind
	Tenant    secret.TenantID // zero for an operator
	Principal string          // its name
	Hash      [32]byte        // SHA-256 of a token; zero for an access key
	Sealed    []byte          // an access key's secret under the tenant's KEK
	Key       uint32          // the number of that KEK
	// Grants narrow what the principal's grants give. Nil leaves it to them; if
	// neither has any, nothing is given.
	Grants      []policy.Grant
	Service     string
	Environment secret.Environment
	Created     time.Time
	Expires     time.Time // zero: never
	Revoked     time.Time // zero: live
	LastUsed    int32     // day, in days since 1970-01-01; 0 if never
	MFA         time.Time // when a second factor was last given with it; zero if never
	Locked      bool      // of no use before a second factor was given
	Source      string    // how it was come by, "login:…" or "exchange:…"; "" if it was created by hand
	Revision    int64
}

// Identity is a credential with its principal, and its tenant's row, which is
// nil for an operator.
type Identity struct {
	Credential *Credential
	Principal  *Principal
	Tenant     *Tenant
}

// CredentialReader reads credentials.
type CredentialReader interface {
	// ByHash finds a token.
	ByHash([32]byte) (*Identity, error)
	// ByID finds any credential.
	ByID(id string) (*Identity, error)
	// List returns a tenant's credentials, revoked ones too, by id from after (exclusive).
	List(t secret.TenantID, after string, limit int) ([]*Credential, error)
	// OfPrincipal returns a principal's credentials, revoked ones too, by id.
	OfPrincipal(t secret.TenantID, principal string, limit int) ([]*Credential, error)
	// Ended returns a tenant's credentials that had expired or been revoked by
	// then, by an index, those that ended first first.
	Ended(t secret.TenantID, by time.Time, limit int) ([]*Credential, error)
	// Count tells how many credentials a tenant has, ended ones too, by a counter.
	Count(secret.TenantID) (int64, error)
}

// CredentialWriter changes credentials.
type CredentialWriter interface {
	// Create adds a credential; ErrTaken if its id or hash is in use, ErrAbsent
	// if there is no such principal.
	Create(*Credential) error
	// Update replaces the row if its revision still is c.Revision, which it then
	// raises, in c too; otherwise ErrStale. ErrAbsent if it is not there, or is
	// another principal's.
	Update(c *Credential) error
	// Delete removes a credential's row; ErrAbsent if it is not there.
	Delete(id string) error
}
