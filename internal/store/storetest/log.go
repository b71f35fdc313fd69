package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
)

var logCases = []testcase{
	{"Empty", func(t *testing.T, d *db) {
		d.view(func(r store.Reader) error {
			state, err := r.Log().State()
			if want := (store.TreeState{Root: audit.EmptyTree().Hash}); state != want {
				return fmt.Errorf("state is %v, want %v", state, want)
			}
			return err
		})
		same(t, d.correlations(), nil)
		d.absent(func(r store.Reader) error { _, err := r.Log().Checkpoint(-1); return err })
	}},
	{"Pending", testPending},
	{"Sequence", testSequence},
	{"StalePlace", testStalePlace},
	{"Batches", testBatches},
	{"Runs", testRuns},
	{"Tiles", func(t *testing.T, d *db) {
		ids := []audit.TileID{{Level: 0, N: 0}, {Level: 1, N: 0}, {Level: 0, N: 1<<40 + 7}}
		placed := &store.Placed{
			Old: d.state(), New: store.TreeState{Size: 1},
			Tiles: map[audit.TileID][]byte{ids[0]: []byte("zero"), ids[1]: bytes.Repeat([]byte("x"), 8192), ids[2]: []byte("far")},
		}
		d.update(func(tx store.Tx) error { return tx.EditLog().Place(placed) })
		d.update(func(tx store.Tx) error {
			return tx.EditLog().Place(&store.Placed{Old: placed.New, New: store.TreeState{Size: 2}, Tiles: map[audit.TileID][]byte{ids[0]: []byte("zero grown")}})
		})
		d.view(func(r store.Reader) error {
			got, err := r.Log().ReadTiles([]audit.TileID{ids[2], ids[0], {Level: 2, N: 0}, ids[1]})
			want := [][]byte{[]byte("far"), []byte("zero grown"), nil, placed.Tiles[ids[1]]}
			if diff := diff(got, want); diff != "" {
				return errors.New(diff)
			}
			return err
		})
	}},
	{"Checkpoints", testCheckpoints},
	{"Redact", testRedact},
	{"Drop", testDrop},
}

func (d *db) state() store.TreeState {
	d.t.Helper()
	return get(d, func(r store.Reader) (store.TreeState, error) { return r.Log().State() })
}

func testPending(t *testing.T, d *db) {
	var want []string
	for i := range 9 {
		id := fmt.Sprint("r", i)
		if want = append(want, id); i%3 == 0 {
			d.record("acme", id)
			continue
		}
		d.update(func(tx store.Tx) error { tx.Audit(newRecord("", id)); return nil })
	}
	same(t, d.correlations(), want)
	d.view(func(r store.Reader) error {
		for _, limit := range []int{0, 1, 4} {
			batches, err := r.Log().Pending(limit)
			if err != nil {
				return err
			}
			if n, most := count(batches), max(limit, 1); n != most { // each has one record here
				return fmt.Errorf("%d records for a limit of %d", n, limit)
			}
		}
		return nil
	})
	if err := d.Record(t.Context()); err != nil {
		t.Fatalf("recording nothing: %v", err)
	}
	if err := d.Record(t.Context(), newRecord("a", "x"), newRecord("b", "y")); err != nil {
		t.Fatal(err)
	}
	same(t, d.correlations(), append(want, "x", "y"))
}

func count(batches []store.PendingBatch) (n int) {
	for _, b := range batches {
		n += len(b.Records)
	}
	return n
}

// sequence gives about limit waiting records their places, as the service does.
func sequence(tx store.Tx, limit int) error {
	p, err := placement(tx, limit)
	if err != nil || p == nil {
		return err
	}
	return tx.EditLog().Place(p)
}

// placement computes the next round; nil if nothing waits.
func placement(r store.Reader, limit int) (*store.Placed, error) {
	old, err := r.Log().State()
	if err != nil {
		return nil, err
	}
	pending, err := r.Log().Pending(limit)
	if err != nil || len(pending) == 0 {
		return nil, err
	}
	records := make([][]audit.Record, len(pending))
	for i, b := range pending {
		records[i] = b.Records
	}
	heads, err := r.Log().Heads(audit.Tenants(records))
	if err != nil {
		return nil, err
	}
	p, err := audit.Sequence(tlog.Tree{N: old.Size, Hash: old.Root}, r.Log(), heads, records)
	if err != nil {
		return nil, err
	}
	placed := &store.Placed{
		Old: old, New: store.TreeState{Size: p.Tree.N, Root: p.Tree.Hash},
		Heads: p.Heads, Tiles: p.Tiles, Runs: make(map[secret.TenantName]store.Run),
	}
	for t, run := range p.Runs {
		placed.Runs[t] = store.Run(run)
	}
	for i, b := range pending {
		placed.Batches = append(placed.Batches, store.PlacedBatch{Node: b.Node, Batch: b.Batch, First: p.First[i], Places: p.Places[i]})
	}
	return placed, nil
}

