package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"fastness/internal/audit"
	"fastness/internal/secret"
)

// memTiles stores tiles as a backend does.
type memTiles map[audit.TileID][]byte

func (m memTiles) ReadTiles(ids []audit.TileID) ([][]byte, error) {
	out := make([][]byte, len(ids))
	for i, id := range ids {
		out[i] = bytes.Clone(m[id])
	}
	return out, nil
}

// naiveRoot is RFC 6962, section 2.1, word for word.
func naiveRoot(leaves []tlog.Hash) tlog.Hash {
	switch len(leaves) {
	case 0:
		h, _ := tlog.TreeHash(0, nil)
		return h
	case 1:
		return leaves[0]
	}
	k := 1 << (bits.Len(uint(len(leaves)-1)) - 1)
	return tlog.NodeHash(naiveRoot(leaves[:k]), naiveRoot(leaves[k:]))
}

// memLog is a whole log in memory: the store and sequencer of the tests.
type memLog struct {
	tree   tlog.Tree
	tiles  memTiles
	heads  map[secret.TenantName]audit.Head
	recs   []audit.Record
	places []audit.Place
	runs   map[secret.TenantName][]int64
}

func newMemLog() *memLog {
	return &memLog{tree: audit.EmptyTree(), tiles: memTiles{},
		heads: map[secret.TenantName]audit.Head{}, runs: map[secret.TenantName][]int64{}}
}

func (l *memLog) sequence(t testing.TB, batches ...[]audit.Record) *audit.Placement {
	t.Helper()
	p, err := audit.Sequence(l.tree, l.tiles, l.heads, batches)
	if err != nil {
		t.Fatal(err)
	}
	for i, records := range batches {
		if p.First[i] != int64(len(l.recs)) {
			t.Fatalf("batch %d begins at %d instead of %d", i, p.First[i], len(l.recs))
		}
		places, err := audit.DecodePlaces(p.Places[i], p.First[i], len(records))
		if err != nil {
			t.Fatal(err)
		}
		l.recs = append(l.recs, records...)
		l.places = append(l.places, places...)
	}
	l.tree = p.Tree
	maps.Copy(l.tiles, p.Tiles)
	maps.Copy(l.heads, p.Heads)
	for tenant, run := range p.Runs {
		if run.First != uint64(len(l.runs[tenant])+1) {
			t.Fatalf("run of %q begins at %d", tenant, run.First)
		}
		indices, err := audit.DecodeIndices(run.Indices)
		if err != nil || len(indices) != run.Count {
			t.Fatal(err, run)
		}
		l.runs[tenant] = append(l.runs[tenant], indices...)
	}
	return p
}

// leaves recomputes all leaf hashes from records and places.
func (l *memLog) leaves(t testing.TB) []tlog.Hash {
	t.Helper()
	hashes := make([]tlog.Hash, len(l.recs))
	seqs := map[secret.TenantName]uint64{}
	for i, r := range l.recs {
		var prev tlog.Hash
		if p := l.places[i].Prev; p >= 0 {
			prev = hashes[p]
			if l.recs[p].Tenant() != r.Tenant() || l.places[p].Seq+1 != l.places[i].Seq {
				t.Fatalf("leaf %d: previous entry is wrong", i)
			}
		}
		seqs[r.Tenant()]++
		if l.places[i].Seq != seqs[r.Tenant()] || l.runs[r.Tenant()][l.places[i].Seq-1] != int64(i) {
			t.Fatalf("leaf %d: sequence number or run is wrong", i)
		}
		hashes[i] = tlog.RecordHash(r.Leaf(l.places[i].Seq, prev))
	}
	return hashes
}

var tenants = []secret.TenantName{"", "acme", "beta", "gamma"}

func records(t testing.TB, from, n int) []audit.Record {
	t.Helper()
	out := make([]audit.Record, n)
	for i := range out {
		e := sample()
		e.TenantID = tenants[(from+i)*7%len(tenants)]
		e.Version = fmt.Sprint(from + i)
		out[i] = newRecord(t, e)
	}
	return out
}

