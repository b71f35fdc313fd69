package secretbuf

import (
	"errors"
	"io"
)

// ErrTooLong is returned by [ReadAll] when the reader gives more than the
// limit.
var ErrTooLong = errors.New("input is longer than the limit")

// minCapacity is a Builder's first array; most values fit.
const minCapacity = 64

// Builder makes a secret of unknown length by appending. Each array that it
// outgrows is wiped. The zero Builder is ready to use; it is not safe for
// concurrent use, and copies of a used Builder share their bytes.
//
// End with Buffer, which moves the bytes out, or with Release.
type Builder struct {
	state func() *[]byte // a function for the reason in the package comment
}

// memory returns the growing slice, making it on first use.
func (b *Builder) memory() *[]byte {
	if b.state == nil {
		m := new([]byte)
		b.state = func() *[]byte { return m }
	}
	return b.state()
}

// Grow makes room for n more bytes without another move.
func (b *Builder) Grow(n int) {
	if n < 0 {
		panic("secretbuf: negative growth")
	}
	m := b.memory()
	if cap(*m)-len(*m) >= n {
		return
	}
	old := *m
	grown := make([]byte, len(old), max(minCapacity, 2*cap(old), len(old)+n))
	transfer(grown, old)
	Wipe(old[:cap(old)])
	*m = grown
}

// Append appends the bytes.
func (b *Builder) Append(p ...byte) {
	b.Grow(len(p))
	m := b.memory()
	if len(p) < wide {
		*m = append(*m, p...)
		return
	}
	start := len(*m)
	*m = (*m)[:start+len(p)]
	transfer((*m)[start:], p)
}

// AppendString appends text that is not secret, such as the punctuation
// around a value.
func (b *Builder) AppendString(s string) {
	b.Grow(len(s))
	m := b.memory()
	*m = append(*m, s...)
}

// Extend appends n zero bytes and lends them to be filled, until the next
// append, Buffer or Release.
func (b *Builder) Extend(n int) []byte {
	b.Grow(n)
	m := b.memory()
	start := len(*m)
	*m = (*m)[:start+n]
	tail := (*m)[start : start+n : start+n]
	clear(tail)
	return tail
}

// Write appends p; it never fails.
func (b *Builder) Write(p []byte) (int, error) {
	b.Append(p...)
	return len(p), nil
}

// Len returns the number of bytes so far.
func (b *Builder) Len() int { return len(*b.memory()) }

// Bytes lends the bytes so far, until the next append, Buffer or Release.
func (b *Builder) Bytes() []byte {
	m := *b.memory()
	return m[:len(m):len(m)]
}

// Buffer moves the bytes into a Buffer without copying them and leaves the
// Builder empty.
func (b *Builder) Buffer() *Buffer {
	m := b.memory()
	buf := own(*m)
	*m = nil
	return buf
}

// Release wipes the bytes and leaves the Builder empty. It may be called
// after Buffer, when it has nothing left to wipe.
func (b *Builder) Release() {
	m := b.memory()
	if wipeReleased {
		Wipe((*m)[:cap(*m)])
	}
	*m = nil
}

// ReadAll reads r to its end into a Buffer. When r gives more than limit
// bytes, what was read is wiped and the error is [ErrTooLong]; an error of r is
// returned as it is.
func ReadAll(r io.Reader, limit int) (*Buffer, error) {
	var b Builder
	defer b.Release()
	b.Grow(min(limit+1, 512))
	m := b.memory()
	for {
		if len(*m) == cap(*m) {
			b.Grow(1)
		}
		// The reader may use all it is given as scratch; the spare capacity
		// is wiped with the rest.
		var n int
		var err error
		Do(func() { n, err = r.Read((*m)[len(*m):cap(*m)]) })
		if n < 0 || n > cap(*m)-len(*m) {
			return nil, errors.New("reader returned an impossible count")
		}
		*m = (*m)[:len(*m)+n]
		if len(*m) > limit {
			return nil, ErrTooLong
		}
		if err == io.EOF {
			return b.Buffer(), nil
		}
		if err != nil {
			return nil, err
		}
	}
}
