package dump

import (
	"crypto/sha256"
	"maps"
)

// Digest sums up a stream of rows. The zero value is that of an empty stream.
// Not safe for concurrent use.
type Digest struct {
	// Rows is how many there were.
	Rows int64
	// Sum is SHA-256(the sum before ‖ the row's line), zero before the first row.
	Sum [sha256.Size]byte

	counts map[string]int64
	buf    []byte
}

// Add counts a row in and returns its line, which is valid until the next call.
func (d *Digest) Add(r *Row) ([]byte, error) {
	buf, err := r.Append(append(d.buf[:0], d.Sum[:]...))
	if err != nil {
		return nil, err
	}
	d.buf = buf
	d.Sum = sha256.Sum256(buf)
	d.Rows++
	if d.counts == nil {
		d.counts = make(map[string]int64)
	}
	d.counts[r.Kind()]++
	return buf[sha256.Size:], nil
}

// Counts tells how many rows there were of each kind.
func (d *Digest) Counts() map[string]int64 { return maps.Clone(d.counts) }
