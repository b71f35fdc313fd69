// Package secretbuf holds secret bytes: values that pass through a request,
// and keys that outlive it. It owns every means by which Fastness keeps
// plaintext out of memory that nobody watches.
//
//   - [Buffer] holds a value. It is wiped on Release, never becomes a string
//     and prints as "[secret]".
//   - [Builder] grows a value piece by piece and wipes each array it outgrows.
//   - [Key] holds a 32-byte key in pages outside the kernel's direct map, where
//     neither a core dump nor /proc/PID/mem shows it.
//   - [Do] runs a function and erases the stack, the registers and, soon after,
//     the heap that it used.
//   - [Records] keeps plaintext out of the input buffer of crypto/tls.
//   - [WipeCipher], [WipeString] and [WipeEnv] overwrite copies that the
//     standard library made.
//   - [Harden] forbids core dumps and attaching debuggers.
//
// The key idea of the types is what they do not contain: their only field is a
// function. Package fmt prints unexported fields by reflection without asking
// their methods, so a byte slice, or even a pointer to one, leaks from inside
// an enclosing struct. A function value shows a code address, at any depth and
// under any verb.
//
// Whoever makes a Buffer releases it. A slice from Bytes is a loan: it must not
// be kept, converted to a string or handed to anything that keeps it.
//
// This is the only package that imports unsafe.
package secretbuf

import (
	"crypto/subtle"
	"io"
	"runtime"
	"sync/atomic"
)

// Buffer is a fixed number of secret bytes. Make one with [New], [Take],
// [ReadAll] or [Builder.Buffer], and Release it when done.
//
// A nil *Buffer and the zero Buffer are valid and behave as released ones.
// Methods may be called concurrently, but whoever releases a Buffer must know
// that nobody still works on its bytes.
type Buffer struct {
	// state returns the memory. It is a function so that reflection finds
	// nothing to print; see the package comment.
	state func() *state
}

// state is the memory behind a Buffer. live points at b until Release takes it
// away, so that exactly one of several concurrent calls wipes.
type state struct {
	live atomic.Pointer[[]byte]
	b    []byte
}

// own makes b the memory of a new Buffer, spare capacity included.
func own(b []byte) *Buffer {
	s := &state{b: b}
	s.live.Store(&s.b)
	return &Buffer{state: func() *state { return s }}
}

// New returns a Buffer of n zero bytes.
func New(n int) *Buffer { return own(make([]byte, n)) }

// Take copies b into a new Buffer and wipes b.
func Take(b []byte) *Buffer {
	buf := New(len(b))
	transfer(buf.Bytes(), b)
	Wipe(b)
	return buf
}

// memory returns the whole memory, or nil after Release.
func (b *Buffer) memory() *[]byte {
	if b == nil || b.state == nil {
		return nil
	}
	return b.state().live.Load()
}

// Bytes lends the bytes until Release; after that it returns nil. The slice
// has no spare capacity: appending to it would make a copy that nobody wipes.
func (b *Buffer) Bytes() []byte {
	m := b.memory()
	if m == nil {
		return nil
	}
	return (*m)[:len(*m):len(*m)]
}

// Len returns the number of bytes; 0 after Release.
func (b *Buffer) Len() int {
	if m := b.memory(); m != nil {
		return len(*m)
	}
	return 0
}

// Truncate wipes all bytes from n on and shortens the Buffer to n. It panics
// when n is negative or more than Len. Unlike the other methods it must not be
// called concurrently with any.
func (b *Buffer) Truncate(n int) {
	m := b.memory()
	if m == nil && n == 0 {
		return
	}
	clear((*m)[n:])
	*m = (*m)[:n]
}

// Release wipes the bytes. It may be called again, concurrently and on nil.
func (b *Buffer) Release() {
	if b == nil || b.state == nil {
		return
	}
	if m := b.state().live.Swap(nil); m != nil && wipeReleased {
		Wipe((*m)[:cap(*m)])
	}
}

// Clone returns an independent copy, which has to be released on its own. The
// clone of a released Buffer is a released Buffer.
func (b *Buffer) Clone() *Buffer {
	m := b.memory()
	if m == nil {
		return &Buffer{}
	}
	c := New(len(*m))
	transfer(c.Bytes(), *m)
	return c
}

// Equal reports whether a and b hold the same bytes, in a time that depends
// on their lengths only. A released or nil Buffer equals nothing, not even
// another one, so that a missing credential never matches.
func Equal(a, b *Buffer) bool {
	x, y := a.memory(), b.memory()
	return x != nil && y != nil && subtle.ConstantTimeCompare(*x, *y) == 1
}

// WriteTo writes the bytes to w. It makes no copy; what w keeps is w's affair.
func (b *Buffer) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b.Bytes())
	return int64(n), err
}

// wide is the size of the registers through which a copy goes, unless it is
// shorter.
const wide = 16

// transfer copies secret bytes. A copy goes through wide registers, which keep
// them, and are saved somewhere in memory when the thread is interrupted.
func transfer(dst, src []byte) {
	if len(src) > 0 {
		Do(func() { copy(dst, src) })
	}
}

// Wipe overwrites b with zeros.
func Wipe(b []byte) {
	clear(b)
	// Without a use after it, a future compiler might drop the clearing.
	runtime.KeepAlive(b)
}
