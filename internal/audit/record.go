package audit

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/secret"
)

const (
	recordFormat = 1
	leafFormat   = 1
	batchFormat  = 1

	saltLen = 16
	// maxRecord is above the longest record that the texts' limits allow.
	maxRecord = 16 << 10
)

var errRecord = errors.New("audit record is not well formed")

// Record is the stored form of an entry, made once and never changed except
// by Redact. text is a uvarint length and that many bytes; uvarints are in
// their shortest form.
//
//	 1  format, 1
//	 v  length of the public part
//	    ── public part: what the leaf holds ────────────────────
//	 8    time, nanoseconds since 1970, big endian
//	 t    tenant's name, empty for the deployment
//	 t    action
//	 t    result
//	 t    correlationId
//	 t    version, t oldVersion, t newVersion
//	 v    count
//	 v    treeSize
//	 t    nonce
//	 t    detail
//	16    random: hides the leaf from the neighbours in a proof
//	32    commitment = SHA-256 of the personal section
//	    ── personal section: absent after redaction ────────────
//	16    random: hides the personal part behind the commitment
//	 t    secretName, t userId, t ipAddress, t userAgent, t error
//	 t    target, if it is not empty
//
// The leaf that the tree hashes (RFC 6962: SHA-256(0x00 ‖ leaf)) is made when
// the record is sequenced:
//
//	 1  format, 1
//	 8  number in the tenant's chain, from 1, big endian
//	32  leaf hash of the tenant's previous entry, zero for the first
//	    public part
//
// A Record comes from NewRecord, ParseRecord or ParseBatch; the methods
// presume that it is well formed.
type Record []byte

// NewRecord makes the stored form of an entry with fresh random salts. Texts
// are bounded and sanitised; Index, Seq and Redacted are ignored. An error is
// a fault of the caller, never of a client's input.
func NewRecord(e Entry) (Record, error) {
	var salts [2 * saltLen]byte
	rand.Read(salts[:])
	return newRecord(e, salts)
}

func newRecord(e Entry, salts [2 * saltLen]byte) (Record, error) {
	if err := e.clean(); err != nil {
		return nil, fmt.Errorf("making audit record: %w", err)
	}
	public := publicLen(&e)
	r := make(Record, 0, 1+uvarintLen(uint64(public))+public+saltLen+personalLen(&e))
	r = append(r, recordFormat)
	r = binary.AppendUvarint(r, uint64(public))
	r = appendPublic(r, &e)
	r = append(r, salts[:saltLen]...)
	r = append(r, make([]byte, sha256.Size)...)
	personal := len(r)
	r = append(r, salts[saltLen:]...)
	r = appendPersonal(r, &e)
	sum := sha256.Sum256(r[personal:])
	copy(r[personal-sha256.Size:], sum[:])
	return r, nil
}

// ParseRecord checks that b is a well-formed record. The record is b itself.
func ParseRecord(b []byte) (Record, error) {
	r := Record(b)
	var p parts
	if len(b) > maxRecord || !r.parse(&p) {
		return nil, errRecord
	}
	return r, nil
}

// Tenant returns the tenant's name, empty for the deployment's own entries.
func (r Record) Tenant() secret.TenantName {
	c := cursor{b: r.public()}
	c.raw(8)
	return secret.TenantName(c.text(secret.MaxTenantName))
}

// Time returns the entry's timestamp in UTC.
func (r Record) Time() time.Time {
	c := cursor{b: r.public()}
	return time.Unix(0, int64(c.uint64())).UTC()
}

// Action returns the entry's action.
func (r Record) Action() Action {
	c := cursor{b: r.public()}
	c.raw(8)
	c.text(secret.MaxTenantName)
	return Action(c.text(maxWord))
}

