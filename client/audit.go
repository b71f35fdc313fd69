package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"fastness/internal/audit"
	"fastness/internal/wire"
)

// maxEntry bounds a line of a stream of entries; the server's are shorter.
const maxEntry = 256 << 10

// Audit is the handle to one tenant's part of the audit log, or to the whole
// deployment's.
type Audit struct {
	client *Client
	path   func(ctx context.Context, rest ...string) ([]string, error)
}

// Audit returns the handle to the tenant's part of the log.
func (s *Session) Audit() *Audit {
	return &Audit{s.client, func(ctx context.Context, rest ...string) ([]string, error) {
		return s.path(ctx, append([]string{"audit"}, rest...)...)
	}}
}

// Audit returns the handle to the whole deployment's log.
func (o *Operator) Audit() *Audit {
	return &Audit{o.client, func(_ context.Context, rest ...string) ([]string, error) {
		return append([]string{"audit"}, rest...), nil
	}}
}

// List tells a page of entries.
func (a *Audit) List(ctx context.Context, q AuditQuery) (AuditPage, error) {
	page := AuditPage{Page: Page[Entry]{Items: []Entry{}}}
	path, err := a.path(ctx)
	if err != nil {
		return page, err
	}
	reply, err := a.client.call(ctx, request{method: http.MethodGet, path: path, query: auditQuery(q), repeat: true})
	if err != nil {
		return page, err
	}
	defer reply.body.Release()
	var list struct {
		wire.List[Entry]
		ArchivedBefore int64 `json:"archivedBefore"`
	}
	// Entries hold no value, so the decoder of the standard library may have them.
	if err := json.Unmarshal(reply.body.Bytes(), &list); err != nil {
		return page, fmt.Errorf("reading the reply: %w", err)
	}
	page.Items, page.Next, page.Archived = append(page.Items, list.Items...), list.NextCursor, list.ArchivedBefore
	return page, nil
}

func auditQuery(q AuditQuery) url.Values {
	query := pageQuery(q.Limit, q.Cursor)
	for name, value := range map[string]string{
		"secret": q.Secret, "principal": q.Principal, "action": string(q.Action),
		"result": string(q.Result), "correlationId": q.Correlation,
		"from": rfc3339(q.From), "to": rfc3339(q.To),
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if q.Newest {
		query.Set("order", "desc")
	}
	return query
}

func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// stream sends a request whose reply is read as it comes.
func (a *Audit) stream(ctx context.Context, r request) (*http.Response, error) {
	r.long = true
	return a.client.send(ctx, r)
}

// Tail calls f with each entry after the leaf index, as it gets its place in
// the log, until ctx ends (which is no error), the server stops, or f returns
// an error; after < 0 begins with the next one.
func (a *Audit) Tail(ctx context.Context, after int64, f func(Entry) error) error {
	path, err := a.path(ctx, "tail")
	if err != nil {
		return err
	}
	query := url.Values{}
	if after >= 0 {
		query.Set("after", strconv.FormatInt(after, 10))
	}
	reply, err := a.stream(ctx, request{method: http.MethodGet, path: path, query: query, repeat: true})
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	lines := bufio.NewScanner(reply.Body)
	lines.Buffer(nil, maxEntry)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var e Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("reading an entry: %w", err)
		}
		if a.client.config.OnReply != nil {
			a.client.config.OnReply(lines.Bytes())
		}
		if err := f(e); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("following the audit log: %w", err)
	}
	return nil
}

// Checkpoint makes and returns a signed checkpoint that covers all entries up
// to now.
func (a *Audit) Checkpoint(ctx context.Context) ([]byte, error) {
	return a.text(ctx, request{method: http.MethodPost, repeat: true}, "checkpoint")
}

// Latest returns the newest signed checkpoint.
func (a *Audit) Latest(ctx context.Context) ([]byte, error) {
	return a.text(ctx, request{method: http.MethodGet, repeat: true}, "checkpoint")
}

// Inclusion returns the document which proves that the entry at the leaf index
// is in the log; size is that of the checkpoint to prove it under, 0 for the
// newest.
func (a *Audit) Inclusion(ctx context.Context, index, size int64) ([]byte, error) {
	query := url.Values{"index": {strconv.FormatInt(index, 10)}}
	if size != 0 {
		query.Set("size", strconv.FormatInt(size, 10))
	}
	return a.text(ctx, request{method: http.MethodGet, query: query, repeat: true}, "proof")
}

// Consistency returns the document which proves that the log of size from is
// the beginning of that of size to, 0 for the newest checkpoint's.
func (a *Audit) Consistency(ctx context.Context, from, to int64) ([]byte, error) {
	query := url.Values{"from": {strconv.FormatInt(from, 10)}}
	if to != 0 {
		query.Set("to", strconv.FormatInt(to, 10))
	}
	return a.text(ctx, request{method: http.MethodGet, query: query, repeat: true}, "proof")
}

