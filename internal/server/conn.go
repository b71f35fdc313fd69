package server

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
	"time"

	"fastness/internal/secretbuf"
)

// conn is a connection that leaves nothing in memory of what it carried. It
// stands between net/http, which never wipes its buffers and passes them from
// connection to connection, and the socket, or the TLS connection above it:
//
//   - Read clears all that it is lent before it waits for bytes. While a
//     connection idles, that is the whole buffer of net/http's reader.
//   - Read hands over no more than one header or one body at a time and keeps what
//     came along with it. So when a handler begins, the reader's buffer holds
//     nothing but the header, and when a body is read, nothing but its end: the
//     buffer can be scrubbed at both times without harm to what follows.
//   - Read keeps the values of Authorization headers from net/http, which would make
//     strings of them before it knows whether there will be a handler.
//   - ReadFrom takes the body of an answer from exchange.Write, past the writers
//     of net/http, and sends it with its header, without a copy.
//
// net/http reads and writes a connection from one goroutine; only a Read of one
// byte, which waits for the connection's end, may run beside a handler. The
// fields below are guarded by that order, which net/http keeps with a mutex of
// its own.
type conn struct {
	net.Conn
	secure *tls.Conn // the same as Conn; nil for plain HTTP
	below  *sealed   // under secure

	framing framing
	held    *secretbuf.Buffer // what came along with a header or a body
	from    int               // how much of held was handed over
	ended   atomic.Bool       // nothing is read any more

	// reader is the buffer of net/http's bufio.Reader, kept beyond the call of
	// Read that lent it. That breaks the contract of io.Reader, and is safe
	// because net/http alone uses that buffer, is the one caller, and gives it
	// to another connection only after its last call of ours but Close.
	reader []byte
	filled int // how much of reader was written to since it was scrubbed

	asked  bool    // a handler has begun with the request that was read last
	header *[]byte // of the answer, until its body is there; nil if net/http's writes go out

	exchange exchange
}

// connKey is the key of a request's connection in its context.
type connKey struct{}

// withConn is the ConnContext of an http.Server.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, connOf(c))
}

// connOf returns the conn that was given to net/http.
func connOf(c net.Conn) *conn {
	switch c := c.(type) {
	case *conn:
		return c
	case secureConn:
		return c.conn
	}
	return nil
}

// Read reads for net/http.
func (c *conn) Read(p []byte) (n int, err error) {
	if clearReads {
		secretbuf.Wipe(p)
	}
	if c.ended.Load() {
		return 0, io.EOF
	}
	if c.held.Len() > 0 {
		secretbuf.Do(func() { n = c.handOver(p) })
	} else {
		n, err = c.receive(p)
	}
	c.follow(p, n, err)
	return n, err
}

// receive waits for bytes and returns what of them net/http may have.
func (c *conn) receive(p []byte) (n int, err error) {
	if c.secure == nil || !eraseReads {
		n, err = c.Conn.Read(p)
	} else {
		secretbuf.Do(func() { n, err = c.Conn.Read(p) })
	}
	part := c.framing.take(p[:n])
	if part == n {
		return n, err
	}
	c.held = secretbuf.New(n - part)
	secretbuf.Do(func() { copy(c.held.Bytes(), p[part:n]) })
	secretbuf.Wipe(p[part:n])
	return part, err
}

// handOver returns what net/http may have of what was kept.
func (c *conn) handOver(p []byte) int {
	rest := c.held.Bytes()[c.from:]
	n := copy(p, rest[:c.framing.take(rest[:min(len(rest), len(p))])])
	secretbuf.Wipe(rest[:n])
	if c.from += n; n == len(rest) {
		c.forget()
	}
	return n
}

// forget wipes what was kept.
func (c *conn) forget() {
	c.held.Release()
	c.held, c.from = nil, 0
}

// follow finds out how much of net/http's buffer is in use. The first Read of a
// connection fills that buffer from its start. Later ones fill it from somewhere,
// or write to the memory of whoever reads a body.
func (c *conn) follow(p []byte, n int, err error) {
	if c.reader == nil {
		c.reader = p[:cap(p)]
	}
	at := len(c.reader) - cap(p)
	if len(p) == 0 || at < 0 || &c.reader[at] != &p[0] {
		return
	}
	c.filled = max(c.filled, at+n)
	if c.framing.body == 0 && c.exchange.conn == nil {
		c.asked = false // these are bytes of the next header
	}
	if err != nil {
		// Whatever net/http has of a request, it will not be whole.
		c.scrub()
	}
}

// scrub clears net/http's buffer, and credentials that no handler will see. See
// conn for when that does no harm.
func (c *conn) scrub() {
	c.framing.taken.wipe()
	if scrubReader && c.filled > 0 {
		secretbuf.Wipe(c.reader[:c.filled])
		c.filled = 0
	}
}

// abandon ends reading: what still comes is not the next request. midway says
// that the end of the current one has not been read, so that no other Read can
// be running.
func (c *conn) abandon(midway bool) {
	if !drainBodies || c.ended.Swap(true) {
		return
	}
	c.scrub()
	if !midway {
		return
	}
	c.forget()
	if c.secure != nil {
		c.below.End()
		c.discard()
	}
}

// discard reads off what crypto/tls has decrypted, whose buffer is then cleared
// by the last Read below it.
func (c *conn) discard() {
	scratch := secretbuf.New(4 << 10)
	defer scratch.Release()
	secretbuf.Do(func() {
		for err := error(nil); err == nil; {
			_, err = c.Conn.Read(scratch.Bytes())
		}
	})
}

// CloseWrite tells the peer that nothing more comes.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// Close closes the connection. It wipes nothing of net/http: by now another
// connection may have its buffer.
func (c *conn) Close() (err error) {
	if c.secure == nil {
		return c.Conn.Close()
	}
	secretbuf.Do(func() { err = c.Conn.Close() })
	return err
}

// secureConn is a conn over TLS. Only it tells net/http of the TLS connection.
type secureConn struct {
	*conn
	timeout time.Duration
	failed  func(error)
}

// ConnectionState does the handshake, as net/http asks for the state before it
// reads, and does no handshake itself on connections that are not its own type.
func (c secureConn) ConnectionState() tls.ConnectionState {
	c.SetDeadline(time.Now().Add(c.timeout))
	var err error
	secretbuf.Do(func() { err = c.secure.Handshake() })
	c.SetDeadline(time.Time{})
	if err != nil {
		c.refuseHandshake(err)
	}
	return c.secure.ConnectionState()
}

// refuseHandshake tells a client that speaks plain HTTP what is wrong, as
// net/http would, and ends the connection.
func (c secureConn) refuseHandshake(err error) {
	c.failed(err)
	c.ended.Store(true)
	c.below.End()
	if header, ok := err.(tls.RecordHeaderError); ok && looksLikeHTTP(header.RecordHeader) {
		io.WriteString(c.below, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
	}
}

// looksLikeHTTP reports whether what should begin a TLS record begins a request.
func looksLikeHTTP(start [5]byte) bool {
	switch string(start[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PATCH", "DELET":
		return true
	}
	return false
}