// Leaf returns the bytes that the tree hashes for this record as number seq of
// its tenant, after the tenant's entry whose leaf hash is prev.
func (r Record) Leaf(seq uint64, prev tlog.Hash) []byte {
	public := r.public()
	return appendLeaf(make([]byte, 0, leafHead+len(public)), seq, prev, public)
}

// leafHead is the length of what precedes the public part in a leaf.
const leafHead = 1 + 8 + tlog.HashSize

func appendLeaf(dst []byte, seq uint64, prev tlog.Hash, public []byte) []byte {
	dst = append(dst, leafFormat)
	dst = binary.BigEndian.AppendUint64(dst, seq)
	dst = append(dst, prev[:]...)
	return append(dst, public...)
}

// leafHash is tlog.RecordHash of a leaf, without an allocation for most.
func leafHash(seq uint64, prev tlog.Hash, public []byte) tlog.Hash {
	var buf [1024]byte // buf[0] is RFC 6962's prefix of a leaf
	return sha256.Sum256(appendLeaf(buf[:1], seq, prev, public))
}

// Entry decodes the record. Index and Seq are the caller's to fill in.
func (r Record) Entry() (Entry, error) {
	var p parts
	if !r.parse(&p) {
		return Entry{}, errRecord
	}
	e := Entry{
		Timestamp:     time.Unix(0, int64(p.time)).UTC(),
		TenantID:      secret.TenantName(p.tenant),
		Action:        Action(p.action),
		Result:        Result(p.result),
		CorrelationID: string(p.correlation),
		Version:       string(p.version),
		OldVersion:    string(p.oldVersion),
		NewVersion:    string(p.newVersion),
		Count:         int64(p.count),
		TreeSize:      int64(p.treeSize),
		Nonce:         string(p.nonce),
		Detail:        string(p.detail),
		Redacted:      p.personalSalt == nil,
		SecretName:    string(p.secretName),
		UserID:        string(p.user),
		IPAddress:     string(p.ip),
		UserAgent:     string(p.agent),
		Error:         string(p.errorText),
		Target:        string(p.target),
	}
	return e, nil
}

// Redact returns a copy without the personal part and its salt. Its leaf is
// the same.
func (r Record) Redact() Record {
	head, public := r.split()
	return append(make(Record, 0, head+len(public)), r[:head+len(public)]...)
}

// Redacted reports whether the personal part was deleted.
func (r Record) Redacted() bool {
	head, public := r.split()
	return len(r) == head+len(public)
}

// public returns the public part.
func (r Record) public() []byte {
	_, public := r.split()
	return public
}

// split finds the public part and the length of what stands before it. It
// gives nothing for a record that is cut short.
func (r Record) split() (head int, public []byte) {
	c := cursor{b: r}
	c.byte()
	n := c.uvarint()
	head = len(r) - len(c.b)
	if n > maxRecord {
		return head, nil
	}
	return head, c.raw(int(n))
}

// parts are the fields of a record as they lie in its bytes.
type parts struct {
	time                            uint64
	tenant, action, result          []byte
	correlation                     []byte
	version, oldVersion, newVersion []byte
	count, treeSize                 uint64
	nonce, detail                   []byte
	leafSalt, commitment            []byte

	personalSalt                           []byte // nil after redaction
	secretName, user, ip, agent, errorText []byte
	target                                 []byte // nil if there is none
}

