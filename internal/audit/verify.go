package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/secret"
)

// Options are what a verifier wants beyond a bundle that holds in itself.
type Options struct {
	Since []byte // signed note of an older checkpoint that the bundle's tree must continue; nil for none
	Nonce string // that the export must carry; empty for any
}

// Report is what a verified bundle holds.
type Report struct {
	Origin         string            `json:"origin"`
	Tenant         secret.TenantName `json:"tenant"` // empty: the whole deployment
	Entries        int64             `json:"entries"`
	Tenants        int               `json:"tenants"`    // that have entries, the deployment itself among them
	Redacted       int64             `json:"redacted"`   // entries without their personal part
	Redactions     int64             `json:"redactions"` // successful AuditRedact entries
	From           time.Time         `json:"from"`       // timestamp of the first entry
	To             time.Time         `json:"to"`         // timestamp of the last entry
	FirstIndex     int64             `json:"firstIndex"`
	LastIndex      int64             `json:"lastIndex"`
	Nonce          string            `json:"nonce"`
	Exported       time.Time         `json:"exported"`
	Size           int64             `json:"size"`
	Root           tlog.Hash         `json:"root"`
	CheckpointTime time.Time         `json:"checkpointTime"`
	Since          int64             `json:"since"` // size of the older checkpoint that it was held against; 0 if none
	Checkpoint     string            `json:"checkpoint"`
}

// Verify reads a bundle to its end and checks everything that it claims,
// trusting only the given keys. It holds one line in memory, one number for
// each checkpoint handed out, and one hash for each tenant.
//
// What does not hold comes back as a *VerifyError; other errors are r's.
func Verify(r io.Reader, ks KeySet, o Options) (*Report, error) {
	if err := ks.Check(); err != nil {
		return nil, fmt.Errorf("verifying audit bundle: %w", err)
	}
	v := &verifier{lines: newLineReader(r), keys: ks, opts: o,
		sizes: make(map[int64]bool), chains: make(map[secret.TenantName]link)}
	if o.Since != nil {
		c, err := openOlder(o.Since, ks)
		if err != nil {
			return nil, err
		}
		v.since = &c
	}
	for _, step := range []func() error{v.header, v.entries, v.export, v.consistency, v.checkpoint} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return &v.report, nil
}

type verifier struct {
	lines *lineReader
	keys  KeySet
	opts  Options
	since *SignedCheckpoint

	head    BundleHeader
	report  Report
	chains  map[secret.TenantName]link
	sizes   map[int64]bool // for which a tenant's bundle needs consistency lines
	last    Entry
	exports int // entries that are this bundle's export

	// Of the whole deployment's bundle. Without proofs, a fault of an entry is
	// certain only once the root is known.
	acc       accumulator
	sinceRoot tlog.Hash
	suspect   *VerifyError // the first break of a chain
	rotations []Entry
}

// link is a tenant's last entry so far.
type link struct {
	seq   uint64
	index int64
	hash  tlog.Hash
}

func (v *verifier) header() error {
	line, err := v.lines.next()
	if err != nil {
		return err
	}
	var h headerJSON
	if json.Unmarshal(line, &h) != nil || h.Format != bundleFormat {
		return v.at(fault(Malformed, "not an audit bundle of this format"))
	}
	if f := decodeLine(line, &h); f != nil {
		return v.at(f)
	}
	exported, timeErr := parseTime(h.Exported)
	v.head = BundleHeader{Origin: h.Origin, Tenant: h.Tenant, Nonce: h.Nonce, Exported: exported,
		Entries: h.Entries, Tree: tlog.Tree{N: h.Size, Hash: h.Root}}
	switch {
	case timeErr != nil:
		return v.at(fault(Malformed, "%v", timeErr))
	case h.Origin != v.keys.Origin:
		return v.at(fault(WrongOrigin, "the bundle is of the log %q, the keys are of %q", h.Origin, v.keys.Origin))
	case v.opts.Nonce != "" && h.Nonce != v.opts.Nonce:
		return v.at(fault(NonceMismatch, "the bundle carries the nonce %q, not %q", h.Nonce, v.opts.Nonce))
	case v.head.whole() && h.Entries > 0 && h.Entries < h.Size:
		return v.at(fault(TruncatedTail, "the bundle has %d entries of the %d in the tree", h.Entries, h.Size))
	}
	if err := v.head.check(); err != nil {
		return v.at(fault(Malformed, "%v", err))
	}
	return v.headerSince()
}

// headerSince looks at the older checkpoint before the entries are read.
func (v *verifier) headerSince() error {
	switch tree := v.head.Tree; {
	case v.since == nil:
	case v.since.Size > tree.N:
		return v.at(fault(TruncatedTail, "the older checkpoint has %d entries, the bundle's tree only %d", v.since.Size, tree.N))
	case v.since.Size == tree.N && v.since.Root != tree.Hash:
		return v.at(fault(ForkedTree, "the bundle's tree and the older checkpoint have the same size %d and different roots", tree.N))
	}
	return nil
}

