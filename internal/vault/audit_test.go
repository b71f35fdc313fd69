package vault_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// story makes a log with two tenants, three principals and some refusals, one
// minute apart, and returns what an auditor will ask about.
func story(t *testing.T) (f *fastnesstest.Fixture, alice, bob *vault.Caller) {
	f = fastnesstest.Open(t, nil)
	versions(t, f.Tenant(t, "acme"), "db", 1)
	versions(t, f.Tenant(t, "beta"), "db", 1)
	grants := []policy.Grant{{Role: policy.Reader, Patterns: []string{"db"}}}
	alice = f.Caller(t, "acme", vault.TokenSpec{Principal: "alice", Grants: grants})
	bob = f.Caller(t, "acme", vault.TokenSpec{Principal: "bob", Grants: grants})
	for range 3 {
		for _, c := range []*vault.Caller{alice, bob} {
			f.Clock.Advance(time.Minute)
			get(f.Session(c, ""), "db", store.Selector{})
			get(f.Session(c, ""), "api", store.Selector{})
			put(t, f.Session(c, ""), "db", "v", vault.Put{})
		}
		get(f.Tenant(t, "beta"), "db", store.Selector{})
	}
	return f, alice, bob
}

// TestAuditQuestions: who read this secret, what did this principal do, what
// was refused, between two times; in both orders and by pages of any size.
func TestAuditQuestions(t *testing.T) {
	f, _, _ := story(t)
	start := fastnesstest.NewClock().Now()
	all := entries(t, f, "acme", audit.Filter{})
	beta := len(entries(t, f, "beta", audit.Filter{}))
	for _, tt := range []struct {
		filter audit.Filter
		want   int
	}{
		{audit.Filter{Secret: "db", Action: audit.Read}, 6},
		{audit.Filter{Secret: "db", Action: audit.Read, Principal: "alice"}, 3},
		{audit.Filter{Principal: "bob"}, 9},
		{audit.Filter{Principal: "bob", Result: audit.AccessDenied}, 6},
		{audit.Filter{Result: audit.AccessDenied}, 12},
		{audit.Filter{Principal: "alice", From: start.Add(3 * time.Minute), To: start.Add(5 * time.Minute)}, 3},
		{audit.Filter{From: start.Add(time.Minute), To: start.Add(time.Minute)}, 0},
		{audit.Filter{To: start.Add(time.Minute)}, len(all) - 18},
		{audit.Filter{Correlation: "none"}, 0},
		{audit.Filter{Principal: "carol"}, 0},
	} {
		var wantEntries []audit.Entry
		for _, e := range all {
			if tt.filter.Match(e) && (e.Action != audit.AuditList || tt.filter.Action == audit.AuditList) {
				wantEntries = append(wantEntries, e)
			}
		}
		if len(wantEntries) != tt.want {
			t.Errorf("%+v picks %d entries, want %d", tt.filter, len(wantEntries), tt.want)
		}
		for _, limit := range []int{1, 4, 0} {
			for _, newest := range []bool{false, true} {
				got := list(t, f.Audit(local(f), "acme"), vault.AuditQuery{Filter: tt.filter, Limit: limit, Newest: newest})
				if newest {
					slices.Reverse(got)
				}
				if diff := cmp.Diff(wantEntries, got); diff != "" {
					t.Errorf("%+v in pages of %d, newest %v:\n%s", tt.filter, limit, newest, diff)
				}
			}
		}
	}
	for i, e := range all {
		if e.Seq != uint64(i+1) || e.TenantID != "acme" || i > 0 && e.Index <= all[i-1].Index {
			t.Errorf("entry %d: %+v", i, e)
		}
	}
	whole := entries(t, f, "", audit.Filter{})
	for i, e := range whole {
		if e.Index != int64(i) {
			t.Errorf("entry %d of the deployment: %+v", i, e)
		}
	}
	if len(whole) < len(all)+beta {
		t.Errorf("%d entries in all", len(whole))
	}
}

