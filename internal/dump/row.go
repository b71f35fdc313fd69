// Package dump carries whole stores: to another database, to a backup and back.
//
// A dump is a stream of rows in one order, which every backend keeps, so that
// two stores are equal if their streams are. Rows are as the store has them:
// what is sealed stays sealed, and no key is needed to carry it. Each is one
// line of JSON that names its kind; the digest chains the lines, so that it
// tells how far a stream was the same. What the rows mean, and whether they
// open, is for package vault to say.
//
// Leases stay behind: they belong to the nodes that run. So do the numbers of
// nodes and batches, which no hash covers.
//
// Start with Row, then Read and Load.
package dump

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// ID is the id of a tenant or a secret; in a line, hexadecimal.
type ID [16]byte

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(b []byte) error {
	if n, err := hex.Decode(id[:], b); err != nil || n != len(id) || len(b) != 2*len(id) {
		return fmt.Errorf("an id is %d hexadecimal digits", 2*len(id))
	}
	return nil
}

// Row is a row of any kind: exactly one field is set.
type Row struct {
	Meta       *Meta       `json:"meta,omitempty"`
	Tenant     *Tenant     `json:"tenant,omitempty"`
	Key        *Key        `json:"key,omitempty"`
	Principal  *Principal  `json:"principal,omitempty"`
	Credential *Credential `json:"credential,omitempty"`
	Document   *Document   `json:"document,omitempty"`
	Secret     *Secret     `json:"secret,omitempty"`
	Version    *Version    `json:"version,omitempty"`
	Consumer   *Consumer   `json:"consumer,omitempty"`
	Run        *Run        `json:"run,omitempty"`
	Head       *Head       `json:"head,omitempty"`
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`
	Archive    *Archive    `json:"archive,omitempty"`
	Batch      *Batch      `json:"batch,omitempty"`
	Pending    *Pending    `json:"pending,omitempty"`
	Tile       *Tile       `json:"tile,omitempty"`
	Tree       *Tree       `json:"tree,omitempty"`
}

// The rows of each kind are those of package store, with the owner that the
// store knows by the handle. Fields that stand here too are written in a form
// of their own.
type (
	// Meta is a deployment-wide value.
	Meta struct {
		Key  string
		Data []byte
	}
	// Tenant is a tenant's row. What is the tenant's comes behind it.
	Tenant struct {
		ID ID
		*store.Tenant
	}
	// Key is a KEK of a tenant, wrapped.
	Key struct {
		Tenant ID
		*store.TenantKey
	}
	// Principal is a principal of a tenant, or an operator.
	Principal struct {
		Tenant ID
		*store.Principal
	}
	// Credential is a token or an access key.
	Credential struct {
		Tenant ID
		Hash   []byte
		*store.Credential
	}
	// Document is something small that a tenant or the deployment keeps.
	Document struct {
		Owner ID
		*store.Document
	}
	// Secret is a secret's row.
	Secret struct {
		Tenant ID
		ID     ID
		*store.Secret
	}
	// Version is a version of a secret, sealed.
	Version struct {
		Tenant ID
		Secret ID
		*store.Version
	}
	// Consumer tells who has read a version.
	Consumer struct {
		Tenant ID
		Secret ID
		*store.Consumer
	}
	// Run is where a stretch of a tenant's entries stands in the tree.
	Run struct {
		Tenant secret.TenantName
		Last   int64
		Hash   tlog.Hash
		*store.Run
	}
	// Head is a tenant's last entry among those that were archived, behind its
	// runs: with it whoever follows the chain goes on.
	Head struct {
		Tenant secret.TenantName
		Seq    uint64
		Index  int64
		Hash   tlog.Hash
	}
	// Archive is where batches begin if those before were archived, and the tiles
	// that the tree has not filled there, as in audit.SegmentHeader.
	Archive struct {
		Size int64
		Edge [][]byte
	}
	// Checkpoint is a checkpoint of the log.
	Checkpoint struct{ *store.Checkpoint }
	// Batch is a stretch of the log.
	Batch struct {
		First   int64
		Places  []byte
		Records []audit.Record
	}
	// Pending are entries that wait for their place.
	Pending struct {
		Number  int64
		Records []audit.Record
	}
	// Tile is a part of the tree.
	Tile struct {
		Level int
		N     int64
		Data  []byte
	}
	// Tree is the state of the log, the last row of a deployment.
	Tree struct {
		Size int64
		Root tlog.Hash
	}
)

// MaxLine bounds a row's line: a group commit's records are the longest.
const MaxLine = 64 << 20

// ErrFormat is a line that is not a row of this release's.
var ErrFormat = errors.New("not a row of a dump that this release can read")

// Kind names what the row is; empty if it is nothing or too much.
func (r *Row) Kind() string {
	kind := ""
	for name, set := range r.fields() {
		if !set {
			continue
		}
		if kind != "" {
			return ""
		}
		kind = name
	}
	return kind
}

func (r *Row) fields() map[string]bool {
	return map[string]bool{
		"meta": r.Meta != nil, "tenant": r.Tenant != nil, "key": r.Key != nil, "principal": r.Principal != nil,
		"credential": r.Credential != nil, "document": r.Document != nil, "secret": r.Secret != nil,
		"version": r.Version != nil, "consumer": r.Consumer != nil, "run": r.Run != nil,
		"head": r.Head != nil, "archive": r.Archive != nil,
		"checkpoint": r.Checkpoint != nil, "batch": r.Batch != nil, "pending": r.Pending != nil,
		"tile": r.Tile != nil, "tree": r.Tree != nil,
	}
}

// Append appends the row's line, with its line break.
func (r *Row) Append(dst []byte) ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("writing a row: %w", err)
	}
	if replaced(b) {
		return nil, fmt.Errorf("writing a row of kind %s: a text in it is not UTF-8", r.Kind())
	}
	return append(append(dst, b...), '\n'), nil
}

// replaced reports whether package json has put U+FFFD in the place of a byte
// that is no text. It writes that one as an escape, and those of the text itself
// as they are.
func replaced(b []byte) bool {
	escape := []byte(`\ufffd`)
	for {
		i := bytes.Index(b, escape)
		if i < 0 {
			return false
		}
		if before := b[:i]; (len(before)-len(bytes.TrimRight(before, `\`)))%2 == 0 {
			return true
		}
		b = b[i+len(escape):]
	}
}

// ParseRow reads a line that Append wrote, and nothing else.
func ParseRow(line []byte) (*Row, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	var r Row
	if err := d.Decode(&r); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrFormat, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: more than one on a line", ErrFormat)
	}
	return &r, r.adopt()
}

// adopt brings what is written in a form of its own to where it belongs, and
// refuses rows that lack a part.
func (r *Row) adopt() error {
	whole := true
	switch {
	case r.Kind() == "":
		whole = false
	case r.Tenant != nil:
		if whole = r.Tenant.Tenant != nil; whole {
			r.Tenant.Tenant.ID = secret.TenantID(r.Tenant.ID)
		}
	case r.Key != nil:
		whole = r.Key.TenantKey != nil
	case r.Principal != nil:
		if whole = r.Principal.Principal != nil; whole {
			r.Principal.Principal.Tenant = secret.TenantID(r.Principal.Tenant)
		}
	case r.Credential != nil:
		whole = r.Credential.adopt()
	case r.Document != nil:
		if whole = r.Document.Document != nil; whole {
			r.Document.Document.Owner = secret.TenantID(r.Document.Owner)
		}
	case r.Secret != nil:
		if whole = r.Secret.Secret != nil; whole {
			r.Secret.Secret.ID = secret.ID(r.Secret.ID)
		}
	default:
		whole = r.wholeRest()
	}
	if !whole {
		return fmt.Errorf("%w: it is of no kind, or lacks a part", ErrFormat)
	}
	return nil
}

func (r *Row) wholeRest() bool {
	switch {
	case r.Version != nil:
		return r.Version.Version != nil
	case r.Consumer != nil:
		return r.Consumer.Consumer != nil
	case r.Run != nil:
		return r.Run.Run != nil
	case r.Checkpoint != nil:
		return r.Checkpoint.Checkpoint != nil
	case r.Batch != nil:
		return wellFormed(r.Batch.Records)
	case r.Pending != nil:
		return wellFormed(r.Pending.Records)
	}
	return true
}

func (c *Credential) adopt() bool {
	if c.Credential == nil || len(c.Hash) != len(c.Credential.Hash) {
		return false
	}
	c.Credential.Tenant = secret.TenantID(c.Tenant)
	copy(c.Credential.Hash[:], c.Hash)
	return true
}

// wellFormed reports whether records are what package audit takes for some.
func wellFormed(records []audit.Record) bool {
	for _, r := range records {
		if _, err := audit.ParseRecord(r); err != nil {
			return false
		}
	}
	return len(records) > 0
}