// testSequence sequences in rounds of all sizes, and then computes the same
// tree and chains from the placed records alone.
func testSequence(t *testing.T, d *db) {
	var want []string
	for i := range 700 {
		id := fmt.Sprint("r", i)
		want = append(want, id)
		d.record(secret.TenantName(fmt.Sprint("t", i%7))[:i%3], id)
		if i%97 == 0 || i == 699 {
			d.update(func(tx store.Tx) error { return sequence(tx, 1<<20) })
			same(t, d.correlations(), nil)
			checkLog(t, d, want)
		}
	}
}

// checkLog expects the placed records to be those with the correlation ids, in
// that order, and everything else of the log to follow from them.
func checkLog(t *testing.T, d *db, want []string) {
	t.Helper()
	d.view(func(r store.Reader) error {
		state, err := r.Log().State()
		if err != nil {
			return err
		}
		if state.Size != int64(len(want)) {
			return fmt.Errorf("size is %d, want %d", state.Size, len(want))
		}
		batches, err := r.Log().Batches(0, state.Size)
		if err != nil {
			return err
		}
		var records [][]audit.Record
		var first int64
		for _, b := range batches {
			if b.First != first {
				return fmt.Errorf("batch %d starts at %d, want %d", b.Batch, b.First, first)
			}
			first += int64(len(b.Records))
			records = append(records, b.Records)
		}
		if got := correlationsOf(records); !slices.Equal(got, want) {
			return fmt.Errorf("records are %v, want %v", got, want)
		}
		return checkPlacement(r, state, batches, records)
	})
}

func correlationsOf(batches [][]audit.Record) (out []string) {
	for _, records := range batches {
		for _, rec := range records {
			e, err := rec.Entry()
			if err != nil {
				return []string{err.Error()}
			}
			out = append(out, e.CorrelationID)
		}
	}
	return out
}

type noTiles struct{}

func (noTiles) ReadTiles(ids []audit.TileID) ([][]byte, error) { return make([][]byte, len(ids)), nil }

func checkPlacement(r store.Reader, state store.TreeState, batches []store.PlacedBatch, records [][]audit.Record) error {
	p, err := audit.Sequence(audit.EmptyTree(), noTiles{}, nil, records)
	if err != nil {
		return err
	}
	if p.Tree.N != state.Size || p.Tree.Hash != state.Root {
		return fmt.Errorf("tree is %v, want %v", state, p.Tree)
	}
	for i, b := range batches {
		if !bytes.Equal(b.Places, p.Places[i]) {
			return fmt.Errorf("places of batch %d differ", b.Batch)
		}
	}
	heads, err := r.Log().Heads(append(slices.Collect(maps.Keys(p.Heads)), "nobody"))
	if err != nil {
		return err
	}
	if diff := diff(heads, p.Heads); diff != "" {
		return errors.New("heads: " + diff)
	}
	ids := slices.Collect(maps.Keys(p.Tiles))
	tiles, err := r.Log().ReadTiles(ids)
	for i, id := range ids {
		if !bytes.Equal(tiles[i], p.Tiles[id]) {
			return fmt.Errorf("tile %v differs", id)
		}
	}
	return err
}

// testStalePlace lets two rounds compute from one state: the second is refused
// whole.
func testStalePlace(t *testing.T, d *db) {
	d.record("acme", "one")
	var late *store.Placed
	d.view(func(r store.Reader) (err error) { late, err = placement(r, 10); return err })
	d.record("bolt", "two")
	d.update(func(tx store.Tx) error { return sequence(tx, 10) })
	fork := *late
	fork.Old = d.state()
	fork.Old.Root[0] ^= 1
	d.refused(store.ErrStale, func(tx store.Tx) error { return tx.EditLog().Place(&fork) })
	late.Tiles[audit.TileID{Level: 5, N: 5}] = []byte("must not appear")
	d.refused(store.ErrStale, func(tx store.Tx) error { return tx.EditLog().Place(late) })
	checkLog(t, d, []string{"one", "two"})
	d.view(func(r store.Reader) error {
		tiles, err := r.Log().ReadTiles([]audit.TileID{{Level: 5, N: 5}})
		if tiles[0] != nil {
			return errors.New("a refused round left a tile")
		}
		return err
	})
}