// list pages through a query, without the entries of its own pages.
func list(tb testing.TB, a *vault.Audit, q vault.AuditQuery) (out []audit.Entry) {
	tb.Helper()
	for {
		page, err := a.List(ctx, q)
		check(tb, err)
		for _, e := range page.Items {
			if e.Action != audit.AuditList {
				out = append(out, e)
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return out
		}
	}
}

// TestAuditPagingUnderWrites: pages go on where they were while the log grows.
func TestAuditPagingUnderWrites(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 100)
	done, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for done.Err() == nil {
				get(s, "db", store.Selector{})
			}
		})
	}
	for _, newest := range []bool{false, true} {
		for _, tenant := range []secret.TenantName{"", "acme"} {
			q := vault.AuditQuery{Limit: 9, Newest: newest, Filter: audit.Filter{Action: audit.Update}}
			var got []string
			for _, e := range list(t, f.Audit(local(f), tenant), q) {
				got = append(got, e.Version)
			}
			if newest {
				slices.Reverse(got)
			}
			if len(got) != 99 || got[0] != "2" || got[98] != "100" {
				t.Errorf("tenant %q, newest %v: %v", tenant, newest, got)
			}
		}
	}
	cancel()
	wg.Wait()
}

func TestAuditCursors(t *testing.T) {
	f, alice, _ := story(t)
	a := f.Audit(local(f), "acme")
	q := vault.AuditQuery{Limit: 1, Filter: audit.Filter{Principal: "alice", From: f.Clock.Now().Add(-time.Hour)}}
	cursor := must(a.List(ctx, q))(t).Next
	try := func(a *vault.Audit, change func(*vault.AuditQuery)) {
		t.Helper()
		q := q
		q.Cursor = cursor
		change(&q)
		want(t, errOf(a.List(ctx, q)), secret.ErrInvalid)
	}
	try(f.Audit(local(f), "beta"), func(*vault.AuditQuery) {})
	try(f.Audit(local(f), ""), func(*vault.AuditQuery) {})
	try(a, func(q *vault.AuditQuery) { q.Newest = true })
	try(a, func(q *vault.AuditQuery) { q.Principal = "bob" })
	try(a, func(q *vault.AuditQuery) { q.To = f.Clock.Now() })
	try(a, func(q *vault.AuditQuery) { q.Secret = "db" })
	try(a, func(q *vault.AuditQuery) { q.Cursor = q.Cursor[1:] })
	q.Cursor = cursor
	must(a.List(ctx, q))(t)
	q.From = q.From.In(time.FixedZone("elsewhere", 3600)) // the same moment
	must(a.List(ctx, q))(t)
	want(t, errOf(f.Audit(alice, "").List(ctx, vault.AuditQuery{})), secret.ErrAccessDenied)
}

// TestAuditors: who sees which part of the log.
func TestAuditors(t *testing.T) {
	f, _, _ := story(t)
	auditor := caller(t, f, "acme", policy.Auditor)
	for _, e := range list(t, f.Audit(auditor, ""), vault.AuditQuery{}) {
		if e.TenantID != "acme" {
			t.Errorf("an entry of %q", e.TenantID)
		}
	}
	want(t, errOf(f.Audit(auditor, "").Redact(ctx, vault.RedactQuery{Principal: "bob"})), secret.ErrAccessDenied)
	want(t, errOf(f.Audit(auditor, "").RotateKeys(ctx)), secret.ErrAccessDenied)
	want(t, errOf(f.Audit(auditor, "beta").List(ctx, vault.AuditQuery{})), secret.ErrNotFound)
	want(t, errOf(f.Audit(caller(t, f, "acme", policy.Auditor, "a*"), "").List(ctx, vault.AuditQuery{})), secret.ErrAccessDenied)
	want(t, errOf(f.Audit(local(f), "none").List(ctx, vault.AuditQuery{})), secret.ErrNotFound)
	// Another tenant's entry is not proved either.
	foreign := entries(t, f, "beta", audit.Filter{})[0].Index
	want(t, errOf(f.Audit(auditor, "").Inclusion(ctx, foreign, -1)), secret.ErrNotFound)
	want(t, errOf(f.Audit(auditor, "").Inclusion(ctx, 1<<40, -1)), secret.ErrNotFound)
	want(t, errOf(f.Audit(auditor, "").Inclusion(ctx, -1, -1)), secret.ErrNotFound)
}

