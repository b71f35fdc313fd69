package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// ExportOptions say what an export shows besides the entries.
type ExportOptions struct {
	// Nonce is of the caller's choosing and stands in the export's own entry:
	// it shows that the export was made after it was chosen.
	Nonce string
	// Since is an older signed checkpoint to prove consistency with. Those that
	// were handed out to the tenant are proved in any case.
	Since []byte
	// Archived has entries that were archived left out, for whoever has the archive
	// to put them in (audit.FillBundle). Otherwise an export that would need them is
	// secret.ErrArchived.
	Archived bool
}

// exportChunk is how many entries are read from one snapshot.
const exportChunk = 1000

// Export writes the log, with proofs, under a checkpoint made for it. The
// export is itself an entry: a tenant's last one in its bundle.
func (a *Audit) Export(ctx context.Context, w io.Writer, o ExportOptions) error {
	e := a.entry(audit.AuditExport)
	err := a.prepareExport(ctx, &e, o)
	if err := a.vault.conclude(ctx, e, err); err != nil {
		return err
	}
	c, err := a.vault.checkpoint(ctx)
	if err != nil {
		return a.vault.answer(err)
	}
	return a.vault.answer(a.writeBundle(ctx, w, e, c))
}

// prepareExport checks an export before its entry is written: after that only
// a fault of ours can stop it. The entry names the size of the older
// checkpoint, which is how the bundle comes to prove consistency with it.
func (a *Audit) prepareExport(ctx context.Context, e *audit.Entry, o ExportOptions) error {
	if err := a.vault.store.View(ctx, a.authorize); err != nil {
		return err
	}
	if len(o.Nonce) > audit.MaxNonce {
		return secret.Limited("nonce", fmt.Sprintf("at most %d bytes", audit.MaxNonce))
	}
	if o.Nonce != audit.Clean(o.Nonce, audit.MaxNonce) {
		return secret.Invalid("nonce", "valid UTF-8 without control characters")
	}
	e.Nonce = o.Nonce
	if !o.Archived {
		if err := a.vault.store.View(ctx, a.whole); err != nil {
			return err
		}
	}
	if len(o.Since) == 0 {
		return nil
	}
	older, err := audit.ParseCheckpoint(o.Since)
	if err != nil || older.Origin != a.vault.origin() {
		return secret.Invalid("since", "a checkpoint of this log")
	}
	tree, err := a.treeSize(ctx)
	if err != nil {
		return err
	}
	if older.Size < 1 || older.Size > tree {
		return secret.Invalid("since", "a checkpoint no larger than the log")
	}
	e.TreeSize = older.Size
	return nil
}

// whole refuses a part of the log of which entries were archived.
func (a *Audit) whole(r store.Reader) error {
	w, err := a.walk(r, false, -1)
	if err == nil && w.first > w.lowest {
		err = secret.Archived(w.kept.Size)
	}
	return err
}

func (a *Audit) treeSize(ctx context.Context) (int64, error) {
	var tree store.TreeState
	err := a.vault.store.View(ctx, func(r store.Reader) error {
		var err error
		tree, err = r.Log().State()
		return err
	})
	return tree.Size, err
}

// snapshotTiles lets proofs go on over one snapshot after the other: what
// stands in the tree of a size never changes.
type snapshotTiles struct{ log store.LogReader }

func (s *snapshotTiles) ReadTiles(ids []audit.TileID) ([][]byte, error) { return s.log.ReadTiles(ids) }

