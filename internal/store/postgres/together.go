package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"fastness/internal/store"
)

// maxTogether bounds how many asks share a journey, and with that what their
// answers take in memory.
const maxTogether = 128

// together takes looks of concurrent reads to the database on one journey: while
// that is on its way, those who come gather for the next. A lone one waits for
// nobody. What is asked for several times is looked up once.
//
// A journey begins after everybody on it has asked, and so sees all that was
// acknowledged before. What it finds is of one snapshot.
type together struct {
	store   *Store
	queue   chan *ask
	stopped chan struct{}
}

// ask is what one View or Look wants to know.
type ask struct {
	ctx   context.Context
	looks []look
	found []*kept // by look, nil for no row; once done
	err   error   // once done
	done  chan struct{}
}

// answer is the row of a look, nil for none; ok reports whether it was made.
func (a *ask) answer(l look) (k *kept, ok bool) {
	i := slices.IndexFunc(a.looks, func(made look) bool { return made.name == l.name && made.key() == l.key() })
	if i < 0 {
		return nil, false
	}
	return a.found[i], true
}

// each reports whether the look can be made together with others.
func (l look) each() bool { return eachKeys[l.name] != nil }

// key is the same for looks of one statement that ask for the same.
func (l look) key() string {
	var key []byte
	for _, arg := range l.args {
		switch v := arg.(type) {
		case []byte:
			key = binary.AppendUvarint(key, uint64(len(v)))
			key = append(key, v...)
		case *int64:
			if v == nil {
				key = append(key, 0)
			} else {
				key = binary.BigEndian.AppendUint64(append(key, 1), uint64(*v))
			}
		}
	}
	return string(key)
}

// errApart is a look that was not answered together with others, and is to be
// made by itself.
var errApart = errors.New("the look is to be made apart")

func newTogether(s *Store) *together {
	t := &together{store: s, queue: make(chan *ask, maxQueue), stopped: make(chan struct{})}
	go t.loop()
	return t
}

// stop ends the journeys after those who wait. Nobody may ask any more.
func (t *together) stop() {
	close(t.queue)
	<-t.stopped
}

// do answers looks. Who does not wait any longer holds nobody up.
func (t *together) do(ctx context.Context, looks []look) (*ask, error) {
	a := &ask{ctx: ctx, looks: looks, done: make(chan struct{})}
	select {
	case t.queue <- a:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-a.done:
		return a, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (t *together) loop() {
	defer close(t.stopped)
	for a := range t.queue {
		group := gather(t.queue, []*ask{a}, maxTogether)
		group = slices.DeleteFunc(group, func(a *ask) bool { return a.ctx.Err() != nil })
		if len(group) > 0 {
			t.travel(group)
		}
	}
}

// travel answers a group.
func (t *together) travel(group []*ask) {
	var j journey
	for _, a := range group {
		for _, l := range a.looks {
			j.add(l)
		}
	}
	err := t.store.travel(&j)
	if ofOne(err) {
		err = fmt.Errorf("%w: %w", errApart, err)
	} else if err != nil {
		err = t.store.translate(err)
	}
	for _, a := range group {
		if a.err = err; err == nil {
			a.found = make([]*kept, len(a.looks))
			for i, l := range a.looks {
				a.found[i] = j.found(l)
			}
		}
		close(a.done)
	}
}

// ofOne reports whether an error may be the fault of one look, such as that of a
// damaged row: the database refused a statement, and is there for others.
func ofOne(err error) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) || !refused(err) || errors.Is(translate(err), errConflict) {
		return false
	}
	return !errors.Is(translate(err), store.ErrUnavailable) || strings.HasPrefix(e.Code, classDamage)
}

// journey is what a group looks for, by statement.
type journey struct {
	parts []*part
}

// part is what is looked for by one statement.
type part struct {
	name  string
	looks []look
	index map[string]int // of looks, by key
	found []*kept        // by look
}

func (j *journey) part(name string) *part {
	for _, p := range j.parts {
		if p.name == name {
			return p
		}
	}
	return nil
}

func (j *journey) add(l look) {
	p := j.part(l.name)
	if p == nil {
		p = &part{name: l.name, index: make(map[string]int)}
		j.parts = append(j.parts, p)
	}
	key := l.key()
	if _, ok := p.index[key]; !ok {
		p.index[key] = len(p.looks)
		p.looks = append(p.looks, l)
	}
}

func (j *journey) found(l look) *kept {
	p := j.part(l.name)
	return p.found[p.index[l.key()]]
}

