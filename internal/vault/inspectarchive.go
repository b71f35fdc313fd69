package vault

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"sort"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/audit"
	"fastness/internal/dump"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// archivedLog is what an inspector knows of entries that were archived. It goes on
// from their hashes, and looks that these fit together: each tile's root is in the
// tile above, each tenant's last archived entry is in its tile, and the edge at
// which the entries begin is that of the tree. What roots the log had at
// checkpoints before that, it does not compute.
type archivedLog struct {
	archivedSize int64
	begun        bool                             // at the archive's end
	last         map[secret.TenantName]audit.Head // by the runs, hash if that is known
	heads        map[secret.TenantName]audit.Head // as told
	leaves       []audit.Head                     // heads, by index
	below        [][]tlog.Hash                    // by level, the roots of the tiles of archived entries alone
}

func newArchivedLog() archivedLog {
	return archivedLog{last: make(map[secret.TenantName]audit.Head), heads: make(map[secret.TenantName]audit.Head)}
}

// begin reads how much was archived.
func (l *archivedLog) begin(row []byte) error {
	var kept store.Archive
	if err := json.Unmarshal(row, &kept); err != nil || kept.Size < 0 {
		return broken("what was archived is not well formed")
	}
	l.archivedSize = kept.Size
	return nil
}

// kept are the indices of entries that were not archived.
func (l *archivedLog) kept(indices []int64) []int64 {
	return indices[sort.Search(len(indices), func(i int) bool { return indices[i] >= l.archivedSize }):]
}

// noteArchived takes down a run's last archived entry.
func (l *archivedLog) noteArchived(t secret.TenantName, before uint64, indices []int64, end tlog.Hash) {
	n := len(indices) - len(l.kept(indices))
	if n == 0 {
		return
	}
	h := audit.Head{Seq: before + uint64(n), Index: indices[n-1]}
	if n == len(indices) {
		h.Hash = end
	}
	l.last[t] = h
}

func (l *logInspector) archivedHead(h *dump.Head) error {
	want, ok := l.last[h.Tenant]
	if !ok || want.Seq != h.Seq || want.Index != h.Index || want.Hash != (tlog.Hash{}) && want.Hash != h.Hash {
		return broken("the last archived entry of tenant %q is not where it says", h.Tenant)
	}
	head := audit.Head{Seq: h.Seq, Index: h.Index, Hash: h.Hash}
	l.heads[h.Tenant] = head
	l.leaves = append(l.leaves, head)
	l.chains[h.Tenant] = chainSum{head: head}
	return nil
}

// archive begins the tree where its entries do.
func (l *logInspector) archive(a *dump.Archive) error {
	if a.Size != l.archivedSize || a.Size == 0 || l.begun || l.size > 0 || len(l.heads) != len(l.last) {
		return broken("the entries do not begin where the archive ends")
	}
	root, err := audit.EdgeRoot(a.Size, a.Edge)
	if err != nil {
		return broken("the edge of the archive: %v", err)
	}
	l.begun = true
	l.tree = tlog.Tree{N: a.Size, Hash: root}
	l.first, l.size = a.Size, a.Size
	for level, data := range a.Edge {
		if len(data) > 0 {
			id := audit.TileID{Level: level, N: a.Size >> (8 * (level + 1))}
			l.edge[level] = store.Tile{ID: id, Data: data}
			l.tiles[id] = sha256.Sum256(data) // until the entries fill it
		}
	}
	sort.Slice(l.leaves, func(i, j int) bool { return l.leaves[i].Index < l.leaves[j].Index })
	return nil
}

// isArchived reports whether a tile is of archived entries alone.
func (l *archivedLog) isArchived(id audit.TileID) bool {
	return id.N < l.archivedSize>>(8*(id.Level+1))
}

// archivedTile looks at what of a tile is of archived entries.
func (l *logInspector) archivedTile(id audit.TileID, data []byte) error {
	if l.archivedSize == 0 {
		return nil
	}
	for len(l.below) <= id.Level {
		l.below = append(l.below, nil)
	}
	if id.Level == 0 {
		for ; len(l.leaves) > 0 && l.leaves[0].Index>>8 == id.N; l.leaves = l.leaves[1:] {
			h := l.leaves[0]
			if at := int(h.Index&255) * tlog.HashSize; at+tlog.HashSize > len(data) || !bytes.Equal(h.Hash[:], data[at:at+tlog.HashSize]) {
				return broken("archived entry %d has another hash in its tile", h.Index)
			}
		}
	} else if !hasRoots(data, l.below[id.Level-1], id.N<<8) {
		return broken("tile %d of level %d is not what those below give", id.N, id.Level)
	}
	if !l.isArchived(id) {
		return nil
	}
	root, err := audit.TileRoot(data)
	if err != nil || id.N != int64(len(l.below[id.Level])) {
		return broken("tile %d of level %d is not in its place", id.N, id.Level)
	}
	l.below[id.Level] = append(l.below[id.Level], root)
	return nil
}

// hasRoots reports whether a tile that begins with the hash of number first has
// those that are known.
func hasRoots(data []byte, known []tlog.Hash, first int64) bool {
	for i := 0; i*tlog.HashSize < len(data) && first+int64(i) < int64(len(known)); i++ {
		if !bytes.Equal(data[i*tlog.HashSize:min((i+1)*tlog.HashSize, len(data))], known[first+int64(i)][:]) {
			return false
		}
	}
	return true
}

// tilesWhole reports whether all tiles of archived entries have come.
func (l *archivedLog) tilesWhole() bool {
	if len(l.leaves) > 0 {
		return false
	}
	for level := 0; l.archivedSize>>(8*(level+1)) > 0; level++ {
		if level >= len(l.below) || int64(len(l.below[level])) != l.archivedSize>>(8*(level+1)) {
			return false
		}
	}
	return true
}
