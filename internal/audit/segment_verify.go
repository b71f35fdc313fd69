package audit

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/secret"
)

// SegmentReport is what a verified segment holds.
type SegmentReport struct {
	Origin         string
	FromIndex      int64 // of its first entry
	ToIndex        int64 // behind its last entry
	Redacted       int64 // entries without their personal part
	First, Last    time.Time
	Root           tlog.Hash         // at size ToIndex
	Digest         [sha256.Size]byte // over the lines of its entries
	Size           int64             // of its checkpoint
	CheckpointTime time.Time
	Checkpoint     string
	Tiles          map[TileID][]byte // those that its entries fill or begin, whole
}

// SegmentVerifier verifies the segments of one log, in the order of their
// entries, trusting only the given keys. Between two segments it keeps one hash
// for each tenant. Not safe for concurrent use.
type SegmentVerifier struct {
	// Entry, if not nil, is given every entry with its line before the segment is
	// known to hold; the line is valid until it returns.
	Entry func(line []byte, l *LeafEntry) error

	keys   KeySet
	begun  bool
	first  int64     // index at which the first segment begins
	tree   tlog.Tree // at the end of the last segment
	chains map[secret.TenantName]link

	// Of the segment at hand.
	lines   *lineReader
	head    SegmentHeader
	builder *builder
	report  SegmentReport
	digest  hash.Hash
	suspect *VerifyError // the first break of a chain
}

// NewSegmentVerifier returns a verifier that has seen no segment yet.
func NewSegmentVerifier(ks KeySet) (*SegmentVerifier, error) {
	if err := ks.Check(); err != nil {
		return nil, fmt.Errorf("verifying audit segments: %w", err)
	}
	return &SegmentVerifier{keys: ks, chains: make(map[secret.TenantName]link)}, nil
}

// Verify reads a segment to its end and checks everything that it claims, and
// that it continues the one before. What does not hold comes back as a
// *VerifyError; other errors are r's or Entry's. After an error the verifier is
// of no more use.
func (v *SegmentVerifier) Verify(r io.Reader) (*SegmentReport, error) {
	v.lines, v.report, v.digest, v.suspect = newLineReader(r), SegmentReport{}, sha256.New(), nil
	for _, step := range []func() error{v.header, v.entries, v.checkpoint} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	report := v.report
	return &report, nil
}

func (v *SegmentVerifier) at(f *VerifyError) *VerifyError {
	if f.Line == 0 {
		f.Line = v.lines.number
	}
	return f
}

func (v *SegmentVerifier) header() error {
	line, err := v.lines.next()
	if err != nil {
		return err
	}
	if v.head, err = ReadSegmentHeader(line); err != nil {
		return v.at(err.(*VerifyError))
	}
	if v.head.Origin != v.keys.Origin {
		return v.at(fault(WrongOrigin, "the segment is of the log %q, the keys are of %q", v.head.Origin, v.keys.Origin))
	}
	if v.builder, err = v.head.builder(); err != nil {
		return v.at(fault(Malformed, "%v", err))
	}
	before := tlog.Tree{N: v.head.From, Hash: v.builder.acc.root()}
	switch {
	case !v.begun:
		v.begun, v.first, v.tree = true, v.head.From, before
	case before.N > v.tree.N:
		return v.at(fault(RemovedEntry, "the indexes %d to %d before it are missing", v.tree.N, before.N-1))
	case before.N < v.tree.N:
		return v.at(fault(ReorderedPair, "it begins with index %d, and the segment before it ends with %d", before.N, v.tree.N-1))
	case before.Hash != v.tree.Hash:
		return v.at(fault(ForkedTree, "it does not continue the segment before it"))
	}
	return nil
}

func (v *SegmentVerifier) entries() error {
	for index := v.head.From; index < v.head.To; index++ {
		line, err := v.lines.next()
		if err != nil {
			return err
		}
		if kindOf(line) != entryLine {
			return v.at(fault(TruncatedTail, "the header promises entries up to index %d, the segment ends with %d", v.head.To-1, index-1))
		}
		v.digest.Write(line)
		v.digest.Write([]byte{'\n'})
		l, proof, f := parseEntry(line)
		if f == nil {
			f = v.entry(index, &l, proof)
		}
		if f != nil {
			return v.at(f)
		}
		if v.Entry != nil {
			if err := v.Entry(line, &l); err != nil {
				return err
			}
		}
	}
	return nil
}

