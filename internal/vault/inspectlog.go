package vault

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/audit"
	"fastness/internal/dump"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// logInspector computes the log anew from its records, and compares all that is
// stored of it: the tree and its tiles, each tenant's chain and where its entries
// stand, every checkpoint's root, and the newest one's signatures. It holds some
// bytes for each tenant, tile and checkpoint, and one group of records.
type logInspector struct {
	keys    *audit.KeySet // nil: no server has run
	tree    tlog.Tree
	chains  map[secret.TenantName]chainSum // as computed
	runs    map[secret.TenantName]chainSum // as stored
	roots   map[int64]tlog.Hash            // of the sizes of checkpoints, as stored
	newest  *store.Checkpoint              // that is signed
	edge    edgeTiles
	tiles   map[audit.TileID][sha256.Size]byte // as computed
	group   [][]audit.Record
	places  [][]byte // of the group, as stored
	first   int64    // leaf index of the group
	size    int64    // leaf index behind the group
	waiting int64
	ended   bool
	archivedLog
}

// chainSum sums up where a tenant's entries stand.
type chainSum struct {
	head audit.Head
	sum  [sha256.Size]byte
}

func (c chainSum) with(indices []int64) chainSum {
	buf := c.sum[:]
	for _, index := range indices {
		c.sum = sha256.Sum256(binary.BigEndian.AppendUint64(bytes.Clone(buf), uint64(index)))
		buf = c.sum[:]
	}
	return c
}

// edgeTiles are the newest tiles of each level: all that a growing tree reads.
type edgeTiles map[int]store.Tile

// ReadTiles implements audit.Tiles.
func (e edgeTiles) ReadTiles(ids []audit.TileID) ([][]byte, error) {
	out := make([][]byte, len(ids))
	for i, id := range ids {
		if t := e[id.Level]; t.ID == id {
			out[i] = t.Data
		}
	}
	return out, nil
}

func newLogInspector() logInspector {
	return logInspector{
		tree: audit.EmptyTree(), chains: make(map[secret.TenantName]chainSum), runs: make(map[secret.TenantName]chainSum),
		roots: make(map[int64]tlog.Hash), edge: make(edgeTiles),
		tiles: make(map[audit.TileID][sha256.Size]byte), archivedLog: newArchivedLog(),
	}
}

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBrokenLog, fmt.Sprintf(format, args...))
}

func (l *logInspector) row(r *dump.Row) error {
	switch {
	case r.Run != nil:
		return l.run(r.Run)
	case r.Head != nil:
		return l.archivedHead(r.Head)
	case r.Archive != nil:
		return l.archive(r.Archive)
	case r.Checkpoint != nil:
		return l.checkpoint(r.Checkpoint.Checkpoint)
	case r.Batch != nil:
		return l.batch(r.Batch)
	case r.Pending != nil:
		l.waiting += int64(len(r.Pending.Records))
	case r.Tile != nil:
		return l.tile(r.Tile)
	case r.Tree != nil:
		return l.state(r.Tree)
	}
	return nil
}

func (l *logInspector) run(r *dump.Run) error {
	at := l.runs[r.Tenant]
	indices, err := audit.DecodeIndices(r.Indices)
	if err != nil {
		return broken("entries of tenant %q: %v", r.Tenant, err)
	}
	if r.First != at.head.Seq+1 || r.Count != len(indices) || r.Count == 0 || indices[r.Count-1] != r.Last {
		return broken("entries of tenant %q from number %d on are not where it says", r.Tenant, r.First)
	}
	l.noteArchived(r.Tenant, at.head.Seq, indices, r.Hash)
	at.head = audit.Head{Seq: at.head.Seq + uint64(r.Count), Index: r.Last, Hash: r.Hash}
	l.runs[r.Tenant] = at.with(l.kept(indices))
	return nil
}

func (l *logInspector) checkpoint(c *store.Checkpoint) error {
	if c.Size > l.archivedSize || c.Size == 0 {
		l.roots[c.Size] = c.Root
	}
	if c.Note == nil {
		return nil
	}
	l.newest = c
	n, err := audit.ParseCheckpoint(c.Note)
	if err != nil {
		return broken("checkpoint of size %d: %v", c.Size, err)
	}
	if n.Size != c.Size || n.Root != c.Root {
		return broken("checkpoint of size %d is signed for another tree", c.Size)
	}
	return nil
}

