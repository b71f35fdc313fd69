package api

import (
	"net/http"
	"strconv"

	"fastness/internal/secretbuf"
	"fastness/internal/wire"
)

// Media types of answers.
const (
	mediaJSON   = "application/json"
	mediaText   = "text/plain; charset=utf-8"
	mediaLines  = "application/jsonl"
	mediaCSV    = "text/csv; charset=utf-8; header=present"
	mediaEvents = "text/event-stream"
)

// Header values that every answer shares. net/http only reads them.
var (
	jsonType    = []string{mediaJSON}
	problemType = []string{wire.ProblemType}
	textType    = []string{mediaText}
	linesType   = []string{mediaLines}
	csvType     = []string{mediaCSV}
	eventsType  = []string{mediaEvents}
	noStore     = []string{"no-store"}
	noSniff     = []string{"nosniff"}
)

// send is the one way by which a whole body leaves: its type and length are
// set and it is written at once. The caller wipes the builder. A client that
// did not wait for its answer is no error: the access is done and recorded.
func (c *call) send(status int, contentType []string, body *secretbuf.Builder) {
	h := c.head(contentType)
	c.values[1] = strconv.Itoa(body.Len())
	h["Content-Length"] = c.values[1:2:2]
	c.status = status
	c.w.WriteHeader(status)
	c.w.Write(body.Bytes())
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
	c.send(status, jsonType, &b)
	return nil
}

// noContent answers that there is nothing to tell.
func (c *call) noContent() error {
	h := c.w.Header()
	h["Cache-Control"] = noStore
	c.status = http.StatusNoContent
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
