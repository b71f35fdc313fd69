package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// What was archived of the log has its text outside, in segments, and its hashes
// here. Its steps, each of which may be the last for now: a segment is handed out
// (Segment); whoever keeps it writes it down and verifies it; then it is said to be
// kept (Archive), and only if that is what the log holds is the text dropped, in the
// transaction that says so in the log.

const (
	// segmentLimit is about how many entries a segment has: what one transaction
	// can drop without holding others up.
	segmentLimit = 16_384
	// segmentWindow is how many leaves are read from one snapshot.
	segmentWindow = 1024
)

// ArchiveState tells what of the log was archived.
type ArchiveState struct {
	Size int64     // how many entries, from the first on
	Last time.Time // the newest timestamp among them; zero if there are none
	At   time.Time // when the last of them were
}

// Archived names a segment that is kept outside.
type Archived struct {
	From, To int64
	Root     tlog.Hash         // of the tree of To leaves
	Digest   [sha256.Size]byte // over the lines of the segment's entries
}

// allowArchive lets operators alone archive the log, and the whole of it alone.
func (a *Audit) allowArchive(ctx context.Context, e audit.Entry) error {
	if err := a.vault.Operator(a.caller).allow(policy.ManageKeys); err != nil {
		return a.vault.conclude(ctx, e, err)
	}
	if a.tenant != "" {
		return a.vault.refuse(ctx, e, secret.Invalid("tenant", "the log that is archived is the deployment's"))
	}
	return nil
}

// ArchiveState tells what of the log was archived, to operators.
func (a *Audit) ArchiveState(ctx context.Context) (s ArchiveState, err error) {
	e := a.entry(audit.AuditArchive)
	if err := a.allowArchive(ctx, e); err != nil {
		return s, err
	}
	err = a.vault.store.View(ctx, func(r store.Reader) error {
		kept, _, err := store.ReadArchive(r)
		s = ArchiveState{kept.Size, kept.Last, kept.At}
		return err
	})
	return settled(s, a.vault.conclude(ctx, e, err))
}

// errNothing is a log of which nothing is to be archived.
var errNothing = &secret.Error{Code: secret.ErrNotFound.Code, Detail: "no entries are old enough to be archived, and under a checkpoint"}

// Segment writes the next segment that can be archived: entries from the end of
// the archive on, all of them older than a time, under the newest checkpoint.
// secret.ErrNotFound if there are none.
func (a *Audit) Segment(ctx context.Context, w io.Writer, before time.Time) error {
	e := a.entry(audit.AuditArchive)
	if err := a.allowArchive(ctx, e); err != nil {
		return err
	}
	s, err := a.planSegment(ctx, before)
	if err == nil {
		e.Detail = fmt.Sprintf("entries %d to %d handed out", s.head.From, s.head.To-1)
	}
	if err := a.vault.conclude(ctx, e, err); err != nil {
		return err
	}
	return a.vault.answer(s.write(ctx, w))
}

// segment is a stretch of the log that is written down.
type segment struct {
	vault  *Vault
	head   audit.SegmentHeader
	note   []byte // the checkpoint
	size   int64  // its
	kept   store.Archive
	stored []byte // kept's row

	last   time.Time
	digest [sha256.Size]byte
}

// planSegment finds out how far the next segment goes.
func (a *Audit) planSegment(ctx context.Context, before time.Time) (*segment, error) {
	var s *segment
	err := a.vault.store.View(ctx, func(r store.Reader) (err error) {
		s = &segment{vault: a.vault}
		if s.kept, s.stored, err = store.ReadArchive(r); err != nil {
			return err
		}
		if err := s.under(r); err != nil {
			return err
		}
		to, err := segmentEnd(r, s.kept.Size, s.size, before)
		if err == nil && to == s.kept.Size {
			err = errNothing
		}
		if err != nil {
			return err
		}
		s.head, err = audit.NewSegmentHeader(a.vault.origin(), s.kept.Size, to, r.Log())
		return err
	})
	return s, err
}

// under takes the newest checkpoint.
func (s *segment) under(r store.Reader) error {
	c, err := r.Log().Checkpoint(-1)
	if errors.Is(err, store.ErrAbsent) {
		return errNothing
	}
	if err == nil {
		s.note, s.size = c.Note, c.Size
	}
	return err
}

// segmentEnd returns where a segment ends that begins at from: behind whole
// batches, within the tree of a checkpoint, before the last batch of the log, and
// before the first entry that is not older than a time.
func segmentEnd(r store.Reader, from, signed int64, before time.Time) (int64, error) {
	tree, err := r.Log().State()
	if err != nil {
		return 0, err
	}
	end := from
	for end-from < segmentLimit {
		batches, err := r.Log().Batches(end, end+segmentWindow)
		if err != nil || len(batches) == 0 {
			return end, err
		}
		for _, b := range batches {
			next := b.First + int64(len(b.Records))
			if next > signed || next >= tree.Size || !older(b.Records, before) || end > from && next-from > segmentLimit {
				return end, nil
			}
			end = next
		}
	}
	return end, nil
}

func older(records []audit.Record, than time.Time) bool {
	for _, r := range records {
		if !r.Time().Before(than) {
			return false
		}
	}
	return true
}

