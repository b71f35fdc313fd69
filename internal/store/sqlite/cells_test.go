package sqlite

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"fastness/internal/store"
)

func TestPad(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := rapid.SliceOf(rapid.Byte()).Draw(t, "content")
		size := rapid.IntRange(0, 100).Draw(t, "size")
		row := pad(bytes.Clone(content), size)
		if len(row) != max(size, len(content)+padTail) {
			t.Fatalf("row has %d bytes", len(row))
		}
		got, err := unpad(row)
		if err != nil || !bytes.Equal(got, content) {
			t.Fatalf("content came back as %x, %v", got, err)
		}
	})
	for _, bad := range [][]byte{nil, {0, 0, 0}, {0, 0, 0, 1}, {7, 0, 0, 0, 2}, {1, 2, 255, 255, 255, 255}} {
		if got, err := unpad(bad); err == nil {
			t.Errorf("%x became %x", bad, got)
		}
	}
}

func TestCellSize(t *testing.T) {
	sizes := make(map[int]bool)
	for n := 1; n <= 70_000; n++ {
		size := cellSize(n)
		if size < n || size > n+max(15, n/8) || cellSize(size) != size {
			t.Fatalf("%d bytes take %d", n, size)
		}
		sizes[size] = true
	}
	if len(sizes) > 120 {
		t.Errorf("there are %d sizes", len(sizes))
	}
}

// TestCells: cells are overwritten in place, never deleted, and used again by
// what has their length.
func TestCells(t *testing.T) {
	s := openTest(t, Config{})
	var steps []int64
	err := s.Update(t.Context(), func(w store.Tx) error {
		c := w.(*tx)
		cell := func(n int64, err error) int64 {
			if err != nil {
				t.Error(err)
			}
			steps = append(steps, n)
			return n
		}
		one := cell(c.putCell([]byte("first")))
		two := cell(c.putCell([]byte("sec"), []byte("ond")))
		one = cell(c.replaceCell(one, []byte("fit")))
		long := cell(c.replaceCell(one, make([]byte, 100)))
		again := cell(c.putCell([]byte("takes the first")[:9]))
		cell(c.replaceCell(two, nil))
		cell(c.replaceCell(0, nil))
		if err := c.fillCell(long, make([]byte, 16)); !errors.Is(err, store.ErrAbsent) {
			t.Errorf("filling a cell with less: %v", err)
		}
		return c.clearCell(again)
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int64{1, 2, 1, 3, 1, 0, 0}; !slices.Equal(steps, want) {
		t.Errorf("cells are %v, want %v", steps, want)
	}
	defer hold(t, s)() // its connection is ours meanwhile
	live, err := s.writer.conn.integer("SELECT count(*) FROM cells WHERE free = 0")
	if err != nil || live != 1 {
		t.Errorf("%d cells are in use, %v", live, err)
	}
	dirty, err := s.writer.conn.integer("SELECT count(*) FROM cells WHERE free = 1 AND data <> zeroblob(length(data))")
	if err != nil || dirty != 0 {
		t.Errorf("%d free cells are not empty, %v", dirty, err)
	}
}
