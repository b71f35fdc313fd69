package audit

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	inclusionFormat   = "fastness-audit-inclusion/1"
	consistencyFormat = "fastness-audit-consistency/1"
	pathFormat        = "fastness-audit-path/1"
)

// Inclusion is a document which proves that an entry is in the log.
type Inclusion struct {
	Format     string      `json:"format"`
	Entry      LeafEntry   `json:"entry"`
	Proof      []tlog.Hash `json:"proof"`
	Checkpoint string      `json:"checkpoint"` // the signed note
}

// Consistency is a document which proves that the log of an older size is the
// beginning of the log of a checkpoint.
type Consistency struct {
	Format     string      `json:"format"`
	From       int64       `json:"from"`
	Root       tlog.Hash   `json:"root"` // at size From
	Proof      []tlog.Hash `json:"proof"`
	Checkpoint string      `json:"checkpoint"` // the signed note
}

// ProveInclusion makes the document for an entry under a signed checkpoint.
// r must read a tree at least as large as the checkpoint's.
func ProveInclusion(l LeafEntry, note []byte, r tlog.HashReader) (*Inclusion, error) {
	c, err := ParseCheckpoint(note)
	if err != nil {
		return nil, fmt.Errorf("proving inclusion: %w", err)
	}
	proof, err := tlog.ProveRecord(c.Size, l.Index, r)
	if err != nil {
		return nil, fmt.Errorf("proving inclusion: %w", err)
	}
	return &Inclusion{Format: inclusionFormat, Entry: l, Proof: proof, Checkpoint: string(note)}, nil
}

// ProveConsistency makes the document that leads from an older size, at least
// 1, to a signed checkpoint. r must read a tree at least as large as the
// checkpoint's.
func ProveConsistency(from int64, note []byte, r tlog.HashReader) (*Consistency, error) {
	c, err := ParseCheckpoint(note)
	if err != nil {
		return nil, fmt.Errorf("proving consistency: %w", err)
	}
	root, proof, err := proveTree(c.Size, from, r)
	if err != nil {
		return nil, fmt.Errorf("proving consistency: %w", err)
	}
	return &Consistency{Format: consistencyFormat, From: from, Root: root, Proof: proof, Checkpoint: string(note)}, nil
}

func proveTree(size, from int64, r tlog.HashReader) (tlog.Hash, tlog.TreeProof, error) {
	proof, err := tlog.ProveTree(size, from, r)
	if err != nil {
		return tlog.Hash{}, nil, err
	}
	root, err := tlog.TreeHash(from, r)
	return root, proof, err
}

// Path is an Inclusion whose entry is elsewhere: of a leaf it has the hash alone.
type Path struct {
	Format     string      `json:"format"`
	Index      int64       `json:"index"`
	Leaf       tlog.Hash   `json:"leaf"`
	Proof      []tlog.Hash `json:"proof"`
	Checkpoint string      `json:"checkpoint"` // the signed note
}

// ProvePath makes the document for a leaf under a signed checkpoint.
func ProvePath(index int64, note []byte, r tlog.HashReader) (*Path, error) {
	c, err := ParseCheckpoint(note)
	if err != nil {
		return nil, fmt.Errorf("proving a path: %w", err)
	}
	proof, err := tlog.ProveRecord(c.Size, index, r)
	if err != nil {
		return nil, fmt.Errorf("proving a path: %w", err)
	}
	leaf, err := r.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
	if err != nil {
		return nil, fmt.Errorf("proving a path: %w", err)
	}
	return &Path{Format: pathFormat, Index: index, Leaf: leaf[0], Proof: proof, Checkpoint: string(note)}, nil
}

// ParsePath reads the document in its one form. Errors are *VerifyError.
func ParsePath(b []byte) (*Path, error) {
	p := new(Path)
	if err := decodeLine(bytes.TrimSuffix(b, []byte("\n")), p); err != nil {
		return nil, err
	}
	if p.Format != pathFormat || p.Proof == nil {
		return nil, fault(Malformed, "not a path of a fastness audit log")
	}
	return p, nil
}

