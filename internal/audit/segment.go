package audit

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const segmentFormat = "fastness-audit-segment/1"

// SegmentHeader says what a segment holds: a stretch of the whole deployment's
// log that was written outside. A segment is JSON lines:
//
//	{"format":"fastness-audit-segment/1","origin":…,"from":F,"to":T,
//	 "edge":[…],"root":…}
//	{"index":…, as in a bundle of the whole deployment}          T − F times
//	{"consistency":{"from":T,"root":…,"proof":[…]}}    unless it is the signed size
//	{"checkpoint":"the signed note"}
//
// It verifies alone. The edge lists, for each level of tiles, the data of the one
// that the tree of F leaves has not filled (empty if there is none): from it
// follows the root at F, and with the entries the one at T, which the checkpoint
// continues.
//
// The bytes of a segment follow from what it says: there is no second form.
type SegmentHeader struct {
	Origin   string
	From, To int64 // leaf indexes: the first one, and the one behind the last
	Edge     [][]byte
	Root     tlog.Hash // at size To
}

type segmentJSON struct {
	Format string    `json:"format"`
	Origin string    `json:"origin"`
	From   int64     `json:"from"`
	To     int64     `json:"to"`
	Edge   [][]byte  `json:"edge"`
	Root   tlog.Hash `json:"root"`
}

// NewSegmentHeader reads what a segment's header says from the tiles of a tree
// of at least to leaves.
func NewSegmentHeader(origin string, from, to int64, tiles Tiles) (SegmentHeader, error) {
	h := SegmentHeader{Origin: origin, From: from, To: to}
	var err error
	if h.Edge, err = Edge(from, tiles); err != nil {
		return h, err
	}
	h.Root, err = tlog.TreeHash(to, NewHashReader(to, tiles))
	return h, err
}

// Edge reads the tiles that a tree of this size has not filled, as a segment's
// header has them.
func Edge(size int64, tiles Tiles) ([][]byte, error) {
	b, err := edgeBuilder(size, tiles)
	if err != nil {
		return nil, err
	}
	edge := [][]byte{}
	for _, data := range b.edge {
		edge = append(edge, append([]byte{}, data...))
	}
	return edge, nil
}

// EdgeRoot returns the root of a tree of this size, of which Edge has read the edge.
func EdgeRoot(size int64, edge [][]byte) (tlog.Hash, error) {
	h := SegmentHeader{From: size, Edge: edge}
	b, err := h.builder()
	if err != nil {
		return tlog.Hash{}, err
	}
	return b.acc.root(), nil
}

// TileRoot is the root over the hashes of a full tile.
func TileRoot(data []byte) (tlog.Hash, error) {
	if len(data) != tileWidth*tlog.HashSize {
		return tlog.Hash{}, errors.New("the tile is not full")
	}
	return perfect(data), nil
}

// edgeTiles gives the tiles of a header's edge.
type edgeTiles [][]byte

// ReadTiles implements Tiles.
func (e edgeTiles) ReadTiles(ids []TileID) ([][]byte, error) {
	out := make([][]byte, len(ids))
	for i, id := range ids {
		out[i] = e[id.Level]
	}
	return out, nil
}

// builder returns what grows the tree before the segment. It refuses an edge of
// another form than ours.
func (h *SegmentHeader) builder() (*builder, error) {
	levels := 0
	for ; h.From>>(tileHeight*levels) > 0; levels++ {
		width := h.From >> (tileHeight * levels) % tileWidth
		if levels >= len(h.Edge) || int64(len(h.Edge[levels])) != width*tlog.HashSize {
			return nil, errors.New("its edge does not fit the size at which it begins")
		}
	}
	if levels != len(h.Edge) {
		return nil, errors.New("its edge has more levels than the tree")
	}
	return edgeBuilder(h.From, edgeTiles(h.Edge))
}

func (h *SegmentHeader) check() error {
	if h.From < 0 || h.To <= h.From {
		return errors.New("it has no entries")
	}
	return nil
}

// SegmentWriter writes a segment. It holds one hash for each tenant.
type SegmentWriter struct {
	b *BundleWriter
	h SegmentHeader
}

// NewSegmentWriter writes the header. hashes must read a tree of at least the
// header's To leaves.
func NewSegmentWriter(w io.Writer, h SegmentHeader, hashes tlog.HashReader) (*SegmentWriter, error) {
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("writing audit segment: %w", err)
	}
	b := newBundleWriter(w, BundleHeader{}, hashes)
	b.digest = sha256.New()
	return &SegmentWriter{b, h}, b.write(segmentJSON{Format: segmentFormat, Origin: h.Origin,
		From: h.From, To: h.To, Edge: h.Edge, Root: h.Root})
}

// Add writes the next entry, in the order of the leaves.
func (s *SegmentWriter) Add(p Place, r Record) error { return s.b.Add(s.h.From+s.b.added, p, r) }

// Digest is SHA-256 over the lines of the entries so far.
func (s *SegmentWriter) Digest() [sha256.Size]byte { return [sha256.Size]byte(s.b.digest.Sum(nil)) }

// Close writes what leads to the signed checkpoint, of at least the segment's
// To leaves, which hashes must read. It does not close the underlying writer.
func (s *SegmentWriter) Close(note []byte, hashes tlog.HashReader) error {
	c, err := ParseCheckpoint(note)
	if err == nil && s.b.added != s.h.To-s.h.From {
		err = fmt.Errorf("%d entries were added instead of %d", s.b.added, s.h.To-s.h.From)
	}
	if err != nil {
		return fmt.Errorf("writing audit segment: %w", err)
	}
	if c.Size != s.h.To {
		root, proof, err := proveTree(c.Size, s.h.To, hashes)
		if err != nil {
			return fmt.Errorf("writing audit segment: %w", err)
		}
		if err := s.b.write(consistencyJSON{consistencyLine{From: s.h.To, Root: root, Proof: proof}}); err != nil {
			return err
		}
	}
	if err := s.b.write(checkpointJSON{Checkpoint: string(note)}); err != nil {
		return err
	}
	return s.b.out.Flush()
}

// Flush sends what was written so far to the underlying writer.
func (s *SegmentWriter) Flush() error { return s.b.out.Flush() }

// ReadSegmentHeader decodes a segment's first line. Errors are *VerifyError.
func ReadSegmentHeader(line []byte) (SegmentHeader, error) {
	var j segmentJSON
	if json.Unmarshal(line, &j) != nil || j.Format != segmentFormat {
		return SegmentHeader{}, fault(Malformed, "not an audit segment of this format")
	}
	if f := decodeLine(line, &j); f != nil {
		return SegmentHeader{}, f
	}
	h := SegmentHeader{Origin: j.Origin, From: j.From, To: j.To, Edge: j.Edge, Root: j.Root}
	if err := h.check(); err != nil {
		return h, fault(Malformed, "%v", err)
	}
	return h, nil
}

// IsSegment reports whether a file that begins with these bytes is a segment.
func IsSegment(begin []byte) bool {
	return strings.HasPrefix(string(begin), `{"format":"fastness-audit-segment/`)
}

// TilePath is a tile's name in the layout of C2SP's tlog-tiles, for a tile of
// width hashes.
func TilePath(id TileID, width int) string {
	n := fmt.Sprintf("%03d", id.N%1000)
	for rest := id.N / 1000; rest > 0; rest /= 1000 {
		n = fmt.Sprintf("x%03d/%s", rest%1000, n)
	}
	path := fmt.Sprintf("tile/%d/%s", id.Level, n)
	if width < tileWidth {
		path += fmt.Sprintf(".p/%d", width)
	}
	return path
}
