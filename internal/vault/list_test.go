package vault_test

import (
	"encoding/base64"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fastness/fastnesstest"
	"fastness/internal/policy"
	"fastness/internal/schedule"
	"fastness/internal/secret"
	"fastness/internal/vault"
)

// TestList: prefix, tags, due and deleted, each alone and together.
func TestList(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	must(put(t, f.Tenant(t, "beta"), "db/foreign", "v", vault.Put{}))(t)
	for name, p := range map[secret.Name]secret.Patch{
		"db/a":   {Tags: map[string]string{"team": "core", "tier": "1"}},
		"db/b":   {Tags: map[string]string{"team": "web"}, RotationRequired: ptr(true), RotationInterval: ptr(schedule.Every7d)},
		"db/c":   {RotationRequired: ptr(true)},
		"dbase":  {RotationInterval: ptr(schedule.Every7d)},
		"api":    {Tags: map[string]string{"team": ""}},
		"db/old": {Tags: map[string]string{"team": "core"}, RotationRequired: ptr(true), RotationInterval: ptr(schedule.Every7d)},
	} {
		must(put(t, s, name, "v", vault.Put{Patch: p}))(t)
	}
	must(s.Delete(ctx, "db/old", secret.MaxRecovery))(t)
	f.Clock.Advance(7 * 24 * time.Hour)
	for _, tt := range []struct {
		q    vault.ListQuery
		want []secret.Name
	}{
		{vault.ListQuery{}, []secret.Name{"api", "db/a", "db/b", "db/c", "dbase"}},
		{vault.ListQuery{Prefix: "db/"}, []secret.Name{"db/a", "db/b", "db/c"}},
		{vault.ListQuery{Prefix: "db"}, []secret.Name{"db/a", "db/b", "db/c", "dbase"}},
		{vault.ListQuery{Prefix: "none"}, nil},
		{vault.ListQuery{TagKey: "team"}, []secret.Name{"api", "db/a", "db/b"}},
		{vault.ListQuery{TagKey: "team", TagValue: "core"}, []secret.Name{"db/a"}},
		{vault.ListQuery{TagKey: "core"}, nil},
		{vault.ListQuery{Due: true}, []secret.Name{"db/b"}},
		{vault.ListQuery{Deleted: true}, []secret.Name{"db/old"}},
		{vault.ListQuery{Deleted: true, Prefix: "a"}, nil},
		{vault.ListQuery{Due: true, TagKey: "tier"}, nil},
	} {
		for _, limit := range []int{0, 1, 2} {
			tt.q.Limit = limit
			equal(t, fmt.Sprintf("%+v", tt.q), names(t, s, tt.q), tt.want)
		}
	}
}

// TestListGrants: a listing shows what the grants let the caller list.
func TestListGrants(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	for i := range 60 {
		must(put(t, s, secret.Name(fmt.Sprintf("hidden/%02d", i)), "v", vault.Put{}))(t)
	}
	must(put(t, s, "shown", "v", vault.Put{}))(t)
	partial := f.Session(caller(t, f, "acme", policy.Reader, "shown*"), "")
	equal(t, "all", names(t, partial, vault.ListQuery{}), []secret.Name{"shown"})
	// Pages of one look at a bounded number of rows, and go on.
	q := vault.ListQuery{Limit: 1}
	pages := 0
	for ; ; pages++ {
		page := must(partial.List(ctx, q))(t)
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
		// The cursor stands on a hidden name, and must not tell it.
		raw := must(base64.RawURLEncoding.DecodeString(q.Cursor))(t)
		if strings.Contains(string(raw), "hid") {
			t.Errorf("cursor tells a hidden name: %q", raw)
		}
		if len(page.Items) > 0 {
			t.Errorf("page %d: %v", pages, page.Items)
		}
	}
	if pages != 3 {
		t.Errorf("%d pages looked at 60 hidden names", pages)
	}
}

// TestPagingUnderWrites pages while others add and remove: nothing comes twice,
// and what was there all the time is there.
func TestPagingUnderWrites(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	const stays = 60
	var stay []secret.Name
	for i := range stays {
		name := secret.Name(fmt.Sprintf("n%03d", 3*i))
		must(put(t, s, name, "v", vault.Put{}))(t)
		stay = append(stay, name)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewSource(int64(w)))
			for {
				select {
				case <-stop:
					return
				default:
				}
				name := secret.Name(fmt.Sprintf("n%03d", 3*r.Intn(stays)+1+w%2))
				put(t, s, name, "v", vault.Put{})
				if r.Intn(2) == 0 {
					s.Purge(ctx, name)
				}
			}
		})
	}
	for range 5 {
		got := names(t, s, vault.ListQuery{Limit: 7})
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("not in order, or twice: %v", got)
		}
		for _, name := range stay {
			if !slices.Contains(got, name) {
				t.Errorf("%s was missed", name)
			}
		}
	}
	close(stop)
	wg.Wait()
}

