package store

import (
	"context"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/audit"
	"fastness/internal/secret"
)

// The roles in this file carry whole stores: to another database, to a backup
// and back. They show rows as they are, sealed, and know no more of them than
// the other roles do. Leases do not travel: they are of the nodes that run.

// MetaLoading is the meta row that a store has while it is being filled. The
// service does not open such a store.
const MetaLoading = "loading"

// Snapshotter reads for long: what of a Store those need who read all of it.
type Snapshotter interface {
	// Snapshot runs f over a snapshot that may last for hours, on a connection of
	// its own. It runs f once. Who writes goes on meanwhile, but what it has to
	// keep for the snapshot grows.
	Snapshot(ctx context.Context, f func(Reader) error) error
}

// MetaRow is a deployment-wide value.
type MetaRow struct {
	Key  string
	Data []byte
}

// VersionRow is a version with its secret.
type VersionRow struct {
	Secret secret.ID
	Version
}

// ConsumerRow is a consumer of a secret. The principal "" stands for all of
// them: its day is the version's LastRead.
type ConsumerRow struct {
	Secret secret.ID
	Consumer
}

// RunRow is a run with the entry that ends it.
type RunRow struct {
	Run
	Last int64     // its leaf index
	Hash tlog.Hash // its leaf's
}

// Tile is a part of the tree.
type Tile struct {
	ID   audit.TileID
	Data []byte
}

// Lease is a lease that somebody holds.
type Lease struct {
	Name, Holder string
	Expires      time.Time
}

// RowReader lists what no other role lists whole, in one order in every
// backend. Texts are in the order of their bytes.
type RowReader interface {
	// Metas returns all deployment-wide values, by key.
	Metas() ([]MetaRow, error)
	// Secrets returns a tenant's secrets, deleted ones too, by name from after (exclusive).
	Secrets(t secret.TenantID, after secret.Name, limit int) ([]*Secret, error)
	// Versions returns a tenant's versions with their ciphertext in the order
	// (secret, number), from after (exclusive). LastRead is left out.
	Versions(t secret.TenantID, after VersionRef, limit int) ([]*VersionRow, error)
	// Consumers returns a tenant's consumers in the order (secret, version,
	// principal), from after (exclusive).
	Consumers(t secret.TenantID, after ConsumerRow, limit int) ([]ConsumerRow, error)
	// Documents returns an owner's documents in the order (kind, id), from after (exclusive).
	Documents(owner secret.TenantID, after DocumentRef, limit int) ([]*Document, error)
	// Runs returns a tenant's runs that begin after a sequence number, in order.
	Runs(t secret.TenantName, after uint64, limit int) ([]RunRow, error)
	// Tiles returns tiles in the order (level, number), from one on (inclusive).
	Tiles(from audit.TileID, limit int) ([]Tile, error)
	// Checkpoints returns checkpoints, unsigned ones too, by size from after (exclusive).
	Checkpoints(after int64, limit int) ([]Checkpoint, error)
	// Held lists the leases that somebody holds, by name.
	Held(now time.Time) ([]Lease, error)
}

// RowWriter adds rows that no other role adds as they are. What is there
// already, or belongs to nobody, is an error.
type RowWriter interface {
	Consumer(secret.TenantID, ConsumerRow) error
	// Batch adds a placed batch. Node and number become this store's own;
	// batches come in the order of their places, and before all that are pending.
	Batch(PlacedBatch) error
	// Pending adds a batch that waits, behind those that do. Its number is
	// more than the leaf index of every placed record.
	Pending(number int64, records []audit.Record) error
	Run(secret.TenantName, RunRow) error
	Tile(Tile) error
	// Tree sets size and root of a log that is empty: otherwise ErrStale.
	Tree(TreeState) error
	// Checkpoint adds a checkpoint, signed or not.
	Checkpoint(Checkpoint) error
}
