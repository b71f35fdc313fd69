package vault_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// following is somebody who follows a tenant's events.
type following struct {
	news  chan vault.News
	ended chan error
	stop  context.CancelFunc
}

// follow begins, and returns once the stream stands.
func follow(t *testing.T, s *vault.Session, q vault.EventQuery) *following {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	w := &following{make(chan vault.News, 10_000), make(chan error, 1), cancel}
	go func() { w.ended <- s.Follow(ctx, q, func(n vault.News) error { w.news <- n; return nil }) }()
	t.Cleanup(cancel)
	select {
	case n := <-w.news:
		w.news <- n
	case err := <-w.ended:
		w.ended <- err
	case <-time.After(patience):
		t.Fatal("the stream does not begin")
	}
	return w
}

// until collects events up to one of this secret, which is not among them.
func (w *following) until(t *testing.T, f *fastnesstest.Fixture, name secret.Name) (got []secret.Event) {
	t.Helper()
	place(t, f)
	for deadline := time.After(patience); ; {
		select {
		case n := <-w.news:
			for _, e := range n.Events {
				if e.Name == name {
					return got
				}
				got = append(got, e)
			}
		case err := <-w.ended:
			t.Fatalf("ended with %v after %v", err, got)
		case <-deadline:
			t.Fatalf("no event of %s among %v", name, got)
		}
	}
}

// end waits for the end.
func (w *following) end(t *testing.T, f *fastnesstest.Fixture) error {
	t.Helper()
	place(t, f)
	select {
	case err := <-w.ended:
		return err
	case <-time.After(patience):
		t.Fatal("the stream goes on")
		return nil
	}
}

// place gives all entries their place, as the background does each second.
func place(t *testing.T, f *fastnesstest.Fixture) { t.Helper(); last(t, f, "") }

// tell is an event as the tests write it.
func tell(e secret.Event) string {
	text := fmt.Sprintf("%s %s %s", e.Type, e.Name, e.Version)
	if e.VersionID != "" {
		text += "+"
	}
	for _, l := range e.Labels {
		text += " " + string(l)
	}
	return text + e.Failure
}

func told(events []secret.Event) (texts []string) {
	for _, e := range events {
		texts = append(texts, tell(e))
	}
	return texts
}

