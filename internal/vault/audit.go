package vault

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// Audit is a caller's handle to one tenant's part of the audit log, or, for an
// operator, to the deployment's whole.
type Audit struct {
	vault  *Vault
	caller *Caller
	tenant secret.TenantName // empty: the whole deployment
}

// Audit returns the caller's handle to a tenant's part of the log. The empty
// name is the caller's own tenant; for an operator, the whole deployment.
func (v *Vault) Audit(c *Caller, tenant secret.TenantName) *Audit {
	if tenant == "" {
		tenant = c.tenant
	}
	return &Audit{v, c, tenant}
}

func (a *Audit) entry(action audit.Action) audit.Entry {
	return a.vault.Session(a.caller, a.tenant).entry(action, "")
}

// authorize decides whether the caller may see this part of the log. A
// suspended tenant's is the operators' to see, an erased one's too.
func (a *Audit) authorize(r store.Reader) error { return a.allow(r, policy.ViewAudit) }

func (a *Audit) allow(r store.Reader, action policy.Action) error {
	if a.caller.subject.Operator {
		if a.tenant == "" {
			return nil
		}
		_, err := tenantByName(r, a.tenant)
		return err
	}
	s := a.vault.Session(a.caller, a.tenant)
	t, err := s.active(r)
	if err != nil {
		return err
	}
	return s.authorize(r, t, action)
}

// AuditQuery asks for entries. The zero value asks for the first page of all.
type AuditQuery struct {
	audit.Filter
	Newest bool   // newest first
	Limit  int    // 1 to secret.MaxPage; 0 is secret.DefaultPage
	Cursor string // a page's Next
}

// AuditPage is a page of entries.
type AuditPage struct {
	Page[audit.Entry]
	// Archived is set where entries that could have been on the page were archived:
	// those with a leaf index below it.
	Archived int64
}

// meets reports whether a page, which was to begin at a position, borders upon
// entries that are archived and that the query could ask for.
func (w *walker) meets(q AuditQuery, at int64) bool {
	if w.first == w.lowest || !q.From.IsZero() && q.From.After(w.kept.Last) {
		return false
	}
	if q.Newest {
		return w.done()
	}
	return at < 0 || w.beyond
}

// auditScan is how many entries one page may look at, so that a filter which
// matches nearly nothing cannot hold a reader for long: such a page is short,
// with a cursor to go on.
const auditScan = 50_000

// List tells entries in the order of the log. It sees every entry that was
// durable when it was called.
func (a *Audit) List(ctx context.Context, q AuditQuery) (AuditPage, error) {
	var page AuditPage
	e := a.entry(audit.AuditList)
	limit, err := pageSize(q.Limit)
	if err != nil {
		return page, a.vault.refuse(ctx, e, err)
	}
	kind := a.listKind(q)
	at, err := a.vault.parseIndexCursor(kind, q.Cursor)
	if err != nil {
		return page, a.vault.refuse(ctx, e, err)
	}
	err = a.vault.store.View(ctx, a.authorize)
	if err == nil {
		err = a.vault.sequence(ctx)
	}
	if err == nil {
		err = a.vault.store.View(ctx, func(r store.Reader) error {
			page = AuditPage{Page: Page[audit.Entry]{Items: []audit.Entry{}}}
			w, err := a.walk(r, q.Newest, at)
			if err != nil {
				return err
			}
			if err := a.list(w, q, limit, kind, &page.Page); err != nil {
				return err
			}
			if w.meets(q, at) {
				page.Archived = w.kept.Size
			}
			return nil
		})
	}
	return settled(page, a.vault.conclude(ctx, e, err))
}

// listKind names a list in cursors.
func (a *Audit) listKind(q AuditQuery) string {
	return fmt.Sprintf("audit\x00%s\x00%t\x00%q%q%q%q%q\x00%d\x00%d", a.tenant, q.Newest,
		q.Secret, q.Principal, q.Action, q.Result, q.Correlation, q.From.UnixNano(), q.To.UnixNano())
}