func TestTreeArithmetic(t *testing.T) {
	const max = 600
	l := newMemLog()
	roots := []tlog.Hash{l.tree.Hash}
	for n := range max {
		l.sequence(t, records(t, n, 1))
		roots = append(roots, l.tree.Hash)
	}
	leaves := l.leaves(t)
	stored := storedHashes(t, leaves)
	for n := range max + 1 {
		size := int64(n)
		if got, want := roots[n], naiveRoot(leaves[:n]); got != want {
			t.Fatalf("size %d: root %v, want %v", n, got, want)
		}
		// The reader of a smaller tree over grown tiles gives what tlog gives.
		r := audit.NewHashReader(size, l.tiles)
		if root, err := tlog.TreeHash(size, r); err != nil || root != roots[n] {
			t.Fatalf("size %d: tlog's root %v, %v", n, root, err)
		}
		for i := range n {
			got, err1 := tlog.ProveRecord(size, int64(i), r)
			if i%37 == 0 {
				if want, err2 := tlog.ProveRecord(size, int64(i), stored); err1 != nil || err2 != nil || !slices.Equal(got, want) {
					t.Fatalf("size %d: proof of %d differs", n, i)
				}
			}
			if err := tlog.CheckRecord(got, size, roots[n], int64(i), leaves[i]); err != nil {
				t.Fatalf("size %d: proof of %d: %v", n, i, err)
			}
			p, err := tlog.ProveTree(size, int64(i+1), r)
			if err != nil || tlog.CheckTree(p, size, roots[n], int64(i+1), roots[i+1]) != nil {
				t.Fatalf("size %d: consistency from %d: %v", n, i+1, err)
			}
		}
	}
}

// storedHashes is tlog's own hash storage.
func storedHashes(t testing.TB, leaves []tlog.Hash) tlog.HashReader {
	t.Helper()
	var stored []tlog.Hash
	r := tlog.HashReaderFunc(func(x []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(x))
		for i := range x {
			out[i] = stored[x[i]]
		}
		return out, nil
	})
	for i, h := range leaves {
		hashes, err := tlog.StoredHashesForRecordHash(int64(i), h, r)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
	}
	return r
}

func TestTilesAreTlogs(t *testing.T) {
	l := newMemLog()
	var old int64
	for _, n := range []int{1, 254, 1, 1, 255, 300, 65536 - 812, 5} {
		p := l.sequence(t, records(t, int(old), n))
		want := map[audit.TileID]int{}
		for _, tile := range tlog.NewTiles(8, old, p.Tree.N) {
			want[audit.TileID{Level: tile.L, N: tile.N}] = tile.W * tlog.HashSize
		}
		got := map[audit.TileID]int{}
		for id, data := range p.Tiles {
			got[id] = len(data)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("from %d to %d: %s", old, p.Tree.N, d)
		}
		old = p.Tree.N
	}
	if root := naiveRoot(l.leaves(t)); root != l.tree.Hash {
		t.Error("root differs")
	}
	// tlog's own reader authenticates every tile against the root.
	r := tlog.TileHashReader(l.tree, tlogTiles{l.tiles})
	for _, i := range []int64{0, 255, 256, 511, 65535, 65536, l.tree.N - 1} {
		if _, err := tlog.ProveRecord(l.tree.N, i, r); err != nil {
			t.Errorf("leaf %d: %v", i, err)
		}
	}
}

type tlogTiles struct{ m memTiles }

