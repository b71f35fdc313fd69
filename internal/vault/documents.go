package vault

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"fastness/internal/secret"
	"fastness/internal/store"
)

// The kinds of document that say who somebody is. What stands behind a
// principal's name begins with that name.
const (
	issuerKind    = "issuer"   // id: its name
	authorityKind = "ca"       // id: its name
	passwordKind  = "password" // id: the principal
	factorKind    = "factor"   // id: the principal, a slash, and the factor's own id
	ceremonyKind  = "ceremony" // id: the principal, a slash, and a credential's id
	onceKind      = "once"     // id: of a token that must not come twice
)

// document reads a document and what it holds; secret.ErrNotFound if there is
// none, or it has expired.
func document[T any](r store.Reader, owner secret.TenantID, kind, id string, now time.Time) (*store.Document, T, error) {
	var held T
	d, err := r.Documents().Document(owner, kind, id)
	if errors.Is(err, store.ErrAbsent) || err == nil && expired(d, now) {
		return nil, held, secret.ErrNotFound
	}
	if err != nil {
		return nil, held, err
	}
	held, err = decodeDocument[T](d)
	return d, held, err
}

func expired(d *store.Document, now time.Time) bool {
	return !d.Expires.IsZero() && !now.Before(d.Expires)
}

func decodeDocument[T any](d *store.Document) (held T, err error) {
	if err := json.Unmarshal(d.Data, &held); err != nil {
		return held, fmt.Errorf("reading a document of kind %s: %w", d.Kind, err)
	}
	return held, nil
}

// documents reads all of an owner's documents of a kind whose ids begin with
// prefix and that have not expired.
func documents[T any](r store.Reader, owner secret.TenantID, kind, prefix string, now time.Time) (rows []*store.Document, held []T, err error) {
	for after := ""; ; {
		page, err := r.Documents().Documents(owner, kind, prefix, after, secret.MaxPage)
		if err != nil {
			return nil, nil, err
		}
		for _, d := range page {
			after = d.ID
			if expired(d, now) {
				continue
			}
			h, err := decodeDocument[T](d)
			if err != nil {
				return nil, nil, err
			}
			rows, held = append(rows, d), append(held, h)
		}
		if len(page) < secret.MaxPage {
			return rows, held, nil
		}
	}
}

// putDocument stores what a document is to hold: d is one that was read, or a
// new one, without Created.
func (v *Vault) putDocument(tx store.Tx, d *store.Document, held any) error {
	data, err := json.Marshal(held)
	if err != nil {
		return err
	}
	d.Data, d.Changed = data, v.now()
	if d.Created.IsZero() {
		d.Created = d.Changed
		return tx.EditDocuments().Create(d)
	}
	return tx.EditDocuments().Update(d)
}
