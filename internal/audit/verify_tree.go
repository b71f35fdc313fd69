package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// consistency checks the consistency lines of a tenant's bundle: one for each
// size that the entries name, and no other.
func (v *verifier) consistency() error {
	if v.head.whole() {
		return nil
	}
	if err := v.wantsSince(); err != nil {
		return err
	}
	for _, from := range slices.Sorted(maps.Keys(v.sizes)) {
		line, err := v.lines.next()
		if err != nil {
			return err
		}
		switch kindOf(line) {
		case consistencyKind:
		case entryLine:
			return v.tooMany()
		default:
			return v.at(fault(NoConsistency, "the line for the checkpoint of size %d is missing", from))
		}
		var j consistencyJSON
		if f := decodeLine(line, &j); f != nil {
			return v.at(f)
		}
		if f := v.consistent(from, &j.Consistency); f != nil {
			return v.at(f)
		}
	}
	return nil
}

// wantsSince makes sure that there will be a line for the older checkpoint.
func (v *verifier) wantsSince() error {
	s := v.since
	if s == nil || s.Size == 0 || s.Size == v.head.Tree.N || v.sizes[s.Size] {
		return nil
	}
	return fault(NoConsistency, "the bundle cannot be held against the older checkpoint of size %d; "+
		"export it again with: fastness audit export --since FILE", s.Size)
}

func (v *verifier) consistent(from int64, l *consistencyLine) *VerifyError {
	tree := v.head.Tree
	switch {
	case l.Proof == nil:
		return fault(Malformed, "a consistency line lacks its proof")
	case l.From > from:
		return fault(NoConsistency, "the line for the checkpoint of size %d is missing", from)
	case l.From < from:
		return fault(SecondForm, "the consistency line for size %d is not one that the entries ask for", l.From)
	case tlog.CheckTree(l.Proof, tree.N, tree.Hash, from, l.Root) != nil:
		return fault(ForkedTree, "the tree of size %d is not shown to be the beginning of the bundle's", from)
	case v.since != nil && v.since.Size == from && v.since.Root != l.Root:
		return fault(ForkedTree, "the older checkpoint of size %d is not the beginning of the bundle's tree", from)
	}
	return nil
}

// checkpoint checks the last line, and with it all that rests on the root.
func (v *verifier) checkpoint() error {
	line, err := v.lines.next()
	if err != nil {
		return err
	}
	switch kindOf(line) {
	case checkpointKind:
	case consistencyKind:
		return v.at(fault(SecondForm, "there is a consistency line that the entries do not ask for"))
	case entryLine:
		return v.tooMany()
	default:
		return v.at(fault(Malformed, "the line is none of a bundle's"))
	}
	var j checkpointJSON
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
	if err := v.tree(c); err != nil {
		return err
	}
	v.finish(c)
	return nil
}

func (v *verifier) tooMany() *VerifyError {
	return v.at(fault(Malformed, "there are more entries than the %d of the header", v.head.Entries))
}

// tree compares the bundle's tree with the one that is signed.
func (v *verifier) tree(c SignedCheckpoint) error {
	head := v.head.Tree
	switch {
	case c.Size > head.N:
		return v.at(fault(TruncatedTail, "a tree of size %d is signed, the bundle's has only %d", c.Size, head.N))
	case c.Size < head.N:
		return v.at(fault(ForkedTree, "a tree of size %d is signed, the bundle's has %d", c.Size, head.N))
	case !v.head.whole() && c.Root != head.Hash:
		return v.at(fault(ForkedTree, "the bundle's entries stand in another tree of size %d than the signed one", c.Size))
	case v.head.whole():
		return v.wholeTree(c)
	}
	return nil
}

// wholeTree compares the root of all leaves with the one that is signed, and
// judges what was found on the way.
func (v *verifier) wholeTree(c SignedCheckpoint) error {
	root := v.acc.root()
	switch {
	case root != c.Root && root == v.head.Tree.Hash:
		return v.at(fault(ForkedTree, "the bundle's entries stand in another tree of size %d than the signed one", c.Size))
	case root != c.Root && v.suspect != nil:
		return v.suspect
	case root != c.Root:
		return fault(ChangedEntry, "the entries do not have the signed root, and no chain tells which: it is the last entry of some tenant")
	case root != v.head.Tree.Hash:
		return fault(ForkedTree, "the header has another root than the one that is signed")
	case v.suspect != nil:
		// The signed tree holds the break itself.
		v.suspect.Kind = ChainGap
		return v.suspect
	case v.since != nil && v.since.Size > 0 && v.sinceRoot != v.since.Root:
		return fault(ForkedTree, "the older checkpoint of size %d is not the beginning of the bundle's tree", v.since.Size)
	}
	return v.keys.CheckRotations(v.rotations, c.Size)
}

func (v *verifier) finish(c SignedCheckpoint) {
	r := &v.report
	r.Origin, r.Tenant, r.Nonce, r.Exported = v.head.Origin, v.head.Tenant, v.head.Nonce, v.head.Exported
	r.Tenants = len(v.chains)
	r.Size, r.Root, r.CheckpointTime, r.Checkpoint = c.Size, c.Root, c.Time, string(c.Note)
	if v.since != nil {
		r.Since = v.since.Size
	}
}

// lineReader reads lines of bounded length and counts them.
type lineReader struct {
	r      *bufio.Reader
	number int64
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, maxLine)}
}

// next returns the next line without its newline, valid until the next call.
func (l *lineReader) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	l.number++
	switch {
	case err == nil:
		return line[:len(line)-1], nil
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, l.fault(Malformed, "the line is longer than %d bytes", maxLine)
	case !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("reading audit bundle: %w", err)
	case json.Valid(line):
		return nil, l.fault(SecondForm, "the newline at the end is missing")
	}
	return nil, l.fault(TruncatedTail, "the bundle ends before its checkpoint")
}

// end makes sure that nothing follows.
func (l *lineReader) end() error {
	switch _, err := l.r.ReadByte(); {
	case err == nil:
		l.number++
		return l.fault(SecondForm, "something follows the checkpoint")
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("reading audit bundle: %w", err)
	}
	return nil
}

// holds reports whether one of the lines to come is an entry that f picks. It
// reads on to there: it serves only to name a fault that was found already.
func (l *lineReader) holds(f func(*entryJSON) bool) bool {
	at := l.number
	defer func() { l.number = at }()
	for {
		line, err := l.next()
		if err != nil {
			return false
		}
		var e entryJSON
		if bytes.HasPrefix(line, []byte(`{"index":`)) && json.Unmarshal(line, &e) == nil && f(&e) {
			return true
		}
	}
}

func (l *lineReader) fault(k Kind, format string, args ...any) *VerifyError {
	f := fault(k, format, args...)
	f.Line = l.number
	return f
}
