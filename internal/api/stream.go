package api

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	// streamChunk is how much of a stream is collected before it leaves.
	streamChunk = 32 << 10
	// streamPatience is how long the reader of a stream may take for a chunk.
	streamPatience = 30 * time.Second
)

// stream is an answer that leaves piece by piece. Nothing leaves before the
// first chunk is full or flushed, so that an early error is still answered as
// one; a later one cuts the connection.
type stream struct {
	*bufio.Writer
	out *chunks
}

// errReader is the end of a stream whose reader went away or stood still.
var errReader = errors.New("the reader of the stream is gone")

// gone marks an error of the connection.
func gone(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errReader, err)
}

func newStream(c *call, contentType []string) *stream {
	out := &chunks{call: c, contentType: contentType, control: http.NewResponseController(c.w)}
	return &stream{bufio.NewWriterSize(out, streamChunk), out}
}

// flush sends what was collected.
func (s *stream) flush() error {
	if err := s.Flush(); err != nil {
		return err
	}
	if err := s.out.patience(); err != nil {
		return err
	}
	return gone(s.out.control.Flush())
}

// end sends the rest, unless the stream has failed.
func (s *stream) end(err error) error {
	if err != nil {
		return err
	}
	s.out.begin()
	return s.flush()
}

// chunks writes to the client, each chunk with a deadline of its own.
type chunks struct {
	call        *call
	contentType []string
	control     *http.ResponseController
}

// begin sends the head, once.
func (w *chunks) begin() {
	if w.call.status == 0 {
		w.call.head(w.contentType)
		w.call.status = http.StatusOK
		w.call.w.WriteHeader(http.StatusOK)
	}
}

// patience begins the reader's time for the next chunk.
func (w *chunks) patience() error {
	return gone(w.control.SetWriteDeadline(time.Now().Add(streamPatience)))
}

func (w *chunks) Write(p []byte) (int, error) {
	w.begin()
	if err := w.patience(); err != nil {
		return 0, err
	}
	n, err := w.call.w.Write(p)
	return n, gone(err)
}
