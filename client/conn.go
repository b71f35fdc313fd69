package client

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"

	"fastness/internal/secretbuf"
)

// wipingConn clears what passed through net/http's buffers, and through those of
// crypto/tls. A connection of http.Transport has one buffer for reading and one
// for writing, which it keeps for as long as it lives, and which would show the
// last values read and written.
//
// Read may use all of p as scratch by the contract of io.Reader: before it
// waits for the next reply it clears the buffer that held the last one. Write
// breaks the contract of io.Writer on purpose, by clearing what it has written:
// here p is always net/http's buffer, or that of ReadFrom, never memory that a
// caller still wants.
type wipingConn struct {
	net.Conn
	do func(func()) // secretbuf.Do over TLS, which works on values as it reads
}

// dialer makes connections that wipe.
type dialer struct {
	net.Dialer
	tls *tls.Config
}

// plain is the DialContext of an http.Transport.
func (d *dialer) plain(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &wipingConn{c, func(f func()) { f() }}, nil
}

// secure is its DialTLSContext. All that crypto/tls does runs in secretbuf.Do:
// it may drop arrays with plaintext, wherever they were made.
func (d *dialer) secure(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	socket, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	config := d.tls
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	c := tls.Client(secretbuf.NewRecords(socket), config)
	secretbuf.Do(func() { err = c.HandshakeContext(ctx) })
	if err != nil {
		socket.Close()
		return nil, err
	}
	return &wipingConn{c, secretbuf.Do}, nil
}

func (c *wipingConn) Read(p []byte) (n int, err error) {
	secretbuf.Wipe(p)
	c.do(func() { n, err = c.Conn.Read(p) })
	return n, err
}

// Write runs in Do over plain HTTP too: net/http has just copied credentials and
// values to p, and the registers that it used for that still hold parts of them.
func (c *wipingConn) Write(p []byte) (n int, err error) {
	secretbuf.Do(func() { n, err = c.Conn.Write(p) })
	if err == nil {
		secretbuf.Wipe(p)
	}
	return n, err
}

func (c *wipingConn) Close() (err error) {
	c.do(func() { err = c.Conn.Close() })
	return err
}

// ReadFrom sends a body that net/http would otherwise copy through an array
// of its own, which nobody wipes.
func (c *wipingConn) ReadFrom(r io.Reader) (sent int64, err error) {
	scratch := secretbuf.New(4096)
	defer scratch.Release()
	for {
		n, rerr := r.Read(scratch.Bytes())
		if n > 0 {
			w, werr := c.Write(scratch.Bytes()[:n])
			sent += int64(w)
			if werr != nil {
				return sent, werr
			}
		}
		if rerr == io.EOF {
			return sent, nil
		}
		if rerr != nil {
			return sent, rerr
		}
	}
}

// lending is the time in which net/http may read a request's body. After an
// early answer net/http goes on sending in the background; by then the body
// may be on its way to be wiped.
type lending struct {
	mu    sync.Mutex // guards ended, and each copy out of the body
	ended bool
}

// end takes the body back from all readers.
func (l *lending) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}

// reader lends the body to one attempt.
func (l *lending) reader(body []byte) io.ReadCloser { return &bodyReader{l, body} }

// bodyReader is no bytes.Reader, which net/http would hand to io.Copy as a
// WriterTo and so write all at once past its buffer; Write would then clear
// the body that a second attempt needs.
type bodyReader struct {
	lending *lending
	rest    []byte
}

func (b *bodyReader) Read(p []byte) (int, error) {
	b.lending.mu.Lock()
	defer b.lending.mu.Unlock()
	if len(b.rest) == 0 { // also once it has ended: net/http looks for more behind a body that was answered already
		return 0, io.EOF
	}
	if b.lending.ended {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (*bodyReader) Close() error { return nil }
