package vault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
)

const (
	// sequencePeriod bounds the window in which an entry is durable but has no
	// place in the tree yet.
	sequencePeriod = time.Second
	// checkpointPeriod is how often a tree that has grown gets a checkpoint.
	checkpointPeriod = 10 * time.Second
	// sequenceChunk is about how many entries one transaction gives a place: some
	// milliseconds of the writer's time, tens if each is another tenant's.
	sequenceChunk = 2_000
	// leaseTTL is how long the log's lease outlives a node that died: short
	// enough that another takes over within ten seconds.
	leaseTTL = 5 * time.Second
	// journalLease protects sequencing and signing from a second node.
	journalLease = "journal"
)

// journal gives entries their place in the log and signs checkpoints.
type journal struct {
	node   string // who holds the lease
	anchor Anchor

	mu   sync.Mutex // held while sequencing or signing: one at a time
	keys logKeys    // guarded by mu

	publishing sync.Mutex // held while the anchor is spoken to
	brief      sync.Mutex // guards what follows
	outbox     []*store.Checkpoint
	queued     int64         // size of the last checkpoint in the outbox, ever
	grown      chan struct{} // closed and replaced whenever the tree has grown
	size       int64         // of the tree when it was last seen to grow, on a store that is shared
}

// growth returns a channel that is closed when the tree next grows.
func (j *journal) growth() <-chan struct{} {
	j.brief.Lock()
	defer j.brief.Unlock()
	return j.grown
}

func (j *journal) announce() {
	j.brief.Lock()
	defer j.brief.Unlock()
	close(j.grown)
	j.grown = make(chan struct{})
}

// sees announces that another node has let the tree grow.
func (j *journal) sees(size int64) {
	j.brief.Lock()
	grown := size > j.size
	j.size = max(j.size, size)
	j.brief.Unlock()
	if grown {
		j.announce()
	}
}

func (j *journal) destroy() { j.keys.destroy() }

// runJournal sequences every second and signs every ten, until ctx ends.
func (v *Vault) runJournal(ctx context.Context) {
	tick := time.NewTicker(sequencePeriod)
	defer tick.Stop()
	last := v.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := v.attend(ctx)
		if err == nil {
			err = v.sequenceOwn(ctx)
		}
		if err == nil && v.now().Sub(last) >= checkpointPeriod {
			last = v.now()
			_, err = v.ownCheckpoint(ctx)
			v.start(func() { v.publish(ctx) }) // the anchor may be slow
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrFenced) {
			v.log.ErrorContext(ctx, "keeping the audit log", "error", err)
		}
	}
}

// sequence gives every entry committed before the call its place, or has the
// node do so that holds the lease.
func (v *Vault) sequence(ctx context.Context) error {
	return v.orAsk(ctx, func() error { return v.sequenceOwn(ctx) })
}

// sequenceOwn is sequence for the node that holds the lease: ErrFenced if it is
// another one.
func (v *Vault) sequenceOwn(ctx context.Context) error {
	v.journal.mu.Lock()
	defer v.journal.mu.Unlock()
	return v.sequenceLocked(ctx)
}

// sequenceLocked ends with the first round that found less than a chunk: what
// was committed since may wait, or constant load would hold it here for ever.
func (v *Vault) sequenceLocked(ctx context.Context) error {
	for moved := 0; ; {
		n, err := v.sequenceChunk(ctx)
		if errors.Is(err, store.ErrStale) && moved < maxAttempts {
			moved++ // by the node that held the lease until now
			continue
		}
		if err != nil {
			return fmt.Errorf("sequencing: %w", err)
		}
		if n > 0 {
			v.journal.announce()
		}
		if n < sequenceChunk {
			return nil
		}
	}
}

