// Package store is the contract between the service and a database: small
// roles inside an explicit transaction. It knows the domain's types and no
// database; each backend below it is native to its own, and all of them run
// the conformance suite in storetest.
//
// The contract in one paragraph. View gives a consistent snapshot for reading.
// Update runs one operation: everything it wrote and the audit records it
// left commit together, durable when Update returns; if the operation returns
// an error its writes are rolled back, alone, and its audit records commit all
// the same. Record commits audit records and nothing else. Concurrent Updates
// and Records share commits. Rows of a secret are reached only through a
// handle bound to one tenant, which cannot see past it.
//
// Rows come back as fresh copies that the caller may keep and change. Absent
// rows are ErrAbsent, never nil with nil; a list of what is not there is empty.
// Times are kept in UTC to the millisecond. Start with Store, Reader and Tx.
package store

import (
	"context"
	"errors"
	"time"

	"fastness/internal/audit"
	"fastness/internal/secret"
)

// Errors of every backend.
var (
	// ErrAbsent is a row that is not there, or not of this tenant.
	ErrAbsent = errors.New("no such row")
	// ErrTaken is a unique name, id or number that already exists.
	ErrTaken = errors.New("row exists already")
	// ErrStale is a compare-and-set that found another revision.
	ErrStale = errors.New("row has changed")
	// ErrInUse is a row that others still refer to.
	ErrInUse = errors.New("row is in use")
	// ErrFenced is a lease that somebody else holds now.
	ErrFenced = errors.New("lease is not held")
	// ErrUnavailable is a store that cannot be written or read now: disk full,
	// closed, connection lost. Nothing was acknowledged.
	ErrUnavailable = errors.New("store is unavailable")
	// ErrUnknownOutcome is a commit of which nobody knows whether it happened.
	ErrUnknownOutcome = errors.New("outcome of the commit is unknown")
	// ErrNewerSchema is a store written by a newer release.
	ErrNewerSchema = errors.New("store has a newer schema than this release knows")
	// ErrOlderSchema is a store that an older release has written, and that is
	// not to be brought up to date here: it is only read.
	ErrOlderSchema = errors.New("store has the schema of an older release")
	// ErrLocked is an embedded store that another process has open.
	ErrLocked = errors.New("store is in use by another process")
)

// Store is a database. Safe for concurrent use.
type Store interface {
	// View runs f over a snapshot. It may run f again, after a transient fault or on
	// a later snapshot, so f must not keep effects of a run that failed. f must not
	// retain the Reader.
	View(ctx context.Context, f func(Reader) error) error

	// Look is View for an f that reads once, by a key, and so needs no snapshot: it
	// is cheaper where a snapshot costs. A second read by f may fail.
	Look(ctx context.Context, f func(Reader) error) error

	Snapshotter

	// Update runs f in a transaction, durable on return. It may run f again
	// after a serialization failure; only the last run counts. An error of f
	// rolls back what f wrote, keeps what f recorded, and is returned once the
	// records are durable. f must be quick, and must not use the Store.
	//
	// If ctx ends while f waits for its turn, f does not run and Update returns
	// the context's error; once f has run, Update waits for the outcome.
	Update(ctx context.Context, f func(Tx) error) error

	// Record commits audit records, durable on return, without running
	// anything in the transaction. It is the cheap way for an access that
	// changes no row.
	Record(ctx context.Context, records ...audit.Record) error

	// Stats tells sizes for the metrics. It may be some seconds old.
	Stats(ctx context.Context) (Stats, error)

	// Scrub makes what was deleted unreadable in the store's files: after a
	// purge or an erasure it empties write-ahead logs. It may wait for readers.
	Scrub(ctx context.Context) error

	// Close waits for running operations and closes the database.
	Close() error
}

// Epochs is an optional ability of a Store that one process has to itself: it
// lets the service keep rows that were read lately. An epoch is a number that
// has changed before any Update that touched its rows returns. Rows that were
// read after the number was, while the number is still the same, are the
// current ones, or their change has not been acknowledged yet.
type Epochs interface {
	// IdentityEpoch is that of who a caller is and what it may do: of what
	// EditTenants, EditPrincipals and EditCredentials change, and EditDocuments of
	// documents that do not expire.
	IdentityEpoch() uint64
	// SecretsEpoch is that of a tenant's secrets: of what EditSecrets changes.
	SecretsEpoch(secret.TenantID) uint64
}

// Stats are sizes of a store.
type Stats struct {
	DataBytes    int64  // of all files or tables
	LogBytes     int64  // of the write-ahead log, if the store has one of its own
	GroupCommits uint64 // commits so far
	GroupedOps   uint64 // operations and records that shared them
	Retries      uint64 // runs of operations that met another transaction and were repeated
}