func (v *verifier) entries() error {
	for n := int64(0); n < v.head.Entries; n++ {
		line, err := v.lines.next()
		if err != nil {
			return err
		}
		if kindOf(line) != entryLine {
			return v.at(fault(TruncatedTail, "the header promises %d entries, the bundle has %d", v.head.Entries, n))
		}
		l, proof, f := v.parse(line)
		if f != nil {
			return f
		}
		if f := v.entry(n, &l, proof); f != nil {
			if !f.Entry {
				f.Entry, f.Index, f.Seq = true, l.Index, l.Seq
			}
			return v.at(f)
		}
		v.count(n, &l.Entry)
	}
	return nil
}

// parse decodes an entry's line.
func (v *verifier) parse(line []byte) (LeafEntry, tlog.RecordProof, *VerifyError) {
	l, proof, f := parseEntry(line)
	if f != nil {
		f = v.at(f)
	}
	return l, proof, f
}

func parseEntry(line []byte) (LeafEntry, tlog.RecordProof, *VerifyError) {
	var j leafJSON
	if f := decodeLine(line, &j); f != nil {
		return LeafEntry{}, nil, f
	}
	l, err := j.leaf()
	if err != nil {
		return LeafEntry{}, nil, fault(Malformed, "%v", err)
	}
	return l, j.Proof, nil
}

// entry checks the n-th entry, from 0.
func (v *verifier) entry(n int64, l *LeafEntry, proof tlog.RecordProof) *VerifyError {
	if v.head.whole() {
		return v.wholeEntry(n, l, proof)
	}
	prev := v.chains[v.head.Tenant]
	switch {
	case l.TenantID != v.head.Tenant:
		return fault(ChangedEntry, "it is not of the tenant %q", v.head.Tenant)
	case l.Seq != prev.seq+1:
		return v.outOfOrder(l, prev)
	case n > 0 && l.Index <= prev.index:
		return fault(ReorderedPair, "its index is not above the one before, %d", prev.index)
	case l.Index >= v.head.Tree.N:
		return fault(ChangedEntry, "its index is beyond the tree of size %d", v.head.Tree.N)
	}
	h, f := v.hash(l)
	if f != nil {
		return f
	}
	if tlog.CheckRecord(proof, v.head.Tree.N, v.head.Tree.Hash, l.Index, h) != nil {
		return fault(ChangedEntry, "the tree of size %d does not hold it as it stands here", v.head.Tree.N)
	}
	if l.Prev != prev.hash {
		return fault(ChainGap, "the log holds it as the successor of another entry than the one before")
	}
	v.chains[l.TenantID] = link{seq: l.Seq, index: l.Index, hash: h}
	return v.note(l)
}

// note keeps what later steps need to know of a tenant's entry.
func (v *verifier) note(l *LeafEntry) *VerifyError {
	switch size := l.knownSize(); {
	case size > v.head.Tree.N:
		return fault(TruncatedTail, "its caller knows a checkpoint of size %d, the bundle's tree has only %d", size, v.head.Tree.N)
	case size > 0:
		v.sizes[size] = true
	}
	return nil
}

// wholeEntry checks the n-th entry of the whole deployment's bundle.
func (v *verifier) wholeEntry(n int64, l *LeafEntry, proof tlog.RecordProof) *VerifyError {
	switch {
	case proof != nil:
		return fault(SecondForm, "a whole deployment's entries carry no proofs")
	case l.Index != n:
		return v.outOfPlace(n, l)
	}
	h, f := v.hash(l)
	if f != nil {
		return f
	}
	prev := v.chains[l.TenantID]
	if v.suspect == nil && (l.Seq != prev.seq+1 || l.Prev != prev.hash) {
		v.suspect = v.at(v.brokenChain(l, prev))
	}
	v.chains[l.TenantID] = link{seq: l.Seq, index: l.Index, hash: h}
	v.acc.add(h, nil)
	if v.since != nil && v.acc.size == v.since.Size {
		v.sinceRoot = v.acc.root()
	}
	if l.Action == AuditKeysRotate && l.Result == Success && l.TenantID == "" {
		v.rotations = append(v.rotations, l.Entry)
	}
	if l.Action == BackupRestore && l.Result == Success && l.TenantID == "" {
		v.rotations = nil // those before were of the log under its old name
	}
	return nil
}

