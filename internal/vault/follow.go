package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

const (
	// eventsCheck is how long somebody who follows events at most goes on with
	// rights that have ended, where nothing of it is in the tenant's log.
	eventsCheck = 5 * time.Second
	// eventsBeat is the longest that Follow is silent.
	eventsBeat = 15 * time.Second
	// maxReplay is how many entries of its tenant's log a position may be behind:
	// some seconds of reading.
	maxReplay = 1_000_000
)

// EventQuery asks for events. The zero value asks for all from the beginning.
type EventQuery struct {
	// After is the id of the last event that the caller knows, or a position that
	// it was told; below zero: what happens from now on.
	After  int64
	Prefix string             // of the secret's name
	Name   secret.Name        // of the one secret
	Types  []secret.EventType // empty: all
}

// Match reports whether the query asks for the event.
func (q EventQuery) Match(e secret.Event) bool {
	return strings.HasPrefix(string(e.Name), q.Prefix) && (q.Name == "" || q.Name == e.Name) &&
		(len(q.Types) == 0 || slices.Contains(q.Types, e.Type))
}

// News are events, and the position after which the next ones come.
type News struct {
	At     int64
	Events []secret.Event // empty where there is nothing to tell
}

// Follow calls f with the tenant's events as they become durable and get their
// place in the log, within a second or two, until ctx ends or f returns an
// error. It calls f at once, and then at least every 15 seconds, also without
// events.
//
// Told are events of secrets that the caller may list, by the rules and rights in
// force when it is told. Once they let the caller in no more, it is refused: at
// the next entry in the tenant's log, and within five seconds in any case.
//
// A position that is too far back, or not of this log, is secret.ErrGone. Whoever
// follows too many at once is refused with secret.ErrTooMany. The beginning and
// the end are entries in the audit log.
func (s *Session) Follow(ctx context.Context, q EventQuery, f func(News) error) error {
	caller := *s.caller // what it may do is read anew as it goes on
	own := *s
	own.caller = &caller
	w := &follower{session: &own, query: q, at: q.After}
	err := w.begin(ctx)
	defer w.leave()
	if err := s.vault.conclude(ctx, own.entry(audit.EventsOpen, ""), err); err != nil {
		return err
	}
	return w.end(ctx, w.run(ctx, f))
}

// follower is one caller who follows events.
type follower struct {
	session *Session
	query   EventQuery
	at      int64
	feed    *feed
	leaving []func()
	told    int
}

func (w *follower) leave() {
	for _, f := range w.leaving {
		f()
	}
}

// begin decides whether the caller may follow, and from where.
func (w *follower) begin(ctx context.Context) error {
	v, s := w.session.vault, w.session
	err := v.store.View(ctx, func(r store.Reader) error {
		if _, err := s.active(r); err != nil {
			return err
		}
		heads, err := r.Log().Heads([]secret.TenantName{s.tenant})
		if err != nil {
			return err
		}
		return w.place(int64(heads[s.tenant].Seq))
	})
	if err != nil {
		return err
	}
	leave, err := v.streams.enter(s.tenant, streamOwner{s.caller.tenant, s.caller.principal})
	if err != nil {
		return err
	}
	w.leaving = append(w.leaving, leave)
	w.feed, leave = v.feeds.join(s.tenant)
	w.leaving = append(w.leaving, leave)
	return nil
}

// place finds where to begin in a log with this last entry.
func (w *follower) place(last int64) error {
	switch after := w.query.After; {
	case after < 0:
		w.at = last
	case after > last || last-after > maxReplay:
		return gone()
	}
	return nil
}

// gone is the refusal of a position from which nobody can go on.
func gone() error {
	e := *secret.ErrGone
	e.Field = "after"
	return &e
}

// handed is an error of whoever was told.
type handed struct{ error }

