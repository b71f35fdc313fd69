package postgres_test

import (
	"errors"
	"testing"

	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/store/postgres"
)

// TestAhead: what was looked at ahead is what is looked at then, whether it is
// asked for in that order, in another one, in part or not at all.
func TestAhead(t *testing.T) {
	s, err := postgres.Open(t.Context(), postgres.Config{URL: freshURL(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, key := range []string{"a", "b", "c"} {
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.SetMeta(key, nil, []byte(key)) }); err != nil {
			t.Fatal(err)
		}
	}
	for name, keys := range map[string][]string{
		"as foreseen": {"a", "b", "none", "c"}, "in part": {"a", "b"}, "none": {}, "others": {"c", "a", "b", "c"},
		"one left out": {"a", "none", "c"}, "more": {"a", "b", "none", "c", "a", "b"},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.View(t.Context(), func(r store.Reader) error {
				store.LookAhead(r, func(r store.Reader) {
					for _, key := range []string{"a", "b", "none", "c"} {
						if got, err := r.Meta(key); got != nil || err == nil {
							t.Errorf("ahead: %q, %v", got, err)
						}
					}
				})
				for _, key := range keys {
					got, err := r.Meta(key)
					if key == "none" && errors.Is(err, store.ErrAbsent) {
						continue
					}
					if err != nil || string(got) != key {
						t.Errorf("%s is %q, %v", key, got, err)
					}
				}
				// And what goes on behind it.
				_, err := r.Tenants().ByName(secret.TenantName("none"))
				return err
			})
			if !errors.Is(err, store.ErrAbsent) {
				t.Errorf("at the end: %v", err)
			}
		})
	}
	err = s.View(t.Context(), func(r store.Reader) error {
		store.LookAhead(r, func(r store.Reader) { r.Meta("a") })
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestAheadCut: a connection that is lost on the way is the store's fault, and
// the next View has another one.
func TestAheadCut(t *testing.T) {
	s, c := openCut(t)
	look := func() error {
		return s.View(t.Context(), func(r store.Reader) error {
			store.LookAhead(r, func(r store.Reader) {
				r.Meta("warm")
				r.Meta("warmer")
			})
			_, err := r.Meta("warm")
			return err
		})
	}
	for i, cut := range []int32{nothing, allButWord} {
		if err := setMeta(s, string(rune('a'+i))); err != nil { // behind the last one's rollback
			t.Fatal(err)
		}
		c.cut.Store(cut)
		if err := look(); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("error is %v", err)
		}
		if err := look(); err != nil {
			t.Errorf("after the cut: %v", err)
		}
	}
}