// brokenChain says what is most likely wrong if the tree turns out not to hold
// these entries.
func (v *verifier) brokenChain(l *LeafEntry, prev link) *VerifyError {
	switch {
	case l.Seq > prev.seq+1:
		return l.fault(RemovedEntry, "the tenant's entry before it has the number %d", prev.seq)
	case l.Seq <= prev.seq:
		return l.fault(ReorderedPair, "the tenant's entry before it has the number %d", prev.seq)
	case prev.seq == 0:
		return l.fault(ChangedEntry, "it is a tenant's first and has a predecessor")
	}
	f := l.fault(ChangedEntry, "the tenant's next entry, with index %d, follows upon another one than this", l.Index)
	f.Index, f.Seq = prev.index, prev.seq
	f.Line = prev.index + 2 // after the header, lines and indexes run in parallel
	return f
}

// hash computes the leaf hash.
func (v *verifier) hash(l *LeafEntry) (tlog.Hash, *VerifyError) {
	h, err := l.Hash()
	if err != nil {
		return h, err.(*VerifyError)
	}
	return h, nil
}

// outOfOrder tells why a tenant's entry does not have the number it should.
func (v *verifier) outOfOrder(l *LeafEntry, prev link) *VerifyError {
	want := prev.seq + 1
	switch {
	case l.Seq < want:
		return fault(ReorderedPair, "it stands behind number %d", prev.seq)
	case l.Prev == prev.hash:
		return fault(ChainGap, "its hash continues number %d, but its number does not", prev.seq)
	case v.lines.holds(func(e *entryJSON) bool { return e.Seq == want }):
		return fault(ReorderedPair, "it stands before number %d", want)
	case l.Seq == want+1:
		return fault(RemovedEntry, "number %d before it is missing", want)
	}
	return fault(RemovedEntry, "the numbers %d to %d before it are missing", want, l.Seq-1)
}

// outOfPlace is outOfOrder for the indexes of the whole deployment's bundle.
func (v *verifier) outOfPlace(want int64, l *LeafEntry) *VerifyError {
	switch {
	case l.Index < want:
		return fault(ReorderedPair, "it stands behind index %d", want-1)
	case v.lines.holds(func(e *entryJSON) bool { return e.Index == want }):
		return fault(ReorderedPair, "it stands before index %d", want)
	case l.Index == want+1:
		return fault(RemovedEntry, "index %d before it is missing", want)
	}
	return fault(RemovedEntry, "the indexes %d to %d before it are missing", want, l.Index-1)
}

// count adds an entry that holds to the report.
func (v *verifier) count(n int64, e *Entry) {
	r := &v.report
	r.Entries++
	if n == 0 {
		r.From, r.FirstIndex = e.Timestamp, e.Index
	}
	r.To, r.LastIndex = e.Timestamp, e.Index
	if e.Redacted {
		r.Redacted++
	}
	if e.Action == AuditRedact && e.Result == Success {
		r.Redactions++
	}
	if e.isExport(&v.head) && e.Nonce == v.head.Nonce && e.Timestamp.Equal(v.head.Exported) {
		v.exports++
	}
	v.last = *e
}

// export checks that the bundle ends with, or for the whole deployment holds,
// the entry of its own export.
func (v *verifier) export() error {
	last := &v.last
	switch {
	case v.head.whole() && v.exports == 0:
		return fault(NonceMismatch, "no entry is the export of %s with the nonce %q", formatTime(v.head.Exported), v.head.Nonce)
	case v.head.whole():
		return nil
	case !last.isExport(&v.head):
		return v.at(fault(TruncatedTail, "the last entry is not the tenant's export"))
	case last.Nonce != v.head.Nonce:
		return v.at(fault(NonceMismatch, "the export carries the nonce %q, the header %q", last.Nonce, v.head.Nonce))
	case !last.Timestamp.Equal(v.head.Exported):
		return v.at(fault(SecondForm, "the header has another time of export than the export's entry"))
	}
	return nil
}

// at says at which line the fault was found.
func (v *verifier) at(f *VerifyError) *VerifyError {
	if f.Line == 0 {
		f.Line = v.lines.number
	}
	return f
}

// The kinds of line after the header.
type lineKind int

const (
	otherLine lineKind = iota
	entryLine
	consistencyKind
	checkpointKind
)

// kindOf tells what a line is, whatever form it has.
func kindOf(line []byte) lineKind {
	switch {
	case bytes.HasPrefix(line, []byte(`{"index":`)):
		return entryLine
	case bytes.HasPrefix(line, []byte(`{"consistency":`)):
		return consistencyKind
	case bytes.HasPrefix(line, []byte(`{"checkpoint":`)):
		return checkpointKind
	}
	var probe struct{ Index, Consistency, Checkpoint json.RawMessage }
	switch err := json.Unmarshal(line, &probe); {
	case err != nil:
	case probe.Index != nil:
		return entryLine
	case probe.Consistency != nil:
		return consistencyKind
	case probe.Checkpoint != nil:
		return checkpointKind
	}
	return otherLine
}