// Reader reads a snapshot. It lives within one View or Update, uses that
// call's context, and is not safe for concurrent use.
type Reader interface {
	// Meta reads a deployment-wide value; ErrAbsent if it was never set.
	Meta(key string) ([]byte, error)
	Tenants() TenantReader
	// Secrets is the handle to one tenant's secrets.
	Secrets(secret.TenantID) SecretReader
	Principals() PrincipalReader
	Credentials() CredentialReader
	Documents() DocumentReader
	Log() LogReader
	Rows() RowReader
}

// Ahead is an optional ability of the Reader of a View to which every look is a
// journey.
type Ahead interface {
	// Ahead takes the looks that f makes on one journey, perhaps with those of others,
	// for when they are made again, in that order. Within f they all fail. Other looks
	// are as right as ever, though they may make the View run again.
	Ahead(f func(Reader))
}

// LookAhead tells a Reader which looks come next, if it cares to know.
func LookAhead(r Reader, f func(Reader)) {
	if a, ok := r.(Ahead); ok {
		a.Ahead(f)
	}
}

// Tx reads and writes. Reads see the transaction's own writes.
type Tx interface {
	Reader
	// Audit adds a record to those that commit with this operation, whether it
	// succeeds or returns an error.
	Audit(audit.Record)
	// SetMeta replaces a deployment-wide value if it still is old (nil: absent),
	// otherwise ErrStale. A nil value deletes it.
	SetMeta(key string, old, new []byte) error
	EditTenants() TenantWriter
	EditSecrets(secret.TenantID) SecretWriter
	EditPrincipals() PrincipalWriter
	EditCredentials() CredentialWriter
	EditDocuments() DocumentWriter
	EditLog() LogWriter
	AddRows() RowWriter
	Leases() Leases
}

// TenantState says what a tenant may do.
type TenantState uint8

// The states of a tenant. Erased is for ever.
const (
	Active TenantState = iota
	Suspended
	Erased
)

// String returns the state as users see it.
func (s TenantState) String() string {
	return [...]string{"active", "suspended", "erased"}[s]
}

// Tenant is a row.
type Tenant struct {
	ID        secret.TenantID
	Name      secret.TenantName
	Account   secret.AccountNumber
	State     TenantState
	Algorithm secret.Algorithm // default of new secrets
	Key       uint32           // number of the KEK that seals new versions
	Created   time.Time
	Revision  int64
}

// TenantKey is a KEK as stored: wrapped by the root key.
type TenantKey struct {
	Number    uint32
	KEK       []byte // wrapped
	KEMPublic []byte // nil until the first hybrid use
	KEMSeed   []byte // wrapped; nil until the first hybrid use
	Created   time.Time
}

// OwnedKey is a TenantKey with its owner, for the walk over all of them.
type OwnedKey struct {
	Tenant secret.TenantID
	TenantKey
}

// TenantReader reads tenants and their wrapped keys.
type TenantReader interface {
	Tenant(secret.TenantID) (*Tenant, error)
	ByName(secret.TenantName) (*Tenant, error)
	ByAccount(secret.AccountNumber) (*Tenant, error)
	// List returns tenants, erased ones too, by name, from after (exclusive).
	List(after secret.TenantName, limit int) ([]*Tenant, error)
	Key(t secret.TenantID, number uint32) (*TenantKey, error)
	// Keys returns all keys of a tenant by number.
	Keys(secret.TenantID) ([]*TenantKey, error)
	// AllKeys walks the keys of all tenants in the order (tenant, number), from
	// (after, number) exclusive: for re-wrapping under a new root key.
	AllKeys(after secret.TenantID, number uint32, limit int) ([]*OwnedKey, error)
	// Count counts all tenants, erased ones too.
	Count() (int64, error)
	// Expired lists secrets of all tenants whose recovery window ended by t,
	// by an index, oldest first.
	Expired(t time.Time, limit int) ([]SecretRef, error)
	// Work lists secrets of all active tenants whose WorkAt is not after t and
	// which are not deleted, by an index, oldest first.
	Work(t time.Time, limit int) ([]SecretRef, error)
	// WorkLoad counts those of Work whose WorkAt is after from and not after to,
	// and whose NextRotation is not after due, by the same index; and tells the
	// earliest NextRotation among them, zero if there are none.
	WorkLoad(from, to, due time.Time) (n int64, earliest time.Time, err error)
}

// SecretRef names a secret of any tenant.
type SecretRef struct {
	Tenant secret.TenantID
	ID     secret.ID
	Name   secret.Name
}

// TenantWriter changes tenants and their wrapped keys.
type TenantWriter interface {
	// Create adds a tenant; ErrTaken if name, account or id was ever used.
	Create(*Tenant) error
	// Update replaces the row if its revision still is t.Revision, which it
	// then raises, in t too; otherwise ErrStale. Id, name and account never change.
	Update(t *Tenant) error
	// PutKey adds a key, or replaces the one with its number.
	PutKey(secret.TenantID, *TenantKey) error
	DeleteKey(t secret.TenantID, number uint32) error
	// Erase destroys a tenant's keys, secrets, versions, credentials, principals
	// and documents. The tenant's row stays, so that name and account are never
	// used again.
	Erase(secret.TenantID) error
}