func testBatches(t *testing.T, d *db) {
	for _, n := range []int{3, 1, 4} {
		var records []audit.Record
		for i := range n {
			records = append(records, newRecord("acme", fmt.Sprint(n, i)))
		}
		if err := d.Record(t.Context(), records...); err != nil {
			t.Fatal(err)
		}
	}
	d.update(func(tx store.Tx) error { return sequence(tx, 100) })
	d.record("acme", "waiting")
	for _, c := range []struct {
		from, to int64
		want     []int64 // the first leaf of each batch
	}{
		{0, 8, []int64{0, 3, 4}}, {0, 1, []int64{0}}, {2, 3, []int64{0}}, {2, 4, []int64{0, 3}}, {3, 4, []int64{3}},
		{7, 8, []int64{4}}, {7, 100, []int64{4}}, {8, 100, nil}, {3, 3, nil}, {5, 2, nil},
	} {
		var got []int64
		for _, b := range get(d, func(r store.Reader) ([]store.PlacedBatch, error) { return r.Log().Batches(c.from, c.to) }) {
			got = append(got, b.First)
		}
		if diff := diff(got, c.want); diff != "" {
			t.Errorf("from %d to %d: got (-), want (+):\n%s", c.from, c.to, diff)
		}
	}
}

func testRuns(t *testing.T, d *db) {
	var want []store.Run
	for i, n := range []int{2, 1, 3} {
		var placed *store.Placed
		for j := range n {
			d.record("acme", fmt.Sprint(i, j))
			d.record("", "other")
		}
		d.update(func(tx store.Tx) (err error) {
			if placed, err = placement(tx, 100); err != nil {
				return err
			}
			return tx.EditLog().Place(placed)
		})
		want = append(want, placed.Runs["acme"])
	}
	runs := func(from uint64, limit int) []store.Run {
		return get(d, func(r store.Reader) ([]store.Run, error) { return r.Log().Runs("acme", from, limit) })
	}
	same(t, runs(0, 9), want)
	same(t, runs(1, 9), want)
	same(t, runs(2, 9), want)
	same(t, runs(3, 9), want[1:])
	same(t, runs(4, 1), want[2:])
	same(t, runs(6, 9), want[2:])
	same(t, runs(7, 9), nil)
	same(t, runs(1, 2), want[:2])
	same(t, get(d, func(r store.Reader) ([]store.Run, error) { return r.Log().Runs("acm", 0, 9) }), nil)
}

func testCheckpoints(t *testing.T, d *db) {
	row := func(size int64) store.Checkpoint {
		return store.Checkpoint{Size: size, Root: tlog.Hash{byte(size)}, Created: epoch}
	}
	add := func(c store.Checkpoint) func(store.Tx) error {
		return func(tx store.Tx) error { return tx.EditLog().AddCheckpoint(c) }
	}
	sign := func(size int64, note string) func(store.Tx) error {
		return func(tx store.Tx) error { return tx.EditLog().SignCheckpoint(size, []byte(note)) }
	}
	for _, size := range []int64{5, 9, 7} {
		d.update(add(row(size)))
	}
	other := row(7)
	other.Root = tlog.Hash{99}
	d.refused(store.ErrTaken, add(other))
	unsigned := func() []store.Checkpoint {
		return get(d, func(r store.Reader) ([]store.Checkpoint, error) { return r.Log().Unsigned() })
	}
	same(t, unsigned(), []store.Checkpoint{row(5), row(7), row(9)})
	d.absent(func(r store.Reader) error { _, err := r.Log().Checkpoint(-1); return err })

	d.update(sign(7, "seven"))
	d.update(sign(5, "five"))
	d.refused(store.ErrStale, sign(7, "again"))
	d.refused(store.ErrAbsent, sign(8, "none"))
	same(t, unsigned(), []store.Checkpoint{row(9)})
	five, seven := row(5), row(7)
	five.Note, seven.Note = []byte("five"), []byte("seven")
	for size, want := range map[int64]*store.Checkpoint{-1: &seven, 100: &seven, 9: &seven, 7: &seven, 6: &five, 5: &five} {
		same(t, get(d, func(r store.Reader) (*store.Checkpoint, error) { return r.Log().Checkpoint(size) }), want)
	}
	d.absent(func(r store.Reader) error { _, err := r.Log().Checkpoint(4); return err })
}

