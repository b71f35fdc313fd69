package storetest

import (
	"fmt"
	"time"

	"fastness/internal/policy"
	"fastness/internal/store"
)

// This file is the part of the model that says who is who: principals, their
// credentials, and documents.

func (st step) principal(t *tenantModel) *store.Principal {
	return newPrincipal(t.row, fmt.Sprint("p", st.Secret))
}

// granted returns the principal's row with other contents; for number 4 from
// an old revision.
func (st step) granted(t *tenantModel) *store.Principal {
	p := *st.principal(t)
	if now := t.principals[p.Name]; now != nil {
		p = *now
	}
	p.Grants, p.Disabled = []policy.Grant{{Role: policy.Reader}}, epoch.Add(days(st.Other))
	if st.Other == 0 {
		p.Grants, p.Disabled = nil, time.Time{}
	}
	p.Subject = []string{"", "", "s1", "s2"}[st.Other]
	p.Revision -= int64(st.Number / 4)
	return &p
}

func (st step) tokenID(t *tenantModel) string {
	return fmt.Sprintf("tok_%s_%d_%d", t.row.Name, st.Secret, st.Other)
}

// token returns a principal's token.
func (st step) token(t *tenantModel) *store.Credential {
	c := newToken(t.row, st.tokenID(t))
	c.Principal = st.principal(t).Name
	c.Hash = [32]byte{byte(st.Secret + 1), byte(st.Other)}
	copy(c.Hash[2:], t.row.ID[:])
	return c
}

// revoked returns the token's row with other contents; for number 4 from an
// old revision.
func (st step) revoked(t *tenantModel) *store.Credential {
	c := *st.token(t)
	if now := t.credentials[c.ID]; now != nil {
		c = *now
	}
	c.Revoked, c.Sealed = epoch.Add(days(st.Number)), make([]byte, 30*st.Number)
	c.Revision -= int64(st.Number / 4)
	return &c
}

// document returns a document: created on the day of its number, and expiring
// some days later, or never.
func (st step) document(t *tenantModel) *store.Document {
	d := newDocument(t.row, "k", fmt.Sprint("x", st.Secret))
	d.Created = epoch.Add(days(st.Number))
	if st.Other > 0 {
		d.Expires, d.Sealed, d.Key = epoch.Add(days(st.Other+1)), make([]byte, 20*st.Other), uint32(st.Other)
	}
	return d
}

// redocumented returns the document's row with other contents; for number 4
// from an old revision.
func (st step) redocumented(t *tenantModel) *store.Document {
	d := *st.document(t)
	if now := t.documents[d.ID]; now != nil {
		d = *now
	}
	d.Data, d.Sealed, d.Changed = []byte{byte(st.Other)}, make([]byte, 40*st.Other), epoch.Add(days(st.Other))
	d.Revision -= int64(st.Number / 4)
	return &d
}

// onStoreIdentity runs the step in the store.
func (st step) onStoreIdentity(tx store.Tx, t *tenantModel) error {
	switch st.Kind {
	case "principal":
		return tx.EditPrincipals().Create(st.principal(t))
	case "grant":
		return tx.EditPrincipals().Update(st.granted(t))
	case "dropprincipal":
		return tx.EditPrincipals().Delete(t.row.ID, st.principal(t).Name)
	case "token":
		return tx.EditCredentials().Create(st.token(t))
	case "revoke":
		return tx.EditCredentials().Update(st.revoked(t))
	case "droptoken":
		return tx.EditCredentials().Delete(st.tokenID(t))
	case "document":
		return tx.EditDocuments().Create(st.document(t))
	case "redocument":
		return tx.EditDocuments().Update(st.redocumented(t))
	case "dropdocument":
		return tx.EditDocuments().Delete(t.row.ID, "k", st.document(t).ID)
	}
	panic("unknown step " + st.Kind)
}

// onModelIdentity runs the step in the model.
func (st step) onModelIdentity(t *tenantModel) error {
	switch st.Kind {
	case "principal", "grant", "dropprincipal":
		return st.onModelPrincipal(t)
	case "token":
		c := st.token(t)
		if t.principals[c.Principal] == nil {
			return store.ErrAbsent
		}
		return create(t.credentials, c.ID, c)
	case "revoke":
		c := st.revoked(t)
		return update(t.credentials, c.ID, c, &c.Revision, func(c *store.Credential) int64 { return c.Revision })
	case "droptoken":
		return drop(t.credentials, st.tokenID(t))
	case "document":
		d := st.document(t)
		if old := t.documents[d.ID]; old != nil && !old.Expires.IsZero() && !old.Expires.After(d.Created) {
			delete(t.documents, d.ID)
		}
		return create(t.documents, d.ID, d)
	case "redocument":
		d := st.redocumented(t)
		return update(t.documents, d.ID, d, &d.Revision, func(d *store.Document) int64 { return d.Revision })
	case "dropdocument":
		return drop(t.documents, st.document(t).ID)
	}
	panic("unknown step " + st.Kind)
}

func (st step) onModelPrincipal(t *tenantModel) error {
	p := st.granted(t)
	switch st.Kind {
	case "principal":
		return create(t.principals, p.Name, st.principal(t))
	case "dropprincipal":
		for _, c := range t.credentials {
			if c.Principal == p.Name {
				return store.ErrInUse
			}
		}
		return drop(t.principals, p.Name)
	}
	if now := t.principals[p.Name]; now != nil && now.Revision == p.Revision {
		for _, other := range t.principals {
			if other.Name != p.Name && p.Subject != "" && other.Subject == p.Subject {
				return store.ErrTaken
			}
		}
	}
	return update(t.principals, p.Name, p, &p.Revision, func(p *store.Principal) int64 { return p.Revision })
}

// create, update and drop change a row of the model as a store does.

func create[V any](rows map[string]*V, key string, row *V) error {
	if rows[key] != nil {
		return store.ErrTaken
	}
	rows[key] = row
	return nil
}

func update[V any](rows map[string]*V, key string, row *V, revision *int64, of func(*V) int64) error {
	switch now := rows[key]; {
	case now == nil:
		return store.ErrAbsent
	case of(now) != *revision:
		return store.ErrStale
	}
	*revision++
	rows[key] = row
	return nil
}

func drop[V any](rows map[string]*V, key string) error {
	if rows[key] == nil {
		return store.ErrAbsent
	}
	delete(rows, key)
	return nil
}

// byHash compares every token of the tenant with what the store finds by its
// hash.
func (t *tenantModel) byHash(r store.Reader) error {
	for _, c := range t.credentials {
		got, err := r.Credentials().ByHash(c.Hash)
		if err != nil {
			return fmt.Errorf("token %s: %w", c.ID, err)
		}
		want := &store.Identity{Credential: c, Principal: t.principals[c.Principal], Tenant: t.row}
		if diff := diff(got, want); diff != "" {
			return fmt.Errorf("token %s: store (-), model (+):\n%s", c.ID, diff)
		}
	}
	n, err := r.Credentials().Count(t.row.ID)
	if err == nil && n != int64(len(t.credentials)) {
		err = fmt.Errorf("store counts %d credentials, the model has %d", n, len(t.credentials))
	}
	return err
}