// Secret is a row: a secret's metadata and where its labels are.
type Secret struct {
	ID           secret.ID
	Name         secret.Name
	Metadata     secret.Metadata
	AWS          secret.AWS
	Labels       map[secret.Label]secret.Version
	Last         secret.Version // the highest number ever given
	Versions     int            // how many are stored; kept by the service
	Created      time.Time
	Changed      time.Time
	LastRotated  time.Time
	NextRotation time.Time
	Deletion     time.Time // zero if not deleted
	WorkAt       time.Time // when the rotation worker is to look at it; zero for never
	Revision     int64
}

// Version is a row: an envelope and what it seals.
type Version struct {
	Number     secret.Version
	ID         secret.VersionID
	Kind       secret.Kind
	Algorithm  secret.Algorithm
	Key        uint32 // number of the KEK that wraps the envelope
	Envelope   []byte
	Ciphertext []byte // nil in listings
	Created    time.Time
	LastRead   int32 // day of the last read, in days since 1970-01-01; 0 if never
	// CallerRead is the day on which the principal of the Find last read this
	// version; 0 if it never did.
	CallerRead int32
}

// Usage is how much a tenant has stored, secrets in their recovery window and
// versions without a label included.
type Usage struct {
	Secrets  int64
	Versions int64
	Bytes    int64 // of the versions' envelopes and ciphertexts
}

// Selector picks a version, of which all that is set must be true. The zero
// value picks the label Current.
type Selector struct {
	Number secret.Version
	ID     secret.VersionID
	Label  secret.Label
}

// Query asks for a page of secrets, ordered by name.
type Query struct {
	Prefix    string
	After     secret.Name // exclusive
	DueBefore time.Time   // if set: only those with required rotation due by then
	Deleted   bool        // only those in their recovery window; otherwise only those not
	Limit     int
}

// Consumer tells that a principal has read a version.
type Consumer struct {
	Principal string
	Version   secret.Version
	Day       int32 // days since 1970-01-01
}

// VersionRef names a version within a tenant.
type VersionRef struct {
	Secret secret.ID
	Number secret.Version
}

// SecretReader reads one tenant's secrets.
type SecretReader interface {
	Secret(secret.Name) (*Secret, error)
	// Find returns a secret and one of its versions. The secret comes without
	// version, and with ErrAbsent, if only the version is not there.
	Find(name secret.Name, sel Selector, principal string) (*Secret, *Version, error)
	// Versions lists versions by number from after (exclusive), without ciphertext.
	Versions(id secret.ID, after secret.Version, limit int) ([]*Version, error)
	// Version returns one version by number.
	Version(id secret.ID, number secret.Version) (*Version, error)
	List(Query) ([]*Secret, error)
	// NotUnderKey walks the versions of all secrets whose envelope is wrapped by
	// another KEK than number, in the order (secret, number), from after
	// (exclusive), without ciphertext.
	NotUnderKey(number uint32, after VersionRef, limit int) ([]VersionRef, error)
	// Consumers lists who has read which version of a secret.
	Consumers(secret.ID) ([]Consumer, error)
	// Usage tells how much the tenant has stored, by counters.
	Usage() (Usage, error)
}

// SecretWriter changes one tenant's secrets.
type SecretWriter interface {
	// Create adds a secret; ErrTaken if the name or id is in use.
	Create(*Secret) error
	// Update replaces the row if its revision still is s.Revision, which it
	// then raises, in s too; otherwise ErrStale. Id and name never change.
	Update(s *Secret) error
	// Purge deletes the secret, its versions and its consumers.
	Purge(secret.ID) error
	// AddVersion adds a version; ErrTaken if its number or id is in use.
	AddVersion(secret.ID, *Version) error
	// Rewrap replaces a version's envelope, algorithm and key number if it still
	// is old, otherwise ErrStale.
	Rewrap(id secret.ID, v *Version, old []byte) error
	DeleteVersion(id secret.ID, number secret.Version) error
	// Touch notes that principal read the version on that day. At most
	// secret.MaxConsumers principals are kept a version, newest days first.
	Touch(ref VersionRef, principal string, day int32) error
}

// Leases are fenced locks in the database, for work that only one node does.
type Leases interface {
	// Acquire takes the lease, or renews it for its holder, until now+ttl, and
	// returns its fencing number, which rises whenever the holder changes;
	// ErrFenced while another holds it.
	Acquire(name, holder string, now time.Time, ttl time.Duration) (fence int64, err error)
	// Check returns ErrFenced unless the lease has this fencing number. Within
	// an Update it protects every write of the transaction.
	Check(name string, fence int64) error
	// Release gives the lease up, if it still has this fencing number.
	Release(name string, fence int64) error
}
