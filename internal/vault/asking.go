package vault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"fastness/internal/secret"
	"fastness/internal/store"
)

// On a store that several nodes share, one of them holds the journal's lease.
// The others ask it for what needs the lease: they raise a number, and it
// answers by raising another one to it once all that was committed before it
// saw the first has its place and stands under a signed checkpoint. Whoever
// waits goes on trying to get the lease, in case its holder has died.

// The rows of the two numbers.
const (
	metaAsked    = "journal.asked"
	metaAnswered = "journal.answered"
)

const (
	// askPoll is how often whoever asked looks for the answer.
	askPoll = 100 * time.Millisecond
	// askTimeout is longer than it takes another node to notice that the
	// lease's holder died, to get the lease and to answer.
	askTimeout = leaseTTL + 10*time.Second
)

// errNoAnswer is a journal that nobody keeps.
var errNoAnswer = errors.New("no node answers for the audit log")

// orAsk runs what needs the journal's lease, and if another node holds it,
// asks that one until it has answered or the lease is free.
func (v *Vault) orAsk(ctx context.Context, try func() error) error {
	err := try()
	if !errors.Is(err, store.ErrFenced) {
		return err
	}
	asked, err := v.ask(ctx)
	if err != nil {
		return fmt.Errorf("asking the node that keeps the audit log: %w", err)
	}
	for deadline := time.Now().Add(askTimeout); time.Now().Before(deadline); {
		answered, err := v.answered(ctx)
		if err != nil || answered >= asked {
			return err
		}
		if err = try(); !errors.Is(err, store.ErrFenced) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(askPoll):
		}
	}
	return secret.ErrUnavailable.With(errNoAnswer)
}

// ask raises the number that is asked for. If somebody else did at the same
// time, that one is as good: it was not there when this call began.
func (v *Vault) ask(ctx context.Context) (asked uint64, err error) {
	err = v.store.Update(ctx, func(tx store.Tx) error {
		n, row, err := counter(tx, metaAsked)
		if err != nil {
			return err
		}
		asked = n + 1
		return setCounter(tx, metaAsked, row, asked)
	})
	if errors.Is(err, store.ErrStale) {
		err = nil
	}
	return asked, err
}

func (v *Vault) answered(ctx context.Context) (n uint64, err error) {
	err = v.store.View(ctx, func(r store.Reader) error {
		n, _, err = counter(r, metaAnswered)
		return err
	})
	return n, err
}

// counter reads a number that only rises, and its row; 0 and nil if it was never
// set.
func counter(r store.Reader, key string) (n uint64, row []byte, err error) {
	row, err = r.Meta(key)
	if errors.Is(err, store.ErrAbsent) {
		return 0, nil, nil
	}
	if err == nil && len(row) != 8 {
		err = fmt.Errorf("%s has %d bytes", key, len(row))
	}
	if err != nil {
		return 0, nil, err
	}
	return binary.BigEndian.Uint64(row), row, nil
}

// setCounter replaces the row that was read: ErrStale if somebody has since.
func setCounter(tx store.Tx, key string, row []byte, n uint64) error {
	return tx.SetMeta(key, row, binary.BigEndian.AppendUint64(nil, n))
}

// shares reports whether other nodes may have the store open too.
func (v *Vault) shares() bool {
	_, alone := v.store.(store.Epochs)
	return !alone
}

// attend looks after what other nodes have done to the log, and answers them if
// this one holds the lease. If there is work and another node holds it, it
// returns ErrFenced. It does nothing on a store that is not shared.
func (v *Vault) attend(ctx context.Context) error {
	if !v.shares() {
		return nil
	}
	var asked, answered uint64
	waiting := false
	err := v.store.View(ctx, func(r store.Reader) error {
		tree, err := r.Log().State()
		if err != nil {
			return err
		}
		v.journal.sees(tree.Size)
		pending, err := r.Log().Pending(1)
		if err != nil {
			return err
		}
		waiting = len(pending) > 0
		if asked, _, err = counter(r, metaAsked); err != nil {
			return err
		}
		answered, _, err = counter(r, metaAnswered)
		return err
	})
	switch {
	case err != nil:
		return err
	case asked > answered:
		return v.answerNodes(ctx, asked)
	case waiting:
		return v.renewLease(ctx)
	}
	return nil
}

// answerNodes does what was asked for, which may be to take new keys into use.
func (v *Vault) answerNodes(ctx context.Context, asked uint64) error {
	v.journal.mu.Lock()
	defer v.journal.mu.Unlock()
	// Before the checkpoint: it covers the entry that announced the keys.
	_, keys, err := v.logKeys(ctx)
	if err != nil {
		return err
	}
	if err := v.renewLease(ctx); err != nil {
		return err
	}
	c, err := v.checkpointLocked(ctx)
	if err != nil && !errors.Is(err, secret.ErrNotFound) { // an empty log has none
		return err
	}
	if err == nil && keys.Next != nil {
		if err := v.adoptKeys(ctx, c.Size); err != nil {
			return err
		}
		if err := v.loadLogKeys(ctx); err != nil {
			return err
		}
	}
	return v.store.Update(ctx, func(tx store.Tx) error {
		if err := v.holdLease(tx); err != nil {
			return err
		}
		answered, row, err := counter(tx, metaAnswered)
		if err != nil || answered >= asked {
			return err
		}
		return setCounter(tx, metaAnswered, row, asked)
	})
}

// renewLease takes the lease before there is work, so that a node without it
// leaves the work to its holder.
func (v *Vault) renewLease(ctx context.Context) error {
	return v.store.Update(ctx, v.holdLease)
}
