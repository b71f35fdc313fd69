package audit

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/secret"
)

// Head is a tenant's last entry.
type Head struct {
	Seq   uint64
	Index int64
	Hash  tlog.Hash // of its leaf
}

// Run lists where a stretch of one tenant's entries stands in the tree.
type Run struct {
	First   uint64 // tenant's sequence number of the first
	Count   int
	Indices []byte // see EncodeIndices
}

// Place is where one record stands.
type Place struct {
	Seq  uint64 // number within its tenant's chain, from 1
	Prev int64  // leaf index of the tenant's entry before it; -1 if it is the first
}

// Placement is what one round of sequencing writes.
type Placement struct {
	Tree   tlog.Tree // the new size and root
	First  []int64   // for each batch, the leaf index of its first record
	Places [][]byte  // for each batch, see EncodePlaces
	Heads  map[secret.TenantName]Head
	Runs   map[secret.TenantName]Run
	Tiles  map[TileID][]byte // those that are new or grew, whole
}

// EmptyTree is the tree that the first round starts from.
func EmptyTree() tlog.Tree { return tlog.Tree{Hash: emptyRoot} }

// Tenants returns the tenants that have records in the batches, whose heads
// Sequence needs.
func Tenants(batches [][]Record) []secret.TenantName {
	seen := make(map[secret.TenantName]bool)
	var out []secret.TenantName
	for _, records := range batches {
		for _, r := range records {
			if t := r.Tenant(); !seen[t] {
				seen[t] = true
				out = append(out, t)
			}
		}
	}
	return out
}

// Sequence gives the records of the batches, in order, the next places in the
// tree old and in their tenants' chains. heads must hold the last entry of
// every tenant of Tenants(batches) that has one. Nothing is changed: the
// caller commits the placement, provided that the tree still is old.
//
// Tiles that do not have the root of old are an error: a log is not built upon
// hashes that were tampered with.
func Sequence(old tlog.Tree, tiles Tiles, heads map[secret.TenantName]Head, batches [][]Record) (*Placement, error) {
	b, err := newBuilder(old, tiles)
	if err != nil {
		return nil, fmt.Errorf("sequencing: %w", err)
	}
	s := sequencer{builder: b, heads: heads, chains: make(map[secret.TenantName]*chain)}
	p := &Placement{First: make([]int64, 0, len(batches)), Places: make([][]byte, 0, len(batches))}
	for _, records := range batches {
		p.First = append(p.First, b.acc.size)
		places, err := s.batch(records)
		if err != nil {
			return nil, fmt.Errorf("sequencing: %w", err)
		}
		p.Places = append(p.Places, places)
	}
	p.Tree = tlog.Tree{N: b.acc.size, Hash: b.acc.root()}
	p.Tiles = b.changed(old.N)
	p.Heads = make(map[secret.TenantName]Head, len(s.chains))
	p.Runs = make(map[secret.TenantName]Run, len(s.chains))
	for t, c := range s.chains {
		p.Heads[t] = c.head
		p.Runs[t] = Run{First: c.first, Count: len(c.indices), Indices: EncodeIndices(c.indices)}
	}
	return p, nil
}

type sequencer struct {
	builder *builder
	heads   map[secret.TenantName]Head
	chains  map[secret.TenantName]*chain
}

// chain is one tenant's part of a round.
type chain struct {
	head    Head
	first   uint64
	indices []int64
}

func (s *sequencer) batch(records []Record) (places []byte, err error) {
	places = append(places, placesFormat)
	for _, r := range records {
		c, public, err := s.chain(r)
		if err != nil {
			return nil, err
		}
		index := s.builder.acc.size
		place := Place{Seq: c.head.Seq + 1, Prev: c.head.Index}
		h := leafHash(place.Seq, c.head.Hash, public)
		s.builder.add(h)
		c.head = Head{Seq: place.Seq, Index: index, Hash: h}
		c.indices = append(c.indices, index)
		places = appendPlace(places, index, place)
	}
	return places, nil
}