func (a *Audit) writeBundle(ctx context.Context, w io.Writer, e audit.Entry, c *store.Checkpoint) error {
	h, at, err := a.header(ctx, e, c)
	if err != nil {
		return err
	}
	tiles := &snapshotTiles{}
	var spool bytes.Buffer // a slow receiver must not hold a snapshot
	b, err := audit.NewBundleWriter(&spool, h, audit.NewHashReader(c.Size, tiles))
	if err != nil {
		return err
	}
	for end := at + h.Entries; at < end; {
		err := a.vault.store.View(ctx, func(r store.Reader) (err error) {
			tiles.log = r.Log()
			at, err = a.addEntries(b, r, at, min(at+exportChunk, end))
			return err
		})
		if err != nil {
			return err
		}
		if _, err := spool.WriteTo(w); err != nil {
			return err
		}
	}
	err = a.vault.store.View(ctx, func(r store.Reader) error {
		tiles.log = r.Log()
		return b.Close(c.Note)
	})
	if err != nil {
		return err
	}
	_, err = spool.WriteTo(w)
	return err
}

// header makes the bundle's header, and tells the position of its first entry.
func (a *Audit) header(ctx context.Context, e audit.Entry, c *store.Checkpoint) (h audit.BundleHeader, first int64, err error) {
	h = audit.BundleHeader{
		Origin: a.vault.origin(), Tenant: a.tenant, Nonce: e.Nonce, Exported: e.Timestamp,
		Entries: c.Size, Tree: tlog.Tree{N: c.Size, Hash: c.Root},
	}
	if a.tenant != "" {
		first = 1
		h.Entries, err = a.exportEntry(ctx, e, c.Size)
	}
	return h, first, err
}

// addEntries writes the entries at the positions from at to end, exclusive.
func (a *Audit) addEntries(b *audit.BundleWriter, r store.Reader, at, end int64) (int64, error) {
	w, err := a.walk(r, false, at)
	if err != nil {
		return at, err
	}
	if w.beyond {
		return w.stubs(b, at, min(w.first, end))
	}
	for at < end {
		places, err := w.find(at, min(at+walkChunk, end)-1)
		if err != nil {
			return at, err
		}
		if len(places) == 0 {
			return at, fmt.Errorf("%w: no place for entry %d", errBrokenLog, at)
		}
		for _, p := range places {
			place, err := w.own(p)
			if err != nil {
				return at, err
			}
			if err := b.Add(p.index, place, w.record); err != nil {
				return at, err
			}
			at++
		}
	}
	return at, nil
}

// stubs writes what stands for the archived entries at the positions from at to
// end, exclusive.
func (w *walker) stubs(b *audit.BundleWriter, at, end int64) (int64, error) {
	if w.tenant == "" {
		b.Skip(end - at)
		return end, nil
	}
	places, err := w.find(at, end-1)
	for _, p := range places {
		if err == nil {
			err = b.Stub(p.index, uint64(p.position))
		}
	}
	if err == nil && int64(len(places)) != end-at {
		err = fmt.Errorf("%w: no places for entries %d to %d", errBrokenLog, at, end-1)
	}
	return end, err
}

// exportEntry finds the sequence number that the export's entry was given in
// the tree of a size.
func (a *Audit) exportEntry(ctx context.Context, e audit.Entry, size int64) (seq int64, err error) {
	err = a.vault.store.View(ctx, func(r store.Reader) error {
		w, err := a.walk(r, true, -1)
		if err != nil {
			return err
		}
		for {
			entry, ok, err := w.next()
			if err != nil {
				return err
			}
			if !ok {
				return fmt.Errorf("%w: the export's entry is missing", errBrokenLog)
			}
			if entry.Index < size && sameExport(entry, e) {
				seq = int64(entry.Seq)
				return nil
			}
		}
	})
	return seq, err
}

// sameExport reports whether an entry of the log can be that of the export e.
// Exports that do not differ in this have the same bundle.
func sameExport(entry, e audit.Entry) bool {
	return entry.Action == audit.AuditExport && entry.Result == audit.Success && entry.CorrelationID == e.CorrelationID &&
		entry.Timestamp.Equal(e.Timestamp) && entry.Nonce == e.Nonce && entry.TreeSize == e.TreeSize
}

