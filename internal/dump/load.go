package dump

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
)

var (
	// ErrOccupied is a store that is to be filled and has something in it that
	// this very load has not put there.
	ErrOccupied = errors.New("the target has data in it already; nothing was changed")
	// ErrChanged is a stream that is not the one whose load began.
	ErrChanged = errors.New("the source has changed since its rows began to be loaded; empty the target and begin again")
)

const (
	// chunkRows and chunkBytes bound what one transaction loads, some tenths of a
	// second's work.
	chunkRows  = 500
	chunkBytes = 4 << 20
)

// progress is the row that a store has while it is filled: it commits with what
// it tells of.
type progress struct {
	From   string `json:"from"` // what is loaded
	Rows   int64  `json:"rows"`
	Digest string `json:"digest"` // of those rows
}

// Loader fills an empty store with a stream of rows, in chunks that are each a
// transaction. Killed at any point, another Loader with the same stream goes on
// where it was; meanwhile the store has the row store.MetaLoading. Not safe for
// concurrent use.
type Loader struct {
	ctx    context.Context
	store  store.Store
	done   progress // as stored
	stored []byte   // its row; nil before the first chunk

	first  func(store.Tx) error // runs with the first chunk, in a store that stays open
	digest Digest
	chunk  []*Row
	bytes  int
}

// NewLoader prepares to fill a store. from names the stream: a store that is
// half filled goes on with the same one only, and one that has anything else in
// it is ErrOccupied.
func NewLoader(ctx context.Context, s store.Store, from string) (*Loader, error) {
	l := &Loader{ctx: ctx, store: s, done: progress{From: from}}
	err := s.View(ctx, func(r store.Reader) (err error) {
		l.stored, err = r.Meta(store.MetaLoading)
		if errors.Is(err, store.ErrAbsent) {
			l.stored = nil
			return checkEmpty(r)
		}
		return err
	})
	if err != nil || l.stored == nil {
		return l, err
	}
	if err := json.Unmarshal(l.stored, &l.done); err != nil {
		return nil, fmt.Errorf("reading how far the target was filled: %w", err)
	}
	if l.done.From != from {
		return nil, fmt.Errorf("%w: it is half filled from another source", ErrOccupied)
	}
	return l, nil
}

// NewLoaderInto prepares to add a stream of rows to a store that has others and
// stays open, and to run first in the transaction of the first of them. Cut off,
// it leaves what it had added.
func NewLoaderInto(ctx context.Context, s store.Store, first func(store.Tx) error) *Loader {
	return &Loader{ctx: ctx, store: s, first: first}
}

// errFound ends a reading at the first row.
var errFound = errors.New("found")

// checkEmpty refuses a store that has any row but those of an empty one.
func checkEmpty(r store.Reader) error {
	err := Read(r, func(row *Row) error {
		if row.Tree != nil && row.Tree.Size == 0 {
			return nil
		}
		return errFound
	})
	if errors.Is(err, errFound) {
		return ErrOccupied
	}
	return err
}

// Resumed is how many rows were loaded before.
func (l *Loader) Resumed() int64 { return l.done.Rows }

// Row loads a row, or passes over it if it is loaded already.
func (l *Loader) Row(r *Row) error {
	line, err := l.digest.Add(r)
	if err != nil {
		return err
	}
	if l.digest.Rows <= l.done.Rows {
		if l.digest.Rows == l.done.Rows && hex.EncodeToString(l.digest.Sum[:]) != l.done.Digest {
			return ErrChanged
		}
		return nil
	}
	l.chunk = append(l.chunk, r)
	if l.bytes += len(line); len(l.chunk) < chunkRows && l.bytes < chunkBytes {
		return nil
	}
	return l.flush()
}

// RowBut is Row, but the row is there already: it only counts.
func (l *Loader) RowBut(r *Row, there bool) error {
	if !there {
		return l.Row(r)
	}
	_, err := l.digest.Add(r)
	return err
}

