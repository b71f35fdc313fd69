package store

import (
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/audit"
	"fastness/internal/secret"
)

// PendingBatch is a batch row that has not been sequenced.
type PendingBatch struct {
	Node    int64
	Batch   int64
	Records []audit.Record
}

// PlacedBatch is a batch row with its place in the tree.
type PlacedBatch struct {
	Node    int64
	Batch   int64
	First   int64 // leaf index of its first record
	Records []audit.Record
	Places  []byte // audit's encoding of each record's tenant sequence number and previous index
}

// TreeState is the tree as of the last sequencing.
type TreeState struct {
	Size int64
	Root tlog.Hash // of an empty tree: the RFC 6962 hash of nothing
}

// Run lists where a stretch of one tenant's entries stands in the tree.
type Run = audit.Run

// Checkpoint is a row: size and root commit before the signature is made, so
// that no two checkpoints of one size can be signed.
type Checkpoint struct {
	Size    int64
	Root    tlog.Hash
	Created time.Time
	Note    []byte // the signed note; nil until it is signed
}

// Redaction replaces the stored form of one record, which must be its
// redacted form.
type Redaction struct {
	Index  int64
	Record audit.Record
}

// LogReader reads the audit log. It is a role of its own beside audit.Tiles,
// which it implements, because proofs are computed by package audit.
type LogReader interface {
	audit.Tiles
	State() (TreeState, error)
	// Pending returns batches that wait for their place, about in the order of
	// their commits: of one node, a batch that was acknowledged before another
	// one's operation began comes first. They hold at most about limit records (at
	// least one batch).
	Pending(limit int) ([]PendingBatch, error)
	// Heads returns the last entry of each tenant that has one.
	Heads(tenants []secret.TenantName) (map[secret.TenantName]audit.Head, error)
	// Batches returns the placed batches that hold the leaves from (inclusive)
	// to (exclusive), in order.
	Batches(from, to int64) ([]PlacedBatch, error)
	// Runs returns a tenant's runs that hold sequence numbers from (inclusive)
	// on, in order.
	Runs(t secret.TenantName, from uint64, limit int) ([]Run, error)
	// Checkpoint returns the newest signed checkpoint of at most size;
	// size < 0 means the newest of all.
	Checkpoint(size int64) (*Checkpoint, error)
	// Unsigned returns the checkpoints that wait for their signature, by size.
	Unsigned() ([]Checkpoint, error)
}

// Placed is what one round of the sequencer writes.
type Placed struct {
	Old     TreeState // what the round started from; ErrStale if it has moved
	New     TreeState
	Batches []PlacedBatch // without Records
	Heads   map[secret.TenantName]audit.Head
	Runs    map[secret.TenantName]Run
	Tiles   map[audit.TileID][]byte
}

// LogWriter changes the audit log. New records come in through Tx.Audit.
type LogWriter interface {
	Place(*Placed) error
	// AddCheckpoint stores size and root, unsigned; ErrTaken if there is one of that size.
	AddCheckpoint(Checkpoint) error
	// SignCheckpoint adds the signed note to a stored checkpoint that has none.
	SignCheckpoint(size int64, note []byte) error
	// Redact replaces records in their batch rows.
	Redact([]Redaction) error
	// Drop deletes the batches that hold the leaves from (inclusive) to
	// (exclusive). Tiles, runs and checkpoints stay, and so does the last batch. Both
	// ends must be where stored batches begin: otherwise, or if they are gone
	// already, ErrStale.
	Drop(from, to int64) error
}
