package postgres

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/jackc/pgx/v5"

	"fastness/internal/store"
)

// look is a statement with its arguments.
type look struct {
	name string
	args []any
}

// ahead are looks that were sent together, and whose answers come in that order.
type ahead struct {
	results pgx.BatchResults
	cancel  context.CancelFunc
	looks   []look // whose answers have not been taken
}

var errAhead = errors.New("what is looked at ahead is not there yet")

var _ store.Ahead = (*reader)(nil)

// Ahead implements store.Ahead.
func (r *reader) Ahead(f func(store.Reader)) {
	s := r.session
	if s.begin == alone || s.ahead != nil || s.shared != nil || s.recording != nil || s.over {
		return
	}
	var looks []look
	s.recording = &looks
	f(r)
	s.recording = nil
	switch {
	case len(looks) == 0 || s.fault != nil || s.ctx.Err() != nil:
	case s.together != nil && s.conn == nil && !slices.ContainsFunc(looks, func(l look) bool { return !l.each() }):
		s.share(looks) // a fault stays for whoever looks
	case s.connect() == nil:
		s.sendAhead(looks)
	}
}

// sendAhead sends looks, behind the statement that begins the transaction if
// they are the first.
func (s *session) sendAhead(looks []look) {
	var batch pgx.Batch
	if !s.begun {
		batch.Queue(queries[s.begin])
	}
	for _, l := range looks {
		batch.Queue(queries[l.name], l.args...)
	}
	ctx, cancel := s.store.patience(s.ctx)
	s.ahead = &ahead{s.conn.SendBatch(ctx, &batch), cancel, looks}
	if s.begun {
		return
	}
	if _, err := s.ahead.results.Exec(); err != nil {
		s.fault = fmt.Errorf("statement %s: %w", s.begin, s.store.translate(err))
		s.forget()
		return
	}
	s.begun = true
}

// receive takes the answer of a look that was sent ahead. If another one was
// sent in its place, that and all behind it are given up.
func (s *session) receive(l look, read func(source) error) (n int64, sent bool, err error) {
	a := s.ahead
	if a == nil {
		return 0, false, nil
	}
	if !reflect.DeepEqual(a.looks[0], l) {
		err = s.forget()
	} else {
		sent = true
		a.looks = a.looks[1:]
		var rows pgx.Rows
		if rows, err = a.results.Query(); err == nil {
			n, err = drain(rows, read)
		}
		if closed := s.forgetTaken(); err == nil {
			err = closed
		}
	}
	if err != nil {
		s.fault = fmt.Errorf("statement %s: %w", l.name, s.store.translate(err))
		return 0, sent, s.fault
	}
	return n, sent, nil
}

// forgetTaken ends what was sent ahead once all of it is taken.
func (s *session) forgetTaken() error {
	if len(s.ahead.looks) > 0 {
		return nil
	}
	return s.forget()
}

// forget reads over what was sent ahead and is not wanted.
func (s *session) forget() error {
	a := s.ahead
	if a == nil {
		return nil
	}
	s.ahead = nil
	defer a.cancel()
	return a.results.Close()
}
