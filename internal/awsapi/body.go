package awsapi

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"fastness/internal/secretbuf"
)

// MaxBody is the most bytes of a request's body.
const MaxBody = 512 << 10

// contentType is that of every body of the protocol.
const contentType = "application/x-amz-json-1.1"

// readBody reads the whole body into wiped memory.
func (c *call) readBody() error {
	if err := checkContent(c.r.Header); err != nil {
		return err
	}
	if c.r.ContentLength > MaxBody {
		return errBodyTooLong
	}
	if c.r.Body == nil {
		return nil
	}
	body, err := secretbuf.ReadAll(c.r.Body, MaxBody)
	switch {
	case errors.Is(err, secretbuf.ErrTooLong):
		return errBodyTooLong
	case err != nil:
		c.w.Header()["Connection"] = []string{"close"}
		return &fault{Type: typeSerialization, Message: "The body did not arrive whole, or not in time."}
	}
	c.body = body
	return nil
}

var errBodyTooLong = &fault{Type: "RequestEntityTooLargeException", Message: fmt.Sprintf("The body may have at most %d bytes.", MaxBody)}

// checkContent accepts the protocol's type, uncompressed.
func checkContent(h http.Header) error {
	if encoding := h.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return &fault{Type: typeSerialization, Message: "Content-Encoding: bodies are not compressed."}
	}
	values := h["Content-Type"]
	if len(values) == 1 {
		if values[0] == contentType {
			return nil
		}
		if media, _, err := mime.ParseMediaType(values[0]); err == nil && media == contentType {
			return nil
		}
	}
	return &fault{Type: typeUnknownOperation, Message: "Content-Type must be " + contentType + "."}
}
