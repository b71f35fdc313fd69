package audit

import (
	"fmt"
	"strings"
)

// Kind says what does not hold. Its text is stable.
type Kind string

// The kinds of failure.
const (
	Malformed      Kind = "not well formed"      // not a bundle, checkpoint or proof at all
	SecondForm     Kind = "second byte form"     // says the same in bytes that we never write
	ChangedEntry   Kind = "changed entry"        // an entry, or its proof, is not what the tree holds
	BadCommitment  Kind = "bad commitment"       // an entry's personal part is not what it committed to
	RemovedEntry   Kind = "removed entry"        // an entry is missing in the middle
	ReorderedPair  Kind = "reordered entries"    // entries do not stand in their order
	TruncatedTail  Kind = "truncated tail"       // the end is missing
	ChainGap       Kind = "chain gap"            // the signed log itself breaks a tenant's chain
	ForkedTree     Kind = "forked tree"          // two roots that no one log can have
	NoConsistency  Kind = "no consistency proof" // the bundle cannot be held against the older checkpoint
	MissingEd25519 Kind = "missing Ed25519 signature"
	BadEd25519     Kind = "bad Ed25519 signature"
	MissingMLDSA   Kind = "missing ML-DSA signature"
	BadMLDSA       Kind = "bad ML-DSA signature"
	NonceMismatch  Kind = "nonce mismatch"
	WrongOrigin    Kind = "wrong origin" // of another log than the keys
	WrongKeys      Kind = "wrong keys"   // the key file does not fit the log's key rotations
)

// VerifyError names what does not hold. Index and Seq are those of the entry
// at fault if Entry is set; Line is the bundle's line, from 1, if there is one.
type VerifyError struct {
	Kind  Kind
	Entry bool
	Index int64
	Seq   uint64
	Line  int64
	Text  string
}

func (e *VerifyError) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Kind))
	if e.Entry {
		fmt.Fprintf(&b, ": entry with index %d, number %d of its tenant", e.Index, e.Seq)
	}
	b.WriteString(": " + e.Text)
	if e.Line > 0 {
		fmt.Fprintf(&b, " (line %d)", e.Line)
	}
	return b.String()
}

func fault(k Kind, format string, args ...any) *VerifyError {
	return &VerifyError{Kind: k, Text: fmt.Sprintf(format, args...)}
}

// in returns a copy of e that says where the fault was found.
func (e *VerifyError) in(where string) *VerifyError {
	c := *e
	c.Text = where + ": " + e.Text
	return &c
}
