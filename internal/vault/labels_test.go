package vault_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fastness/fastnesstest"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// versions adds some versions to a secret, with the values 1, 2 …
func versions(tb testing.TB, s *vault.Session, name secret.Name, n int) {
	tb.Helper()
	for i := range n {
		must(put(tb, s, name, fmt.Sprint(i+1), vault.Put{}))(tb)
	}
}

func wantLabels(tb testing.TB, s *vault.Session, name secret.Name, want map[secret.Label]secret.Version) {
	tb.Helper()
	if diff := cmp.Diff(want, must(s.Describe(ctx, name))(tb).Labels); diff != "" {
		tb.Error(diff)
	}
}

// TestPreviousFollowsCurrent: whenever AWSCURRENT moves, AWSPREVIOUS is where
// it was, and stays there if it did not move.
func TestPreviousFollowsCurrent(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	type labels = map[secret.Label]secret.Version
	versions(t, s, "db", 1)
	wantLabels(t, s, "db", labels{secret.Current: 1})
	versions(t, s, "db", 2)
	wantLabels(t, s, "db", labels{secret.Current: 3, secret.Previous: 2})
	must(s.MoveLabel(ctx, "db", vault.Move{Label: secret.Current, To: 1}))(t)
	wantLabels(t, s, "db", labels{secret.Current: 1, secret.Previous: 3})
	must(s.MoveLabel(ctx, "db", vault.Move{Label: secret.Current, To: 1}))(t)
	wantLabels(t, s, "db", labels{secret.Current: 1, secret.Previous: 3})
	must(s.MoveLabel(ctx, "db", vault.Move{Label: secret.Current, To: 3}))(t)
	wantLabels(t, s, "db", labels{secret.Current: 3, secret.Previous: 1})
	must(s.MoveLabel(ctx, "db", vault.Move{Label: secret.Previous, To: 2}))(t)
	must(s.MoveLabel(ctx, "db", vault.Move{Label: "pending", To: 2}))(t)
	wantLabels(t, s, "db", labels{secret.Current: 3, secret.Previous: 2, secret.Pending: 2})
	wantValue(t, s, "db", store.Selector{Label: secret.Pending}, "1")
	must(s.MoveLabel(ctx, "db", vault.Move{Label: secret.Previous}))(t)
	must(s.MoveLabel(ctx, "db", vault.Move{Label: secret.Pending}))(t)
	wantLabels(t, s, "db", labels{secret.Current: 3})
	_, err := s.MoveLabel(ctx, "db", vault.Move{Label: secret.Current})
	wantText(t, err, secret.ErrInvalid, "stage: AWSCURRENT can be moved, not taken off")
}

// TestMoveLabel: compare-and-set, and what a label may not be or do.
func TestMoveLabel(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 3)
	move := func(m vault.Move) error { return errOf(s.MoveLabel(ctx, "db", m)) }
	check(t, move(vault.Move{Label: "blue", To: 1, From: ptr[secret.Version](0)}))
	want(t, move(vault.Move{Label: "blue", To: 2, From: ptr[secret.Version](0)}), secret.ErrConflict)
	want(t, move(vault.Move{Label: "blue", To: 2, From: ptr[secret.Version](3)}), secret.ErrConflict)
	check(t, move(vault.Move{Label: "blue", To: 2, From: ptr[secret.Version](1)}))
	want(t, move(vault.Move{Label: "blue", From: ptr[secret.Version](1)}), secret.ErrConflict)
	want(t, move(vault.Move{Label: "blue", To: 9}), secret.ErrNotFound)
	check(t, move(vault.Move{Label: "blue", From: ptr[secret.Version](2)}))
	check(t, move(vault.Move{Label: "blue"}))
	want(t, errOf(s.MoveLabel(ctx, "none", vault.Move{Label: "blue", To: 1})), secret.ErrNotFound)
	wantText(t, move(vault.Move{To: 1}), secret.ErrLimit, "stage: limit: 1 to 256 characters")
	wantText(t, move(vault.Move{To: 1, Label: secret.Label(strings.Repeat("x", 10_000))}), secret.ErrLimit, "stage: limit: 1 to 256 characters")
	want(t, move(vault.Move{To: 1, Label: "a\x00"}), secret.ErrInvalid)
	want(t, move(vault.Move{To: 1, Label: "\xff"}), secret.ErrInvalid)
	wantLabels(t, s, "db", map[secret.Label]secret.Version{secret.Current: 3, secret.Previous: 2})
}

// TestLabelLimit: 20 labels a secret, and room for AWSPREVIOUS at any time.
func TestLabelLimit(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 1)
	for i := range secret.MaxLabels - 2 {
		must(s.MoveLabel(ctx, "db", vault.Move{Label: secret.Label(fmt.Sprintf("l%d", i)), To: 1}))(t)
	}
	_, err := s.MoveLabel(ctx, "db", vault.Move{Label: "more", To: 1})
	wantText(t, err, secret.ErrLimit, "stage: limit: at most 20 labels a secret")
	versions(t, s, "db", 1) // AWSPREVIOUS is the twentieth
	if n := len(must(s.Describe(ctx, "db"))(t).Labels); n != secret.MaxLabels {
		t.Errorf("%d labels", n)
	}
	must(s.MoveLabel(ctx, "db", vault.Move{Label: "l0", To: 2}))(t)
	must(s.MoveLabel(ctx, "db", vault.Move{Label: "l0"}))(t)
	must(s.MoveLabel(ctx, "db", vault.Move{Label: "more", To: 2}))(t)
}

