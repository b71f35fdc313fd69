package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/secret"
)

const bundleFormat = "fastness-audit-bundle/1"

// maxLine bounds a line of a bundle, far above the longest entry.
const maxLine = 256 << 10

// BundleHeader says what a bundle holds. A bundle is JSON lines:
//
//	{"format":"fastness-audit-bundle/1","origin":…,"tenant":…,"nonce":…,
//	 "exported":…,"entries":N,"size":…,"root":…}
//	{"index":…,"seq":…, the entry's fields …,"leafSalt":…,"prev":…,
//	 "commitment":…,"personalSalt":…,"proof":[…]}                     N times
//	{"consistency":{"from":…,"root":…,"proof":[…]}}                   by rising from
//	{"checkpoint":"the signed note"}
//
// A tenant's bundle has the tenant's entries from number 1 to its export, each
// with its proof of inclusion, and a consistency line for each size that the
// TreeSize of a successful one names. An export that is to be held against an
// older checkpoint therefore has that checkpoint's size in its own AuditExport
// entry, where nobody can take it away. The whole deployment's bundle has no
// tenant, all leaves of the tree, and needs neither proofs nor consistency
// lines, since all roots follow from the leaves.
//
// The bytes of a bundle follow from what it says: there is no second form.
type BundleHeader struct {
	Origin   string
	Tenant   secret.TenantName // empty: the whole deployment
	Nonce    string            // of the caller, as in the AuditExport entry
	Exported time.Time         // the timestamp of the AuditExport entry
	Entries  int64
	Tree     tlog.Tree // of the checkpoint
}

type headerJSON struct {
	Format   string            `json:"format"`
	Origin   string            `json:"origin"`
	Tenant   secret.TenantName `json:"tenant,omitempty"`
	Nonce    string            `json:"nonce"`
	Exported string            `json:"exported"`
	Entries  int64             `json:"entries"`
	Size     int64             `json:"size"`
	Root     tlog.Hash         `json:"root"`
}

type consistencyJSON struct {
	Consistency consistencyLine `json:"consistency"`
}

type consistencyLine struct {
	From  int64       `json:"from"`
	Root  tlog.Hash   `json:"root"`
	Proof []tlog.Hash `json:"proof"`
}

type checkpointJSON struct {
	Checkpoint string `json:"checkpoint"`
}

// whole reports whether the bundle is the whole deployment's.
func (h *BundleHeader) whole() bool { return h.Tenant == "" }

func (h *BundleHeader) check() error {
	switch {
	case h.Entries < 1 || h.Entries > h.Tree.N:
		return errors.New("the number of entries does not fit the tree's size")
	case h.whole() && h.Entries != h.Tree.N:
		return errors.New("the whole deployment's bundle must hold all leaves")
	}
	return nil
}

// knownSize returns the size of a checkpoint that the entry says its caller
// has, or 0. What a caller asked for and did not get does not count.
func (e *Entry) knownSize() int64 {
	if e.Result != Success {
		return 0
	}
	return e.TreeSize
}

// isExport reports whether the entry can be the one that a bundle with this
// header is made for. A whole deployment's export is the deployment's entry.
func (e *Entry) isExport(h *BundleHeader) bool {
	return e.Action == AuditExport && e.Result == Success && e.TenantID == h.Tenant
}

// BundleWriter writes a bundle. It holds a bounded part of the log in memory,
// apart from one hash for each tenant of the whole deployment's bundle.
type BundleWriter struct {
	header BundleHeader
	out    *bufio.Writer
	hashes tlog.HashReader
	line   bytes.Buffer
	added  int64
	sizes  map[int64]bool
	last   map[secret.TenantName]Head
	digest hash.Hash // of the entries' lines; nil where nobody asks for it
}

// NewBundleWriter writes the header. hashes must read the tree of the header.
func NewBundleWriter(w io.Writer, h BundleHeader, hashes tlog.HashReader) (*BundleWriter, error) {
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("writing audit bundle: %w", err)
	}
	b := newBundleWriter(w, h, hashes)
	return b, b.write(headerJSON{Format: bundleFormat, Origin: h.Origin, Tenant: h.Tenant, Nonce: h.Nonce,
		Exported: formatTime(h.Exported), Entries: h.Entries, Size: h.Tree.N, Root: h.Tree.Hash})
}