func (t tlogTiles) Height() int                     { return 8 }
func (t tlogTiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (t tlogTiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, x := range tiles {
		out = append(out, t.m[audit.TileID{Level: x.L, N: x.N}][:x.W*tlog.HashSize])
	}
	return out, nil
}

func TestSequenceInAnyRounds(t *testing.T) {
	all := records(t, 0, 700)
	one := newMemLog()
	one.sequence(t, all)
	want := one.leaves(t)
	rapid.Check(t, func(rt *rapid.T) {
		l := newMemLog()
		for rest := all; len(rest) > 0; {
			var batches [][]audit.Record
			for range rapid.IntRange(1, 3).Draw(rt, "batches") {
				n := min(rapid.IntRange(0, 300).Draw(rt, "records"), len(rest))
				batches = append(batches, rest[:n])
				rest = rest[n:]
			}
			l.sequence(t, batches...)
		}
		if l.tree != one.tree || !slices.Equal(l.leaves(t), want) {
			rt.Fatal("the tree depends on how the work was cut")
		}
		if d := cmp.Diff(one.heads, l.heads); d != "" {
			rt.Fatal(d)
		}
	})
}

func TestTenants(t *testing.T) {
	rs := records(t, 0, 8)
	got := audit.Tenants([][]audit.Record{rs[:3], rs[3:]})
	slices.Sort(got)
	if d := cmp.Diff([]secret.TenantName{"", "acme", "beta", "gamma"}, got); d != "" {
		t.Error(d)
	}
}

func TestSequenceRefuses(t *testing.T) {
	l := newMemLog()
	l.sequence(t, records(t, 0, 300))
	more := [][]audit.Record{records(t, 300, 4)}
	broken := maps.Clone(l.tiles)
	edge := audit.TileID{Level: 0, N: 1}
	broken[edge] = bytes.Clone(broken[edge])
	broken[edge][5] ^= 1
	missing := maps.Clone(l.tiles)
	delete(missing, audit.TileID{Level: 1, N: 0})
	outside := maps.Clone(l.heads)
	outside["acme"] = audit.Head{Seq: 9, Index: 300}

	tests := map[string]func() (*audit.Placement, error){
		"tampered tile": func() (*audit.Placement, error) { return audit.Sequence(l.tree, broken, l.heads, more) },
		"missing tile":  func() (*audit.Placement, error) { return audit.Sequence(l.tree, missing, l.heads, more) },
		"failing store": func() (*audit.Placement, error) { return audit.Sequence(l.tree, noTiles{}, l.heads, more) },
		"head outside":  func() (*audit.Placement, error) { return audit.Sequence(l.tree, l.tiles, outside, more) },
		"broken record": func() (*audit.Placement, error) {
			return audit.Sequence(l.tree, l.tiles, l.heads, [][]audit.Record{{{1, 200, 1}}})
		},
	}
	for name, f := range tests {
		if _, err := f(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := audit.NewHashReader(300, noTiles{}).LeafHash(0); !errors.Is(err, errNoTiles) {
		t.Errorf("the store's error is lost: %v", err)
	}
	if _, err := audit.NewHashReader(300, l.tiles).LeafHash(300); err == nil {
		t.Error("a leaf beyond the tree was read")
	}
}

var errNoTiles = errors.New("no tiles")

type noTiles struct{}

func (noTiles) ReadTiles([]audit.TileID) ([][]byte, error) { return nil, errNoTiles }

func TestPlacesRoundTrip(t *testing.T) {
	want := []audit.Place{{Seq: 1, Prev: -1}, {Seq: 5, Prev: 0}, {Seq: 2, Prev: 40}, {Seq: 1 << 40, Prev: 42}}
	got, err := audit.DecodePlaces(audit.EncodePlaces(40, want), 40, len(want))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for name, blob := range map[string][]byte{
		"format":         {2, 1, 0},
		"too few":        {1, 1, 0},
		"number zero":    {1, 0, 0, 1, 0},
		"first has prev": {1, 1, 1, 1, 0},
		"no prev":        {1, 2, 0, 1, 0},
		"before start":   {1, 2, 9, 1, 0},
		"long number":    {1, 0x81, 0, 0, 1, 0},
		"trailing":       {1, 1, 0, 1, 0, 0},
	} {
		if _, err := audit.DecodePlaces(blob, 3, 2); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestIndicesRoundTrip(t *testing.T) {
	for _, want := range [][]int64{{}, {0}, {0, 1, 2}, {7, 300, 1 << 50}} {
		got, err := audit.DecodeIndices(audit.EncodeIndices(want))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v became %v, %v", want, got, err)
		}
	}
	for name, blob := range map[string][]byte{"empty": {}, "format": {2}, "not rising": {1, 5, 0}, "long": {1, 0x81, 0}, "cut": {1, 0x81}} {
		if _, err := audit.DecodeIndices(blob); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzPlaces(f *testing.F) {
	f.Add(audit.EncodePlaces(40, []audit.Place{{Seq: 1, Prev: -1}, {Seq: 2, Prev: 40}}), int64(40), 2)
	f.Add([]byte{1}, int64(0), 0)
	f.Fuzz(func(t *testing.T, b []byte, first int64, n int) {
		if first < 0 || first > 1<<60 {
			return
		}
		places, err := audit.DecodePlaces(b, first, n)
		if err == nil && !bytes.Equal(audit.EncodePlaces(first, places), b) {
			t.Fatal("a second form was accepted")
		}
	})
}

func FuzzIndices(f *testing.F) {
	f.Add(audit.EncodeIndices([]int64{0, 5, 1000}))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		indices, err := audit.DecodeIndices(b)
		if err == nil && !bytes.Equal(audit.EncodeIndices(indices), b) {
			t.Fatal("a second form was accepted")
		}
	})
}

func BenchmarkSequence10000(b *testing.B) {
	l := newMemLog()
	l.sequence(b, records(b, 0, 100_000))
	var batches [][]audit.Record
	for i := range 200 {
		batches = append(batches, records(b, i*50, 50))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := audit.Sequence(l.tree, l.tiles, l.heads, batches); err != nil {
			b.Fatal(err)
		}
	}
}