// sequenceChunk plans a round from a snapshot, beside the writer, and commits
// it if the tree and the lease are still ours. It returns how many entries got
// their place.
func (v *Vault) sequenceChunk(ctx context.Context) (int, error) {
	var placed *store.Placed
	n := 0
	err := v.store.View(ctx, func(r store.Reader) error {
		placed, n = nil, 0
		pending, err := r.Log().Pending(sequenceChunk)
		if err != nil || len(pending) == 0 {
			return err
		}
		placed, n, err = plan(r.Log(), pending)
		return err
	})
	if err != nil || n == 0 {
		return 0, err
	}
	return n, v.store.Update(ctx, func(tx store.Tx) error {
		if err := v.holdLease(tx); err != nil {
			return err
		}
		return tx.EditLog().Place(placed)
	})
}

// holdLease takes or renews the journal's lease in the transaction that it
// protects: whoever lost it cannot commit.
func (v *Vault) holdLease(tx store.Tx) error {
	_, err := tx.Leases().Acquire(journalLease, v.journal.node, v.now(), leaseTTL)
	return err
}

// plan computes the round for the pending batches.
func plan(r store.LogReader, pending []store.PendingBatch) (*store.Placed, int, error) {
	batches := make([][]audit.Record, len(pending))
	n := 0
	for i, b := range pending {
		batches[i] = b.Records
		n += len(b.Records)
	}
	old, err := r.State()
	if err != nil {
		return nil, 0, err
	}
	heads, err := r.Heads(audit.Tenants(batches))
	if err != nil {
		return nil, 0, err
	}
	p, err := audit.Sequence(tlog.Tree{N: old.Size, Hash: old.Root}, r, heads, batches)
	if err != nil {
		return nil, 0, err
	}
	placed := &store.Placed{
		Old: old, New: store.TreeState{Size: p.Tree.N, Root: p.Tree.Hash},
		Heads: p.Heads, Runs: p.Runs, Tiles: p.Tiles,
	}
	for i, b := range pending {
		placed.Batches = append(placed.Batches, store.PlacedBatch{Node: b.Node, Batch: b.Batch, First: p.First[i], Places: p.Places[i]})
	}
	return placed, n, nil
}

// checkpoint makes a checkpoint and sends it to the anchor.
func (v *Vault) checkpoint(ctx context.Context) (*store.Checkpoint, error) {
	c, err := v.makeCheckpoint(ctx)
	v.publish(ctx)
	return c, err
}

// makeCheckpoint sequences, stores size and root of the tree, then signs them,
// and returns the newest signed checkpoint. A tree that has not grown keeps
// the one it has; an empty one has none: secret.ErrNotFound.
func (v *Vault) makeCheckpoint(ctx context.Context) (c *store.Checkpoint, err error) {
	err = v.orAsk(ctx, func() error {
		c, err = v.ownCheckpoint(ctx)
		return err
	})
	if err == nil && c == nil {
		c, err = v.latest(ctx) // the other node's
	}
	return c, err
}

// ownCheckpoint is makeCheckpoint for the node that holds the lease.
func (v *Vault) ownCheckpoint(ctx context.Context) (*store.Checkpoint, error) {
	v.journal.mu.Lock()
	defer v.journal.mu.Unlock()
	return v.checkpointLocked(ctx)
}

func (v *Vault) checkpointLocked(ctx context.Context) (*store.Checkpoint, error) {
	if err := v.sequenceLocked(ctx); err != nil {
		return nil, err
	}
	if err := v.addCheckpoint(ctx); err != nil {
		return nil, fmt.Errorf("storing a checkpoint: %w", err)
	}
	if err := v.signLocked(ctx); err != nil {
		return nil, fmt.Errorf("signing a checkpoint: %w", err)
	}
	c, err := v.latest(ctx)
	if err == nil {
		v.journal.post(c)
	}
	return c, err
}

// addCheckpoint commits size and root before anything is signed, so that two
// checkpoints of one size can never differ.
func (v *Vault) addCheckpoint(ctx context.Context) error {
	if grown, err := v.grownSinceCheckpoint(ctx); err != nil || !grown {
		return err
	}
	return v.store.Update(ctx, func(tx store.Tx) error {
		if err := v.holdLease(tx); err != nil {
			return err
		}
		tree, err := tx.Log().State()
		if err != nil {
			return err
		}
		err = tx.EditLog().AddCheckpoint(store.Checkpoint{Size: tree.Size, Root: tree.Root, Created: v.now()})
		if errors.Is(err, store.ErrTaken) {
			return nil // stored before, and not signed yet
		}
		return err
	})
}

