package server

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"fastness/internal/secretbuf"
)

// maxDrain is how much of a body that nobody wants is still read, so that a
// client which sends all before it listens gets its answer.
const maxDrain = 1 << 20

// exchange is a request and its answer on a conn. It is the ResponseWriter of
// all handlers: what they write with a Content-Length goes to the connection
// past net/http's buffers, and before the header leaves it sees to it that
// nothing of the request's body is left to net/http, which would throw it away
// through a pooled buffer.
//
// A connection has one, used again for each request; handlers must not keep it
// longer than any ResponseWriter.
type exchange struct {
	http.ResponseWriter
	conn    *conn
	request *http.Request
	body    body
	status  int  // 0 until the header is decided
	endless bool // the body says itself where it ends
	payload payload
}

// guard makes a handler's requests and answers leave nothing behind. Requests
// that did not come through a conn, as in tests, are passed on as they are.
func guard(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(connKey{}).(*conn)
		if c == nil {
			h(w, r)
			return
		}
		x := c.begin(w, r)
		returned := false
		defer func() { x.end(r, returned) }()
		h(x, x.request)
		returned = true
	}
}

// begin takes over a request whose header net/http has read.
func (c *conn) begin(w http.ResponseWriter, r *http.Request) *exchange {
	if values := c.framing.taken.values(); len(values) == len(r.Header["Authorization"]) && len(values) > 0 {
		r.Header["Authorization"] = values // instead of letters of no meaning
	}
	c.scrub()
	c.asked = true
	x := &c.exchange
	*x = exchange{ResponseWriter: w, conn: c, request: r}
	if r.Body == nil || r.Body == http.NoBody {
		x.body.whole = true
		return x
	}
	// net/http looks at the type of the body in its own request, so that one
	// must stay as it is.
	x.request = new(http.Request)
	*x.request = *r
	x.body = body{ReadCloser: r.Body, conn: c}
	x.request.Body = &x.body
	if c.framing.body = r.ContentLength; r.ContentLength < 0 {
		x.endless = true
		// Where such a body ends only net/http knows; to scrub what it has read
		// is then safe only if nothing follows.
		c.framing.body = unbounded
		x.Header()["Connection"] = []string{"close"}
	}
	return x
}

// end is called when the handler has returned, or panicked.
func (x *exchange) end(r *http.Request, returned bool) {
	if returned {
		x.settle()
	} else {
		x.conn.abandon(!x.body.whole)
	}
	if x.endless {
		x.conn.abandon(false)
	}
	wipeCredentials(r)
	*x = exchange{}
}

// settle sees to the request's body before the answer begins: it is read to its
// end, or else the connection is. A client that waits to be told to send it is
// not told.
func (x *exchange) settle() {
	if x.status != 0 {
		return
	}
	x.status = http.StatusOK
	if x.body.whole || !drainBodies {
		return
	}
	if x.request.Header.Get("Expect") == "" || x.body.begun {
		x.body.drain()
	}
	if !x.body.whole {
		x.Header()["Connection"] = []string{"close"}
		x.conn.abandon(true)
	}
}

// WriteHeader sends the header.
func (x *exchange) WriteHeader(status int) {
	if status < http.StatusOK && status != http.StatusSwitchingProtocols {
		x.ResponseWriter.WriteHeader(status)
		return
	}
	x.settle()
	x.status = status
	x.ResponseWriter.WriteHeader(status)
}

// Write sends a body. With a Content-Length net/http would rather have it from
// its ReadFrom: once the header is out, that passes a reader on to the
// connection as it is, and the bytes go there without another copy.
func (x *exchange) Write(p []byte) (int, error) {
	x.settle()
	to, ok := x.ResponseWriter.(interface {
		io.ReaderFrom
		http.Flusher
	})
	switch {
	case x.request.Method == http.MethodHead:
		return len(p), nil // net/http would take it, and then throw it away
	case !ok || !handReplies || !x.hasLength():
		return x.ResponseWriter.Write(p)
	}
	x.conn.cork()
	to.Flush()
	x.payload.bytes = p
	n, err := to.ReadFrom(&x.payload)
	x.payload.bytes = nil
	return int(n), err
}

// hasLength reports whether there is a body, of known length.
func (x *exchange) hasLength() bool {
	return len(x.Header()["Content-Length"]) == 1 && x.status != http.StatusNoContent && x.status != http.StatusNotModified
}

// Unwrap is for http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// body is the body of a request.
type body struct {
	io.ReadCloser
	conn  *conn
	begun bool
	whole bool // read to its end
	err   error
}

// Read reads from net/http, and scrubs its buffer behind the end.
func (b *body) Read(p []byte) (n int, err error) {
	if b.err != nil {
		return 0, b.err
	}
	b.begun = true
	secretbuf.Do(func() { n, err = b.ReadCloser.Read(p) })
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		b.whole = true
		b.conn.scrub()
	default:
		// At the end of the connection all was read, and net/http may wait there.
		b.conn.abandon(!errors.Is(err, io.ErrUnexpectedEOF))
	}
	b.err = err
	return n, err
}

// drain reads off the rest, up to a bound.
func (b *body) drain() {
	scratch := secretbuf.New(4 << 10)
	defer scratch.Release()
	for left := maxDrain; left > 0 && b.err == nil; {
		n, _ := b.Read(scratch.Bytes())
		left -= n
	}
}

// tokenPrefix begins every token; see package identity.
const tokenPrefix = "fst_"

// wipeCredentials overwrites headers that are credentials by their name, and that
// no front has taken, and a query that holds a token, with which no request is
// served. net/http made strings of them.
func wipeCredentials(r *http.Request) {
	for name, values := range r.Header {
		if !namesCredential(name) {
			continue
		}
		delete(r.Header, name)
		for _, v := range values {
			secretbuf.WipeString(v)
		}
	}
	if q := r.URL.RawQuery; strings.Contains(q, tokenPrefix) {
		secretbuf.WipeString(q)
	}
}

// namesCredential looks for words without their first letter, which may be large
// or small.
func namesCredential(name string) bool {
	for _, part := range []string{"uth", "oken", "ookie", "ecret", "assword", "Key", "key"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
