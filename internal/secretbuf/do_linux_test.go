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

// TestClean leaves the planted bytes where only a collection erases them, and
// looks for them afterwards.
func TestClean(t *testing.T) {
	if secretbuf.Erasing != "runtime" {
		t.Logf("this build erases by %q: Clean has nothing to do", secretbuf.Erasing)
		secretbuf.Clean()
		return
	}
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	const copies = 200
	at := leaveOnHeap(copies)
	if n := stillThere(t, mem, at); n != copies {
		t.Errorf("of %d copies %d are there before Clean: the test looks in the wrong place", copies, n)
	}
	secretbuf.Clean()
	if n := stillThere(t, mem, at); n > 0 {
		t.Errorf("Clean leaves %d copies of %d", n, copies)
	}
}

// leaveOnHeap makes copies of the planted bytes in Do and returns where they are.
//
//go:noinline
func leaveOnHeap(copies int) (at []uintptr) {
	at = make([]uintptr, copies)
	secretbuf.Do(func() {
		for i := range at {
			b := append(make([]byte, 0, 512), planted...)
			escaped, at[i] = b, uintptr(unsafe.Pointer(&b[0]))
		}
		escaped = nil
	})
	return at
}

var escaped []byte

func stillThere(t *testing.T, mem *os.File, at []uintptr) (n int) {
	t.Helper()
	got := make([]byte, len(planted))
	for _, a := range at {
		if _, err := mem.ReadAt(got, int64(a)); err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(got, planted) {
			n++
		}
	}
	return n
}
