package postgres

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
)

type auditLog struct{ *reader }

// hash reads what the schema holds to 32 bytes.
func hash(b []byte) (h tlog.Hash) {
	copy(h[:], b)
	return h
}

func (l auditLog) State() (store.TreeState, error) {
	return row(l.session, "tree", func(row pgx.CollectableRow) (s store.TreeState, err error) {
		var root []byte
		err = row.Scan(&s.Size, &root)
		s.Root = hash(root)
		return s, err
	})
}

// pendingPage is how many batches of a node are read at a time.
const pendingPage = 128

// Pending merges the batches of all nodes in the order of their numbers.
func (l auditLog) Pending(limit int) ([]store.PendingBatch, error) {
	nodes, err := l.pendingNodes()
	if err != nil {
		return nil, err
	}
	after := make(map[int64]int64, len(nodes)) // the last batch of a node that was taken
	var out []store.PendingBatch
	for n := 0; n < limit || len(out) == 0; {
		page, horizon, err := l.pendingPage(nodes, after)
		if err != nil || len(page) == 0 {
			return out, err
		}
		for _, b := range page {
			if b.Batch > horizon || n >= limit && len(out) > 0 {
				break
			}
			out = append(out, b)
			after[b.Node] = b.Batch
			n += len(b.Records)
		}
	}
	return out, nil
}

// pendingNodes lists the nodes that have batches waiting.
func (l auditLog) pendingNodes() (nodes []int64, err error) {
	for last := int64(-1); ; {
		last, err = row(l.session, "pending_node", number, last)
		if errors.Is(err, store.ErrAbsent) {
			return nodes, nil
		}
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, last)
	}
}

// pendingPage reads the next batches of each node, in order. Behind horizon
// there may be more of them that it did not read.
func (l auditLog) pendingPage(nodes []int64, after map[int64]int64) (page []store.PendingBatch, horizon int64, err error) {
	horizon = math.MaxInt64
	for _, node := range nodes {
		batches, err := rows(l.session, "batch_pending", scanPending, node, after[node], pendingPage)
		if err != nil {
			return nil, 0, err
		}
		if len(batches) == pendingPage {
			horizon = min(horizon, batches[pendingPage-1].Batch)
		}
		page = append(page, batches...)
	}
	slices.SortFunc(page, func(a, b store.PendingBatch) int {
		return cmp.Or(cmp.Compare(a.Batch, b.Batch), cmp.Compare(a.Node, b.Node))
	})
	return page, horizon, nil
}

func scanPending(row pgx.CollectableRow) (b store.PendingBatch, err error) {
	var records []byte
	if err := row.Scan(&b.Node, &b.Batch, &records); err != nil {
		return b, err
	}
	b.Records, err = parseBatch(b.Node, b.Batch, records)
	return b, err
}

func parseBatch(node, batch int64, content []byte) ([]audit.Record, error) {
	records, err := audit.ParseBatch(content)
	if err != nil {
		return nil, fmt.Errorf("reading batch %d of node %d: %w", batch, node, err)
	}
	return records, nil
}

func (l auditLog) Heads(tenants []secret.TenantName) (map[secret.TenantName]audit.Head, error) {
	heads := make(map[secret.TenantName]audit.Head, len(tenants))
	_, err := rows(l.session, "run_last", func(row pgx.CollectableRow) (none struct{}, err error) {
		var t string
		var h audit.Head
		var b []byte
		err = row.Scan(&t, &h.Seq, &h.Index, &b)
		h.Hash = hash(b)
		heads[secret.TenantName(t)] = h
		return none, err
	}, texts(tenants))
	return heads, err
}

func texts(names []secret.TenantName) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n)
	}
	return out
}

func scanPlaced(row pgx.CollectableRow) (b store.PlacedBatch, err error) {
	var records []byte
	if err := row.Scan(&b.First, &b.Node, &b.Batch, &b.Places, &records); err != nil {
		return b, err
	}
	b.Records, err = parseBatch(b.Node, b.Batch, records)
	return b, err
}

func (l auditLog) Batches(from, to int64) ([]store.PlacedBatch, error) {
	batches, err := rows(l.session, "batch_range", scanPlaced, from, to)
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
	return rows(l.session, "run_list", func(row pgx.CollectableRow) (r store.Run, err error) {
		return r, row.Scan(&r.First, &r.Count, &r.Indices)
	}, string(t), int64(from), max(limit, 0))
}

func scanCheckpoint(row pgx.CollectableRow) (*store.Checkpoint, error) {
	var c store.Checkpoint
	var root []byte
	var created *int64
	err := row.Scan(&c.Size, &root, &created, &c.Note)
	c.Root, c.Created = hash(root), moment(created)
	return &c, err
}

func (l auditLog) Checkpoint(size int64) (*store.Checkpoint, error) {
	if size < 0 {
		size = math.MaxInt64
	}
	return row(l.session, "checkpoint", scanCheckpoint, size)
}

func (l auditLog) Unsigned() ([]store.Checkpoint, error) {
	return rows(l.session, "checkpoint_unsigned", func(row pgx.CollectableRow) (store.Checkpoint, error) {
		c, err := scanCheckpoint(row)
		return *c, err
	})
}

