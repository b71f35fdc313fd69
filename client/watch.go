package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"fastness/internal/wire"
)

const (
	// firstRest and longestRest bound the pauses between streams, each drawn at
	// random up to a bound that doubles, so that the clients of a server that
	// comes back do not all come at once.
	firstRest   = time.Second
	longestRest = 30 * time.Second
	// longestSilence is how long a stream may say nothing: the server beats every
	// 15 seconds.
	longestSilence = 45 * time.Second
	// maxMessage bounds a line of a stream; the server's are far shorter.
	maxMessage = 64 << 10
)

// Watch calls f with what happens to the tenant's secrets, as far as the token may
// list them, until ctx ends, which is no error, or f returns one. A stream that
// breaks is opened again, after a pause, where it was: nothing is missed or told
// twice.
//
// An Event of the type EventSync says that the stream stands, and that something
// may have happened before which was not told: what was read until then may be
// old. It comes once at the beginning, unless q.After says where to go on, and
// again if the server cannot go on where the stream was.
//
// Watch returns an *Error for a refusal that waiting does not help against, such
// as ErrUnauthenticated. It waits out everything else.
func (s *Session) Watch(ctx context.Context, q EventQuery, f func(Event) error) error {
	w := &watch{session: s, query: q, tell: f, sync: q.After < 0}
	for attempt := 0; ; attempt++ {
		w.stood = false
		err := w.stream(ctx)
		var told toldError
		switch {
		case errors.As(err, &told):
			return told.error
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrGone):
			w.query.After, w.sync = -1, true
		case hopeless(err):
			return err
		}
		if w.stood {
			attempt = 0
		}
		if w.session.client.sleep(ctx, rest(err, attempt)) != nil {
			return nil
		}
	}
}

// EventSync is the type of an Event that only Watch makes.
const EventSync EventType = "sync"

// watch is a stream with all those that it continues.
type watch struct {
	session *Session
	query   EventQuery // After moves on
	tell    func(Event) error
	sync    bool // EventSync is due once the stream stands
	stood   bool // the stream has said something
}

// toldError is an error of whoever was told.
type toldError struct{ error }

// hopeless reports whether a refusal will be the same later. A token that is
// replaced is another Client's.
func hopeless(err error) bool {
	var refused *Error
	if !errors.As(err, &refused) {
		return errors.Is(err, ErrNoTenant) || errors.Is(err, ErrInvalid)
	}
	return refused.Status >= 400 && refused.Status < 500 &&
		refused.Status != http.StatusTooManyRequests && refused.Status != http.StatusRequestTimeout
}

// rest is how long to wait before the next stream.
func rest(err error, attempt int) time.Duration {
	bound := min(firstRest<<min(attempt, 10), longestRest)
	wait := upTo(bound)
	var refused *Error
	if errors.As(err, &refused) {
		wait += min(refused.RetryAfter, longestRest)
	}
	return wait
}

// stream opens one stream and tells what comes, until it ends.
func (w *watch) stream(ctx context.Context) error {
	path, err := w.session.path(ctx, "events")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(longestSilence, cancel)
	defer silence.Stop()
	reply, err := w.session.client.attempt(ctx, request{method: http.MethodGet, path: path, query: w.parameters(), long: true})
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	return w.read(reply.Body, func() { silence.Reset(longestSilence) })
}

func (w *watch) parameters() url.Values {
	q := url.Values{}
	if w.query.After >= 0 {
		q.Set("after", strconv.FormatInt(w.query.After, 10))
	}
	if w.query.Prefix != "" {
		q.Set("prefix", w.query.Prefix)
	}
	if w.query.Name != "" {
		q.Set("name", string(w.query.Name))
	}
	if len(w.query.Types) > 0 {
		words := make([]string, len(w.query.Types))
		for i, t := range w.query.Types {
			words[i] = string(t)
		}
		q.Set("type", strings.Join(words, ","))
	}
	return q
}

// read takes the stream apart: a message is what stands before an empty line.
func (w *watch) read(body io.Reader, heard func()) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxMessage)
	var id string
	var data []byte
	for lines.Scan() {
		heard()
		field, value, _ := bytes.Cut(lines.Bytes(), []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case len(lines.Bytes()) == 0:
			if err := w.message(id, data); err != nil {
				return err
			}
			id, data = "", nil
		case string(field) == "id":
			id = string(value)
		case string(field) == "data":
			data = append([]byte(nil), value...)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("following events: %w", err)
	}
	return errEnded
}

// errEnded is a stream that the server has ended in good order.
var errEnded = errors.New("following events: the server ended the stream")

// message tells of one message, and moves on behind it.
func (w *watch) message(id string, data []byte) error {
	w.stood = true
	if w.sync {
		w.sync = false
		if err := w.tell(Event{Type: EventSync, Time: time.Now()}); err != nil {
			return toldError{err}
		}
	}
	if len(data) > 0 {
		var e wire.Event
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("reading an event: %w", err)
		}
		event, err := e.Event()
		if err != nil {
			return err
		}
		if err := w.tell(event); err != nil {
			return toldError{err}
		}
	}
	if at, err := strconv.ParseInt(id, 10, 64); err == nil && at >= 0 {
		w.query.After = at
	}
	return nil
}
