package store

import (
	"time"

	"fastness/internal/secret"
)

// Document is a row: something small that a tenant or the deployment keeps,
// which the store knows only by its address and never looks into. Owner, kind
// and id never change.
type Document struct {
	Owner    secret.TenantID // zero for the deployment
	Kind, ID string
	Data     []byte    // read in the clear
	Sealed   []byte    // what must be destroyed for good when it is deleted; nil if nothing
	Key      uint32    // the number of the KEK that seals it; 0 if nothing is sealed
	Expires  time.Time // from when it may be dropped; zero: never
	Created  time.Time
	Changed  time.Time
	Revision int64
}

// DocumentRef names a document of an owner.
type DocumentRef struct{ Kind, ID string }

// DocumentReader reads documents. It knows no clock: one that has expired and
// was not dropped yet is returned, and it is the service that does without it.
type DocumentReader interface {
	Document(owner secret.TenantID, kind, id string) (*Document, error)
	// Documents lists an owner's documents of a kind whose ids begin with prefix,
	// by id from after (exclusive).
	Documents(owner secret.TenantID, kind, prefix, after string, limit int) ([]*Document, error)
	// NotUnderKey walks an owner's documents with a sealed part that is under
	// another KEK than number, in the order (kind, id), from after (exclusive).
	NotUnderKey(owner secret.TenantID, number uint32, after DocumentRef, limit int) ([]*Document, error)
}

// DocumentWriter changes documents.
type DocumentWriter interface {
	// Create adds a document; ErrTaken if there is one of this kind and id,
	// unless that had expired when d was created, and is replaced. ErrAbsent if
	// there is no such owner.
	Create(d *Document) error
	// Update replaces the row if its revision still is d.Revision, which it then
	// raises, in d too; otherwise ErrStale.
	Update(d *Document) error
	Delete(owner secret.TenantID, kind, id string) error
	// Expire drops documents of all owners that had expired by now, by an index,
	// at most limit, and returns how many.
	Expire(now time.Time, limit int) (int, error)
}
