package server

import (
	"io"
	"net"
	"sync"

	"fastness/internal/secretbuf"
)

// arrays are what headers and sealed records are collected in, so that an answer
// leaves by one system call.
var arrays = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}

// mostCollected is how much is collected before it leaves, and the largest array
// that waits for its next use.
const mostCollected = 32 << 10

func giveBack(b *[]byte) {
	secretbuf.Wipe(*b)
	if *b = (*b)[:0]; cap(*b) <= mostCollected {
		arrays.Put(b)
	}
}

// cork keeps what net/http writes, which is the header of an answer, until
// uncork.
func (c *conn) cork() {
	if c.header == nil {
		c.header = arrays.Get().(*[]byte)
	}
}

// uncork sends what was kept and the body, of which it makes no copy; for that,
// over TLS they are two records.
func (c *conn) uncork(body []byte) (err error) {
	header := c.header
	c.header = nil
	defer giveBack(header)
	if c.secure == nil {
		both := net.Buffers{*header, body}
		_, err = both.WriteTo(c.Conn)
		return err
	}
	c.below.collect()
	if len(*header) > 0 {
		_, err = c.send(*header)
	}
	if err == nil {
		_, err = c.send(body)
	}
	if flushed := c.below.flush(); err == nil {
		err = flushed
	}
	return err
}

// Write sends what net/http or a handler wrote.
func (c *conn) Write(p []byte) (int, error) {
	// Whoever answers has read the request.
	c.scrub()
	if !c.asked {
		// net/http refuses it by itself, and then looks at the body.
		c.abandon(true)
	}
	if c.header != nil {
		*c.header = append(*c.header, p...)
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
	if body, ok := r.(*payload); ok && c.header != nil {
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

// sealed is the connection below TLS. Records that are written between collect
// and flush leave together.
type sealed struct {
	*secretbuf.Records
	mu   sync.Mutex // guards kept: an alert may be written beside an answer
	kept *[]byte    // nil outside
}

func (s *sealed) collect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = arrays.Get().(*[]byte)
}

func (s *sealed) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.kept == nil:
		return s.Records.Write(p)
	case len(*s.kept)+len(p) > mostCollected:
		if err := s.flushLocked(); err != nil {
			return 0, err
		}
		return s.Records.Write(p)
	}
	*s.kept = append(*s.kept, p...)
	return len(p), nil
}

func (s *sealed) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.flushLocked()
	giveBack(s.kept)
	s.kept = nil
	return err
}

func (s *sealed) flushLocked() error {
	if len(*s.kept) == 0 {
		return nil
	}
	_, err := s.Records.Write(*s.kept)
	*s.kept = (*s.kept)[:0]
	return err
}