// TestTail hands out each entry once, in order, from where it was asked to,
// until its context, its receiver or its caller's right ends.
func TestTail(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 5)
	token := must(s.Credentials().Create(ctx, vault.TokenSpec{Principal: "eve", Grants: []policy.Grant{{Role: policy.Auditor}}}))(t)
	defer token.Token.Release()
	auditor := must(f.Authenticate(ctx, vault.Origin{CorrelationID: "tail"}, token.Token.Bytes()))(t)
	must(f.Audit(local(f), "").Checkpoint(ctx))(t) // gives places

	tail := func(after int64) (<-chan audit.Entry, <-chan error, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		t.Cleanup(cancel)
		out, ended := make(chan audit.Entry, 1000), make(chan error, 1)
		go func() {
			ended <- f.Audit(auditor, "").Tail(ctx, after, func(e audit.Entry) error { out <- e; return nil })
		}()
		return out, ended, cancel
	}
	wait := func(what string, out <-chan audit.Entry, until func(audit.Entry) bool) (got []audit.Entry) {
		t.Helper()
		deadline := time.After(20 * time.Second)
		for {
			select {
			case e := <-out:
				if got = append(got, e); until(e) {
					return got
				}
			case <-deadline:
				t.Fatalf("%s: no such entry among %v", what, got)
			}
		}
	}
	begun := func(n int) {
		t.Helper()
		for start := time.Now(); len(entries(t, f, "acme", audit.Filter{Correlation: "tail"})) < n; time.Sleep(time.Millisecond) {
			if time.Since(start) > 20*time.Second {
				t.Fatal("the tail does not begin")
			}
		}
	}
	old, oldEnded, stopOld := tail(2)
	begun(1)
	fresh, freshEnded, _ := tail(-1)
	begun(2)
	versions(t, s, "late", 1)
	last(t, f, "acme") // gives places, as the background does each second
	isLate := func(e audit.Entry) bool { return e.SecretName == "late" }
	for i, e := range wait("from 3", old, isLate) {
		if e.Seq != uint64(i+3) {
			t.Errorf("entry %d is number %d", i, e.Seq)
		}
	}
	for _, e := range wait("from now", fresh, isLate) {
		if e.Action == audit.Update {
			t.Errorf("from now on, and told of %+v", e)
		}
	}
	stopOld()
	if err := <-oldEnded; err != nil {
		t.Errorf("ended with %v", err)
	}
	check(t, s.Credentials().Revoke(ctx, token.ID))
	last(t, f, "acme")
	select {
	case err := <-freshEnded:
		want(t, err, secret.ErrUnauthenticated)
	case <-time.After(20 * time.Second):
		t.Fatal("a revoked token goes on listening")
	}
	if e := lastOf(t, f, "acme", audit.AuditList); e.UserID == "eve" && e.Result != audit.AccessDenied {
		t.Errorf("left %+v", e)
	}
	enough := errors.New("enough")
	n := 0
	err := f.Audit(local(f), "").Tail(ctx, 0, func(audit.Entry) error { n++; return enough })
	if err != enough || n != 1 {
		t.Errorf("after %d entries: %v", n, err)
	}
}

// TestSequencingEndsUnderLoad: whoever needs a place for its entries gets it
// while others never stop writing.
func TestSequencingEndsUnderLoad(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 1)
	done, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for done.Err() == nil {
				get(s, "db", store.Selector{})
			}
		})
	}
	for range 5 {
		limit, stop := context.WithTimeout(ctx, 20*time.Second)
		must(f.Audit(local(f), "").Checkpoint(limit))(t)
		must(f.Audit(local(f), "acme").List(limit, vault.AuditQuery{Limit: 1}))(t)
		stop()
	}
	cancel()
	wg.Wait()
	if got := fmt.Sprint(must(f.Stats(ctx))(t).TreeSize); got == "0" {
		t.Error("nothing has a place")
	}
}
