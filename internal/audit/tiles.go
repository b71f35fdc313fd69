package audit

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// tileHeight is the height of a tile: a full one lists 256 hashes.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// TileID names a tile. A tile of level L and number N lists the hashes at tree
// level 8·L from number 256·N on, 32 bytes each, as many as the tree has, up
// to 256. The tiles at the right edge of the tree grow by appending.
type TileID struct {
	Level int
	N     int64
}

// Tiles are the stored tiles of a tree.
type Tiles interface {
	// ReadTiles returns the data of each tile, in the order of ids. A tile may
	// be longer than the caller's tree had it. An absent one is nil or an error.
	ReadTiles(ids []TileID) ([][]byte, error)
}

// cachedTiles bounds a HashReader's memory, to some 16 KiB a tile.
const cachedTiles = 512

// HashReader is a tlog.HashReader over the stored tiles of a tree of a given
// size. It keeps the tiles that it has read lately, so one reader should serve
// all proofs of a document. It is not safe for concurrent use.
type HashReader struct {
	size  int64
	tiles Tiles
	cache map[TileID]*tileNodes
}

// NewHashReader reads the tree of the first size leaves.
func NewHashReader(size int64, tiles Tiles) *HashReader {
	return &HashReader{size: size, tiles: tiles, cache: make(map[TileID]*tileNodes)}
}

// LeafHash returns the hash of the leaf with this index.
func (r *HashReader) LeafHash(index int64) (tlog.Hash, error) {
	h, err := r.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
	if err != nil {
		return tlog.Hash{}, err
	}
	return h[0], nil
}

// ReadHashes implements tlog.HashReader.
func (r *HashReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	if err := r.load(indexes); err != nil {
		return nil, fmt.Errorf("reading tiles: %w", err)
	}
	hashes := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		level, n := tlog.SplitStoredHashIndex(x)
		id := tileOf(level, n)
		inner := level % tileHeight
		first := id.N << (tileHeight - inner) // of the tile's nodes at this level
		hashes[i] = r.cache[id].node(inner, int(n-first))
	}
	return hashes, nil
}

// load brings the tiles that hold the hashes into the cache.
func (r *HashReader) load(indexes []int64) error {
	var missing []TileID
	wanted := make(map[TileID]bool)
	for _, x := range indexes {
		level, n := tlog.SplitStoredHashIndex(x)
		if x < 0 || n >= r.size>>level {
			return errors.New("hash is not in the tree")
		}
		if id := tileOf(level, n); !wanted[id] {
			wanted[id] = true
			if r.cache[id] == nil {
				missing = append(missing, id)
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if len(r.cache)+len(missing) > cachedTiles {
		for id := range r.cache {
			if !wanted[id] {
				delete(r.cache, id)
			}
		}
	}
	data, err := readTiles(r.tiles, missing, r.size)
	if err != nil {
		return err
	}
	for i, id := range missing {
		r.cache[id] = newTileNodes(data[i])
	}
	return nil
}

// tileOf returns the tile from which the hash at these coordinates follows.
func tileOf(level int, n int64) TileID {
	return TileID{Level: level / tileHeight, N: n << (level % tileHeight) >> tileHeight}
}

// readTiles reads tiles and cuts them to what a tree of this size has.
func readTiles(t Tiles, ids []TileID, size int64) ([][]byte, error) {
	data, err := t.ReadTiles(ids)
	if err != nil {
		return nil, err
	}
	if len(data) != len(ids) {
		return nil, fmt.Errorf("%d tiles came back for %d", len(data), len(ids))
	}
	for i, id := range ids {
		width := min(size>>(tileHeight*id.Level)-id.N<<tileHeight, tileWidth)
		if int64(len(data[i])) < width*tlog.HashSize {
			return nil, fmt.Errorf("tile %d of level %d is cut short", id.N, id.Level)
		}
		data[i] = data[i][:width*tlog.HashSize]
	}
	return data, nil
}

// tileNodes holds the nodes within a tile by level, computed when first used:
// neighbouring proofs share most of them.
type tileNodes [tileHeight][]tlog.Hash

func newTileNodes(data []byte) *tileNodes {
	var t tileNodes
	t[0] = make([]tlog.Hash, len(data)/tlog.HashSize)
	for i := range t[0] {
		t[0][i] = tlog.Hash(data[i*tlog.HashSize:])
	}
	return &t
}

func (t *tileNodes) node(level, n int) tlog.Hash {
	for l := 1; l <= level; l++ {
		if t[l] != nil {
			continue
		}
		t[l] = make([]tlog.Hash, len(t[l-1])/2)
		for i := range t[l] {
			t[l][i] = tlog.NodeHash(t[l-1][2*i], t[l-1][2*i+1])
		}
	}
	return t[level][n]
}

// accumulator computes the root of a growing tree. nodes[l] is the root of the
// perfect subtree of 2^l leaves for each bit l set in size, leftmost largest.
type accumulator struct {
	size  int64
	nodes [63]tlog.Hash
}

// add appends a leaf hash. emit, if not nil, is told every node that the leaf
// completes, the leaf itself included.
func (a *accumulator) add(h tlog.Hash, emit func(level int, h tlog.Hash)) {
	level := 0
	for ; a.size>>level&1 == 1; level++ {
		if emit != nil {
			emit(level, h)
		}
		h = tlog.NodeHash(a.nodes[level], h)
	}
	if emit != nil {
		emit(level, h)
	}
	a.nodes[level] = h
	a.size++
}

// root returns the RFC 6962 root of the leaves so far.
func (a *accumulator) root() tlog.Hash {
	if a.size == 0 {
		return emptyRoot
	}
	var root tlog.Hash
	first := true
	for level := range a.nodes {
		switch {
		case a.size>>level&1 == 0:
		case first:
			root, first = a.nodes[level], false
		default:
			root = tlog.NodeHash(a.nodes[level], root)
		}
	}
	return root
}

// emptyRoot is the root of a tree without leaves.
var emptyRoot, _ = tlog.TreeHash(0, nil)
