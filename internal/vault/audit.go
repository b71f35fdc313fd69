package vault

import (
	"context"
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
	if _, err := s.active(r); err != nil {
		return err
	}
	return s.allowTenant(action)
}

// AuditQuery asks for entries. The zero value asks for the first page of all.
type AuditQuery struct {
	audit.Filter
	Newest bool   // newest first
	Limit  int    // 1 to secret.MaxPage; 0 is secret.DefaultPage
	Cursor string // a page's Next
}

// auditScan is how many entries one page may look at, so that a filter which
// matches nearly nothing cannot hold a reader for long: such a page is short,
// with a cursor to go on.
const auditScan = 50_000

// List tells entries in the order of the log. It sees every entry that was
// durable when it was called.
func (a *Audit) List(ctx context.Context, q AuditQuery) (Page[audit.Entry], error) {
	page := Page[audit.Entry]{Items: []audit.Entry{}}
	e := a.entry(audit.AuditList)
	limit, err := pageSize(q.Limit)
	if err != nil {
		return page, a.vault.conclude(ctx, e, err)
	}
	kind := fmt.Sprintf("audit\x00%s\x00%t\x00%v", a.tenant, q.Newest, q.Filter)
	at, err := a.vault.parseIndexCursor(kind, q.Cursor)
	if err != nil {
		return page, a.vault.conclude(ctx, e, err)
	}
	if err := a.vault.sequence(ctx); err != nil {
		return page, a.vault.conclude(ctx, e, err)
	}
	err = a.vault.store.View(ctx, func(r store.Reader) error {
		page = Page[audit.Entry]{Items: []audit.Entry{}}
		if err := a.authorize(r); err != nil {
			return err
		}
		w, err := a.walk(r.Log(), q.Newest, at)
		if err != nil {
			return err
		}
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
	})
	return page, a.vault.conclude(ctx, e, err)
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
// it begins with the next entry.
func (a *Audit) Tail(ctx context.Context, after int64, f func(audit.Entry) error) error {
	at := after + 1
	err := a.vault.store.View(ctx, func(r store.Reader) error {
		if err := a.authorize(r); err != nil {
			return err
		}
		if after >= 0 {
			return nil
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
		next, err := a.tailOnce(ctx, at, f)
		if err != nil {
			return err
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

// tailOnce hands on what there is from a position, and returns the next one.
func (a *Audit) tailOnce(ctx context.Context, at int64, f func(audit.Entry) error) (int64, error) {
	var entries []audit.Entry
	next := at
	err := a.vault.store.View(ctx, func(r store.Reader) error {
		entries = nil
		// Whoever lost the right since is refused now.
		if err := a.authorize(r); err != nil {
			return err
		}
		w, err := a.walk(r.Log(), false, at)
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
	if err != nil {
		return at, a.vault.answer(err)
	}
	for _, entry := range entries {
		if err := f(entry); err != nil {
			return at, err
		}
	}
	return next, nil
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
	return c.Note, a.vault.conclude(ctx, e, nil)
}

// RedactQuery says whose personal part is deleted: entries that match all
// fields that are set. At least one must be.
type RedactQuery struct {
	Secret    secret.Name
	Principal string
	Index     *int64
}

// redactChunk is how many entries one transaction redacts.
const redactChunk = 1000

// Redact deletes the personal part of matching entries: the secret's name, the
// principal, address, user agent and error. The log still verifies, and
// reports them as redacted. It returns how many entries it redacted.
func (a *Audit) Redact(ctx context.Context, q RedactQuery) (int, error) {
	e := a.entry(audit.AuditRedact)
	if q == (RedactQuery{}) {
		return 0, a.vault.conclude(ctx, e, secret.Invalid("secret", "give a secret, a principal or an index"))
	}
	err := a.vault.store.View(ctx, func(r store.Reader) error { return a.allow(r, policy.Redact) })
	if err == nil {
		err = a.vault.sequence(ctx)
	}
	if err != nil {
		return 0, a.vault.conclude(ctx, e, err)
	}
	total, at := 0, int64(0)
	for {
		n, next, err := a.redactOnce(ctx, q, at)
		total += n
		if err != nil {
			return total, a.vault.conclude(ctx, e, err)
		}
		if next < 0 {
			break
		}
		at = next
	}
	e.Detail = fmt.Sprintf("%d entries redacted", total)
	if err := a.vault.conclude(ctx, e, nil); err != nil {
		return total, err
	}
	return total, a.vault.answer(a.vault.store.Scrub(ctx))
}

// redactOnce redacts what matches in the next stretch of the log, and returns
// where to go on; -1 at its end.
func (a *Audit) redactOnce(ctx context.Context, q RedactQuery, at int64) (n int, next int64, err error) {
	err = a.vault.store.Update(ctx, func(tx store.Tx) error {
		n, next = 0, -1
		var list []store.Redaction
		w, err := a.walk(tx.Log(), false, at)
		if err != nil {
			return err
		}
		for scanned := 0; ; scanned++ {
			if len(list) == redactChunk || scanned == auditScan {
				next = w.at
				break
			}
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
		n = len(list)
		if n == 0 {
			return nil
		}
		return tx.EditLog().Redact(list)
	})
	return n, next, a.vault.answer(err)
}

func (q RedactQuery) matches(e audit.Entry) bool {
	return (q.Secret == "" || string(q.Secret) == e.SecretName) &&
		(q.Principal == "" || q.Principal == e.UserID) &&
		(q.Index == nil || *q.Index == e.Index)
}
