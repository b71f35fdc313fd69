package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"fastness/internal/dump"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// Stage is a part of a long work, and how far it is.
type Stage struct {
	Name  string
	Done  int64 // rows
	Total int64 // 0 if it is not known yet
}

// Move carries a whole store to another database. The source is only read; the
// target is empty, or half filled by the same move, which then goes on.
type Move struct {
	From, To         Place
	Master, Previous *secretbuf.Buffer // the root key; Previous is nil unless it is being changed
	Progress         func(Stage)       // nil for nobody
	Logger           *slog.Logger
}

// Moved is what a move has done.
type Moved struct {
	vault.Inspection
	Rows    int64            // all of them
	Counts  map[string]int64 // by kind
	Resumed int64            // rows that an earlier run had loaded
}

// ErrDifferent is a target that does not hold what the source does.
var ErrDifferent = errors.New("the target does not hold what the source does")

// Run moves the store. It proves the source whole before it writes anything, and
// the target equal and whole before anybody may use it: each row is the same,
// every sealed part opens, the counters are right, and the log's root is what its
// entries give. Killed at any point, it goes on when it is run again.
func (m Move) Run(ctx context.Context) (*Moved, error) {
	if m.From == m.To {
		return nil, errors.New("moving a store to itself")
	}
	from, err := m.From.openSource(ctx, true, m.Logger)
	if err != nil {
		return nil, fmt.Errorf("the source: %w", err)
	}
	out, err := m.from(ctx, from)
	return out, errors.Join(err, from.Close())
}

func (m Move) from(ctx context.Context, from source) (*Moved, error) {
	if err := unserved(ctx, from); err != nil {
		return nil, fmt.Errorf("the source: %w", err)
	}
	to, err := m.To.open(ctx, m.Logger)
	if err != nil {
		return nil, fmt.Errorf("the target: %w", err)
	}
	out, err := m.move(ctx, from, to)
	return out, errors.Join(err, to.Close())
}

// moving is a move under way.
type moving struct {
	Move
	source
	target store.Store
	before state        // of the source
	digest *dump.Digest // of the source
	done   bool         // the target has been filled by a run before
	out    *Moved
}

func (m Move) move(ctx context.Context, from source, to store.Store) (*Moved, error) {
	w := &moving{Move: m, source: from, target: to}
	err := from.Snapshot(ctx, func(r store.Reader) error { return w.carry(ctx, r) })
	if err != nil {
		return nil, err
	}
	if err := w.prove(ctx); err != nil {
		return nil, fmt.Errorf("the target: %w", err)
	}
	if err := unchanged(ctx, from, w.before); err != nil {
		return nil, fmt.Errorf("the source: %w", err)
	}
	return w.out, dump.Finish(ctx, to)
}

// carry proves the source whole and loads it into the target.
func (w *moving) carry(ctx context.Context, r store.Reader) (err error) {
	if w.before, err = stateOf(r); err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	loader, err := dump.NewLoader(ctx, w.target, "move of "+w.before.deployment)
	if errors.Is(err, dump.ErrOccupied) {
		w.done, err = w.mayBeDone(ctx, err)
	}
	if err != nil {
		return fmt.Errorf("the target: %w", err)
	}
	check := inspection{master: w.Master, previous: w.Previous, progress: w.stage("checking the source", 0)}
	if w.digest, err = check.run(r); err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	w.out = &Moved{Inspection: check.found, Rows: w.digest.Rows, Counts: w.digest.Counts(), Resumed: w.digest.Rows}
	if w.done {
		return nil
	}
	w.out.Resumed = loader.Resumed()
	return w.load(r, loader, w.digest)
}

// mayBeDone looks whether what is in the target may be the work of a run that
// was killed after its last commit: then it has the source's log.
func (w *moving) mayBeDone(ctx context.Context, occupied error) (bool, error) {
	var there state
	err := w.target.View(ctx, func(r store.Reader) error {
		_, err := r.Meta(store.MetaLoading)
		if err == nil {
			return occupied // with something else, half of it
		}
		there, err = stateOf(r)
		if err != nil {
			return occupied
		}
		return nil
	})
	if err == nil && (there.deployment != w.before.deployment || there.tree != w.before.tree || there.waiting != w.before.waiting) {
		err = occupied
	}
	return err == nil, err
}

// prove proves the target whole and equal to the source.
func (w *moving) prove(ctx context.Context) error {
	check := inspection{master: w.Master, previous: w.Previous, progress: w.stage("checking the target", w.digest.Rows), counters: true}
	return w.target.Snapshot(ctx, func(r store.Reader) error {
		got, err := check.run(r)
		switch {
		case err != nil:
			return err
		case got.Sum != w.digest.Sum && w.done:
			return dump.ErrOccupied
		case got.Sum != w.digest.Sum:
			return fmt.Errorf("%w: %s", ErrDifferent, differences(w.digest.Counts(), got.Counts()))
		}
		return nil
	})
}

// load loads a snapshot's rows into the target.
func (m Move) load(r store.Reader, loader *dump.Loader, want *dump.Digest) error {
	tell := m.stage("moving", want.Rows)
	err := dump.Read(r, func(row *dump.Row) error {
		tell()
		if err := loader.Row(row); err != nil {
			return fmt.Errorf("the target: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	got, err := loader.Flush()
	if err == nil && got.Sum != want.Sum {
		err = dump.ErrChanged
	}
	return err
}

func (m Move) stage(name string, total int64) func() { return stage(m.Progress, name, total) }

// stage returns a function that counts one row more of a stage as done.
func stage(tell func(Stage), name string, total int64) func() {
	done := int64(0)
	return func() {
		done++
		if tell != nil {
			tell(Stage{name, done, total})
		}
	}
}

// differences names the kinds of which there are not as many.
func differences(want, got map[string]int64) string {
	var out []string
	for _, kind := range slices.Sorted(maps.Keys(want)) {
		if want[kind] != got[kind] {
			out = append(out, fmt.Sprintf("%d of kind %s instead of %d", got[kind], kind, want[kind]))
		}
	}
	if len(out) == 0 {
		return "as many rows, and other ones"
	}
	return strings.Join(out, ", ")
}