// grownSinceCheckpoint looks beside the writer, so that an idle deployment
// writes nothing.
func (v *Vault) grownSinceCheckpoint(ctx context.Context) (grown bool, err error) {
	err = v.store.View(ctx, func(r store.Reader) error {
		tree, err := r.Log().State()
		if err != nil {
			return err
		}
		newest, err := r.Log().Checkpoint(-1)
		if errors.Is(err, store.ErrAbsent) {
			grown = tree.Size > 0
			return nil
		}
		grown = err == nil && newest.Size < tree.Size
		return err
	})
	return grown, err
}

// signLocked signs every stored checkpoint that has no signature: the newest,
// and those that a crash left behind.
func (v *Vault) signLocked(ctx context.Context) error {
	var unsigned []store.Checkpoint
	var stored storedKeys
	err := v.store.View(ctx, func(r store.Reader) error {
		var err error
		if unsigned, err = r.Log().Unsigned(); err != nil || len(unsigned) == 0 {
			return err
		}
		_, stored, err = readLogKeys(r)
		return err
	})
	if err != nil || len(unsigned) == 0 {
		return err
	}
	// The keys may have been changed by a call that could not load them.
	if stored.Now.Generation != v.journal.keys.generation {
		if err := v.loadLogKeys(ctx); err != nil {
			return err
		}
	}
	for _, c := range unsigned {
		note, err := v.journal.keys.sign(c)
		if err != nil {
			return err
		}
		err = v.store.Update(ctx, func(tx store.Tx) error {
			if err := v.holdLease(tx); err != nil {
				return err
			}
			return tx.EditLog().SignCheckpoint(c.Size, note)
		})
		if err != nil && !errors.Is(err, store.ErrStale) { // the last holder of the lease has signed it
			return err
		}
	}
	return nil
}

// latest returns the newest signed checkpoint.
func (v *Vault) latest(ctx context.Context) (*store.Checkpoint, error) {
	var c *store.Checkpoint
	err := v.store.View(ctx, func(r store.Reader) error {
		var err error
		c, err = r.Log().Checkpoint(-1)
		if errors.Is(err, store.ErrAbsent) {
			return secret.ErrNotFound
		}
		return err
	})
	return c, err
}

// post queues a checkpoint for the anchor, each once.
func (j *journal) post(c *store.Checkpoint) {
	j.brief.Lock()
	defer j.brief.Unlock()
	if j.anchor != nil && c.Size > j.queued {
		j.outbox = append(j.outbox, c)
		j.queued = c.Size
	}
}

// next takes the oldest queued checkpoint, or nil.
func (j *journal) next() *store.Checkpoint {
	j.brief.Lock()
	defer j.brief.Unlock()
	if len(j.outbox) == 0 {
		return nil
	}
	c := j.outbox[0]
	j.outbox = j.outbox[1:]
	return c
}

// anchorTimeout bounds one call of the anchor.
const anchorTimeout = 10 * time.Second

// publish sends queued checkpoints outside, in order, unless somebody is at it,
// who then sends these too. One that cannot be sent is logged and dropped, for
// the next covers it: the anchor must not stop the log, which goes on meanwhile.
func (v *Vault) publish(ctx context.Context) {
	j := &v.journal
	for j.pending() && j.publishing.TryLock() {
		for c := j.next(); c != nil; c = j.next() {
			if err := v.publishOne(ctx, c); err != nil {
				v.log.ErrorContext(ctx, "sending a checkpoint to the anchor", "size", c.Size, "error", err)
			}
		}
		j.publishing.Unlock()
	}
}

func (j *journal) pending() bool {
	j.brief.Lock()
	defer j.brief.Unlock()
	return len(j.outbox) > 0
}

// publishOne goes on when its caller has gone: the checkpoint is everybody's.
func (v *Vault) publishOne(ctx context.Context, c *store.Checkpoint) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), anchorTimeout)
	defer cancel()
	return v.journal.anchor.Publish(ctx, c.Note)
}