// With puts the entry to its path. Errors are *VerifyError: ChangedEntry if it is
// another one.
func (p *Path) With(l *LeafEntry) (*Inclusion, error) {
	h, err := l.Hash()
	if err != nil {
		return nil, err
	}
	if l.Index != p.Index || h != p.Leaf {
		return nil, l.fault(ChangedEntry, "the log has another entry with the index %d", p.Index)
	}
	return &Inclusion{Format: inclusionFormat, Entry: *l, Proof: p.Proof, Checkpoint: p.Checkpoint}, nil
}

// Encode returns the document as one line.
func (p *Path) Encode() ([]byte, error) { return encodeDocument(p) }

// Encode returns the document as one line.
func (p *Inclusion) Encode() ([]byte, error) { return encodeDocument(p) }

// Encode returns the document as one line.
func (p *Consistency) Encode() ([]byte, error) { return encodeDocument(p) }

func encodeDocument(v any) ([]byte, error) {
	var b bytes.Buffer
	err := encodeLine(&b, v)
	return b.Bytes(), err
}

// ParseInclusion reads the document in its one form, with or without the
// newline at its end. Errors are *VerifyError.
func ParseInclusion(b []byte) (*Inclusion, error) {
	p := new(Inclusion)
	if err := decodeLine(bytes.TrimSuffix(b, []byte("\n")), p); err != nil {
		return nil, err
	}
	if p.Format != inclusionFormat || p.Proof == nil {
		return nil, fault(Malformed, "not an inclusion proof of a fastness audit log")
	}
	return p, nil
}

// ParseConsistency reads the document in its one form, with or without the
// newline at its end. Errors are *VerifyError.
func ParseConsistency(b []byte) (*Consistency, error) {
	p := new(Consistency)
	if err := decodeLine(bytes.TrimSuffix(b, []byte("\n")), p); err != nil {
		return nil, err
	}
	if p.Format != consistencyFormat || p.Proof == nil {
		return nil, fault(Malformed, "not a consistency proof of a fastness audit log")
	}
	return p, nil
}

// Verify checks signatures, entry and proof, and returns the checkpoint under
// which the entry stands. Errors are *VerifyError.
func (p *Inclusion) Verify(ks KeySet) (SignedCheckpoint, error) {
	c, err := OpenCheckpoint([]byte(p.Checkpoint), ks)
	if err != nil {
		return SignedCheckpoint{}, err
	}
	h, err := p.Entry.Hash()
	if err != nil {
		return SignedCheckpoint{}, err
	}
	if tlog.CheckRecord(p.Proof, c.Size, c.Root, p.Entry.Index, h) != nil {
		return SignedCheckpoint{}, p.Entry.fault(ChangedEntry, "the signed tree of size %d does not hold it", c.Size)
	}
	return c, nil
}

// Verify checks signatures and proof and returns the newer checkpoint. If
// older is not nil, it is the signed note that the caller trusts from before,
// which must be the one the proof begins with. Errors are *VerifyError.
func (p *Consistency) Verify(ks KeySet, older []byte) (SignedCheckpoint, error) {
	c, err := OpenCheckpoint([]byte(p.Checkpoint), ks)
	if err != nil {
		return SignedCheckpoint{}, err
	}
	if tlog.CheckTree(p.Proof, c.Size, c.Root, p.From, p.Root) != nil {
		return SignedCheckpoint{}, fault(ForkedTree, "the tree of size %d is not the beginning of the signed one of size %d", p.From, c.Size)
	}
	if older == nil {
		return c, nil
	}
	o, err := openOlder(older, ks)
	if err != nil {
		return SignedCheckpoint{}, err
	}
	if o.Size != p.From || o.Root != p.Root {
		return SignedCheckpoint{}, fault(ForkedTree, "the proof begins with another tree than the older checkpoint of size %d", o.Size)
	}
	return c, nil
}

// openOlder opens a checkpoint from before; its faults say that it is that one.
func openOlder(note []byte, ks KeySet) (SignedCheckpoint, error) {
	c, err := OpenCheckpoint(note, ks)
	var f *VerifyError
	if errors.As(err, &f) {
		err = f.in("the older checkpoint")
	}
	return c, err
}