func (a *Audit) list(w *walker, q AuditQuery, limit int, kind string, page *Page[audit.Entry]) error {
	for scanned := 0; ; scanned++ {
		if len(page.Items) == limit || scanned == auditScan {
			if !w.done() {
				page.Next = a.vault.cursor(kind, strconv.FormatInt(w.at, 10))
			}
			return nil
		}
		entry, ok, err := w.next()
		if err != nil || !ok {
			return err
		}
		if q.Match(entry) {
			page.Items = append(page.Items, entry)
		}
	}
}

func (v *Vault) parseIndexCursor(kind, cursor string) (int64, error) {
	position, err := v.parseCursor(kind, cursor)
	if err != nil || position == "" {
		return -1, err
	}
	return strconv.ParseInt(position, 10, 64)
}

// Tail calls f with each entry after a position, as it gets its place, until
// ctx ends or f returns an error. The position is an entry's sequence number
// within the tenant, or, for the whole deployment, its leaf index; below zero
// it begins with the next entry. A caller that loses its right meanwhile is
// refused.
func (a *Audit) Tail(ctx context.Context, after int64, f func(audit.Entry) error) error {
	caller := *a.caller // what it may do is read anew as it goes on
	a = a.vault.Audit(&caller, a.tenant)
	at := after + 1
	err := a.vault.store.View(ctx, func(r store.Reader) error {
		if err := a.authorize(r); err != nil || after >= 0 {
			return err
		}
		last, err := a.last(r.Log())
		at = last + 1
		return err
	})
	if err := a.vault.conclude(ctx, a.entry(audit.AuditList), err); err != nil {
		return err
	}
	for {
		grown := a.vault.journal.growth()
		entries, next, err := a.tailOnce(ctx, at)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return a.vault.conclude(ctx, a.entry(audit.AuditList), err)
		}
		for _, entry := range entries {
			if err := f(entry); err != nil {
				return err
			}
		}
		if next != at {
			at = next
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-grown:
		}
	}
}

// tailChunk is how many entries are read before they are handed on, so that a
// slow receiver holds no snapshot.
const tailChunk = 500

// tailOnce reads what there is from a position, and says which is the next.
func (a *Audit) tailOnce(ctx context.Context, at int64) (entries []audit.Entry, next int64, err error) {
	err = a.vault.store.View(ctx, func(r store.Reader) error {
		entries, next = nil, at
		if err := a.stillAuthorized(r); err != nil {
			return err
		}
		w, err := a.walk(r, false, at)
		if err == nil && w.beyond {
			err = secret.Archived(w.kept.Size)
		}
		if err != nil {
			return err
		}
		for len(entries) < tailChunk {
			entry, ok, err := w.next()
			if err != nil || !ok {
				return err
			}
			entries = append(entries, entry)
			next = w.at
		}
		return nil
	})
	return entries, next, err
}

// stillAuthorized is authorize for a caller whose credential was checked some
// time ago.
func (a *Audit) stillAuthorized(r store.Reader) error {
	if err := a.caller.renew(r, a.vault.now()); err != nil {
		return err
	}
	return a.authorize(r)
}

// Checkpoint gives every durable entry its place, and returns the signed
// checkpoint that covers them. The entry that records this call tells its
// size, so that a later export can prove to be consistent with it.
func (a *Audit) Checkpoint(ctx context.Context) ([]byte, error) {
	return a.handOut(ctx, func() (*store.Checkpoint, error) { return a.vault.checkpoint(ctx) })
}

// Latest returns the newest signed checkpoint without making one.
func (a *Audit) Latest(ctx context.Context) ([]byte, error) {
	return a.handOut(ctx, func() (*store.Checkpoint, error) { return a.vault.latest(ctx) })
}

func (a *Audit) handOut(ctx context.Context, get func() (*store.Checkpoint, error)) ([]byte, error) {
	e := a.entry(audit.AuditCheckpoint)
	err := a.vault.store.View(ctx, a.authorize)
	if err != nil {
		return nil, a.vault.conclude(ctx, e, err)
	}
	c, err := get()
	if err != nil {
		return nil, a.vault.conclude(ctx, e, err)
	}
	e.TreeSize = c.Size
	return settled(c.Note, a.vault.conclude(ctx, e, nil))
}

