package server

import (
	"io"
	"sync"

	"fastness/internal/secretbuf"
)

// answers are the arrays from which answers leave, wiped after each.
var answers = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}

// mostKept is the largest array that waits for its next use.
const mostKept = 32 << 10

// cork keeps what net/http writes, which is the header of an answer, until
// ReadFrom sends it together with the body.
func (c *conn) cork() {
	if c.answer == nil {
		c.answer = answers.Get().(*[]byte)
	}
	c.corked = true
}

// uncork sends what was kept and the body.
func (c *conn) uncork(body []byte) (err error) {
	b := c.answer
	c.corked, c.answer = false, nil
	if need := len(*b) + len(body); need > cap(*b) {
		*b = append(make([]byte, 0, need), *b...) // the header, which is no secret
	}
	secretbuf.Do(func() { *b = append(*b, body...) })
	_, err = c.send(*b)
	secretbuf.Wipe(*b)
	if *b = (*b)[:0]; cap(*b) <= mostKept {
		answers.Put(b)
	}
	return err
}

// Write sends what net/http or a handler wrote.
func (c *conn) Write(p []byte) (int, error) {
	// Whoever answers has read the request, be it only to find it broken.
	c.scrub()
	if c.corked {
		*c.answer = append(*c.answer, p...)
		return len(p), nil
	}
	return c.send(p)
}

// send writes to the socket or the TLS connection. crypto/tls seals a record in
// a pooled array, into which it copies the plaintext; if the array turns out to
// be too short for the tag, it takes another and drops the first as it is. That
// array was made inside Do too, as everything is that crypto/tls does here, and
// so is erased when it is collected.
func (c *conn) send(p []byte) (n int, err error) {
	if c.secure == nil || !eraseWrites {
		return c.Conn.Write(p)
	}
	secretbuf.Do(func() { n, err = c.Conn.Write(p) })
	return n, err
}

// ReadFrom is how net/http hands over the body of an answer when its header is
// out; see exchange.Write.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	if body, ok := r.(*payload); ok && c.corked {
		if err := c.uncork(body.bytes); err != nil {
			return 0, err
		}
		return int64(len(body.bytes)), nil
	}
	scratch := secretbuf.New(4 << 10)
	defer scratch.Release()
	return io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{r}, scratch.Bytes())
}

// payload is a body on its way through net/http, which must not look at it.
type payload struct{ bytes []byte }

// Read is called if net/http takes another way than the one that exchange.Write
// prepared, on which its buffers would keep a copy.
func (*payload) Read([]byte) (int, error) {
	panic("server: the body of an answer is on a way that keeps copies of it")
}
