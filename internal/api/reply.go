package api

import (
	"net/http"
	"strconv"

	"fastness/internal/secretbuf"
	"fastness/internal/wire"
)

// Media types of answers.
const (
	mediaJSON  = "application/json"
	mediaText  = "text/plain; charset=utf-8"
	mediaLines = "application/jsonl"
)

// Header values that every answer shares. net/http only reads them.
var (
	jsonType    = []string{mediaJSON}
	problemType = []string{wire.ProblemType}
	textType    = []string{mediaText}
	linesType   = []string{mediaLines}
	noStore     = []string{"no-store"}
	noSniff     = []string{"nosniff"}
)

// send is the one way by which a whole body leaves: its type and length are
// set and it is written at once. The caller wipes the builder.
func (c *call) send(status int, contentType []string, body *secretbuf.Builder) error {
	h := c.head(contentType)
	h["Content-Length"] = []string{strconv.Itoa(body.Len())}
	c.status = status
	c.w.WriteHeader(status)
	_, err := c.w.Write(body.Bytes())
	return err
}

func (c *call) head(contentType []string) http.Header {
	h := c.w.Header()
	h["Content-Type"] = contentType
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	return h
}

// reply answers with a JSON object. Credentials in it stay in wiped memory.
func (c *call) reply(status int, v any) error {
	var b secretbuf.Builder
	defer b.Release()
	if err := wire.Append(&b, v); err != nil {
		return err
	}
	return c.sent(c.send(status, jsonType, &b))
}

// noContent answers that there is nothing to tell.
func (c *call) noContent() error {
	h := c.w.Header()
	h["Cache-Control"] = noStore
	c.status = http.StatusNoContent
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// sent passes over the error of a client that did not wait for its answer: the
// access is done and recorded.
func (c *call) sent(error) error { return nil }