func testRedact(t *testing.T, d *db) {
	records := []audit.Record{newRecord("acme", "0"), newRecord("acme", "1"), newRecord("acme", "2")}
	if err := d.Record(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
	d.record("acme", "3")
	redact := func(index int64, r audit.Record) func(store.Tx) error {
		return func(tx store.Tx) error { return tx.EditLog().Redact([]store.Redaction{{Index: index, Record: r}}) }
	}
	d.refused(store.ErrAbsent, redact(1, records[1].Redact())) // not placed yet
	d.update(func(tx store.Tx) error { return sequence(tx, 100) })
	d.refused(store.ErrAbsent, redact(4, records[1].Redact()))
	for _, wrong := range []audit.Record{records[1], records[0].Redact(), newRecord("acme", "1").Redact()} {
		if err := d.Update(t.Context(), redact(1, wrong)); err == nil {
			t.Fatal("a record was replaced by something other than its redacted form")
		}
	}
	d.update(redact(1, records[1].Redact()))
	d.update(redact(1, records[1].Redact())) // a second time changes nothing
	batches := get(d, func(r store.Reader) ([]store.PlacedBatch, error) { return r.Log().Batches(0, 4) })
	same(t, batches[0].Records, []audit.Record{records[0], records[1].Redact(), records[2]})
	checkLog(t, d, []string{"0", "1", "2", "3"})
}

// testDrop drops the beginning of a log twice, and expects all else of it to
// stay as it was and to grow on.
func testDrop(t *testing.T, d *db) {
	var want []string
	for i := range 6 {
		var records []audit.Record
		for j := range 3 {
			id := fmt.Sprint(i, j)
			want = append(want, id)
			records = append(records, newRecord(secret.TenantName("acme")[:j%2*4], id))
		}
		if err := d.Record(t.Context(), records...); err != nil {
			t.Fatal(err)
		}
	}
	drop := func(from, to int64) func(store.Tx) error {
		return func(tx store.Tx) error { return tx.EditLog().Drop(from, to) }
	}
	d.refused(store.ErrStale, drop(0, 3)) // not placed yet
	d.update(func(tx store.Tx) error { return sequence(tx, 100) })
	for _, wrong := range [][2]int64{{0, 0}, {3, 0}, {0, 4}, {1, 6}, {0, 18}, {0, 21}, {15, 18}, {18, 21}, {-3, 3}} {
		d.refused(store.ErrStale, drop(wrong[0], wrong[1]))
	}
	checkLog(t, d, want)

	first := func(tx store.Tx) error {
		if err := drop(0, 6)(tx); err != nil {
			return err
		}
		return errors.New("changed its mind")
	}
	if err := d.Update(t.Context(), first); err == nil {
		t.Fatal("an operation that failed has succeeded")
	}
	checkLog(t, d, want)
	d.update(drop(0, 6))
	d.refused(store.ErrStale, drop(0, 6))
	checkDropped(t, d, 6, want)
	d.update(drop(6, 15))
	checkDropped(t, d, 15, want)
	d.refused(store.ErrAbsent, func(tx store.Tx) error {
		return tx.EditLog().Redact([]store.Redaction{{Index: 2, Record: newRecord("", "x").Redact()}})
	})

	want = append(want, "later", "latest")
	d.record("acme", "later")
	d.reopen()
	same(t, d.correlations(), []string{"later"})
	d.record("bolt", "latest")
	d.update(func(tx store.Tx) error { return sequence(tx, 100) })
	checkDropped(t, d, 15, want)
}

// checkDropped expects of a log with these correlation ids that the records
// before an index are gone, and nothing else.
func checkDropped(t *testing.T, d *db, dropped int64, want []string) {
	t.Helper()
	d.view(func(r store.Reader) error {
		batches, err := r.Log().Batches(0, int64(len(want)))
		if err != nil {
			return err
		}
		var records [][]audit.Record
		for _, b := range batches {
			records = append(records, b.Records)
		}
		if len(batches) == 0 || batches[0].First != dropped {
			return fmt.Errorf("%d batches are left, and do not begin at %d", len(batches), dropped)
		}
		if got := correlationsOf(records); !slices.Equal(got, want[dropped:]) {
			return fmt.Errorf("records are %v, want %v", got, want[dropped:])
		}
		for from := range dropped {
			if gone, err := r.Log().Batches(from, from+1); err != nil || len(gone) > 0 {
				return fmt.Errorf("entry %d is still there: %v, %v", from, gone, err)
			}
		}
		// The tree and the chains go on: each leaf hash is in its tile, and the
		// root follows from them.
		state, err := r.Log().State()
		if err != nil || state.Size != int64(len(want)) {
			return fmt.Errorf("the tree has %d entries, want %d: %v", state.Size, len(want), err)
		}
		root, err := tlog.TreeHash(state.Size, audit.NewHashReader(state.Size, r.Log()))
		if err == nil && root != state.Root {
			err = errors.New("the tiles have another root")
		}
		if err != nil {
			return err
		}
		runs, err := r.Log().Runs("acme", 1, 1)
		if err == nil && (len(runs) != 1 || runs[0].First != 1) {
			err = fmt.Errorf("the runs of acme begin with %v", runs)
		}
		return err
	})
}