// RedactQuery says whose personal part is deleted: entries that match all
// fields that are set, a principal by what it did and by what was done to it.
// At least one must be.
type RedactQuery struct {
	Secret    secret.Name
	Principal string
	Index     *int64
}

// redactChunk is how many entries one transaction redacts.
const redactChunk = 1000

// Redact deletes the personal part of matching entries: the secret's name, the
// principal, the one it was done to, address, user agent and error. The log still verifies, and
// reports them as redacted. It returns how many entries it redacted. What was
// archived is not here any more: an index among that is secret.ErrArchived, and of
// the other queries those entries are left to whoever keeps the archive.
func (a *Audit) Redact(ctx context.Context, q RedactQuery) (int, error) {
	e := a.entry(audit.AuditRedact)
	if q == (RedactQuery{}) {
		return 0, a.vault.refuse(ctx, e, secret.Invalid("secret", "give a secret, a principal or an index"))
	}
	end, kept := int64(-1), store.Archive{}
	err := a.vault.store.View(ctx, func(r store.Reader) error { return a.allow(r, policy.Redact) })
	if err == nil {
		err = a.vault.sequence(ctx)
	}
	if err == nil {
		err = a.vault.store.View(ctx, func(r store.Reader) error {
			var err error
			if kept, _, err = store.ReadArchive(r); err == nil {
				end, err = a.last(r.Log())
			}
			return err
		})
	}
	if err != nil {
		return 0, a.vault.conclude(ctx, e, err)
	}
	if q.Index != nil && *q.Index < kept.Size {
		return 0, a.vault.conclude(ctx, e, secret.Archived(kept.Size))
	}
	total := 0
	for at := int64(0); at <= end; {
		n, next, err := a.redactOnce(ctx, e, q, at, end)
		total += n
		if err != nil {
			return total, err
		}
		at = next
	}
	if total == 0 {
		e.Detail = "0 entries redacted"
		return 0, a.vault.conclude(ctx, e, nil)
	}
	a.vault.feeds.forget()
	return total, a.vault.answer(a.vault.store.Scrub(ctx))
}

// redactOnce redacts what matches in the next stretch of the log, which ends at
// end, and returns where to go on. The entry commits with what it tells of.
func (a *Audit) redactOnce(ctx context.Context, e audit.Entry, q RedactQuery, at, end int64) (n int, next int64, err error) {
	var list []store.Redaction
	err = a.vault.store.View(ctx, func(r store.Reader) error {
		list = nil
		w, err := a.walk(r, false, at)
		if err != nil {
			return err
		}
		for scanned := 0; w.at <= end && len(list) < redactChunk && scanned < auditScan; scanned++ {
			entry, ok, err := w.next()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if !entry.Redacted && q.matches(entry) {
				list = append(list, store.Redaction{Index: entry.Index, Record: w.record.Redact()})
			}
		}
		next = w.at
		return nil
	})
	switch {
	case err != nil:
		return 0, at, a.vault.conclude(ctx, e, err)
	case len(list) == 0:
		return 0, next, nil
	}
	err = a.vault.change(ctx, e, func(tx store.Tx, e *audit.Entry) error {
		e.Detail = fmt.Sprintf("%d entries redacted", len(list))
		if err := noteRedaction(tx); err != nil {
			return err
		}
		return tx.EditLog().Redact(list)
	})
	if errors.Is(err, errRetry) {
		return 0, at, nil // look again
	}
	if err != nil {
		return 0, at, err
	}
	return len(list), next, nil
}

func (q RedactQuery) matches(e audit.Entry) bool {
	return (q.Secret == "" || string(q.Secret) == e.SecretName) &&
		(q.Principal == "" || q.Principal == e.UserID || q.Principal == e.Target) &&
		(q.Index == nil || *q.Index == e.Index)
}
