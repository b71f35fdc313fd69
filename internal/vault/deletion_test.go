package vault_test

import (
	"fmt"
	"testing"
	"time"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/schedule"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

const aDay = 24 * time.Hour

// TestDelete: a secret in its recovery window tells what it is and nothing of
// its values, and comes back whole.
func TestDelete(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 2)
	info := must(s.Delete(ctx, "db", 7*aDay))(t)
	if end := f.Clock.Now().Add(7 * aDay); !info.Deletion.Equal(end) {
		t.Errorf("window ends %v, want %v", info.Deletion, end)
	}
	refused := func() {
		t.Helper()
		for _, sel := range []store.Selector{{}, {Number: 1}, {Number: 9}, {Label: secret.Previous}} {
			want(t, errOf(get(s, "db", sel)), secret.ErrDeleted)
		}
		want(t, errOf(put(t, s, "db", "v", vault.Put{})), secret.ErrDeleted)
		want(t, errOf(put(t, s, "db", "v", vault.Put{IfAbsent: true})), secret.ErrDeleted)
		want(t, errOf(s.Rotate(ctx, "db", vault.Put{Value: value(t, "v")})), secret.ErrDeleted)
		want(t, errOf(s.Update(ctx, "db", secret.Patch{Description: ptr("d")})), secret.ErrDeleted)
		want(t, errOf(s.MoveLabel(ctx, "db", vault.Move{Label: "l", To: 1})), secret.ErrDeleted)
	}
	refused()
	if d := must(s.Describe(ctx, "db"))(t); !d.Deletion.Equal(info.Deletion) || d.Version != 2 {
		t.Errorf("described as %+v", d)
	}
	if n := len(must(s.Versions(ctx, "db", 0, ""))(t).Items); n != 2 {
		t.Errorf("%d versions", n)
	}
	// Deleted again: the window begins anew.
	f.Clock.Advance(aDay)
	info = must(s.Delete(ctx, "db", 30*aDay))(t)
	if end := f.Clock.Now().Add(30 * aDay); !info.Deletion.Equal(end) {
		t.Errorf("window ends %v, want %v", info.Deletion, end)
	}
	if r := must(s.Restore(ctx, "db"))(t); !r.Deletion.IsZero() {
		t.Errorf("restored: %+v", r)
	}
	wantValue(t, s, "db", store.Selector{Number: 1}, "1")
	want(t, errOf(s.Restore(ctx, "db")), secret.ErrConflict)
	want(t, errOf(s.Restore(ctx, "none")), secret.ErrNotFound)
	want(t, errOf(s.Delete(ctx, "none", 7*aDay)), secret.ErrNotFound)
	for _, window := range []time.Duration{0, -aDay, 7*aDay - 1, 30*aDay + 1} {
		wantText(t, errOf(s.Delete(ctx, "db", window)), secret.ErrLimit, "recoveryDays: limit: 7 to 30 days")
	}
}

// TestRecoveryWindowEnds: what was deleted is purged by ourselves, in its time
// and not before, unless it was restored.
func TestRecoveryWindowEnds(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	for i, name := range []secret.Name{"a", "b", "c", "kept"} {
		must(put(t, s, name, "v", vault.Put{}))(t)
		if name != "kept" {
			must(s.Delete(ctx, name, time.Duration(7+i)*aDay))(t)
		}
	}
	purge := func(want int) {
		t.Helper()
		if n := must(f.PurgeExpired(ctx))(t); n != want {
			t.Errorf("%d purged, want %d", n, want)
		}
	}
	f.Clock.Advance(7*aDay - time.Second)
	purge(0)
	f.Clock.Advance(time.Second)
	purge(1)
	must(s.Restore(ctx, "b"))(t)
	f.Clock.Advance(30 * aDay)
	purge(1)
	purge(0)
	equal(t, "left", names(t, s, vault.ListQuery{}), []secret.Name{"b", "kept"})
	equal(t, "deleted", names(t, s, vault.ListQuery{Deleted: true}), nil)
	var got []string
	for _, e := range entries(t, f, "acme", audit.Filter{Action: audit.Purge}) {
		got = append(got, fmt.Sprintf("%s %s %s", e.UserID, e.SecretName, e.Result))
	}
	equal(t, "entries", got, []string{"system a success", "system c success"})
}

// TestManyExpire: more than one round of purging takes.
func TestManyExpire(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	const n = 130
	for i := range n {
		name := secret.Name(fmt.Sprintf("n%d", i))
		must(put(t, s, name, "v", vault.Put{}))(t)
		must(s.Delete(ctx, name, 7*aDay))(t)
	}
	f.Clock.Advance(8 * aDay)
	total := 0
	for {
		purged := must(f.PurgeExpired(ctx))(t)
		if total += purged; purged == 0 {
			break
		}
	}
	if total != n {
		t.Errorf("%d of %d purged", total, n)
	}
}

