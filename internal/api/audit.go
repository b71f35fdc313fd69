package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

// ExportRequest asks for a bundle.
type ExportRequest struct {
	// Nonce comes back within the bundle's last entry, which shows that the
	// export is not an old one.
	Nonce string `json:"nonce,omitzero"`
	// Since is an older checkpoint, as a signed note; the bundle then proves
	// that its log continues that one.
	Since string `json:"since,omitzero"`
	// Archived has entries that were archived left out, to be put in from the
	// archive; otherwise an export that needs them is refused.
	Archived bool `json:"archived,omitzero"`
}

// EntryList is a page of entries.
type EntryList struct {
	Items      []audit.Entry `json:"items"`
	NextCursor string        `json:"nextCursor"`
	// ArchivedBefore tells that there were more entries, which were archived: those
	// with an index below it.
	ArchivedBefore int64 `json:"archivedBefore,omitzero"`
}

// RedactRequest says whose personal part is deleted: that of entries which
// match all fields given.
type RedactRequest struct {
	Secret    string `json:"secret,omitzero"`
	Principal string `json:"principal,omitzero"`
	Index     *int64 `json:"index,omitzero"`
}

// Redacted is the answer to a RedactRequest.
type Redacted struct {
	Redacted int `json:"redacted"`
}

// audit is the handle to the path's tenant's part of the log; to the
// deployment's whole where the path names none.
func (c *call) audit() *vault.Audit { return c.api.vault.Audit(c.caller, c.tenant) }

func listAudit(c *call) error {
	q, err := c.auditQuery()
	if err != nil {
		return err
	}
	page, err := c.audit().List(c.context(), q)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, EntryList{page.Items, page.Next, page.Archived})
}

func (c *call) auditQuery() (q vault.AuditQuery, err error) {
	q.Filter = audit.Filter{
		Secret: c.query.Get("secret"), Principal: c.query.Get("principal"),
		Action: audit.Action(c.query.Get("action")), Result: audit.Result(c.query.Get("result")),
		Correlation: c.query.Get("correlationId"),
	}
	for name, values := range c.query {
		if len(values[0]) > secret.MaxName && name != "cursor" {
			return q, reject(secret.Limited(name, fmt.Sprintf("at most %d characters", secret.MaxName)))
		}
	}
	switch order := c.query.Get("order"); {
	case order == "desc":
		q.Newest = true
	case order != "asc" && c.query.Has("order"):
		return q, invalid("order", "asc or desc")
	}
	if q.From, err = c.time("from"); err != nil {
		return q, err
	}
	if q.To, err = c.time("to"); err != nil {
		return q, err
	}
	q.Limit, q.Cursor, err = c.page()
	return q, err
}

// tailAudit streams entries, one a line, until the client has had enough, the
// route's deadline passes, or the server stops.
func tailAudit(c *call) error {
	after, present, err := c.index("after")
	if err != nil {
		return err
	}
	if !present {
		after = -1
	}
	ctx, cancel := context.WithCancel(c.context())
	defer cancel()
	defer context.AfterFunc(c.api.stopping, cancel)()
	lines := newStream(c, linesType)
	err = c.audit().Tail(ctx, after, func(e audit.Entry) error {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if _, err := lines.Write(append(line, '\n')); err != nil {
			return err
		}
		return lines.flush()
	})
	if ctx.Err() != nil {
		err = nil // ended, not failed
	}
	return lines.end(err)
}

// exportAudit streams a bundle as it is made.
func exportAudit(c *call) error {
	var request ExportRequest
	if c.body.Len() > 0 {
		if err := wire.Decode(c.body, &request); err != nil {
			return reject(err)
		}
	}
	if len(request.Nonce) > audit.MaxNonce {
		return reject(secret.Limited("nonce", fmt.Sprintf("at most %d bytes", audit.MaxNonce)))
	}
	if err := secret.CheckText("nonce", request.Nonce); err != nil {
		return reject(err)
	}
	lines := newStream(c, linesType)
	err := c.audit().Export(c.context(), lines, vault.ExportOptions{
		Nonce: request.Nonce, Since: []byte(request.Since), Archived: request.Archived,
	})
	return lines.end(err)
}

func makeCheckpoint(c *call) error { return c.note(c.audit().Checkpoint(c.context())) }

func latestCheckpoint(c *call) error { return c.note(c.audit().Latest(c.context())) }