// chain returns the record's tenant's chain and the record's public part.
func (s *sequencer) chain(r Record) (*chain, []byte, error) {
	public := r.public()
	cur := cursor{b: public}
	cur.raw(8)
	name := cur.text(secret.MaxTenantName)
	if cur.bad || r[0] != recordFormat {
		return nil, nil, errRecord
	}
	if c := s.chains[secret.TenantName(name)]; c != nil {
		return c, public, nil
	}
	t := secret.TenantName(name)
	head, ok := s.heads[t]
	switch {
	case !ok:
		head = Head{Index: -1}
	case head.Seq == 0 || head.Index < 0 || head.Index >= s.builder.start:
		return nil, nil, fmt.Errorf("head of tenant %q is not in the tree", t)
	}
	c := &chain{head: head, first: head.Seq + 1}
	s.chains[t] = c
	return c, public, nil
}

// builder grows a tree and its tiles.
type builder struct {
	start int64 // size at the beginning
	acc   accumulator
	edge  [][]byte // the growing tile of each level
	full  map[TileID][]byte
}

// newBuilder reads the right edge of the tree and checks it against the root.
func newBuilder(old tlog.Tree, tiles Tiles) (*builder, error) {
	b, err := edgeBuilder(old.N, tiles)
	if err == nil && b.acc.root() != old.Hash {
		err = errors.New("stored tiles do not have the tree's root")
	}
	return b, err
}

// edgeBuilder is newBuilder for a tree whose root nobody has said.
func edgeBuilder(size int64, tiles Tiles) (*builder, error) {
	b := &builder{start: size, full: make(map[TileID][]byte)}
	b.acc.size = size
	var ids []TileID
	for level := 0; size>>(tileHeight*level) > 0; level++ {
		b.edge = append(b.edge, nil)
		if n := size >> (tileHeight * level); n%tileWidth != 0 {
			ids = append(ids, TileID{Level: level, N: n / tileWidth})
		}
	}
	if len(ids) == 0 {
		return b, nil
	}
	data, err := readTiles(tiles, ids, size)
	if err != nil {
		return nil, fmt.Errorf("reading tiles: %w", err)
	}
	for i, id := range ids {
		b.setEdge(id.Level, data[i])
	}
	return b, nil
}

// setEdge takes over a growing tile, and from it the accumulator's nodes.
func (b *builder) setEdge(level int, data []byte) {
	b.edge[level] = append(make([]byte, 0, tileWidth*tlog.HashSize), data...)
	width := len(data) / tlog.HashSize
	for bit := range tileHeight {
		if width>>bit&1 == 1 {
			from := width >> (bit + 1) << (bit + 1)
			b.acc.nodes[tileHeight*level+bit] = perfect(data[from*tlog.HashSize : (from+1<<bit)*tlog.HashSize])
		}
	}
}

// perfect is the root over 2^k concatenated hashes.
func perfect(data []byte) tlog.Hash {
	if len(data) == tlog.HashSize {
		return tlog.Hash(data)
	}
	half := len(data) / 2
	return tlog.NodeHash(perfect(data[:half]), perfect(data[half:]))
}

func (b *builder) add(h tlog.Hash) { b.acc.add(h, b.node) }

// node puts a new node of the tree into its tile, if tiles list its level.
func (b *builder) node(level int, h tlog.Hash) {
	if level%tileHeight != 0 {
		return
	}
	n := b.acc.size >> level // the node's number: the size does not count its last leaf yet
	level /= tileHeight
	if level == len(b.edge) {
		b.edge = append(b.edge, nil)
	}
	if b.edge[level] == nil {
		b.edge[level] = make([]byte, 0, tileWidth*tlog.HashSize)
	}
	b.edge[level] = append(b.edge[level], h[:]...)
	if len(b.edge[level]) == tileWidth*tlog.HashSize {
		b.full[TileID{Level: level, N: n / tileWidth}] = b.edge[level]
		b.edge[level] = nil
	}
}

// changed returns the tiles that the tree of size old does not have like this.
func (b *builder) changed(old int64) map[TileID][]byte {
	for level, data := range b.edge {
		n := b.acc.size >> (tileHeight * level)
		if len(data) > 0 && n != old>>(tileHeight*level) {
			b.full[TileID{Level: level, N: n / tileWidth}] = data
		}
	}
	return b.full
}