// ReadTiles implements audit.Tiles. An absent tile is nil.
func (l auditLog) ReadTiles(ids []audit.TileID) ([][]byte, error) {
	levels, numbers := make([]int64, len(ids)), make([]int64, len(ids))
	for i, id := range ids {
		levels[i], numbers[i] = int64(id.Level), id.N
	}
	data := make(map[audit.TileID][]byte, len(ids))
	_, err := rows(l.session, "tiles", func(row pgx.CollectableRow) (none struct{}, err error) {
		var id audit.TileID
		var b []byte
		err = row.Scan(&id.Level, &id.N, &b)
		data[id] = b
		return none, err
	}, levels, numbers)
	if err != nil {
		return nil, err
	}
	tiles := make([][]byte, len(ids))
	for i, id := range ids {
		tiles[i] = data[id]
	}
	return tiles, nil
}

type logWriter struct{ *tx }

// Place moves the tree first: if somebody else has moved it, nothing is
// written, and whoever tries next waits for this transaction.
func (w logWriter) Place(p *store.Placed) error {
	n, err := w.exec("tree_move", p.Old.Size, p.Old.Root[:], p.New.Size, p.New.Root[:])
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
	return w.putTiles(p.Tiles)
}

// placeBatches moves batches from those that wait to those that have a place.
func (w logWriter) placeBatches(batches []store.PlacedBatch) error {
	if len(batches) == 0 {
		return nil
	}
	var firsts, nodes, numbers []int64
	var places [][]byte
	for _, b := range batches {
		firsts, nodes, numbers, places = append(firsts, b.First), append(nodes, b.Node), append(numbers, b.Batch), append(places, b.Places)
	}
	moved, err := w.exec("place", firsts, nodes, numbers, places)
	if err != nil {
		return err
	}
	cleared, err := w.exec("place_clear", nodes, numbers)
	if err != nil {
		return err
	}
	if n := int64(len(batches)); moved != n || cleared != n {
		return fmt.Errorf("placing %d batches: %w: %d wait", n, store.ErrStale, moved)
	}
	return nil
}

// placeRuns stores each tenant's run and head in one row.
func (w logWriter) placeRuns(p *store.Placed) error {
	if len(p.Heads) != len(p.Runs) {
		return errors.New("placing entries: there are not as many heads as runs")
	}
	var names []string
	var firsts, sizes, lasts []int64
	var hashes, indices [][]byte
	for t, run := range p.Runs {
		head := p.Heads[t]
		if run.First+uint64(run.Count) != head.Seq+1 {
			return fmt.Errorf("placing entries of tenant %q: its head is not the end of its run", t)
		}
		names, firsts, sizes = append(names, string(t)), append(firsts, int64(run.First)), append(sizes, int64(run.Count))
		lasts, hashes, indices = append(lasts, head.Index), append(hashes, head.Hash[:]), append(indices, run.Indices)
	}
	if len(names) == 0 {
		return nil
	}
	_, err := w.exec("run_add", names, firsts, sizes, lasts, hashes, indices)
	return err
}

func (w logWriter) putTiles(tiles map[audit.TileID][]byte) error {
	if len(tiles) == 0 {
		return nil
	}
	var levels, numbers []int64
	var data [][]byte
	for id, b := range tiles {
		levels, numbers, data = append(levels, int64(id.Level)), append(numbers, id.N), append(data, b)
	}
	_, err := w.exec("tile_put", levels, numbers, data)
	return err
}

func (w logWriter) AddCheckpoint(c store.Checkpoint) error {
	n, err := w.exec("checkpoint_add", c.Size, c.Root[:], millis(c.Created))
	if err == nil && n == 0 {
		err = store.ErrTaken
	}
	return err
}

func (w logWriter) SignCheckpoint(size int64, note []byte) error {
	return w.swap("checkpoint_sign", []any{size, note}, "checkpoint_exists", size)
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
// else of the row would change, and that nothing else of it has changed since.
func (w logWriter) redact(r store.Redaction) error {
	b, err := row(w.session, "batch_of_leaf", scanPlaced, r.Index)
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
	before := appendBatch(nil, b.Records)
	b.Records[i] = r.Record
	n, err := w.exec("batch_replace", b.First, appendBatch(nil, b.Records), before)
	if err == nil && n == 0 {
		err = store.ErrStale
	}
	return err
}

// appendBatch appends the stored form of records.
func appendBatch(blob []byte, records []audit.Record) []byte {
	for _, r := range records {
		blob = audit.AppendBatch(blob, r)
	}
	return blob
}

// Drop holds to what was there when it looked: whoever has deleted the same
// meanwhile is met at the rows.
func (w logWriter) Drop(from, to int64) error {
	ends, err := rows(w.session, "batch_begins", number, from, to)
	if err != nil {
		return err
	}
	if from >= to || !slices.Equal(ends, []int64{from, to}) {
		return fmt.Errorf("%w: no batches begin at the entries %d and %d", store.ErrStale, from, to)
	}
	n, err := w.exec("batch_drop", from, to)
	if err == nil && n == 0 {
		err = store.ErrStale
	}
	return err
}
