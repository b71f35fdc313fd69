package rotation_test

import (
	"context"
	"encoding/json"
	"time"

	"fastness/internal/rotation"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

// A watch is told of the points of a rotation, where a test may kill the
// process, stop it for a while or change the world. It travels in the context
// of the worker, so that the code under test knows nothing of it.
type watch func(point)

// point is a place on the worker's way: before or after a call to the target,
// or before, within or after a durable write. Within is at the end of the
// transaction, when all is written and nothing is committed.
type point struct{ when, what string }

func (p point) String() string { return p.when + " " + p.what }

type watchKey struct{}

func watched(ctx context.Context, h watch) context.Context {
	return context.WithValue(ctx, watchKey{}, h)
}

func reach(ctx context.Context, when, what string) {
	if h, ok := ctx.Value(watchKey{}).(watch); ok {
		h(point{when, what})
	}
}

// hookedRotator tells of each call to the target.
type hookedRotator struct{ rotation.Rotator }

// hookedFinisher is a hookedRotator that is a Finisher too.
type hookedFinisher struct {
	hookedRotator
	finisher rotation.Finisher
}

// hooked wraps a rotator, and keeps what else it can do.
func hooked(r rotation.Rotator) rotation.Rotator {
	h := hookedRotator{r}
	target, _ := r.(rotation.Targeter)
	switch r := r.(type) {
	case rotation.Retirer:
		return struct {
			hookedRotator
			rotation.Targeter
			rotation.Retirer
		}{h, target, r}
	case rotation.Finisher:
		return struct {
			hookedFinisher
			rotation.Targeter
		}{hookedFinisher{h, r}, target}
	}
	return h
}

func (h hookedRotator) Make(ctx context.Context, j *rotation.Job) (*secretbuf.Buffer, error) {
	reach(ctx, "before", "making")
	defer reach(ctx, "after", "making")
	return h.Rotator.Make(ctx, j)
}

func (h hookedRotator) Set(ctx context.Context, j *rotation.Job) error {
	reach(ctx, "before", "setting")
	defer reach(ctx, "after", "setting")
	if j.Confirm == nil {
		return h.Rotator.Set(ctx, j)
	}
	k := *j
	k.Confirm = func(ctx context.Context) error {
		reach(ctx, "before", "confirming")
		defer reach(ctx, "after", "confirming")
		return j.Confirm(ctx)
	}
	return h.Rotator.Set(ctx, &k)
}

func (h hookedRotator) Test(ctx context.Context, j *rotation.Job, w rotation.Which) error {
	reach(ctx, "before", "testing "+string(w))
	defer reach(ctx, "after", "testing "+string(w))
	return h.Rotator.Test(ctx, j, w)
}

func (h hookedFinisher) Finish(ctx context.Context, j *rotation.Job) error {
	reach(ctx, "before", "finishing")
	defer reach(ctx, "after", "finishing")
	return h.finisher.Finish(ctx, j)
}

// hookedStore tells of the worker's writes: of those under its lease, by the
// state that they leave in the journal, and of those that take the lease.
type hookedStore struct{ store.Store }

func hookStore(s store.Store) store.Store {
	if e, ok := s.(store.Epochs); ok {
		return struct {
			hookedStore
			store.Epochs
		}{hookedStore{s}, e}
	}
	return hookedStore{s}
}

func (s hookedStore) Update(ctx context.Context, f func(store.Tx) error) error {
	if ctx.Value(watchKey{}) == nil {
		return s.Store.Update(ctx, f)
	}
	reach(ctx, "before", "a write")
	var write string
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		seen := &hookedTx{Tx: tx}
		err := f(seen)
		if write = seen.write; write != "" && err == nil {
			reach(ctx, "within", write)
		}
		return err
	})
	if write != "" && err == nil {
		reach(ctx, "after", write)
	}
	return err
}

// hookedTx finds out what is written.
type hookedTx struct {
	store.Tx
	write string
}

func (tx *hookedTx) Leases() store.Leases { return hookedLeases{tx.Tx.Leases(), tx} }

func (tx *hookedTx) EditDocuments() store.DocumentWriter {
	return hookedDocuments{tx.Tx.EditDocuments(), tx}
}

type hookedLeases struct {
	store.Leases
	tx *hookedTx
}

func (l hookedLeases) Acquire(name, holder string, now time.Time, ttl time.Duration) (int64, error) {
	if name == "rotation" {
		l.tx.write = "taking the lease"
	}
	return l.Leases.Acquire(name, holder, now, ttl)
}

func (l hookedLeases) Check(name string, fence int64) error {
	if name == "rotation" && l.tx.write == "" {
		l.tx.write = "postponing"
	}
	return l.Leases.Check(name, fence)
}

type hookedDocuments struct {
	store.DocumentWriter
	tx *hookedTx
}

func (d hookedDocuments) Update(row *store.Document) error {
	if row.Kind == "rotation" {
		d.tx.write = "writing " + stateOf(row.Data)
	}
	return d.DocumentWriter.Update(row)
}

// stateOf reads the state of the last rotation of a secret from its row.
func stateOf(row []byte) string {
	var r struct {
		Journal *rotation.Record
		History []rotation.Record
	}
	if err := json.Unmarshal(row, &r); err != nil {
		panic(err)
	}
	switch {
	case r.Journal != nil && r.Journal.Attempts > 0:
		return "a failure"
	case r.Journal != nil:
		return string(r.Journal.State)
	case len(r.History) > 0:
		return string(r.History[0].State)
	}
	return "a policy"
}
