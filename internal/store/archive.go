package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"fastness/internal/audit"
	"fastness/internal/secret"
)

// MetaArchive is the meta row that tells what of the log was archived, see
// Archive. It changes with every archive and every redaction, so that neither
// misses the other.
const MetaArchive = "audit.archive"

// Archive says what of the log was archived: its records were dropped, its
// hashes were not. The zero value is a log that is whole.
type Archive struct {
	Size       int64     `json:"size"`           // how many entries, from the first leaf on
	Last       time.Time `json:"last,omitzero"`  // the newest timestamp among them
	Redactions int64     `json:"redactions"`     // transactions that redacted entries, ever
	At         time.Time `json:"at,omitzero"`    // when the last archive was made
	Root       string    `json:"root,omitempty"` // of the tree of Size leaves
}

// ReadArchive reads the row, also as it is stored, for SetMeta: nil if there is none.
func ReadArchive(r Reader) (a Archive, stored []byte, err error) {
	stored, err = r.Meta(MetaArchive)
	if errors.Is(err, ErrAbsent) {
		return a, nil, nil
	}
	if err != nil {
		return a, nil, err
	}
	if err := json.Unmarshal(stored, &a); err != nil {
		return a, nil, fmt.Errorf("reading what was archived: %w", err)
	}
	return a, stored, nil
}

// Row is the row as it is stored.
func (a Archive) Row() ([]byte, error) { return json.Marshal(a) }

// IndexOf returns the leaf index of a tenant's entry; ErrAbsent if it has none of
// that number.
func IndexOf(r LogReader, t secret.TenantName, seq uint64) (int64, error) {
	runs, err := r.Runs(t, seq, 1)
	if err != nil {
		return 0, err
	}
	if len(runs) == 0 || seq < runs[0].First {
		return 0, ErrAbsent
	}
	indices, err := audit.DecodeIndices(runs[0].Indices)
	if err != nil {
		return 0, err
	}
	if i := seq - runs[0].First; i < uint64(len(indices)) {
		return indices[i], nil
	}
	return 0, ErrAbsent
}

// FirstFrom returns the number of a tenant's first entry whose leaf index is at
// least index; one more than the tenant has if there is none.
func FirstFrom(r LogReader, t secret.TenantName, index int64) (uint64, error) {
	heads, err := r.Heads([]secret.TenantName{t})
	if err != nil {
		return 0, err
	}
	low, high := uint64(1), heads[t].Seq+1
	for low < high {
		middle := low + (high-low)/2
		at, err := IndexOf(r, t, middle)
		if err != nil {
			return 0, fmt.Errorf("looking for entry %d of tenant %q: %w", middle, t, err)
		}
		if at < index {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}
