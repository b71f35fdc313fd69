package postgres_test

import (
	"errors"
	"testing"
	"time"

	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/store/postgres"
)

// TestChangedSinceRead: what was read in a transaction and is swapped there, while
// another one changes it in between, is no conflict of the caller's: all of it runs
// again. A row that the caller brings is.
func TestChangedSinceRead(t *testing.T) {
	s, err := postgres.Open(t.Context(), postgres.Config{URL: freshURL(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	update := func(f func(tx store.Tx) error) {
		t.Helper()
		if err := s.Update(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	var none secret.TenantID // of operators
	made := time.UnixMilli(1)
	credential := &store.Credential{
		ID: "tok_1", Kind: store.Token, Principal: "alice", Grants: []policy.Grant{{Role: policy.Admin}}, Created: made, Hash: [32]byte{1},
	}
	update(func(tx store.Tx) error {
		return errors.Join(
			tx.EditPrincipals().Create(&store.Principal{Name: "alice", Kind: store.OperatorKind, Created: made}),
			tx.EditCredentials().Create(credential),
			tx.EditDocuments().Create(&store.Document{Kind: "k", ID: "x", Data: []byte("{}"), Created: made, Changed: made}))
	})
	list := func(tx store.Tx) (func() error, error) {
		all, err := tx.Credentials().List(none, "", 10)
		return func() error { return tx.EditCredentials().Update(all[0]) }, err
	}
	byName := func(tx store.Tx) (func() error, error) {
		d, err := tx.Documents().Document(none, "k", "x")
		return func() error { return tx.EditDocuments().Update(d) }, err
	}
	for name, read := range map[string]func(tx store.Tx) (func() error, error){
		"listed credential": list,
		"credential of a principal": func(tx store.Tx) (func() error, error) {
			all, err := tx.Credentials().OfPrincipal(none, "alice", 10)
			return func() error { return tx.EditCredentials().Update(all[0]) }, err
		},
		"document": byName,
		"listed document": func(tx store.Tx) (func() error, error) {
			all, err := tx.Documents().Documents(none, "k", "", "", 10)
			return func() error { return tx.EditDocuments().Update(all[0]) }, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			runs := 0
			update(func(tx store.Tx) error {
				runs++
				swap, err := read(tx)
				if err != nil {
					return err
				}
				if runs == 1 { // another node
					update(func(tx store.Tx) error {
						i, err := tx.Credentials().ByID("tok_1")
						if err != nil {
							return err
						}
						d, err := byName(tx)
						if err != nil {
							return err
						}
						i.Credential.LastUsed++
						return errors.Join(tx.EditCredentials().Update(i.Credential), d())
					})
				}
				return swap()
			})
			if runs != 2 {
				t.Errorf("%d runs", runs)
			}
		})
	}
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.EditCredentials().Update(credential) }); !errors.Is(err, store.ErrStale) {
		t.Errorf("a row from before: %v", err)
	}
}