// write writes the segment, and takes down its digest.
func (s *segment) write(ctx context.Context, w io.Writer) error {
	tiles := &snapshotTiles{}
	var spool bytes.Buffer // a slow receiver must not hold a snapshot
	out, err := audit.NewSegmentWriter(&spool, s.head, audit.NewHashReader(s.head.To, tiles))
	if err != nil {
		return err
	}
	for at := s.head.From; at < s.head.To; {
		err := s.vault.store.View(ctx, func(r store.Reader) (err error) {
			tiles.log = r.Log()
			at, err = s.add(out, r, at)
			return err
		})
		if err == nil {
			err = out.Flush()
		}
		if err == nil {
			_, err = spool.WriteTo(w)
		}
		if err != nil {
			return err
		}
	}
	s.digest = out.Digest()
	err = s.vault.store.View(ctx, func(r store.Reader) error {
		tiles.log = r.Log()
		return out.Close(s.note, audit.NewHashReader(s.size, tiles))
	})
	if err == nil {
		_, err = spool.WriteTo(w)
	}
	return err
}

// add adds the entries of some batches that begin at an index, and returns where
// they end.
func (s *segment) add(out *audit.SegmentWriter, r store.Reader, at int64) (int64, error) {
	batches, err := r.Log().Batches(at, min(at+segmentWindow, s.head.To))
	if err != nil {
		return at, err
	}
	if len(batches) == 0 || batches[0].First != at {
		return at, secret.Conflict("these entries were archived meanwhile")
	}
	for _, b := range batches {
		places, err := audit.DecodePlaces(b.Places, b.First, len(b.Records))
		if err != nil {
			return at, err
		}
		for i, record := range b.Records {
			if err := out.Add(places[i], record); err != nil {
				return at, err
			}
			if t := record.Time(); t.After(s.last) {
				s.last = t
			}
			at++
		}
	}
	return at, nil
}

// Archive drops the text of a segment's entries from the store, once whoever has
// the segment says that it is kept: its hashes stay. The segment must begin where
// the archive ends, and be what the store holds, byte by byte; otherwise, for
// example if an entry was redacted since, it is secret.ErrConflict. One that was
// dropped before is no error, so that a call whose answer was lost can be made
// again. It returns how much is archived now.
func (a *Audit) Archive(ctx context.Context, d Archived) (ArchiveState, error) {
	e := a.entry(audit.AuditArchive)
	var state ArchiveState
	if err := a.allowArchive(ctx, e); err != nil {
		return state, err
	}
	s, done, err := a.checkArchived(ctx, d)
	switch {
	case err != nil:
		return state, a.vault.conclude(ctx, e, err)
	case done:
		e.Detail = fmt.Sprintf("entries %d to %d were archived before", d.From, d.To-1)
		state, err = ArchiveState{s.kept.Size, s.kept.Last, s.kept.At}, a.vault.conclude(ctx, e, nil)
	default:
		state, err = s.drop(ctx, e, d)
	}
	if err != nil {
		return ArchiveState{}, err
	}
	a.vault.feeds.forget()
	return settled(state, a.vault.answer(a.vault.store.Scrub(ctx)))
}

// checkArchived compares a segment with what the store holds. It was done before
// if the archive reaches its end and has its root there.
func (a *Audit) checkArchived(ctx context.Context, d Archived) (s *segment, done bool, err error) {
	if d.From < 0 || d.To <= d.From {
		return nil, false, secret.Invalid("to", "an index behind from")
	}
	err = a.vault.store.View(ctx, func(r store.Reader) (err error) {
		s, done = &segment{vault: a.vault}, false
		if s.kept, s.stored, err = store.ReadArchive(r); err != nil {
			return err
		}
		if err := s.under(r); err != nil {
			return err
		}
		switch done = d.To <= s.kept.Size; {
		case d.To > s.size:
			return secret.Invalid("to", "an index under the newest checkpoint")
		case !done && d.From != s.kept.Size:
			return secret.Conflict(fmt.Sprintf("the archive ends at index %d", s.kept.Size))
		}
		s.head, err = audit.NewSegmentHeader(a.vault.origin(), d.From, d.To, r.Log())
		if err == nil && s.head.Root != d.Root {
			err = secret.Conflict("the segment has another root than the log")
		}
		return err
	})
	if err != nil || done {
		return s, done, err
	}
	if err := s.write(ctx, io.Discard); err != nil {
		return nil, false, err
	}
	if s.digest != d.Digest {
		return nil, false, secret.Conflict("the segment's entries are not those of the log any more; have it written again")
	}
	return s, false, nil
}

// drop drops the text, if no entry was redacted or archived since it was compared.
func (s *segment) drop(ctx context.Context, e audit.Entry, d Archived) (ArchiveState, error) {
	next := s.kept
	next.Size, next.At, next.Root = d.To, s.vault.now(), d.Root.String()
	if s.last.After(next.Last) {
		next.Last = s.last
	}
	row, err := next.Row()
	if err != nil {
		return ArchiveState{}, err
	}
	err = s.vault.change(ctx, e, func(tx store.Tx, e *audit.Entry) error {
		e.Detail = fmt.Sprintf("entries %d to %d archived, root %s, sha256 %s", d.From, d.To-1, d.Root, hex.EncodeToString(d.Digest[:]))
		if err := tx.SetMeta(store.MetaArchive, s.stored, row); err != nil {
			return err
		}
		return tx.EditLog().Drop(d.From, d.To)
	})
	return ArchiveState{next.Size, next.Last, next.At}, err
}

// noteRedaction has whoever archives at the same time see that an entry was
// redacted, or is told of by errRetry.
func noteRedaction(tx store.Tx) error {
	kept, stored, err := store.ReadArchive(tx)
	if err != nil {
		return err
	}
	kept.Redactions++
	row, err := kept.Row()
	if err != nil {
		return err
	}
	if err := tx.SetMeta(store.MetaArchive, stored, row); errors.Is(err, store.ErrStale) {
		return errRetry
	} else if err != nil {
		return err
	}
	return nil
}