// entry checks the entry that must have this index.
func (v *SegmentVerifier) entry(index int64, l *LeafEntry, proof tlog.RecordProof) *VerifyError {
	switch {
	case proof != nil:
		return l.fault(SecondForm, "the entries of a segment carry no proofs")
	case l.Index > index:
		return l.fault(RemovedEntry, "index %d before it is missing", index)
	case l.Index < index:
		return l.fault(ReorderedPair, "it stands behind index %d", index-1)
	}
	h, err := l.Hash()
	if err != nil {
		return err.(*VerifyError)
	}
	if f := v.chain(l); f != nil && v.suspect == nil {
		v.suspect = v.at(f)
	}
	v.chains[l.TenantID] = link{seq: l.Seq, index: l.Index, hash: h}
	v.builder.add(h)
	if index == v.head.From {
		v.report.First = l.Timestamp
	}
	v.report.Last = l.Timestamp
	if l.Redacted {
		v.report.Redacted++
	}
	return nil
}

// chain checks an entry against the tenant's one before it. Of a tenant's first
// in segments that do not begin with the log nothing is known.
func (v *SegmentVerifier) chain(l *LeafEntry) *VerifyError {
	prev, ok := v.chains[l.TenantID]
	switch {
	case !ok && v.first > 0 && l.Seq > 1:
		return nil
	case l.Seq != prev.seq+1:
		return l.fault(RemovedEntry, "the tenant's entry before it has the number %d", prev.seq)
	case l.Prev != prev.hash:
		return l.fault(ChangedEntry, "it follows upon another entry than the tenant's one before it, with index %d", prev.index)
	}
	return nil
}

// checkpoint checks the end of the segment, and with it all that rests on the
// signed root.
func (v *SegmentVerifier) checkpoint() error {
	line, err := v.lines.next()
	if err != nil {
		return err
	}
	var step *consistencyLine
	if kindOf(line) == consistencyKind {
		var j consistencyJSON
		if f := decodeLine(line, &j); f != nil {
			return v.at(f)
		}
		step = &j.Consistency
		if line, err = v.lines.next(); err != nil {
			return err
		}
	}
	var j checkpointJSON
	if kindOf(line) != checkpointKind {
		return v.at(fault(Malformed, "the line is none of a segment's"))
	}
	if f := decodeLine(line, &j); f != nil {
		return v.at(f)
	}
	c, err := openBundled([]byte(j.Checkpoint), v.keys)
	if err != nil {
		return v.at(err.(*VerifyError))
	}
	if err := v.lines.end(); err != nil {
		return err
	}
	if f := v.signed(c, step); f != nil {
		return f
	}
	v.finish(c)
	return nil
}

// signed compares the tree with the signed one.
func (v *SegmentVerifier) signed(c SignedCheckpoint, step *consistencyLine) *VerifyError {
	to, root := v.head.To, v.builder.acc.root()
	switch {
	case c.Size < to:
		return fault(ForkedTree, "a tree of size %d is signed, the segment's has %d", c.Size, to)
	case (step == nil) != (c.Size == to):
		return fault(NoConsistency, "the segment ends at %d, and is not led to the signed size %d", to, c.Size)
	case step != nil && (step.From != to || step.Root != v.head.Root):
		return fault(SecondForm, "the consistency line is of another tree than the header's")
	case step != nil && tlog.CheckTree(step.Proof, c.Size, c.Root, to, step.Root) != nil,
		step == nil && c.Root != v.head.Root:
		return fault(ForkedTree, "the segment's tree of size %d is not the beginning of the signed one of size %d", to, c.Size)
	case root != v.head.Root && v.suspect != nil:
		return v.suspect
	case root != v.head.Root:
		return fault(ChangedEntry, "the entries from index %d to %d do not have the signed root", v.head.From, to-1)
	case v.suspect != nil:
		v.suspect.Kind = ChainGap // the signed tree holds the break itself
		return v.suspect
	}
	return nil
}

func (v *SegmentVerifier) finish(c SignedCheckpoint) {
	v.tree = tlog.Tree{N: v.head.To, Hash: v.head.Root}
	r := &v.report
	r.Origin, r.FromIndex, r.ToIndex, r.Root = v.head.Origin, v.head.From, v.head.To, v.head.Root
	v.digest.Sum(r.Digest[:0])
	r.Size, r.CheckpointTime, r.Checkpoint = c.Size, c.Time, string(c.Note)
	r.Tiles = v.builder.changed(v.head.From)
}
