package sqlite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"

	sqlite3 "modernc.org/sqlite/lib"

	"fastness/internal/store"
)

// Cells hold what must be gone once it is deleted; the migration tells how.
// They have numbers from 1; 0 stands for none.

// padTail is the length of what ends a padded row.
const padTail = 4

var errPadding = errors.New("row is cut short")

// pad ends a row that is to have at least size bytes: content, zeros, and the
// content's length.
func pad(content []byte, size int) []byte {
	n := len(content)
	if zeros := size - padTail - n; zeros > 0 {
		content = append(content, make([]byte, zeros)...)
	}
	return binary.BigEndian.AppendUint32(content, uint32(n))
}

// unpad returns the content of a padded row.
func unpad(row []byte) ([]byte, error) {
	tail := len(row) - padTail
	if tail < 0 {
		return nil, errPadding
	}
	n := binary.BigEndian.Uint32(row[tail:])
	if int64(n) > int64(tail) {
		return nil, errPadding
	}
	return row[:n:n], nil
}

// cellSize rounds a length up: to 16 bytes up to 1 KiB, and above that to an
// eighth of the power of two below it.
func cellSize(n int) int {
	step := 16
	if n > 1<<10 {
		step = 1 << (bits.Len(uint(n-1)) - 4)
	}
	return (n + step - 1) / step * step
}

// cellAt reads the content of a cell; nil if the column is NULL.
func (s *stmt) cellAt(col int) ([]byte, error) {
	row := s.view(col)
	if row == nil {
		return nil, nil
	}
	content, err := unpad(row)
	return append(make([]byte, 0, len(content)), content...), err
}

// putCell stores parts, one after the other, in a free cell of their length or
// in a new one.
func (t *tx) putCell(parts ...[]byte) (int64, error) { return t.storeCell(seal(parts)) }

// seal is what a cell with these parts holds.
func seal(parts [][]byte) []byte {
	content := bytes.Join(parts, nil)
	return pad(content, cellSize(len(content)+padTail))
}

func (t *tx) storeCell(data []byte) (int64, error) {
	n, err := row(t.query("cell_find_free").int(1, int64(len(data))), number)
	switch {
	case err == nil:
		return n, t.fillCell(n, data)
	case !errors.Is(err, store.ErrAbsent):
		return 0, err
	}
	if _, err := t.write("cell_add").blob(1, data).run(); err != nil {
		return 0, err
	}
	return sqlite3.Xsqlite3_last_insert_rowid(t.conn.tls, t.conn.db), nil
}

// fillCell writes over a cell; ErrAbsent if it has another length.
func (t *tx) fillCell(n int64, data []byte) error {
	return change(t.write("cell_fill").int(1, n).blob(2, data))
}

// clearCell writes zeros over a cell, if n is one.
func (t *tx) clearCell(n int64) error {
	if n == 0 {
		return nil
	}
	return change(t.write("cell_clear").int(1, n))
}

// replaceCell puts parts in place of what cell n held, and returns the number
// of the cell where they are now. A first part that is nil clears the cell.
func (t *tx) replaceCell(n int64, parts ...[]byte) (int64, error) {
	if parts[0] == nil {
		return 0, t.clearCell(n)
	}
	data := seal(parts)
	if n != 0 {
		if err := t.fillCell(n, data); !errors.Is(err, store.ErrAbsent) {
			return n, err
		}
		if err := t.clearCell(n); err != nil {
			return 0, err
		}
	}
	return t.storeCell(data)
}