// TestEvents: what happens in a secret's life, and what of it is told.
func TestEvents(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	w := follow(t, s, vault.EventQuery{After: -1})
	token := secret.NewVersionID()
	steps := []struct {
		do   func() error
		want string // a step without leaves no event
	}{
		{func() error { return errOf(put(t, s, "db", "1", vault.Put{Token: token})) }, "fastness.secret.created db 1+ AWSCURRENT"},
		{func() error { return errOf(put(t, s, "db", "1", vault.Put{Token: token})) }, ""},
		{func() error { return errOf(get(s, "db", store.Selector{})) }, ""},
		{func() error { return errOf(put(t, s, "db", "2", vault.Put{})) }, "fastness.secret.changed db 2+ AWSCURRENT"},
		{func() error {
			return errOf(put(t, s, "db", "3", vault.Put{Labels: []secret.Label{"blue green", secret.Pending}}))
		},
			"fastness.secret.labeled db 3+ AWSPENDING blue green"},
		{func() error {
			return errOf(put(t, s, "db", "4", vault.Put{Labels: []secret.Label{secret.Current, "x"}}))
		},
			"fastness.secret.changed db 4+ AWSCURRENT x"},
		{func() error { return errOf(s.MoveLabel(ctx, "db", vault.Move{Label: "blue green", To: 1})) }, "fastness.secret.labeled db 1+ blue green"},
		{func() error { return errOf(s.MoveLabel(ctx, "db", vault.Move{Label: "blue green", To: 1})) }, ""},
		{func() error { return errOf(s.MoveLabel(ctx, "db", vault.Move{Label: "blue green"})) }, "fastness.secret.unlabeled db 1+ blue green"},
		{func() error { return errOf(s.MoveLabel(ctx, "db", vault.Move{Label: "current", To: 1})) }, "fastness.secret.changed db 1+ AWSCURRENT"},
		{func() error {
			return errOf(s.Rotate(ctx, "db", vault.Put{Value: value(t, "5")}))
		}, "fastness.secret.rotated db 5+ AWSCURRENT"},
		{func() error { return refusedBy(s.Rotate(ctx, "db", vault.Put{Make: noRule})) }, ""},
		{func() error { return errOf(s.Update(ctx, "db", secret.Patch{Description: ptr("d")})) }, "fastness.secret.updated db 0"},
		{func() error { return errOf(s.Update(ctx, "db", secret.Patch{Description: ptr("d")})) }, ""},
		{func() error { return errOf(s.SetRotation(ctx, "db", vault.RotationPolicy{Rotator: "password"})) }, "fastness.secret.updated db 0"},
		{func() error { return errOf(s.Delete(ctx, "db", secret.MinRecovery)) }, "fastness.secret.deleted db 0"},
		{func() error { return refusedBy(get(s, "db", store.Selector{})) }, ""},
		{func() error { return errOf(s.Restore(ctx, "db")) }, "fastness.secret.restored db 0"},
		{func() error { return errOf(s.CreateBare(ctx, "bare", vault.Bare{})) }, "fastness.secret.created bare 0"},
		{func() error {
			return errOf(s.Promote(ctx, "db", vault.Promotion{To: "copy", Change: func(_, _ *secret.AWS) error { return nil }}))
		}, "fastness.secret.created copy 0"},
		{func() error { return s.Purge(ctx, "copy") }, "fastness.secret.purged copy 0"},
		{func() error { return refusedBy(put(t, s, "not a name", "1", vault.Put{})) }, ""},
	}
	var want []string
	for i, step := range steps {
		f.Clock.Advance(time.Minute)
		if err := step.do(); err != nil {
			t.Fatalf("step %d: %s", i, describe(err))
		}
		if step.want != "" {
			want = append(want, step.want)
		}
	}
	versions(t, s, "end", 1)
	got := w.until(t, f, "end")
	// What is gone by the time that it is told has no version any more.
	equal(t, "events", told(got), want)
	if !slices.IsSortedFunc(got, func(a, b secret.Event) int { return int(a.ID) - int(b.ID) }) || got[0].ID == 0 {
		t.Errorf("ids do not rise: %v", got)
	}
	if got[0].Time != got[1].Time.Add(-3*time.Minute) {
		t.Errorf("times are %v and %v", got[0].Time, got[1].Time)
	}

	// Whoever comes later is told the same again.
	equal(t, "events again", told(follow(t, s, vault.EventQuery{}).until(t, f, "end")), want)
	// Each filter.
	for _, c := range []struct {
		q    vault.EventQuery
		want []string
	}{
		{vault.EventQuery{Name: "bare"}, []string{"fastness.secret.created bare 0"}},
		{vault.EventQuery{Prefix: "co"}, []string{"fastness.secret.created copy 0", "fastness.secret.purged copy 0"}},
		{vault.EventQuery{Types: []secret.EventType{secret.EventDeleted, secret.EventRestored}}, []string{"fastness.secret.deleted db 0", "fastness.secret.restored db 0"}},
		{vault.EventQuery{Name: "db", After: int64(got[len(got)-4].ID)}, nil},
	} {
		w, n := follow(t, s, c.q), 0
		var events []secret.Event
		for n < len(c.want) {
			events = append(events, (<-w.news).Events...)
			n = len(events)
		}
		equal(t, fmt.Sprintf("%+v", c.q), told(events), c.want)
		w.stop()
		check(t, w.end(t, f))
	}
}

// refusedBy expects an error.
func refusedBy[T any](_ T, err error) error {
	if err == nil {
		return errors.New("it was not refused")
	}
	return nil
}

// TestFollowIsAllowed: events of what the caller may list, by the rights that it
// has when it is told.
func TestFollowIsAllowed(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	f.Tenant(t, "beta")
	spec := vault.TokenSpec{Principal: "web", Grants: []policy.Grant{{Role: policy.Reader, Patterns: []string{"shown/*", "end*"}}}}
	token := must(s.Credentials().Create(ctx, spec))(t)
	defer token.Token.Release()
	c := must(f.Authenticate(ctx, vault.Origin{}, token.Token.Bytes()))(t)

	w := follow(t, f.Session(c, ""), vault.EventQuery{After: -1})
	for _, name := range []secret.Name{"shown/a", "hidden/a", "shown/b"} {
		versions(t, s, name, 1)
	}
	check(t, s.Purge(ctx, "hidden/a"))
	check(t, s.Purge(ctx, "shown/b"))
	versions(t, f.Tenant(t, "beta"), "shown/beta", 1)
	versions(t, s, "end", 1)
	equal(t, "events", told(w.until(t, f, "end")), []string{
		"fastness.secret.created shown/a 1+ AWSCURRENT", "fastness.secret.created shown/b 1 AWSCURRENT", "fastness.secret.purged shown/b 0",
	})

	// Both must allow, grants of the principal and of the token, as they are when it is told.
	must(s.Principals().Update(ctx, "web", vault.PrincipalPatch{Grants: []policy.Grant{{Role: policy.Reader, Patterns: []string{"late*", "end*"}}}}))(t)
	for _, name := range []secret.Name{"shown/late", "late", "end2"} {
		versions(t, s, name, 1)
	}
	for _, e := range w.until(t, f, "end2") {
		t.Errorf("told of %s", tell(e))
	}
	wantText(t, f.Session(c, "beta").Follow(ctx, vault.EventQuery{}, nil), secret.ErrNotFound, secret.ErrNotFound.Detail)

	must(f.Operator().Suspend(ctx, "acme"))(t)
	want(t, w.end(t, f), secret.ErrSuspended)
	must(f.Operator().Resume(ctx, "acme"))(t)
	w = follow(t, f.Session(c, ""), vault.EventQuery{After: -1})
	check(t, s.Credentials().Revoke(ctx, token.ID))
	want(t, w.end(t, f), secret.ErrUnauthenticated)
	e := lastOf(t, f, "acme", audit.EventsClose)
	if e.UserID != "web" || e.Result != audit.AccessDenied || !strings.HasPrefix(e.Detail, "0 events, up to ") {
		t.Errorf("left %+v", e)
	}
}