// TestCursors refuses every cursor that another list, tenant or nobody gave.
func TestCursors(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s, other := f.Tenant(t, "acme"), f.Tenant(t, "beta")
	for _, name := range []secret.Name{"a", "b", "c"} {
		must(put(t, s, name, "v", vault.Put{}))(t)
		must(put(t, other, name, "v", vault.Put{}))(t)
		must(put(t, s, "a", "v", vault.Put{}))(t)
	}
	next := func(q vault.ListQuery) string {
		q.Limit = 1
		page := must(s.List(ctx, q))(t)
		if page.Next == "" {
			t.Fatalf("no cursor from %+v", q)
		}
		return page.Next
	}
	good := next(vault.ListQuery{})
	equal(t, "after the first", names(t, s, vault.ListQuery{Cursor: good}), []secret.Name{"b", "c"})
	if again := next(vault.ListQuery{}); again != good {
		t.Errorf("a cursor to the same place differs: %s, %s", good, again)
	}
	versions := must(s.Versions(ctx, "a", 1, ""))(t).Next
	tokens := must(s.Credentials().List(ctx, vault.CredentialQuery{Limit: 1}))(t).Next
	flipped := []byte(good)
	flipped[len(flipped)/2] ^= 1
	for what, cursor := range map[string]string{
		"garbage": "x", "not base64": "!!", "short": "AAAA", "zeros": strings.Repeat("A", 64), "flipped": string(flipped),
		"cut": good[:len(good)-4], "longer": good + "AAAA", "padded": good + "=", "of versions": versions, "of tokens": tokens,
		"name": base64.RawURLEncoding.EncodeToString([]byte("b")), "long": strings.Repeat("A", 100_000),
	} {
		if cursor == "" {
			t.Errorf("no cursor %s", what)
		}
		_, err := s.List(ctx, vault.ListQuery{Cursor: cursor})
		wantText(t, err, secret.ErrInvalid, "cursor: a cursor that an answer to the same query gave")
	}
	for _, q := range []vault.ListQuery{{Prefix: "a"}, {TagKey: "t"}, {TagKey: "t", TagValue: "v"}, {Due: true}, {Deleted: true}} {
		q.Cursor = good
		_, err := s.List(ctx, q)
		want(t, err, secret.ErrInvalid)
	}
	_, err := other.List(ctx, vault.ListQuery{Cursor: good})
	want(t, err, secret.ErrInvalid)
	_, err = s.Versions(ctx, "b", 0, versions)
	want(t, err, secret.ErrInvalid)
	_, err = s.Versions(ctx, "a", 0, good)
	want(t, err, secret.ErrInvalid)
	_, err = f.Operator().Tenants(ctx, 0, good)
	want(t, err, secret.ErrInvalid)
}

// TestCursorOutlivesRestart: a cursor is good for whoever has the root key.
func TestCursorOutlivesRestart(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	for _, name := range []secret.Name{"a", "b"} {
		must(put(t, s, name, "v", vault.Put{}))(t)
	}
	cursor := must(s.List(ctx, vault.ListQuery{Limit: 1}))(t).Next
	f.Close(t)
	f = fastnesstest.Open(t, &fastnesstest.Options{Dir: f.Dir, Clock: f.Clock})
	equal(t, "rest", names(t, f.Tenant(t, "acme"), vault.ListQuery{Cursor: cursor}), []secret.Name{"b"})
}

func TestVersionPages(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	for i := range 5 {
		must(put(t, s, "db", fmt.Sprint(i), vault.Put{Kind: secret.Kind(i % 2)}))(t)
	}
	var got []secret.VersionInfo
	cursor := ""
	for {
		page := must(s.Versions(ctx, "db", 2, cursor))(t)
		got = append(got, page.Items...)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(got) != 5 {
		t.Fatalf("%d versions", len(got))
	}
	for i, v := range got {
		if v.Version != secret.Version(i+1) || v.Kind != secret.Kind(i%2) || v.Algorithm != secret.AES256GCM || v.ID == "" {
			t.Errorf("version %d: %+v", i, v)
		}
	}
	equal(t, "labels of 5", got[4].Labels, []secret.Label{secret.Current})
	equal(t, "labels of 4", got[3].Labels, []secret.Label{secret.Previous})
	equal(t, "labels of 1", got[0].Labels, nil)
}

// TestTenantPages lists tenants, erased ones too.
func TestTenantPages(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	for _, name := range []secret.TenantName{"c", "a", "b"} {
		f.Tenant(t, name)
	}
	check(t, f.Operator().Erase(ctx, "b"))
	var got []string
	cursor := ""
	for {
		page := must(f.Operator().Tenants(ctx, 1, cursor))(t)
		for _, info := range page.Items {
			got = append(got, string(info.Name)+" "+info.State.String())
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	equal(t, "tenants", got, []string{"a active", "b erased", "c active"})
}
