package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// node is the only node of an embedded store.
const node = 0

type auditLog struct{ *reader }

func (s *stmt) hashAt(col int) (h tlog.Hash) {
	s.fixed(col, h[:])
	return h
}

func (l auditLog) State() (store.TreeState, error) {
	return row(l.query("tree"), func(s *stmt, col int) (store.TreeState, error) {
		return store.TreeState{Size: s.int64(col), Root: s.hashAt(col + 1)}, nil
	})
}

// recordsAt reads a batch row.
func (s *stmt) recordsAt(col int, batch int64) ([]audit.Record, error) {
	content, err := unpad(s.bytes(col))
	if err != nil {
		return nil, fmt.Errorf("reading batch %d: %w", batch, err)
	}
	records, err := audit.ParseBatch(content)
	if err != nil {
		return nil, fmt.Errorf("reading batch %d: %w", batch, err)
	}
	return records, nil
}

func (l auditLog) Pending(limit int) ([]store.PendingBatch, error) {
	s := l.query("batch_pending")
	defer s.reset()
	var out []store.PendingBatch
	for n := 0; n < limit || len(out) == 0; {
		ok, err := s.step()
		if err != nil || !ok {
			return out, err
		}
		b := store.PendingBatch{Node: node, Batch: s.int64(0)}
		if b.Records, err = s.recordsAt(1, b.Batch); err != nil {
			return nil, err
		}
		n += len(b.Records)
		out = append(out, b)
	}
	return out, nil
}

func (l auditLog) Heads(tenants []secret.TenantName) (map[secret.TenantName]audit.Head, error) {
	heads := make(map[secret.TenantName]audit.Head, len(tenants))
	for _, t := range tenants {
		h, err := row(l.query("run_last").text(1, string(t)), func(s *stmt, col int) (audit.Head, error) {
			return audit.Head{Seq: uint64(s.int64(col)), Index: s.int64(col + 1), Hash: s.hashAt(col + 2)}, nil
		})
		if errors.Is(err, store.ErrAbsent) {
			continue
		}
		if err != nil {
			return nil, err
		}
		heads[t] = h
	}
	return heads, nil
}

func scanPlaced(s *stmt, col int) (b store.PlacedBatch, err error) {
	b = store.PlacedBatch{Node: node, First: s.int64(col), Batch: s.int64(col + 1), Places: s.bytes(col + 2)}
	b.Records, err = s.recordsAt(col+3, b.Batch)
	return b, err
}

func (l auditLog) Batches(from, to int64) ([]store.PlacedBatch, error) {
	batches, err := rows(l.query("batch_range").int(1, from).int(2, to), scanPlaced)
	if err != nil {
		return nil, err
	}
	// The first one is that which starts at or before from; it need not reach it.
	if len(batches) > 0 && batches[0].First+int64(len(batches[0].Records)) <= from {
		batches = batches[1:]
	}
	return batches, nil
}

func (l auditLog) Runs(t secret.TenantName, from uint64, limit int) ([]store.Run, error) {
	if from > math.MaxInt64 {
		return nil, nil
	}
	return rows(l.query("run_list").text(1, string(t)).int(2, int64(from)).limit(3, limit),
		func(s *stmt, col int) (store.Run, error) {
			return store.Run{First: uint64(s.int64(col)), Count: int(s.int64(col + 1)), Indices: s.bytes(col + 2)}, nil
		})
}

func scanCheckpoint(s *stmt, col int) (*store.Checkpoint, error) {
	return &store.Checkpoint{
		Size: s.int64(col), Root: s.hashAt(col + 1), Created: s.timeAt(col + 2), Note: s.bytes(col + 3),
	}, nil
}

func (l auditLog) Checkpoint(size int64) (*store.Checkpoint, error) {
	if size < 0 {
		size = math.MaxInt64
	}
	return row(l.query("checkpoint").int(1, size), scanCheckpoint)
}

func (l auditLog) Unsigned() ([]store.Checkpoint, error) {
	return rows(l.query("checkpoint_unsigned"), func(s *stmt, col int) (store.Checkpoint, error) {
		c, err := scanCheckpoint(s, col)
		return *c, err
	})
}

// ReadTiles implements audit.Tiles. An absent tile is nil.
func (l auditLog) ReadTiles(ids []audit.TileID) ([][]byte, error) {
	tiles := make([][]byte, len(ids))
	for i, id := range ids {
		key, err := tileKey(id)
		if err != nil {
			return nil, err
		}
		tiles[i], err = row(l.query("tile").int(1, key), func(s *stmt, col int) ([]byte, error) { return s.bytes(col), nil })
		if err != nil && !errors.Is(err, store.ErrAbsent) {
			return nil, err
		}
	}
	return tiles, nil
}

// numberBits is how much of a tile's row id is its number.
const numberBits = 56

// tileOf is the inverse of tileKey.
func tileOf(key int64) audit.TileID {
	return audit.TileID{Level: int(key >> numberBits), N: key & (1<<numberBits - 1)}
}

// tileKey packs a tile's level and number into one row id.
func tileKey(id audit.TileID) (int64, error) {
	const maxLevel = 1<<7 - 1
	if id.Level < 0 || id.Level > maxLevel || id.N < 0 || id.N >= 1<<numberBits {
		return 0, fmt.Errorf("tile %d of level %d is out of range", id.N, id.Level)
	}
	return int64(id.Level)<<numberBits | id.N, nil
}