// Path is Inclusion with the leaf's hash in the place of the entry, for one that
// was archived.
func (a *Audit) Path(ctx context.Context, index, size int64) ([]byte, error) {
	query := url.Values{"index": {strconv.FormatInt(index, 10)}, "entry": {"false"}}
	if size != 0 {
		query.Set("size", strconv.FormatInt(size, 10))
	}
	return a.text(ctx, request{method: http.MethodGet, query: query, repeat: true}, "proof")
}

// Keys returns the keys that sign the log: what a verifier is to trust.
func (a *Audit) Keys(ctx context.Context) (audit.KeySet, error) {
	text, err := a.text(ctx, request{method: http.MethodGet, repeat: true}, "keys")
	if err != nil {
		return audit.KeySet{}, err
	}
	return audit.ParseKeySet(text)
}

// RotateKeys makes new signing keys and logs them under the old ones. Only the
// deployment's log, which is the only one that is signed, can do it.
func (a *Audit) RotateKeys(ctx context.Context) (audit.KeySet, error) {
	text, err := a.text(ctx, request{method: http.MethodPost}, "keys", "rotate")
	if err != nil {
		return audit.KeySet{}, err
	}
	return audit.ParseKeySet(text)
}

// text calls for a document that is not decoded here.
func (a *Audit) text(ctx context.Context, r request, rest ...string) ([]byte, error) {
	var err error
	if r.path, err = a.path(ctx, rest...); err != nil {
		return nil, err
	}
	reply, err := a.client.call(ctx, r)
	if err != nil {
		return nil, err
	}
	defer reply.body.Release()
	return append([]byte(nil), reply.body.Bytes()...), nil
}

// exportRequest is the body of Export.
type exportRequest struct {
	Nonce string `json:"nonce,omitzero"`
	Since string `json:"since,omitzero"`

	Archived bool `json:"archived,omitzero"`
}

// Export writes a bundle that verifies on its own: the tenant's entries, or
// the whole log, with proofs. After an error what was written is not a bundle.
func (a *Audit) Export(ctx context.Context, w io.Writer, o ExportOptions) error {
	path, err := a.path(ctx, "export")
	if err != nil {
		return err
	}
	r, release, err := withBody(request{method: http.MethodPost, path: path}, exportRequest{o.Nonce, string(o.Since), o.Archived})
	if err != nil {
		return err
	}
	defer release()
	return a.copyStream(ctx, w, r, "exporting the audit log")
}

// copyStream writes what a request is answered with.
func (a *Audit) copyStream(ctx context.Context, w io.Writer, r request, what string) error {
	reply, err := a.stream(ctx, r)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if _, err := io.Copy(w, reply.Body); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%s: the server broke off", what)
		}
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// ArchiveState tells operators what of the log was archived.
func (a *Audit) ArchiveState(ctx context.Context) (s ArchiveState, err error) {
	path, err := a.path(ctx, "archive")
	if err != nil {
		return s, err
	}
	_, err = a.client.decode(ctx, request{method: http.MethodGet, path: path, repeat: true}, &s)
	return s, err
}

// Segment writes the next segment of the log that can be archived: entries older
// than a time. ErrNotFound if there are none. After an error what was written is
// not a segment.
func (a *Audit) Segment(ctx context.Context, w io.Writer, before time.Time) error {
	path, err := a.path(ctx, "archive", "segment")
	if err != nil {
		return err
	}
	r, release, err := withBody(request{method: http.MethodPost, path: path, repeat: true}, wire.SegmentRequest{Before: before.UTC()})
	if err != nil {
		return err
	}
	defer release()
	return a.copyStream(ctx, w, r, "reading a segment of the audit log")
}

// Archive has the server drop the text of a segment's entries, which whoever calls
// it has written down and verified. A call for what was dropped before succeeds.
func (a *Audit) Archive(ctx context.Context, d ArchiveRequest) (s ArchiveState, err error) {
	path, err := a.path(ctx, "archive")
	if err != nil {
		return s, err
	}
	_, err = a.client.encode(ctx, request{method: http.MethodPost, path: path, repeat: true, long: true}, d, &s)
	return s, err
}

// redactRequest is the body of Redact.
type redactRequest struct {
	Secret    string `json:"secret,omitzero"`
	Principal string `json:"principal,omitzero"`
	Index     *int64 `json:"index,omitzero"`
}

// Redact deletes the personal part of the entries that match and tells how
// many. The log still verifies.
func (a *Audit) Redact(ctx context.Context, q RedactQuery) (int, error) {
	path, err := a.path(ctx, "redact")
	if err != nil {
		return 0, err
	}
	var reply struct {
		Redacted int `json:"redacted"`
	}
	_, err = a.client.encode(ctx, request{method: http.MethodPost, path: path, repeat: true, long: true},
		redactRequest{string(q.Secret), q.Principal, q.Index}, &reply)
	return reply.Redacted, err
}