// Inclusion proves that an entry is in the log, under the newest checkpoint of
// at most size; size < 0 means the newest of all, made if the entry has none.
func (a *Audit) Inclusion(ctx context.Context, index, size int64) (*audit.Inclusion, error) {
	var doc *audit.Inclusion
	err := a.vault.store.View(ctx, a.authorize)
	if err == nil && size < 0 {
		err = a.cover(ctx, index)
	}
	if err == nil {
		err = a.vault.store.View(ctx, func(r store.Reader) error {
			var err error
			doc, err = a.inclusion(r, index, size)
			return err
		})
	}
	return settled(doc, a.vault.conclude(ctx, a.entry(audit.AuditProof), err))
}

// cover makes a checkpoint unless the newest one covers an entry.
func (a *Audit) cover(ctx context.Context, index int64) error {
	c, err := a.vault.latest(ctx)
	if err == nil && index < c.Size || err != nil && !errors.Is(err, secret.ErrNotFound) {
		return err
	}
	_, err = a.vault.checkpoint(ctx)
	return err
}

func (a *Audit) inclusion(r store.Reader, index, size int64) (*audit.Inclusion, error) {
	c, err := checkpointOf(r.Log(), size)
	if err != nil {
		return nil, err
	}
	if index < 0 || index >= c.Size {
		return nil, secret.ErrNotFound
	}
	w, err := a.walk(r, false, -1)
	if err != nil {
		return nil, err
	}
	place, err := w.seek(index)
	if err != nil {
		return nil, err
	}
	if a.tenant != "" && w.record.Tenant() != a.tenant {
		return nil, secret.ErrNotFound
	}
	hashes := audit.NewHashReader(c.Size, r.Log())
	var prev tlog.Hash
	if place.Prev >= 0 {
		if prev, err = hashes.LeafHash(place.Prev); err != nil {
			return nil, err
		}
	}
	leaf, err := audit.NewLeafEntry(w.record, index, place.Seq, prev)
	if err != nil {
		return nil, err
	}
	return audit.ProveInclusion(leaf, c.Note, hashes)
}

// Path proves that a leaf is in the log, without its entry: for those that were
// archived. The rest is as in Inclusion.
func (a *Audit) Path(ctx context.Context, index, size int64) (*audit.Path, error) {
	var doc *audit.Path
	err := a.vault.store.View(ctx, a.authorize)
	if err == nil && size < 0 {
		err = a.cover(ctx, index)
	}
	if err == nil {
		err = a.vault.store.View(ctx, func(r store.Reader) error {
			c, err := checkpointOf(r.Log(), size)
			if err != nil {
				return err
			}
			if index < 0 || index >= c.Size {
				return secret.ErrNotFound
			}
			doc, err = audit.ProvePath(index, c.Note, audit.NewHashReader(c.Size, r.Log()))
			return err
		})
	}
	return settled(doc, a.vault.conclude(ctx, a.entry(audit.AuditProof), err))
}

// Consistency proves that the log of size from is the beginning of that of the
// newest checkpoint of at most size to; to < 0 means the newest of all.
func (a *Audit) Consistency(ctx context.Context, from, to int64) (*audit.Consistency, error) {
	var doc *audit.Consistency
	err := a.vault.store.View(ctx, func(r store.Reader) error {
		if err := a.authorize(r); err != nil {
			return err
		}
		c, err := checkpointOf(r.Log(), to)
		if err != nil {
			return err
		}
		if from < 1 || from > c.Size {
			return secret.Invalid("from", fmt.Sprintf("a size from 1 to %d", c.Size))
		}
		doc, err = audit.ProveConsistency(from, c.Note, audit.NewHashReader(c.Size, r.Log()))
		return err
	})
	return settled(doc, a.vault.conclude(ctx, a.entry(audit.AuditProof), err))
}

func checkpointOf(r store.LogReader, size int64) (*store.Checkpoint, error) {
	c, err := r.Checkpoint(size)
	if errors.Is(err, store.ErrAbsent) {
		return nil, secret.ErrNotFound
	}
	return c, err
}
