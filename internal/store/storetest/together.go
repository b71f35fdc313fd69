package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"fastness/internal/secret"
	"fastness/internal/store"
)

// testTogether lets many look for the same and for other things at once, as reads of
// values do, while one changes them. Each sees one moment, no older than what was
// acknowledged when it began, nothing of another tenant, and rows of its own; some
// give up on the way.
func testTogether(t *testing.T, d *db) {
	const readers, rounds, tenants, changes = 24, 15, 3, 40
	var all [tenants]*shelf
	for i := range all {
		all[i] = d.addShelf(fmt.Sprintf("t%d", i))
	}
	var reading, writing sync.WaitGroup
	writing.Go(func() {
		for n := range int64(changes) {
			for _, s := range all {
				if err := s.change(d, n+1); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for g := range readers {
		reading.Go(func() {
			for i := range rounds {
				own, other := all[(g+i)%tenants], all[(g+i+1)%tenants]
				if err := errors.Join(own.look(d), own.read(d, other), own.giveUp(d)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	reading.Wait()
	writing.Wait()
}

// shelf is a tenant whose rows all tell the same number.
type shelf struct {
	tenant     *store.Tenant
	credential *store.Credential
	document   *store.Document
	secret     *store.Secret
	version    *store.Version
	told       atomic.Int64 // the number that was acknowledged last
}

func (d *db) addShelf(name string) *shelf {
	d.t.Helper()
	s := &shelf{tenant: d.addTenant(name)}
	s.credential, s.document = newToken(s.tenant, "tok_"+name), newDocument(s.tenant, "settings", "tenant")
	s.secret, s.version = d.addSecret(s.tenant, name)
	d.update(func(tx store.Tx) error {
		return errors.Join(putCredential(tx, s.credential), tx.EditDocuments().Create(s.document))
	})
	if err := s.change(d, 0); err != nil {
		d.t.Fatal(err)
	}
	return s
}

// change tells another number.
func (s *shelf) change(d *db, n int64) error {
	s.credential.LastUsed, s.document.Data, s.secret.Metadata.Description = int32(n), fmt.Append(nil, n), fmt.Sprint(n)
	err := d.Update(d.t.Context(), func(tx store.Tx) error {
		return errors.Join(tx.EditCredentials().Update(s.credential), tx.EditDocuments().Update(s.document),
			tx.EditSecrets(s.tenant.ID).Update(s.secret))
	})
	s.told.Store(n)
	return err
}

// look looks for the credential.
func (s *shelf) look(d *db) error {
	told := s.told.Load()
	return d.Look(d.t.Context(), func(r store.Reader) error {
		i, err := r.Credentials().ByHash(s.credential.Hash)
		if err != nil {
			return err
		}
		if i.Credential.ID != s.credential.ID || i.Tenant.ID != s.tenant.ID || int64(i.Credential.LastUsed) < told {
			return fmt.Errorf("%s tells %d, after %d", i.Credential.ID, i.Credential.LastUsed, told)
		}
		i.Principal.Name, i.Tenant.Name, i.Credential.Hash[0] = "spoilt", "spoilt", 0
		return nil
	})
}

// read looks for all that the read of a value does, and for what another has.
func (s *shelf) read(d *db, other *shelf) error {
	told := s.told.Load()
	return d.View(d.t.Context(), func(r store.Reader) error {
		store.LookAhead(r, func(r store.Reader) {
			r.Tenants().ByName(s.tenant.Name)
			r.Documents().Document(s.tenant.ID, "settings", "tenant")
			r.Secrets(s.tenant.ID).Find(s.secret.Name, store.Selector{}, "alice")
			r.Secrets(s.tenant.ID).Find(other.secret.Name, store.Selector{}, "alice")
		})
		tenant, err1 := r.Tenants().ByName(s.tenant.Name)
		document, err2 := r.Documents().Document(s.tenant.ID, "settings", "tenant")
		sec, version, err3 := r.Secrets(s.tenant.ID).Find(s.secret.Name, store.Selector{}, "alice")
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		if none, _, err := r.Secrets(s.tenant.ID).Find(other.secret.Name, store.Selector{}, "alice"); none != nil || !errors.Is(err, store.ErrAbsent) {
			return fmt.Errorf("of another tenant: %v, error %v", none, err)
		}
		var n int64
		if _, err := fmt.Sscan(string(document.Data), &n); err != nil {
			return err
		}
		if n < told || sec.Metadata.Description != fmt.Sprint(n) {
			return fmt.Errorf("the document tells %d, the secret %s, after %d", n, sec.Metadata.Description, told)
		}
		err := errors.Join(differ(tenant, s.tenant), differ(version, s.version))
		tenant.Name, sec.Labels[secret.Current] = "spoilt", 9
		clear(document.Data)
		clear(version.Ciphertext)
		clear(version.Envelope)
		return err
	})
}

// giveUp looks for the credential and does not wait, which only it gets to know.
func (s *shelf) giveUp(d *db) error {
	ctx, cancel := context.WithCancel(d.t.Context())
	go cancel()
	err := d.Look(ctx, func(r store.Reader) error {
		_, err := r.Credentials().ByHash(s.credential.Hash)
		return err
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
