package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"

	"golang.org/x/mod/sumdb/tlog"
)

// LeafEntry is an entry with all that is needed to compute its leaf hash.
type LeafEntry struct {
	Entry
	Prev         tlog.Hash // leaf hash of the tenant's entry before it; zero for the first
	LeafSalt     []byte
	Commitment   tlog.Hash
	PersonalSalt []byte // nil if the entry is redacted
}

// leafJSON is the JSON form of a LeafEntry: the entry's fields and its own.
// Proof is used in bundles alone.
type leafJSON struct {
	entryJSON
	LeafSalt     []byte      `json:"leafSalt"`
	Prev         tlog.Hash   `json:"prev"`
	Commitment   tlog.Hash   `json:"commitment"`
	PersonalSalt []byte      `json:"personalSalt,omitempty"`
	Proof        []tlog.Hash `json:"proof,omitempty"`
}

// NewLeafEntry decodes a sequenced record. prev is the leaf hash of the
// tenant's entry before it, the zero hash if it is the first.
func NewLeafEntry(r Record, index int64, seq uint64, prev tlog.Hash) (LeafEntry, error) {
	var p parts
	e, err := r.Entry()
	if err != nil || !r.parse(&p) {
		return LeafEntry{}, errRecord
	}
	e.Index, e.Seq = index, seq
	return LeafEntry{Entry: e, Prev: prev, LeafSalt: bytes.Clone(p.leafSalt),
		Commitment: tlog.Hash(p.commitment), PersonalSalt: bytes.Clone(p.personalSalt)}, nil
}

// Hash computes the leaf hash. Errors are *VerifyError: BadCommitment if the
// personal part is not what the entry committed to.
func (l *LeafEntry) Hash() (tlog.Hash, error) {
	if err := l.checkForm(); err != nil {
		return tlog.Hash{}, l.fault(Malformed, "%v", err)
	}
	if !l.Redacted {
		personal := appendPersonal(bytes.Clone(l.PersonalSalt), &l.Entry)
		if sha256.Sum256(personal) != l.Commitment {
			return tlog.Hash{}, l.fault(BadCommitment,
				"the entry was changed: secretName, userId, target, ipAddress, userAgent or error is not what it committed to")
		}
	}
	public := appendPublic(make([]byte, 0, publicLen(&l.Entry)), &l.Entry)
	public = append(public, l.LeafSalt...)
	public = append(public, l.Commitment[:]...)
	return leafHash(l.Seq, l.Prev, public), nil
}

func (l *LeafEntry) checkForm() error {
	e := &l.Entry
	switch {
	case e.Index < 0 || e.Seq == 0:
		return errors.New("index or number is out of range")
	case len(l.LeafSalt) != saltLen:
		return errors.New("leafSalt does not have 16 bytes")
	case !e.Redacted && len(l.PersonalSalt) != saltLen:
		return errors.New("personalSalt does not have 16 bytes")
	case e.Redacted && (l.PersonalSalt != nil || e.SecretName+e.UserID+e.Target+e.IPAddress+e.UserAgent+e.Error != ""):
		return errors.New("a redacted entry has a personal part")
	}
	return e.check()
}

func (l *LeafEntry) fault(k Kind, format string, args ...any) *VerifyError {
	f := fault(k, format, args...)
	f.Entry, f.Index, f.Seq = true, l.Index, l.Seq
	return f
}

func (l *LeafEntry) json() leafJSON {
	return leafJSON{entryJSON: toJSON(&l.Entry), LeafSalt: l.LeafSalt, Prev: l.Prev,
		Commitment: l.Commitment, PersonalSalt: l.PersonalSalt}
}

func (j *leafJSON) leaf() (LeafEntry, error) {
	e, err := fromJSON(&j.entryJSON)
	return LeafEntry{Entry: e, Prev: j.Prev, LeafSalt: j.LeafSalt,
		Commitment: j.Commitment, PersonalSalt: j.PersonalSalt}, err
}

// MarshalJSON writes the entry's fields, leafSalt, prev, commitment and
// personalSalt.
func (l LeafEntry) MarshalJSON() ([]byte, error) { return json.Marshal(l.json()) }

// UnmarshalJSON reads what MarshalJSON writes.
func (l *LeafEntry) UnmarshalJSON(b []byte) error {
	var j leafJSON
	err := json.Unmarshal(b, &j)
	if err != nil {
		return err
	}
	*l, err = j.leaf()
	return err
}

// encodeLine appends the one JSON form of v that we write, and a newline.
func encodeLine(dst *bytes.Buffer, v any) error {
	enc := json.NewEncoder(dst)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// decodeLine decodes a line without its newline into v, and refuses one that
// encodeLine would not write for what it says.
func decodeLine(line []byte, v any) *VerifyError {
	if err := json.Unmarshal(line, v); err != nil {
		return fault(Malformed, "%v", err)
	}
	var again bytes.Buffer
	if err := encodeLine(&again, v); err != nil {
		return fault(Malformed, "%v", err)
	}
	if !bytes.Equal(bytes.TrimSuffix(again.Bytes(), []byte("\n")), line) {
		return fault(SecondForm, "the line says what it says in another form than ours")
	}
	return nil
}