// run tells what there is, and waits for more.
func (w *follower) run(ctx context.Context, f func(News) error) error {
	tick := time.NewTicker(eventsCheck)
	defer tick.Stop()
	silent, due := eventsBeat, true // tell the beginning
	for {
		growth := w.session.vault.journal.growth()
		events, more, err := w.next(ctx, growth, due)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if len(events) > 0 || silent >= eventsBeat {
			silent = 0
			if err := f(News{At: w.at, Events: events}); err != nil {
				return handed{err}
			}
			w.told += len(events)
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-growth:
			due = false
		case <-tick.C:
			due = true
			silent += eventsCheck
		}
	}
}

// next reads on in the log. If there is more of the tenant's, and when it is due,
// it decides anew what the caller may know of.
func (w *follower) next(ctx context.Context, growth <-chan struct{}, due bool) (events []secret.Event, more bool, err error) {
	v := w.session.vault
	events, at, err := w.feed.after(ctx, v, w.at, growth)
	if err != nil {
		return nil, false, err
	}
	if more, w.at = at != w.at, at; !more && !due {
		return nil, false, nil
	}
	events = slices.DeleteFunc(events, func(e secret.Event) bool { return !w.query.Match(e) })
	err = v.store.View(ctx, func(r store.Reader) error {
		visible, err := w.visible(r, events)
		if err == nil {
			events = visible
		}
		return err
	})
	return events, more, err
}

// visible are the events that the caller may know of.
func (w *follower) visible(r store.Reader, events []secret.Event) ([]secret.Event, error) {
	s := w.session
	if err := s.caller.renew(r, s.vault.now()); err != nil {
		return nil, err
	}
	t, err := s.active(r)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	j, err := s.ruler(r, t)
	if err != nil {
		return nil, err
	}
	visible := make([]secret.Event, 0, len(events))
	for _, e := range events {
		ok, err := j.complete(r, t, &e)
		if err != nil {
			return nil, err
		}
		if ok {
			visible = append(visible, e)
		}
	}
	return visible, nil
}

// complete adds to an event what its entry does not have, and reports whether the
// caller may know of it. Of a secret that is gone for good grants and policies
// decide by its name alone.
func (j ruler) complete(r store.Reader, t *store.Tenant, e *secret.Event) (bool, error) {
	sec, err := r.Secrets(t.ID).Secret(e.Name)
	if errors.Is(err, store.ErrAbsent) {
		return j.rules.Decide(j.request(policy.List, absent(e.Name, nil))) == policy.Allow, nil
	}
	if err != nil || !j.mayList(sec) {
		return false, err
	}
	if e.Version == 0 || sec.Created.After(e.Time) { // or it is another one of the same name
		return true, nil
	}
	v, err := r.Secrets(t.ID).Version(sec.ID, e.Version)
	if errors.Is(err, store.ErrAbsent) {
		return true, nil
	}
	if err == nil {
		e.VersionID = v.ID
	}
	return true, err
}

// followed is how long the record of an end may take once the caller is gone.
const followed = 5 * time.Second

// end records the end.
func (w *follower) end(ctx context.Context, err error) error {
	e := w.session.entry(audit.EventsClose, "")
	e.Detail = fmt.Sprintf("%d events, up to %d", w.told, w.at)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), followed)
	defer cancel()
	var h handed
	if errors.As(err, &h) { // no fault of ours, and no refusal
		if err := w.session.vault.conclude(ctx, e, nil); err != nil {
			return errors.Join(h.error, err)
		}
		return h.error
	}
	return w.session.vault.conclude(ctx, e, err)
}

// renew reads anew what a caller may do whose credential was checked some time
// ago; secret.ErrUnauthenticated if that is no longer good.
func (c *Caller) renew(r store.Reader, now time.Time) error {
	if c.credential == "" {
		return nil
	}
	i, err := r.Credentials().ByID(c.credential)
	if errors.Is(err, store.ErrAbsent) || err == nil && !usable(i, now) {
		return secret.ErrUnauthenticated
	}
	if err != nil {
		return err
	}
	// Without an identity, decisions are on the subject as it is now.
	c.subject, c.identity, c.locked = subjectOf(i), nil, i.Credential.Locked
	return nil
}
