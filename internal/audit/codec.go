package audit

import (
	"encoding/binary"
)

// appendText appends a text with its length before it.
func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// uvarintLen is the number of bytes that binary.AppendUvarint appends.
func uvarintLen(n uint64) int {
	l := 1
	for ; n >= 0x80; n >>= 7 {
		l++
	}
	return l
}

func textLen(s string) int { return uvarintLen(uint64(len(s))) + len(s) }

// cursor reads binary forms strictly: numbers in their shortest form, lengths
// within bounds. After the first fault, bad is set and all reads give zero.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) raw(n int) []byte {
	if c.bad || n > len(c.b) {
		c.bad = true
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) byte() byte {
	if b := c.raw(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uint64() uint64 {
	if b := c.raw(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// uvarint refuses numbers over 63 bits, since all of ours fit an int64, and
// any but the shortest form.
func (c *cursor) uvarint() uint64 {
	n, l := binary.Uvarint(c.b)
	if c.bad || l <= 0 || n > 1<<63-1 || l > 1 && c.b[l-1] == 0 {
		c.bad = true
		return 0
	}
	c.b = c.b[l:]
	return n
}

func (c *cursor) text(max int) []byte {
	n := c.uvarint()
	if n > uint64(max) {
		c.bad = true
		return nil
	}
	return c.raw(int(n))
}

// done reports whether everything was read and nothing was wrong.
func (c *cursor) done() bool { return !c.bad && len(c.b) == 0 }
