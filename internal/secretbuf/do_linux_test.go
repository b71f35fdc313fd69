package secretbuf_test

import (
	"bytes"
	"os"
	"testing"
	"unsafe"

	"fastness/internal/secretbuf"
)

// TestDoErasesTheStack leaves the planted bytes in a frame that dies and looks
// for them, once after a plain call and once after Do: the first proves that
// the look works.
func TestDoErasesTheStack(t *testing.T) {
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	if n := remains(t, mem, func(f func()) { f() }); n == 0 {
		t.Error("a plain call leaves nothing: the test looks in the wrong place")
	}
	if n := remains(t, mem, secretbuf.Do); n > 0 {
		t.Errorf("Do leaves %d copies on the stack (this build erases by %q)", n, secretbuf.Erasing)
	}
}

// remains counts the copies that call leaves in the 4 KiB of stack below this
// function's frame.
//
//go:noinline
func remains(t *testing.T, mem *os.File, call func(func())) int {
	got := make([]byte, 4096)
	useStack()
	var here byte
	bottom := int64(uintptr(unsafe.Pointer(&here))) - int64(len(got))
	call(leaveCopies)
	if _, err := mem.ReadAt(got, bottom); err != nil {
		t.Fatal(err)
	}
	return bytes.Count(got, planted)
}

//go:noinline
func leaveCopies() {
	var frame [2048]byte
	for i := range frame {
		frame[i] = planted[i%len(planted)]
	}
	sink += frame[int(sink)]
}

// useStack grows the stack, so that it does not move later, and overwrites it.
//
//go:noinline
func useStack() {
	var frame [32 << 10]byte
	for i := range frame {
		frame[i] = sink
	}
	sink += frame[int(sink)]
}

var sink byte
