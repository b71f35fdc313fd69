package postgres

import (
	"time"

	"github.com/jackc/pgx/v5"

	"fastness/internal/secret"
	"fastness/internal/store"
)

type documents struct{ *reader }

// of returns a scanner of an owner's documents.
func (r documents) of(owner secret.TenantID) func(pgx.CollectableRow) (*store.Document, error) {
	return func(row pgx.CollectableRow) (*store.Document, error) {
		d := &store.Document{Owner: owner}
		var kind, id []byte
		var expires, created, changed *int64
		err := row.Scan(&kind, &id, &d.Data, &d.Sealed, &d.Key, &expires, &created, &changed, &d.Revision)
		d.Kind, d.ID = string(kind), string(id)
		d.Expires, d.Created, d.Changed = moment(expires), moment(created), moment(changed)
		if err == nil && r.saw != nil {
			r.saw(rowKey{owner, d.Kind, d.ID}, d.Revision)
		}
		return d, err
	}
}

func (r documents) Document(owner secret.TenantID, kind, id string) (*store.Document, error) {
	return row(r.session, "document", r.of(owner), owner[:], []byte(kind), []byte(id))
}

func (r documents) Documents(owner secret.TenantID, kind, prefix, after string, limit int) ([]*store.Document, error) {
	return rows(r.session, "document_list", r.of(owner),
		owner[:], []byte(kind), firstOf(prefix, after), afterPrefix(prefix), max(limit, 0))
}

func (r documents) NotUnderKey(owner secret.TenantID, key uint32, after store.DocumentRef, limit int) ([]*store.Document, error) {
	return rows(r.session, "document_walk", r.of(owner), owner[:], []byte(after.Kind), []byte(after.ID), int64(key), max(limit, 0))
}

type documentWriter struct{ *tx }

func (w documentWriter) Create(d *store.Document) error {
	return w.add("document_create", documentArgs(d), "owner_exists", d.Owner[:])
}

func (w documentWriter) Update(d *store.Document) error {
	err := w.swap("document_update", documentArgs(d), "document_exists", d.Owner[:], []byte(d.Kind), []byte(d.ID))
	return w.swapped(rowKey{d.Owner, d.Kind, d.ID}, &d.Revision, err)
}

func (w documentWriter) Delete(owner secret.TenantID, kind, id string) error {
	return w.change("document_delete", owner[:], []byte(kind), []byte(id))
}

func (w documentWriter) Expire(now time.Time, limit int) (int, error) {
	n, err := w.exec("document_expire", now.UnixMilli(), max(limit, 0))
	return int(n), err
}

func documentArgs(d *store.Document) []any {
	return []any{
		d.Owner[:], []byte(d.Kind), []byte(d.ID), d.Data, d.Sealed, int64(d.Key),
		millis(d.Expires), millis(d.Created), millis(d.Changed), d.Revision,
	}
}