// note answers with a signed note, or with the error that stood in its way.
func (c *call) note(note []byte, err error) error {
	if err != nil {
		return err
	}
	return c.document(textType, note)
}

// proveAudit answers with one of two documents: index proves that an entry is
// in the log, from and to that a log continues an older one.
func proveAudit(c *call) error {
	index, one, err := c.index("index")
	if err != nil {
		return err
	}
	from, two, err := c.index("from")
	if err != nil {
		return err
	}
	if one == two || one && c.query.Has("to") || two && (c.query.Has("size") || c.query.Has("entry")) {
		return invalid("query", "either index with size and entry, or from with to")
	}
	if one {
		return c.proveInclusion(index)
	}
	to, err := c.size("to")
	if err != nil {
		return err
	}
	doc, err := c.audit().Consistency(c.context(), from, to)
	if err != nil {
		return err
	}
	return c.proof(doc)
}

func (c *call) proveInclusion(index int64) error {
	size, err := c.size("size")
	if err != nil {
		return err
	}
	switch entry := c.query.Get("entry"); {
	case entry == "false":
		doc, err := c.audit().Path(c.context(), index, size)
		if err != nil {
			return err
		}
		return c.proof(doc)
	case entry != "true" && c.query.Has("entry"):
		return invalid("entry", "true or false")
	}
	doc, err := c.audit().Inclusion(c.context(), index, size)
	if err != nil {
		return err
	}
	return c.proof(doc)
}

// size reads the size of a checkpoint; absent, the newest is meant.
func (c *call) size(name string) (int64, error) {
	n, present, err := c.index(name)
	if err == nil && !present {
		n = -1
	}
	return n, err
}

// proof answers with a document in the one form that verifiers read.
func (c *call) proof(doc interface{ Encode() ([]byte, error) }) error {
	line, err := doc.Encode()
	if err != nil {
		return err
	}
	return c.document(jsonType, line)
}

func redactAudit(c *call) error {
	var request RedactRequest
	if err := wire.Decode(c.body, &request); err != nil {
		return reject(err)
	}
	q := vault.RedactQuery{Principal: request.Principal, Index: request.Index}
	if request.Secret != "" {
		name, err := secret.ParseName(request.Secret)
		if err != nil {
			return reject(secret.Invalid("secret", "a secret's name"))
		}
		q.Secret = name
	}
	n, err := c.audit().Redact(c.context(), q)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, Redacted{n})
}

func archiveState(c *call) error {
	s, err := c.audit().ArchiveState(c.context())
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.ArchiveState(s))
}

// auditSegment streams a segment as it is made.
func auditSegment(c *call) error {
	var request wire.SegmentRequest
	if err := wire.Decode(c.body, &request); err != nil {
		return reject(err)
	}
	if request.Before.IsZero() {
		return reject(secret.Invalid("before", "a time is required"))
	}
	lines := newStream(c, linesType)
	return lines.end(c.audit().Segment(c.context(), lines, request.Before))
}

func archiveAudit(c *call) error {
	var request wire.ArchiveRequest
	if err := wire.Decode(c.body, &request); err != nil {
		return reject(err)
	}
	d := vault.Archived{From: request.From, To: request.To}
	var err error
	if d.Root, err = tlog.ParseHash(request.Root); err != nil {
		return reject(secret.Invalid("root", "a hash in base64"))
	}
	digest, err := hex.DecodeString(request.SHA256)
	if err != nil || copy(d.Digest[:], digest) != len(d.Digest) || len(digest) != len(d.Digest) {
		return reject(secret.Invalid("sha256", "64 hexadecimal digits"))
	}
	s, err := c.audit().Archive(c.context(), d)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.ArchiveState(s))
}

func auditKeys(c *call) error { return c.keySet(c.audit().Keys(c.context())) }

func rotateAuditKeys(c *call) error { return c.keySet(c.audit().RotateKeys(c.context())) }

// keySet answers with a key file, or with the error that stood in its way.
func (c *call) keySet(set audit.KeySet, err error) error {
	if err != nil {
		return err
	}
	text, err := set.MarshalText()
	if err != nil {
		return err
	}
	return c.document(textType, text)
}

// document answers with bytes made elsewhere that hold no secret.
func (c *call) document(contentType []string, body []byte) error {
	var b secretbuf.Builder
	defer b.Release()
	b.Append(body...)
	c.send(http.StatusOK, contentType, &b)
	return nil
}
