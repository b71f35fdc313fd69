package api

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// MaxBody is the most bytes of any request's body.
const MaxBody = 512 << 10

// maxDrain is how much of a body that was refused is still read, so that a
// client which sends all before it listens gets its answer.
const maxDrain = 2 * MaxBody

// readBody reads the whole body into wiped memory. Nothing of a body is ever
// left to net/http, which would pass it through buffers that others use next.
func (c *call) readBody() error {
	if c.r.Body == nil || c.r.Body == http.NoBody {
		c.bodyRead = true
		return nil
	}
	limit := c.route.Body
	switch {
	case limit == 0:
		return invalid("body", "this route takes none")
	case c.r.ContentLength > int64(limit):
		return tooLong(limit)
	}
	if err := checkContent(c.r.Header); err != nil {
		return err
	}
	body, err := secretbuf.ReadAll(c.r.Body, limit)
	if err != nil {
		return c.badBody(err, limit)
	}
	c.body, c.bodyRead = body, true
	return nil
}

func tooLong(limit int) error {
	return reject(secret.Limited("body", fmt.Sprintf("at most %d bytes", limit)))
}

// badBody says what is wrong with a body that could not be read to its end.
func (c *call) badBody(err error, limit int) error {
	var timeout net.Error
	switch {
	case errors.Is(err, secretbuf.ErrTooLong):
		return tooLong(limit)
	case errors.As(err, &timeout) && timeout.Timeout():
		c.hangUp()
		return unreached{errSlow}
	case errors.Is(err, io.ErrUnexpectedEOF):
		c.hangUp()
		return invalid("body", "shorter than announced")
	}
	c.hangUp()
	return invalid("body", "malformed")
}

// hangUp closes the connection after the answer: what follows on it is not the
// next request.
func (c *call) hangUp() {
	c.bodyRead = true
	c.w.Header()["Connection"] = []string{"close"}
}

// checkContent accepts JSON in UTF-8, uncompressed. A missing type means JSON.
func checkContent(h http.Header) error {
	if encoding := h.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return unreached{errContentEncoding}
	}
	values := h["Content-Type"]
	if len(values) == 0 || len(values) == 1 && values[0] == "application/json" {
		return nil
	}
	media, params, err := mime.ParseMediaType(values[0])
	charset, hasCharset := params["charset"]
	if err != nil || len(values) > 1 || media != "application/json" || hasCharset && !strings.EqualFold(charset, "utf-8") {
		return unreached{errContentType}
	}
	return nil
}

// drain reads off what is left of a body that was refused.
func (c *call) drain() {
	if c.bodyRead || c.r.Body == nil || c.r.Body == http.NoBody || !drainBodies {
		return
	}
	c.bodyRead = true
	if c.r.Header.Get("Expect") != "" || !drained(c.r.Body) {
		c.hangUp()
	}
}

func drained(body io.Reader) bool {
	scratch := secretbuf.New(4 << 10)
	defer scratch.Release()
	for left := maxDrain; left > 0; {
		n, err := body.Read(scratch.Bytes())
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		left -= n
	}
	return false
}