type logWriter struct{ *tx }

// Place moves the tree first: if somebody else has moved it, nothing is written.
func (w logWriter) Place(p *store.Placed) error {
	n, err := w.write("tree_move").
		int(1, p.Old.Size).blob(2, p.Old.Root[:]).int(3, p.New.Size).blob(4, p.New.Root[:]).run()
	if err != nil {
		return err
	}
	if n == 0 {
		return store.ErrStale
	}
	if err := w.placeBatches(p.Batches); err != nil {
		return err
	}
	if err := w.placeRuns(p); err != nil {
		return err
	}
	for id, data := range p.Tiles {
		key, err := tileKey(id)
		if err != nil {
			return err
		}
		if _, err := w.write("tile_put").int(1, key).blob(2, data).run(); err != nil {
			return err
		}
	}
	return nil
}

// placeBatches holds batches to the order of their commits, in which Pending
// gives them: what waits is then known without a list of its own.
func (w logWriter) placeBatches(batches []store.PlacedBatch) error {
	last, err := row(w.query("place_last"), number)
	if err != nil && !errors.Is(err, store.ErrAbsent) {
		return err
	}
	for _, b := range batches {
		if last++; b.Node != node || b.Batch != last {
			return fmt.Errorf("placing batch %d of node %d: %w: the next one is %d", b.Batch, b.Node, store.ErrStale, last)
		}
		if _, err := w.write("place_add").int(1, b.First).int(2, b.Batch).blob(3, b.Places).run(); err != nil {
			return fmt.Errorf("placing batch %d: %w", b.Batch, err)
		}
	}
	return nil
}

// placeRuns stores each tenant's run and head in one row, in the order of
// names, so that neighbours meet in the page cache.
func (w logWriter) placeRuns(p *store.Placed) error {
	names := make([]secret.TenantName, 0, len(p.Runs))
	for t := range p.Runs {
		names = append(names, t)
	}
	slices.Sort(names)
	for _, t := range names {
		run, head := p.Runs[t], p.Heads[t]
		if len(p.Heads) != len(p.Runs) || run.First+uint64(run.Count) != head.Seq+1 {
			return fmt.Errorf("placing entries of tenant %q: its head is not the end of its run", t)
		}
		if _, err := w.write("run_add").text(1, string(t)).int(2, int64(run.First)).int(3, int64(run.Count)).
			int(4, head.Index).blob(5, head.Hash[:]).blob(6, run.Indices).run(); err != nil {
			return fmt.Errorf("placing entries of tenant %q: %w", t, err)
		}
	}
	return nil
}

func (w logWriter) AddCheckpoint(c store.Checkpoint) error {
	_, err := w.write("checkpoint_add").int(1, c.Size).blob(2, c.Root[:]).time(3, c.Created).run()
	return err
}

func (w logWriter) SignCheckpoint(size int64, note []byte) error {
	return swap(w.write("checkpoint_sign").int(1, size).blob(2, note),
		func() *stmt { return w.query("checkpoint_exists").int(1, size) })
}

func (w logWriter) Redact(redactions []store.Redaction) error {
	for _, r := range redactions {
		if err := w.redact(r); err != nil {
			return fmt.Errorf("redacting entry %d: %w", r.Index, err)
		}
	}
	return nil
}

// redact replaces one record in its batch row, after making sure that nothing
// else of the row would change. The row keeps its length, so that SQLite
// writes over what was there.
func (w logWriter) redact(r store.Redaction) error {
	q := w.query("batch_of_leaf").int(1, r.Index)
	size := 0
	b, err := row(q, func(s *stmt, col int) (store.PlacedBatch, error) {
		size = len(s.view(col + 3))
		return scanPlaced(s, col)
	})
	if err != nil {
		return err
	}
	i := r.Index - b.First
	if i >= int64(len(b.Records)) {
		return store.ErrAbsent
	}
	if !bytes.Equal(b.Records[i].Redact(), r.Record) {
		return errors.New("record is not the redacted form of the stored one")
	}
	b.Records[i] = r.Record
	var blob []byte
	for _, record := range b.Records {
		blob = audit.AppendBatch(blob, record)
	}
	return change(w.write("batch_replace").int(1, b.Batch).blob(2, pad(blob, size)))
}

// Drop relies on batches being placed in the order of their numbers.
func (w logWriter) Drop(from, to int64) error {
	if from >= to {
		return store.ErrStale
	}
	var batches [2]int64
	for i, first := range []int64{from, to} {
		b, err := row(w.query("place_exists").int(1, first), number)
		if errors.Is(err, store.ErrAbsent) {
			err = fmt.Errorf("%w: no batch begins at entry %d", store.ErrStale, first)
		}
		if err != nil {
			return err
		}
		batches[i] = b
	}
	for _, name := range []string{"batch_zero", "batch_drop"} {
		if _, err := w.write(name).int(1, batches[0]).int(2, batches[1]).run(); err != nil {
			return err
		}
	}
	_, err := w.write("place_drop").int(1, from).int(2, to).run()
	return err
}