// TestPurge destroys at once; the name is free for another secret.
func TestPurge(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 3)
	id := must(s.Describe(ctx, "db"))(t).ID
	check(t, s.Purge(ctx, "db"))
	want(t, errOf(get(s, "db", store.Selector{Number: 1})), secret.ErrNotFound)
	want(t, s.Purge(ctx, "db"), secret.ErrNotFound)
	w := must(put(t, s, "db", "new", vault.Put{IfAbsent: true}))(t)
	if w.Version != 1 || must(s.Describe(ctx, "db"))(t).ID == id {
		t.Errorf("the name's next secret: %+v", w)
	}
	want(t, errOf(get(s, "db", store.Selector{Number: 2})), secret.ErrNotFound)
	// In its window too.
	must(s.Delete(ctx, "db", 7*aDay))(t)
	check(t, s.Purge(ctx, "db"))
	want(t, errOf(s.Describe(ctx, "db")), secret.ErrNotFound)
}

// TestDue: required rotations whose time has passed, with the clock.
func TestDue(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	for name, interval := range map[secret.Name]schedule.Interval{"w": schedule.Every7d, "m": schedule.Every30d, "y": schedule.Every365d} {
		must(put(t, s, name, "v", vault.Put{Patch: secret.Patch{RotationRequired: ptr(true), RotationInterval: ptr(interval)}}))(t)
	}
	must(put(t, s, "never", "v", vault.Put{Patch: secret.Patch{RotationInterval: ptr(schedule.Every7d)}}))(t)
	due := func(want ...secret.Name) {
		t.Helper()
		equal(t, f.Clock.Now().String(), names(t, s, vault.ListQuery{Due: true}), want)
	}
	due()
	f.Clock.Advance(7*aDay - time.Second)
	due()
	f.Clock.Advance(time.Second)
	due("w")
	f.Clock.Advance(23 * aDay)
	due("m", "w")
	must(s.Rotate(ctx, "w", vault.Put{Value: value(t, "v2")}))(t)
	due("m")
	must(put(t, s, "m", "v2", vault.Put{}))(t) // put by hand moves it as well
	due()
	f.Clock.Advance(7 * aDay)
	due("w")
	must(s.Update(ctx, "w", secret.Patch{RotationRequired: ptr(false)}))(t)
	due()
	must(s.Update(ctx, "never", secret.Patch{RotationRequired: ptr(true)}))(t)
	due("never")
	must(s.Delete(ctx, "never", 7*aDay))(t)
	due()
}

// TestNextRotation follows the last rotation and the interval, and nothing else.
func TestNextRotation(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	w := must(put(t, s, "db", "v", vault.Put{}))(t)
	start := f.Clock.Now()
	at := func(last, next time.Time) {
		t.Helper()
		info := must(s.Describe(ctx, "db"))(t)
		if !info.LastRotated.Equal(last) || !info.NextRotation.Equal(next) {
			t.Errorf("last %v, next %v; want %v, %v", info.LastRotated, info.NextRotation, last, next)
		}
	}
	at(start, start.Add(90*aDay))
	if !w.NextRotation.Equal(start.Add(90 * aDay)) {
		t.Errorf("write tells %v", w.NextRotation)
	}
	f.Clock.Advance(10 * aDay)
	must(s.Update(ctx, "db", secret.Patch{RotationInterval: ptr(schedule.Every7d)}))(t)
	at(start, start.Add(7*aDay))
	must(s.Update(ctx, "db", secret.Patch{Description: ptr("d")}))(t)
	must(s.MoveLabel(ctx, "db", vault.Move{Label: "l", To: 1}))(t)
	at(start, start.Add(7*aDay))
	w = must(put(t, s, "db", "v2", vault.Put{}))(t)
	at(f.Clock.Now(), f.Clock.Now().Add(7*aDay))
	if !w.NextRotation.Equal(f.Clock.Now().Add(7 * aDay)) {
		t.Errorf("write tells %v", w.NextRotation)
	}
	must(put(t, s, "db", "v3", vault.Put{Patch: secret.Patch{RotationInterval: ptr(schedule.Every365d)}}))(t)
	at(f.Clock.Now(), f.Clock.Now().Add(365*aDay))
}

// TestPrune: over a hundred versions the oldest go, never one younger than a
// day, never one with a label.
func TestPrune(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	const many = secret.MaxVersions + 10
	versions(t, s, "db", many)
	must(s.MoveLabel(ctx, "db", vault.Move{Label: "first", To: 1}))(t)
	must(s.MoveLabel(ctx, "db", vault.Move{Label: "fifth", To: 5}))(t)
	stored := func() (out []secret.Version) {
		t.Helper()
		for _, v := range must(s.Versions(ctx, "db", secret.MaxPage, ""))(t).Items {
			out = append(out, v.Version)
		}
		return out
	}
	f.Clock.Advance(aDay - time.Second)
	versions(t, s, "db", 1)
	if n := len(stored()); n != many+1 {
		t.Errorf("%d versions: pruned before its time", n)
	}
	f.Clock.Advance(time.Second)
	versions(t, s, "db", 1)
	got := stored()
	if len(got) != secret.MaxVersions {
		t.Errorf("%d versions left", len(got))
	}
	equal(t, "oldest", got[:3], []secret.Version{1, 5, 15})
	wantValue(t, s, "db", store.Selector{Label: "first"}, "1")
	wantValue(t, s, "db", store.Selector{Number: 15}, "15")
	want(t, errOf(get(s, "db", store.Selector{Number: 14})), secret.ErrNotFound)
	must(s.MoveLabel(ctx, "db", vault.Move{Label: "first"}))(t)
	versions(t, s, "db", 1)
	equal(t, "oldest", stored()[:2], []secret.Version{5, 15})
}