// TestConcurrentCompareAndSet: of many who expect a label where it is, exactly
// one moves it, round after round.
func TestConcurrentCompareAndSet(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 16)
	from := secret.Version(0)
	for range 8 {
		var won atomic.Uint64
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				to := secret.Version(i + 1)
				switch _, err := s.MoveLabel(ctx, "db", vault.Move{Label: "lock", To: to, From: &from}); {
				case err == nil:
					if !won.CompareAndSwap(0, uint64(to)) {
						t.Error("two have moved it")
					}
				case !errors.Is(err, secret.ErrConflict):
					t.Errorf("refused with %v", err)
				}
			})
		}
		wg.Wait()
		// One moved it onto a version other than where it was, or left it there,
		// after which others could: where it stands is what one of them said.
		now := must(s.Describe(ctx, "db"))(t).Labels["lock"]
		if uint64(now) != won.Load() {
			t.Fatalf("label is on %d, %d has won", now, won.Load())
		}
		must(s.MoveLabel(ctx, "db", vault.Move{Label: "lock"}))(t)
	}
}

// TestIdempotentWrites: one request token, one version.
func TestIdempotentWrites(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	token := secret.VersionID(strings.Repeat("t", secret.MinRequestToken))
	first := must(put(t, s, "db", "v", vault.Put{Token: token}))(t)
	if first.VersionID != token || !first.Created {
		t.Errorf("%+v", first)
	}
	again := must(put(t, s, "db", "v", vault.Put{Token: token, IfAbsent: true}))(t)
	first.Created = false
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error(diff)
	}
	for _, p := range []struct {
		text string
		kind secret.Kind
	}{{"w", secret.Text}, {"vv", secret.Text}, {"v", secret.Binary}} {
		_, err := put(t, s, "db", p.text, vault.Put{Token: token, Kind: p.kind})
		wantText(t, err, secret.ErrConflict, "the request token was used with another value")
	}
	// The version that it names need not be the newest.
	versions(t, s, "db", 2)
	if again = must(put(t, s, "db", "v", vault.Put{Token: token}))(t); again.Version != 1 || len(again.Labels) != 0 {
		t.Errorf("again: %+v", again)
	}
	if rotated := must(s.Rotate(ctx, "db", vault.Put{Token: token, Value: value(t, "v")}))(t); rotated.Version != 1 {
		t.Errorf("rotated again: %+v", rotated)
	}
	// It is the secret's own: another secret, and the same name after a purge, know nothing of it.
	must(put(t, s, "other", "w", vault.Put{Token: token}))(t)
	check(t, s.Purge(ctx, "db"))
	if w := must(put(t, s, "db", "new", vault.Put{Token: token}))(t); !w.Created {
		t.Errorf("after a purge: %+v", w)
	}
	for _, bad := range []secret.VersionID{"short", secret.VersionID(strings.Repeat("x", 65)), secret.VersionID(strings.Repeat(" ", 40)),
		secret.VersionID(strings.Repeat("é", 20))} {
		_, err := put(t, s, "db", "v", vault.Put{Token: bad})
		if !errors.Is(err, secret.ErrLimit) && !errors.Is(err, secret.ErrInvalid) {
			t.Errorf("token %q: %v", bad, err)
		}
	}
}

// TestConcurrentIdempotentWrites: sixteen at once under one token make one
// version; those with another value are told so.
func TestConcurrentIdempotentWrites(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	for round := range 4 {
		name := secret.Name(fmt.Sprintf("db%d", round))
		if round%2 == 1 {
			versions(t, s, name, 1)
		}
		token := secret.NewVersionID()
		var wg sync.WaitGroup
		var conflicts atomic.Int64
		for i := range 16 {
			wg.Go(func() {
				switch w, err := put(t, s, name, fmt.Sprint(i%2), vault.Put{Token: token}); {
				case errors.Is(err, secret.ErrConflict):
					conflicts.Add(1)
				case err != nil:
					t.Error(describe(err))
				case w.VersionID != token:
					t.Errorf("%+v", w)
				}
			})
		}
		wg.Wait()
		if n := len(must(s.Versions(ctx, name, 0, ""))(t).Items); n != 1+round%2 {
			t.Errorf("%d versions", n)
		}
		if conflicts.Load() != 8 {
			t.Errorf("%d conflicts", conflicts.Load())
		}
	}
}

// TestConcurrentWrites: writers of one secret do not starve each other, and no
// number is given twice.
func TestConcurrentWrites(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	const writers, each = 32, 2
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[secret.Version]string{}
	created := 0
	for i := range writers {
		wg.Go(func() {
			for j := range each {
				text := fmt.Sprintf("%d/%d", i, j)
				w, err := put(t, s, "hot", text, vault.Put{})
				if err != nil {
					t.Error(describe(err))
					return
				}
				mu.Lock()
				if seen[w.Version] != "" {
					t.Errorf("version %d was given twice", w.Version)
				}
				seen[w.Version] = text
				if w.Created {
					created++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != writers*each || created != 1 {
		t.Errorf("%d versions, %d times created", len(seen), created)
	}
	for v, text := range seen {
		wantValue(t, s, "hot", store.Selector{Number: v}, text)
	}
}
