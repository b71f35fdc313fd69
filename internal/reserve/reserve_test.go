package reserve_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"fastness/internal/reserve"
)

const size = 1 << 20

// TestReserve makes a reserve, finds that it takes room, and releases it.
func TestReserve(t *testing.T) {
	r := reserve.Reserve{Dir: t.TempDir(), Size: size}
	held := func(want int64) {
		t.Helper()
		if got, err := r.Held(); err != nil || got != want {
			t.Fatalf("%d bytes are held, want %d; error %v", got, want, err)
		}
	}
	fill := func() {
		t.Helper()
		if err := r.Fill(0); err != nil {
			t.Fatal(err)
		}
	}
	held(0)
	fill()
	held(size)
	info, err := os.Stat(filepath.Join(r.Dir, "reserve"))
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); s.Blocks*512 < size || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has %d bytes of room and the mode %s", s.Blocks*512, info.Mode())
	}
	fill() // again changes nothing
	r.Size = 2 * size
	fill()
	held(2 * size)
	for _, want := range []bool{true, false} {
		if released, err := reserve.Release(r.Dir); released != want || err != nil {
			t.Fatalf("released: %t, want %t; error %v", released, want, err)
		}
		held(0)
	}
	fill()
	r.Size = 0
	fill()
	held(0)
}

// TestReserveNeedsRoom: a disk without room is not filled by the reserve itself.
func TestReserveNeedsRoom(t *testing.T) {
	dir := t.TempDir()
	free, total, err := reserve.Space(dir)
	if err != nil || free <= 0 || total < free {
		t.Fatalf("%d bytes of %d are free, error %v", free, total, err)
	}
	r := reserve.Reserve{Dir: dir, Size: size}
	if err := r.Fill(total); !errors.Is(err, reserve.ErrNoRoom) {
		t.Errorf("error is %v", err)
	}
	if held, err := r.Held(); held != 0 || err != nil {
		t.Errorf("%d bytes are held, error %v", held, err)
	}
	if _, _, err := reserve.Space(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}