// args are the arrays of the part's statement.
func (p *part) args() []any {
	numbers := make([]int64, len(p.looks))
	for i := range numbers {
		numbers[i] = int64(i)
	}
	var args []any
	for i, kind := range eachKeys[p.name] {
		if kind == "int8" {
			args = append(args, column[*int64](p.looks, i))
		} else {
			args = append(args, column[[]byte](p.looks, i))
		}
	}
	return append(args, numbers)
}

// column is an argument of all looks.
func column[T any](looks []look, i int) []T {
	out := make([]T, len(looks))
	for n, l := range looks {
		out[n] = l.args[i].(T)
	}
	return out
}

// travel makes a journey.
func (s *Store) travel(j *journey) error {
	conn, err := s.acquire(context.Background())
	if err != nil {
		return err
	}
	ctx, cancel := s.patience(context.Background())
	defer cancel()
	results := conn.SendBatch(ctx, s.batch(j))
	err = j.receive(results)
	if closing := results.Close(); err == nil {
		err = closing
	}
	if err != nil {
		go rollback(conn)
		return err
	}
	conn.Release()
	return nil
}

// batch is one statement, or several in a transaction for one snapshot.
func (s *Store) batch(j *journey) *pgx.Batch {
	var b pgx.Batch
	if j.several() {
		b.Queue(queries[s.view])
	}
	for _, p := range j.parts {
		b.Queue(eachQueries[p.name], p.args()...)
	}
	if j.several() {
		b.Queue(queries["commit"])
	}
	return &b
}

func (j *journey) several() bool { return len(j.parts) > 1 }

// receive takes the answers, but for that to the commit.
func (j *journey) receive(results pgx.BatchResults) error {
	if j.several() {
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	for _, p := range j.parts {
		rows, err := results.Query()
		if err != nil {
			return err
		}
		if err := p.receive(rows); err != nil {
			return err
		}
	}
	return nil
}

func (p *part) receive(rows pgx.Rows) error {
	defer rows.Close()
	p.found = make([]*kept, len(p.looks))
	var fields []pgconn.FieldDescription // of this statement: the connection reuses its own
	for rows.Next() {
		if fields == nil {
			fields = slices.Clone(rows.FieldDescriptions())
		}
		columns := rows.RawValues()
		number := columns[0] // of the look
		if len(number) != 8 || binary.BigEndian.Uint64(number) >= uint64(len(p.looks)) {
			return fmt.Errorf("statement %s: an answer to no question", p.name)
		}
		p.found[binary.BigEndian.Uint64(number)] = keep(fields[1:], columns[1:])
	}
	return rows.Err()
}

// kept is a row as it came. Whoever reads from it gets copies. Safe for
// concurrent use.
type kept struct {
	fields  []pgconn.FieldDescription
	columns [][]byte
}

// keep copies a row, which the connection's buffer holds.
func keep(fields []pgconn.FieldDescription, columns [][]byte) *kept {
	size := 0
	for _, c := range columns {
		size += len(c)
	}
	all := make([]byte, 0, size)
	k := &kept{fields, make([][]byte, len(columns))}
	for i, c := range columns {
		if c != nil { // else it is NULL
			all = append(all, c...)
			k.columns[i] = all[len(all)-len(c) : len(all) : len(all)]
		}
	}
	return k
}

// typeMaps are for those who read rows that were kept: a map serves one at a time.
var typeMaps = sync.Pool{New: func() any { return pgtype.NewMap() }}

// Scan implements pgx.CollectableRow.
func (k *kept) Scan(into ...any) error {
	m := typeMaps.Get().(*pgtype.Map)
	defer typeMaps.Put(m)
	return pgx.ScanRow(m, k.fields, k.columns, into...)
}

// FieldDescriptions implements pgx.CollectableRow.
func (k *kept) FieldDescriptions() []pgconn.FieldDescription { return k.fields }

// RawValues implements pgx.CollectableRow.
func (k *kept) RawValues() [][]byte { return k.columns }

// Values implements pgx.CollectableRow.
func (k *kept) Values() ([]any, error) { return nil, errors.ErrUnsupported }

// keptRows are the rows of a look that was taken together with others: one, or
// none.
type keptRows struct {
	*kept
	left int64
}

func rowsOf(k *kept) *keptRows {
	if k == nil {
		return &keptRows{}
	}
	return &keptRows{k, 1}
}

// Next implements source.
func (r *keptRows) Next() bool {
	r.left--
	return r.left == 0
}

// Err implements source.
func (r *keptRows) Err() error { return nil }
