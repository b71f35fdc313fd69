package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fastness/internal/store"
)

// session is a connection during one transaction. The transaction begins on
// the way of its first statement, so that it costs no journey of its own.
// Not safe for concurrent use.
type session struct {
	ctx   context.Context // of the caller, looked at before each statement
	store *Store
	conn  *pgxpool.Conn // nil until it is needed
	over  bool
	begin string // the statement that begins it
	begun bool
	spent bool // whether a statement that stands alone has been sent
	// fault is the first error of the database, after which a transaction goes
	// no further: statements are made so that what callers expect is none.
	fault error
	// recording is where statements are put that Ahead is told of; nil otherwise.
	recording *[]look
	ahead     *ahead // what was sent before it is asked for; nil for nothing
	// together takes looks to the database with those of others; nil for one that
	// makes all of its looks itself.
	together *together
	shared   *ask // that was answered so; nil for none
}

// alone begins nothing: it is for a session of one statement, which is a
// transaction by itself.
const alone = ""

var errSpent = errors.New("only one statement may be sent without a transaction")

var errOver = errors.New("the transaction of this reader is over")

// run runs a statement, hands its rows to read, and returns how many rows it
// returned or changed.
func (s *session) run(name string, args []any, read func(source) error) (int64, error) {
	sql, known := queries[name]
	l := look{name, args}
	switch {
	case s.over:
		return 0, errOver
	case s.ctx.Err() != nil:
		return 0, s.ctx.Err()
	case s.fault != nil:
		return 0, s.fault
	case s.spent:
		return 0, errSpent
	case !known:
		return 0, fmt.Errorf("there is no statement %s", name)
	case s.recording != nil:
		*s.recording = append(*s.recording, l)
		return 0, errAhead
	case s.shared != nil:
		return s.takeShared(l, read)
	case s.begin == alone && s.together != nil && l.each():
		if err := s.share([]look{l}); err != nil {
			return 0, err
		}
		return s.takeShared(l, read)
	}
	if n, sent, err := s.receive(l, read); sent || err != nil {
		return n, err
	}
	if err := s.connect(); err != nil {
		return 0, err
	}
	ctx, cancel := s.store.patience(s.ctx)
	defer cancel()
	n, err := s.send(ctx, sql, args, read)
	if err != nil {
		s.fault = fmt.Errorf("statement %s: %w", name, s.store.translate(err))
		return 0, s.fault
	}
	return n, nil
}

// connect takes a connection, if there is none yet.
func (s *session) connect() error {
	if s.conn != nil {
		return nil
	}
	s.conn, s.fault = s.store.acquire(s.ctx)
	return s.fault
}

// share makes looks together with others.
func (s *session) share(looks []look) error {
	s.shared, s.fault = s.together.do(s.ctx, looks)
	return s.fault
}

// takeShared takes the answer of a look that was made together with others. One
// that was not is of another snapshot.
func (s *session) takeShared(l look, read func(source) error) (int64, error) {
	k, ok := s.shared.answer(l)
	if !ok {
		s.fault = errApart
		return 0, s.fault
	}
	rows := rowsOf(k)
	n := rows.left
	if read == nil {
		return n, nil
	}
	return n, read(rows)
}

// source is what rows are read from.
type source interface {
	pgx.CollectableRow
	Next() bool
	Err() error
}

// send sends the statement, behind the one that begins the transaction if it
// is the first.
func (s *session) send(ctx context.Context, sql string, args []any, read func(source) error) (int64, error) {
	s.spent = s.begin == alone
	if s.begun || s.spent {
		rows, err := s.conn.Query(ctx, sql, args...)
		if err != nil {
			return 0, err
		}
		return drain(rows, read)
	}
	var batch pgx.Batch
	batch.Queue(queries[s.begin])
	batch.Queue(sql, args...)
	results := s.conn.SendBatch(ctx, &batch)
	if _, err := results.Exec(); err != nil {
		return 0, errors.Join(err, results.Close())
	}
	s.begun = true
	rows, err := results.Query()
	if err != nil {
		return 0, errors.Join(err, results.Close())
	}
	n, err := drain(rows, read)
	if closing := results.Close(); err == nil {
		err = closing
	}
	return n, err
}

func drain(rows pgx.Rows, read func(source) error) (int64, error) {
	defer rows.Close()
	if read != nil {
		if err := read(rows); err != nil {
			return 0, err
		}
	}
	rows.Close()
	return rows.CommandTag().RowsAffected(), rows.Err()
}

// end gives the connection back; whatever was not committed is rolled back,
// for which nobody has to wait.
func (s *session) end() {
	s.forget()
	conn := s.conn
	s.conn, s.over = nil, true
	switch {
	case conn == nil:
	case !s.begun:
		conn.Release()
	default:
		go rollback(conn)
	}
}

// rollbackTimeout is how long a connection may take to roll back before it is
// given up.
const rollbackTimeout = 5 * time.Second

// rollback ends the transaction of a connection and puts it back. One that
// cannot roll back is closed by the pool.
func rollback(conn *pgxpool.Conn) {
	defer conn.Release()
	ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
	defer cancel()
	conn.Conn().PgConn().Exec(ctx, queries["rollback"]).Close()
}

// rows reads all rows of a statement.
func rows[T any](s *session, name string, scan func(pgx.CollectableRow) (T, error), args ...any) (out []T, err error) {
	var wrong error // a row that does not hold what it should is no fault of the transaction
	_, err = s.run(name, args, func(r source) error {
		for r.Next() {
			v, err := scan(r)
			if err != nil {
				wrong = err
				return r.Err()
			}
			out = append(out, v)
		}
		return r.Err()
	})
	if err = errors.Join(err, wrong); err != nil {
		return nil, err
	}
	return out, nil
}

// row reads the only row of a statement; ErrAbsent if there is none.
func row[T any](s *session, name string, scan func(pgx.CollectableRow) (T, error), args ...any) (T, error) {
	list, err := rows(s, name, scan, args...)
	if err == nil && len(list) == 0 {
		err = store.ErrAbsent
	}
	if err != nil {
		var none T
		return none, err
	}
	return list[0], nil
}

// exists reports whether a statement returns a row.
func (s *session) exists(name string, args ...any) (bool, error) {
	n, err := s.run(name, args, nil)
	return n > 0, err
}

// exec runs a statement that changes rows and returns how many.
func (s *session) exec(name string, args ...any) (int64, error) { return s.run(name, args, nil) }

// number reads the only column of a row.
func number(r pgx.CollectableRow) (n int64, err error) { return n, r.Scan(&n) }