// TestFollowFrom: where to begin, and where one cannot.
func TestFollowFrom(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "a", 1)
	place(t, f)
	for _, after := range []int64{1 << 40, 1000} {
		err := s.Follow(ctx, vault.EventQuery{After: after}, nil)
		want(t, err, secret.ErrGone)
		if e := lastOf(t, f, "acme", audit.EventsOpen); e.Result != audit.Failed || !strings.Contains(e.Error, "after") {
			t.Errorf("left %+v", e)
		}
	}
	enough := errors.New("enough")
	if err := s.Follow(ctx, vault.EventQuery{}, func(vault.News) error { return enough }); err != enough {
		t.Errorf("ended with %v", err)
	}
	if e := lastOf(t, f, "acme", audit.EventsClose); e.Result != audit.Success {
		t.Errorf("left %+v", e)
	}
	// A position without an event is as good.
	w := follow(t, s, vault.EventQuery{After: -1})
	at := (<-w.news).At
	versions(t, s, "b", 1)
	versions(t, s, "end", 1)
	equal(t, "events", told(follow(t, s, vault.EventQuery{After: at}).until(t, f, "end")), []string{"fastness.secret.created b 1+ AWSCURRENT"})
}

// TestFollowRedacted: what was redacted is not told any more, also to those who
// come while others have been told.
func TestFollowRedacted(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	w := follow(t, s, vault.EventQuery{})
	versions(t, s, "gone", 1)
	versions(t, s, "end", 1)
	w.until(t, f, "end")
	must(f.Audit(local(f), "acme").Redact(ctx, vault.RedactQuery{Secret: "gone"}))(t)
	if got := follow(t, s, vault.EventQuery{}).until(t, f, "end"); len(got) > 0 {
		t.Errorf("told of %v", told(got))
	}
}

// TestFollowersSeeTheSame: who follows from the beginning and who comes late, of
// more events than are kept, each once and in order.
func TestFollowersSeeTheSame(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	first := follow(t, s, vault.EventQuery{After: -1})
	const each, writers = 70, 16
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() { versions(t, s, secret.Name(fmt.Sprintf("s%d", i)), each) })
	}
	wg.Wait()
	versions(t, s, "end", 1)
	all := first.until(t, f, "end")
	if len(all) != each*writers {
		t.Fatalf("%d events, want %d", len(all), each*writers)
	}
	for _, from := range []int{0, 1, len(all) - 1} {
		late := follow(t, s, vault.EventQuery{After: int64(all[from].ID)}).until(t, f, "end")
		equal(t, fmt.Sprintf("from %d", from), told(late), told(all[from+1:]))
	}
}

// TestTooManyFollow: each principal so many, and whoever leaves makes room.
func TestTooManyFollow(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	f.Tenant(t, "acme")
	one, two := caller(t, f, "acme", policy.Reader), caller(t, f, "acme", policy.Writer)
	var all []*following
	for range vault.MaxPrincipalStreams {
		all = append(all, follow(t, f.Session(one, ""), vault.EventQuery{After: -1}))
	}
	err := f.Session(one, "").Follow(ctx, vault.EventQuery{After: -1}, nil)
	want(t, err, secret.ErrTooMany)
	if e := secret.Of(err); e.Field != "streams" || e.Usage == nil || e.Usage.Limit != vault.MaxPrincipalStreams || e.RetryAfter == 0 {
		t.Errorf("refused with %+v", e)
	}
	follow(t, f.Session(two, ""), vault.EventQuery{After: -1}).stop()
	all[0].stop()
	check(t, all[0].end(t, f))
	follow(t, f.Session(one, ""), vault.EventQuery{After: -1})
	if got := must(f.Stats(ctx))(t).Streams; got < vault.MaxPrincipalStreams {
		t.Errorf("%d streams are counted", got)
	}
}
