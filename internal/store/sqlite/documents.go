package sqlite

import (
	"errors"
	"time"

	"fastness/internal/secret"
	"fastness/internal/store"
)

type documents struct{ *reader }

func scanDocument(s *stmt, col int, owner secret.TenantID) (*store.Document, error) {
	sealed, err := s.cellAt(col + 3)
	return &store.Document{
		Owner:    owner,
		Kind:     s.string(col),
		ID:       s.string(col + 1),
		Data:     s.bytes(col + 2),
		Sealed:   sealed,
		Key:      uint32(s.int64(col + 4)),
		Expires:  s.timeAt(col + 5),
		Created:  s.timeAt(col + 6),
		Changed:  s.timeAt(col + 7),
		Revision: s.int64(col + 8),
	}, err
}

// of returns a scanner of an owner's documents.
func (r documents) of(owner secret.TenantID) func(*stmt, int) (*store.Document, error) {
	return func(s *stmt, col int) (*store.Document, error) { return scanDocument(s, col, owner) }
}

func (r documents) Document(owner secret.TenantID, kind, id string) (*store.Document, error) {
	return row(r.query("document").blob(1, owner[:]).text(2, kind).text(3, id), r.of(owner))
}

func (r documents) Documents(owner secret.TenantID, kind, prefix, after string, limit int) ([]*store.Document, error) {
	return rows(r.query("document_list").blob(1, owner[:]).text(2, kind).
		text(3, firstOf(prefix, after)).text(4, afterPrefix(prefix)).limit(5, limit), r.of(owner))
}

func (r documents) NotUnderKey(owner secret.TenantID, key uint32, after store.DocumentRef, limit int) ([]*store.Document, error) {
	return rows(r.query("document_walk").blob(1, owner[:]).
		text(2, after.Kind).text(3, after.ID).int(4, int64(key)).limit(5, limit), r.of(owner))
}

type documentWriter struct{ *tx }

// lasting notes that a document which does not expire may change.
func (w documentWriter) lasting(d *store.Document) {
	w.identity = w.identity || d.Expires.IsZero()
}

func (w documentWriter) Create(d *store.Document) error {
	there, err := w.Documents().Document(d.Owner, d.Kind, d.ID)
	switch {
	case errors.Is(err, store.ErrAbsent):
	case err != nil:
		return err
	case there.Expires.IsZero() || there.Expires.After(d.Created):
		return store.ErrTaken
	default:
		if err := w.Delete(d.Owner, d.Kind, d.ID); err != nil {
			return err
		}
	}
	w.lasting(d)
	sealed, err := w.replaceCell(0, d.Sealed)
	if err != nil {
		return err
	}
	if _, err := bindDocument(w.write("document_create"), d, sealed).run(); err != nil {
		return errors.Join(err, w.clearCell(sealed)) // the operation may go on without it
	}
	return nil
}

func (w documentWriter) Update(d *store.Document) error {
	there, err := w.Documents().Document(d.Owner, d.Kind, d.ID)
	if err != nil {
		return err
	}
	if there.Revision != d.Revision {
		return store.ErrStale
	}
	w.lasting(there)
	w.lasting(d)
	sealed, err := w.cell(d.Owner, d.Kind, d.ID)
	if err != nil {
		return err
	}
	if sealed, err = w.replaceCell(sealed, d.Sealed); err != nil {
		return err
	}
	if err := change(bindDocument(w.write("document_update"), d, sealed)); err != nil {
		return err
	}
	d.Revision++
	return nil
}

func (w documentWriter) Delete(owner secret.TenantID, kind, id string) error {
	there, err := w.Documents().Document(owner, kind, id)
	if err != nil {
		return err
	}
	w.lasting(there)
	sealed, err := w.cell(owner, kind, id)
	if err != nil {
		return err
	}
	if err := w.clearCell(sealed); err != nil {
		return err
	}
	return change(w.write("document_delete").blob(1, owner[:]).text(2, kind).text(3, id))
}

// cell returns the cell of a document's sealed part; 0 if it has none.
func (w documentWriter) cell(owner secret.TenantID, kind, id string) (int64, error) {
	return row(w.query("document_cell").blob(1, owner[:]).text(2, kind).text(3, id), number)
}

// expired is a document that may be dropped, as the database names it.
type expired struct {
	owner, cell int64
	ref         store.DocumentRef
}

func (w documentWriter) Expire(now time.Time, limit int) (int, error) {
	list, err := rows(w.query("document_expired").time(1, now).limit(2, limit), func(s *stmt, col int) (expired, error) {
		return expired{s.int64(col), s.int64(col + 3), store.DocumentRef{Kind: s.string(col + 1), ID: s.string(col + 2)}}, nil
	})
	if err != nil {
		return 0, err
	}
	for _, d := range list {
		if err := w.clearCell(d.cell); err != nil {
			return 0, err
		}
		if err := change(w.write("document_drop").int(1, d.owner).text(2, d.ref.Kind).text(3, d.ref.ID)); err != nil {
			return 0, err
		}
	}
	return len(list), nil
}

func bindDocument(q *stmt, d *store.Document, sealed int64) *stmt {
	return q.blob(1, d.Owner[:]).text(2, d.Kind).text(3, d.ID).blob(4, d.Data).optional(5, sealed).int(6, int64(d.Key)).
		time(7, d.Expires).time(8, d.Created).time(9, d.Changed).int(10, d.Revision)
}