// groupSize is how many records are hashed at once.
const groupSize = 2048

func (l *logInspector) batch(b *dump.Batch) error {
	if b.First != l.size {
		return broken("a batch begins at entry %d, and the one before it ends at %d", b.First, l.size)
	}
	l.group, l.places = append(l.group, b.Records), append(l.places, b.Places)
	l.size += int64(len(b.Records))
	if _, boundary := l.roots[l.size]; boundary || l.size-l.first >= groupSize {
		return l.hash()
	}
	return nil
}

// hash gives the group its places, and compares them with the stored ones.
func (l *logInspector) hash() error {
	if len(l.group) == 0 {
		return nil
	}
	heads := make(map[secret.TenantName]audit.Head)
	for _, t := range audit.Tenants(l.group) {
		if c, ok := l.chains[t]; ok {
			heads[t] = c.head
		}
	}
	p, err := audit.Sequence(l.tree, l.edge, heads, l.group)
	if err != nil {
		return broken("%v", err)
	}
	for i := range l.group {
		if !bytes.Equal(p.Places[i], l.places[i]) {
			return broken("the entries from %d on are not in the order in which it says", p.First[i])
		}
	}
	if err := l.grow(p); err != nil {
		return err
	}
	if root, ok := l.roots[l.tree.N]; ok && root != l.tree.Hash {
		return broken("the checkpoint of size %d has another root than the entries give", l.tree.N)
	}
	delete(l.roots, l.tree.N)
	l.group, l.places, l.first = l.group[:0], l.places[:0], l.size
	return nil
}

func (l *logInspector) grow(p *audit.Placement) error {
	l.tree = p.Tree
	for t, run := range p.Runs {
		indices, err := audit.DecodeIndices(run.Indices)
		if err != nil {
			return err
		}
		c := l.chains[t].with(indices)
		c.head = p.Heads[t]
		l.chains[t] = c
	}
	for id, data := range p.Tiles {
		l.tiles[id] = sha256.Sum256(data)
		if l.edge[id.Level].Data == nil || id.N >= l.edge[id.Level].ID.N {
			l.edge[id.Level] = store.Tile{ID: id, Data: data}
		}
	}
	return nil
}

func (l *logInspector) tile(t *dump.Tile) error {
	if err := l.hash(); err != nil {
		return err
	}
	id := audit.TileID{Level: t.Level, N: t.N}
	if err := l.archivedTile(id, t.Data); err != nil {
		return err
	}
	if l.isArchived(id) {
		return nil
	}
	if want, ok := l.tiles[id]; !ok || want != sha256.Sum256(t.Data) {
		return broken("tile %d of level %d is not what the entries give", t.N, t.Level)
	}
	delete(l.tiles, id)
	return nil
}

func (l *logInspector) state(t *dump.Tree) error {
	if err := l.hash(); err != nil {
		return err
	}
	l.ended = true
	switch {
	case t.Size != l.tree.N || t.Root != l.tree.Hash:
		return broken("the tree has size %d and root %s, and the entries give %d and %s", t.Size, t.Root, l.tree.N, l.tree.Hash)
	case !l.tilesWhole():
		return broken("tiles of what was archived are missing")
	case len(l.tiles) > 0:
		return broken("%d tiles are missing", len(l.tiles))
	case len(l.roots) > 0:
		return broken("%d checkpoints are of sizes that the tree never had", len(l.roots))
	case !maps.Equal(l.chains, l.runs):
		return broken("the tenants' entries are not where it says")
	}
	return nil
}

func (l *logInspector) end(found *Inspection) error {
	if !l.ended {
		return broken("it has no end")
	}
	found.Entries, found.Root, found.Waiting = l.tree.N, l.tree.Hash.String(), l.waiting
	if l.newest == nil || l.keys == nil {
		return nil
	}
	if _, err := audit.OpenCheckpoint(l.newest.Note, *l.keys); err != nil {
		return broken("%v", err)
	}
	return nil
}
