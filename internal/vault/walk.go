package vault

import (
	"errors"
	"fmt"
	"slices"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// walkChunk is how many places a walker looks up at a time.
const walkChunk = 256

// walker reads placed entries in order, oldest or newest first: one tenant's
// by sequence number, or the whole deployment's by leaf index. That number is
// the position. It lives within one snapshot.
type walker struct {
	log    store.LogReader
	tenant secret.TenantName
	newest bool
	at     int64 // position of the next entry
	lowest int64 // the position of the first entry ever
	first  int64 // and of the first that is not archived
	kept   store.Archive
	beyond bool  // it was to begin with an entry that is archived
	last   int64 // the highest; below first if there is no entry

	queue  []place // found, not read yet
	batch  store.PlacedBatch
	places []audit.Place // of batch
	record audit.Record  // stored form of the last entry read
	placed audit.Place   // and where it stands
}

type place struct{ position, index int64 }

// last is the highest position in this part of the log; before the first one
// if there is none.
func (a *Audit) last(r store.LogReader) (int64, error) {
	if a.tenant == "" {
		tree, err := r.State()
		return tree.Size - 1, err
	}
	heads, err := r.Heads([]secret.TenantName{a.tenant})
	return int64(heads[a.tenant].Seq), err
}

// walk begins at a position, inclusive; below zero at the beginning. What was
// archived it passes over.
func (a *Audit) walk(r store.Reader, newest bool, at int64) (*walker, error) {
	w := &walker{log: r.Log(), tenant: a.tenant, newest: newest}
	if a.tenant != "" {
		w.lowest = 1
	}
	w.first = w.lowest
	var err error
	if w.kept, _, err = store.ReadArchive(r); err != nil {
		return nil, err
	}
	if w.last, err = a.last(w.log); err != nil {
		return nil, err
	}
	if err := w.skip(at); err != nil {
		return nil, err
	}
	switch {
	case at >= 0 && newest:
		w.at = at
	case at >= 0:
		w.beyond = at >= w.lowest && at < w.first
		w.at = max(at, w.first)
	case newest:
		w.at = w.last
	default:
		w.at = w.first
	}
	return w, nil
}

// skip raises the lowest position to that of the first entry that is not archived.
// Who goes on from one that is not needs no search for it.
func (w *walker) skip(at int64) (err error) {
	switch {
	case w.kept.Size == 0:
		return nil
	case w.tenant == "":
		w.first = w.kept.Size
		return nil
	case at > 0 && !w.newest && at <= w.last:
		index, err := store.IndexOf(w.log, w.tenant, uint64(at))
		if err != nil {
			return err
		}
		if index >= w.kept.Size {
			w.first = at
			return nil
		}
	}
	first, err := store.FirstFrom(w.log, w.tenant, w.kept.Size)
	w.first = int64(first)
	return err
}

// done reports whether no entry is left.
func (w *walker) done() bool {
	return w.newest && w.at < w.first || !w.newest && w.at > w.last
}

// next returns the next entry; ok is false at the end.
func (w *walker) next() (e audit.Entry, ok bool, err error) {
	at, ok, err := w.advance()
	if err != nil || !ok {
		return e, false, err
	}
	e, err = w.entry(at)
	return e, err == nil, err
}

// advance makes the next record the current one, and returns where it stands; ok
// is false at the end.
func (w *walker) advance() (p place, ok bool, err error) {
	if w.done() {
		return p, false, nil
	}
	if len(w.queue) == 0 {
		if w.queue, err = w.fill(); err != nil {
			return p, false, err
		}
	}
	p = w.queue[0]
	if p.position != w.at {
		return p, false, fmt.Errorf("%w: no place for entry %d", errBrokenLog, w.at)
	}
	w.queue = w.queue[1:]
	if w.newest {
		w.at--
	} else {
		w.at++
	}
	w.placed, err = w.own(p)
	return p, err == nil, err
}

// entry decodes the current record, which stands at p.
func (w *walker) entry(p place) (audit.Entry, error) {
	e, err := w.record.Entry()
	e.Index, e.Seq = p.index, w.placed.Seq
	return e, err
}

// errBrokenLog is a log whose rows contradict each other.
var errBrokenLog = errors.New("audit log is not whole")

// fill looks up the places of the next chunk.
func (w *walker) fill() ([]place, error) {
	from, to := w.at, min(w.at+walkChunk-1, w.last)
	if w.newest {
		from, to = max(w.at-walkChunk+1, w.first), w.at
	}
	places, err := w.find(from, to)
	if err != nil {
		return nil, err
	}
	if len(places) == 0 {
		return nil, fmt.Errorf("%w: no places for entries %d to %d", errBrokenLog, from, to)
	}
	if w.newest {
		slices.Reverse(places)
	}
	return places, nil
}

// find returns the leaf indices of the positions from to to, inclusive.
func (w *walker) find(from, to int64) ([]place, error) {
	var places []place
	if w.tenant == "" {
		for i := from; i <= to; i++ {
			places = append(places, place{i, i})
		}
		return places, nil
	}
	for at := from; at <= to; {
		runs, err := w.log.Runs(w.tenant, uint64(at), walkChunk)
		if err != nil || len(runs) == 0 {
			return places, err
		}
		for _, run := range runs {
			indices, err := audit.DecodeIndices(run.Indices)
			if err != nil {
				return nil, err
			}
			for i, index := range indices {
				if seq := int64(run.First) + int64(i); seq >= at && seq <= to {
					places = append(places, place{seq, index})
				}
			}
			next := int64(run.First) + int64(len(indices))
			if next <= at {
				return nil, fmt.Errorf("%w: a run of tenant %s does not reach entry %d", errBrokenLog, w.tenant, at)
			}
			at = next
		}
	}
	return places, nil
}

// seek makes the record with this leaf index the current one.
func (w *walker) seek(index int64) (audit.Place, error) {
	if i := index - w.batch.First; w.batch.Records == nil || i < 0 || i >= int64(len(w.batch.Records)) {
		if err := w.load(index); err != nil {
			return audit.Place{}, err
		}
	}
	i := index - w.batch.First
	if i < 0 || i >= int64(len(w.batch.Records)) || i >= int64(len(w.places)) {
		return audit.Place{}, fmt.Errorf("%w: entry %d is not in its batch", errBrokenLog, index)
	}
	w.record = w.batch.Records[i]
	return w.places[i], nil
}

// own makes the record at a place of the tenant's the current one. Rows that
// someone has tampered with do not hand out another tenant's entry.
func (w *walker) own(p place) (audit.Place, error) {
	at, err := w.seek(p.index)
	if err == nil && w.tenant != "" && (w.record.Tenant() != w.tenant || int64(at.Seq) != p.position) {
		err = fmt.Errorf("%w: entry %d is not number %d of tenant %s", errBrokenLog, p.index, p.position, w.tenant)
	}
	return at, err
}

func (w *walker) load(index int64) error {
	batches, err := w.log.Batches(index, index+1)
	if err != nil {
		return err
	}
	if len(batches) == 0 && index >= 0 && index < w.kept.Size {
		return secret.Archived(w.kept.Size)
	}
	if len(batches) != 1 {
		return fmt.Errorf("%w: %d batches hold entry %d", errBrokenLog, len(batches), index)
	}
	w.batch = batches[0]
	w.places, err = audit.DecodePlaces(w.batch.Places, w.batch.First, len(w.batch.Records))
	return err
}