// flush commits the chunk.
func (l *Loader) flush() error {
	if len(l.chunk) == 0 {
		return nil
	}
	done := progress{l.done.From, l.digest.Rows, hex.EncodeToString(l.digest.Sum[:])}
	row, err := json.Marshal(done)
	if err != nil {
		return err
	}
	err = l.store.Update(l.ctx, func(tx store.Tx) error {
		if l.first != nil && l.done.Rows == 0 {
			if err := l.first(tx); err != nil {
				return err
			}
		}
		for _, r := range l.chunk {
			if err := add(tx, r); err != nil {
				return fmt.Errorf("loading a row of kind %s: %w", r.Kind(), err)
			}
		}
		if l.first != nil {
			return nil
		}
		return tx.SetMeta(store.MetaLoading, l.stored, row)
	})
	if err != nil {
		return err
	}
	l.done, l.stored = done, row
	clear(l.chunk)
	l.chunk, l.bytes = l.chunk[:0], 0
	return nil
}

// Flush commits what is left at the end of the stream, and returns its digest.
// The store is still one that is being filled.
func (l *Loader) Flush() (*Digest, error) {
	if err := l.flush(); err != nil {
		return nil, err
	}
	if l.digest.Rows < l.done.Rows {
		return nil, ErrChanged
	}
	return &l.digest, nil
}

// Finish opens a store to the service that a Loader has filled. If it is open
// already nothing happens.
func Finish(ctx context.Context, s store.Store) error {
	return s.Update(ctx, func(tx store.Tx) error {
		stored, err := tx.Meta(store.MetaLoading)
		if errors.Is(err, store.ErrAbsent) {
			return nil
		}
		if err != nil {
			return err
		}
		return tx.SetMeta(store.MetaLoading, stored, nil)
	})
}

// add adds a row to a store.
func add(tx store.Tx, r *Row) error {
	switch {
	case r.Meta != nil:
		return tx.SetMeta(r.Meta.Key, nil, r.Meta.Data)
	case r.Tenant != nil:
		return tx.EditTenants().Create(r.Tenant.Tenant)
	case r.Key != nil:
		return tx.EditTenants().PutKey(secret.TenantID(r.Key.Tenant), r.Key.TenantKey)
	case r.Principal != nil:
		return tx.EditPrincipals().Create(r.Principal.Principal)
	case r.Credential != nil:
		return tx.EditCredentials().Create(r.Credential.Credential)
	case r.Document != nil:
		return tx.EditDocuments().Create(r.Document.Document)
	case r.Secret != nil:
		return tx.EditSecrets(secret.TenantID(r.Secret.Tenant)).Create(r.Secret.Secret)
	case r.Version != nil:
		return tx.EditSecrets(secret.TenantID(r.Version.Tenant)).AddVersion(secret.ID(r.Version.Secret), r.Version.Version)
	case r.Consumer != nil:
		return tx.AddRows().Consumer(secret.TenantID(r.Consumer.Tenant),
			store.ConsumerRow{Secret: secret.ID(r.Consumer.Secret), Consumer: *r.Consumer.Consumer})
	}
	return addLog(tx.AddRows(), r)
}

func addLog(w store.RowWriter, r *Row) error {
	switch {
	case r.Run != nil:
		return w.Run(r.Run.Tenant, store.RunRow{Run: *r.Run.Run, Last: r.Run.Last, Hash: r.Run.Hash})
	case r.Checkpoint != nil:
		return w.Checkpoint(*r.Checkpoint.Checkpoint)
	case r.Batch != nil:
		return w.Batch(store.PlacedBatch{First: r.Batch.First, Places: r.Batch.Places, Records: r.Batch.Records})
	case r.Pending != nil:
		return w.Pending(r.Pending.Number, r.Pending.Records)
	case r.Tile != nil:
		return w.Tile(store.Tile{ID: audit.TileID{Level: r.Tile.Level, N: r.Tile.N}, Data: r.Tile.Data})
	case r.Tree != nil && r.Tree.Size > 0:
		return w.Tree(store.TreeState{Size: r.Tree.Size, Root: r.Tree.Root})
	case r.Tree != nil:
		return nil // a log is made empty
	case r.Head != nil, r.Archive != nil:
		return nil // they follow from other rows
	}
	return ErrFormat
}