// parse reads the whole record and reports whether it is well formed.
func (r Record) parse(p *parts) bool {
	head, public := r.split()
	if len(r) == 0 || r[0] != recordFormat || public == nil {
		return false
	}
	c := cursor{b: public}
	p.time = c.uint64()
	p.tenant = c.text(secret.MaxTenantName)
	p.action, p.result = c.text(maxWord), c.text(maxWord)
	p.correlation = c.text(MaxCorrelationID)
	p.version, p.oldVersion, p.newVersion = c.text(MaxVersionText), c.text(MaxVersionText), c.text(MaxVersionText)
	p.count, p.treeSize = c.uvarint(), c.uvarint()
	p.nonce, p.detail = c.text(MaxNonce), c.text(MaxDetail)
	p.leafSalt, p.commitment = c.raw(saltLen), c.raw(sha256.Size)
	if !c.done() || p.time > 1<<63-1 {
		return false
	}
	personal := r[head+len(public):]
	if len(personal) == 0 {
		return true
	}
	c = cursor{b: personal}
	p.personalSalt = c.raw(saltLen)
	p.secretName, p.user = c.text(MaxSecretName), c.text(MaxUserID)
	p.ip, p.agent = c.text(MaxIPAddress), c.text(MaxUserAgent)
	p.errorText = c.text(MaxError)
	if len(c.b) > 0 {
		p.target = c.text(MaxTarget)
		return c.done() && len(p.target) > 0
	}
	return c.done()
}

// publicLen is the length of the public part, salt and commitment included.
func publicLen(e *Entry) int {
	return 8 + textLen(string(e.TenantID)) + textLen(string(e.Action)) + textLen(string(e.Result)) +
		textLen(e.CorrelationID) + textLen(e.Version) + textLen(e.OldVersion) + textLen(e.NewVersion) +
		uvarintLen(uint64(e.Count)) + uvarintLen(uint64(e.TreeSize)) +
		textLen(e.Nonce) + textLen(e.Detail) + saltLen + sha256.Size
}

// appendPublic appends the public part up to its salt.
func appendPublic(dst []byte, e *Entry) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.Timestamp.UnixNano()))
	dst = appendText(dst, string(e.TenantID))
	dst = appendText(dst, string(e.Action))
	dst = appendText(dst, string(e.Result))
	dst = appendText(dst, e.CorrelationID)
	dst = appendText(dst, e.Version)
	dst = appendText(dst, e.OldVersion)
	dst = appendText(dst, e.NewVersion)
	dst = binary.AppendUvarint(dst, uint64(e.Count))
	dst = binary.AppendUvarint(dst, uint64(e.TreeSize))
	dst = appendText(dst, e.Nonce)
	return appendText(dst, e.Detail)
}

func personalLen(e *Entry) int {
	n := textLen(e.SecretName) + textLen(e.UserID) + textLen(e.IPAddress) +
		textLen(e.UserAgent) + textLen(e.Error)
	if e.Target != "" {
		n += textLen(e.Target)
	}
	return n
}

// appendPersonal appends the personal part without its salt. The target is of a
// later release than the rest, and stands there only if there is one, so that
// entries without it keep the form they had.
func appendPersonal(dst []byte, e *Entry) []byte {
	dst = appendText(dst, e.SecretName)
	dst = appendText(dst, e.UserID)
	dst = appendText(dst, e.IPAddress)
	dst = appendText(dst, e.UserAgent)
	dst = appendText(dst, e.Error)
	if e.Target != "" {
		dst = appendText(dst, e.Target)
	}
	return dst
}

// AppendBatch appends a record to a batch row, which holds all records of one
// group commit. An empty dst starts a row.
//
//	1  format, 1
//	   then for each record
//	v  length
//	   record
func AppendBatch(dst []byte, r Record) []byte {
	if len(dst) == 0 {
		dst = append(dst, batchFormat)
	}
	dst = binary.AppendUvarint(dst, uint64(len(r)))
	return append(dst, r...)
}

// ParseBatch splits a batch row and checks every record. The records lie in
// blob.
func ParseBatch(blob []byte) ([]Record, error) {
	c := cursor{b: blob}
	if c.byte() != batchFormat {
		return nil, errors.New("audit batch has an unknown format")
	}
	var records []Record
	for first := true; first || len(c.b) > 0; first = false {
		r, err := ParseRecord(c.text(maxRecord))
		if c.bad || err != nil {
			return nil, fmt.Errorf("parsing record %d of audit batch: %w", len(records), errRecord)
		}
		records = append(records, r)
	}
	return records, nil
}