func newBundleWriter(w io.Writer, h BundleHeader, hashes tlog.HashReader) *BundleWriter {
	return &BundleWriter{header: h, out: bufio.NewWriterSize(w, 64<<10), hashes: hashes,
		sizes: make(map[int64]bool), last: make(map[secret.TenantName]Head)}
}

// Add writes the next entry: in the order of a tenant's numbers, or of all
// leaves. What the store says is written as it is; whether it holds is the
// verifier's to say, who names what does not.
func (b *BundleWriter) Add(index int64, p Place, r Record) error {
	if err := b.add(index, p, r); err != nil {
		return fmt.Errorf("writing entry %d of audit bundle: %w", index, err)
	}
	return nil
}

func (b *BundleWriter) add(index int64, p Place, r Record) error {
	prev, err := b.prev(r.Tenant(), p)
	if err != nil {
		return err
	}
	l, err := NewLeafEntry(r, index, p.Seq, prev)
	if err != nil {
		return err
	}
	line := l.json()
	if !b.header.whole() {
		if line.Proof, err = tlog.ProveRecord(b.header.Tree.N, index, b.hashes); err != nil {
			return err
		}
		if size := l.knownSize(); size > 0 && size <= b.header.Tree.N {
			b.sizes[size] = true
		}
	}
	own, err := b.leafHash(index)
	if err != nil {
		return err
	}
	b.last[l.TenantID] = Head{Seq: p.Seq, Index: index, Hash: own}
	b.added++
	if err := b.write(line); err != nil || b.digest == nil {
		return err
	}
	b.digest.Write(b.line.Bytes())
	return nil
}

// Skip leaves out the next entries of the whole deployment's bundle, which
// FillBundle puts in from an archive.
func (b *BundleWriter) Skip(n int64) { b.added += n }

// Stub writes, in the place of a tenant's next entry, the proof that FillBundle
// then puts to the entry itself.
func (b *BundleWriter) Stub(index int64, seq uint64) error {
	proof, err := tlog.ProveRecord(b.header.Tree.N, index, b.hashes)
	if err != nil {
		return fmt.Errorf("writing entry %d of audit bundle: %w", index, err)
	}
	b.added++
	return b.write(stubJSON{stubLine{Index: index, Seq: seq, Proof: proof}})
}

// prev returns the stored hash of the leaf before the place in its chain.
func (b *BundleWriter) prev(t secret.TenantName, p Place) (tlog.Hash, error) {
	if p.Prev < 0 {
		return tlog.Hash{}, nil
	}
	if head, ok := b.last[t]; ok && head.Index == p.Prev {
		return head.Hash, nil
	}
	return b.leafHash(p.Prev)
}

func (b *BundleWriter) leafHash(index int64) (tlog.Hash, error) {
	h, err := b.hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
	if err != nil {
		return tlog.Hash{}, err
	}
	return h[0], nil
}

// Close writes the consistency lines and the signed checkpoint, which must be
// that of the header's tree. It does not close the underlying writer.
func (b *BundleWriter) Close(note []byte) error {
	if b.added != b.header.Entries {
		return fmt.Errorf("writing audit bundle: %d entries were added instead of %d", b.added, b.header.Entries)
	}
	for _, from := range slices.Sorted(maps.Keys(b.sizes)) {
		root, proof, err := proveTree(b.header.Tree.N, from, b.hashes)
		if err != nil {
			return fmt.Errorf("writing audit bundle: %w", err)
		}
		if err := b.write(consistencyJSON{consistencyLine{From: from, Root: root, Proof: proof}}); err != nil {
			return err
		}
	}
	if err := b.write(checkpointJSON{Checkpoint: string(note)}); err != nil {
		return err
	}
	if err := b.out.Flush(); err != nil {
		return fmt.Errorf("writing audit bundle: %w", err)
	}
	return nil
}

func (b *BundleWriter) write(v any) error {
	b.line.Reset()
	if err := encodeLine(&b.line, v); err != nil {
		return fmt.Errorf("writing audit bundle: %w", err)
	}
	if _, err := b.out.Write(b.line.Bytes()); err != nil {
		return fmt.Errorf("writing audit bundle: %w", err)
	}
	return nil
}
