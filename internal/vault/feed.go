package vault

import (
	"context"
	"sync"

	"fastness/internal/secret"
	"fastness/internal/store"
)

const (
	// feedScan is how many entries of the log one snapshot is held for.
	feedScan = 5_000
	// maxFeed bounds how many events of a tenant are kept for who follows them.
	maxFeed = 1024
)

// feeds reads what is new in each tenant's log once for all who follow it. Of a
// tenant that nobody follows nothing is kept. Safe for concurrent use.
type feeds struct {
	mu   sync.Mutex // guards open, and users of each
	open map[secret.TenantName]*feed
}

// feed is what was read of one tenant's log: the events among the entries after
// from, up to to.
type feed struct {
	tenant secret.TenantName
	users  int // guarded by feeds.mu

	mu       sync.Mutex // guards the rest, and is held while the log is read
	begun    bool
	from, to int64
	growth   <-chan struct{} // of the journal, as it was when to was the last entry
	events   []secret.Event
}

// join returns a tenant's feed, for a caller who then leaves it.
func (fs *feeds) join(t secret.TenantName) (f *feed, leave func()) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f = fs.open[t]
	if f == nil {
		if fs.open == nil {
			fs.open = map[secret.TenantName]*feed{}
		}
		f = &feed{tenant: t}
		fs.open[t] = f
	}
	f.users++
	return f, func() { fs.leave(f) }
}

func (fs *feeds) leave(f *feed) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.users--; f.users == 0 {
		delete(fs.open, f.tenant)
	}
}

// forget drops events that were read: some may have been redacted since.
func (fs *feeds) forget() {
	fs.mu.Lock()
	all := make([]*feed, 0, len(fs.open))
	for _, f := range fs.open {
		all = append(all, f)
	}
	fs.mu.Unlock()
	for _, f := range all {
		f.mu.Lock()
		f.begun, f.events = false, nil
		f.mu.Unlock()
	}
}

// after returns events after a position in the tenant's log, and the position to
// go on after: the same if there is nothing new. growth is what the journal's
// was before the call.
func (f *feed) after(ctx context.Context, v *Vault, at int64, growth <-chan struct{}) ([]secret.Event, int64, error) {
	events, next, kept, err := f.look(ctx, v, at, growth)
	if err == nil && !kept {
		return v.scanEvents(ctx, f.tenant, at)
	}
	return events, next, err
}

// look is after for what is kept: kept is false if it is more than that.
func (f *feed) look(ctx context.Context, v *Vault, at int64, growth <-chan struct{}) (events []secret.Event, next int64, kept bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.begun {
		f.begun, f.from, f.to, f.growth = true, at, at, nil
	}
	for f.to <= at && f.growth != growth {
		if err := f.readLocked(ctx, v, growth); err != nil {
			return nil, at, true, err
		}
	}
	return f.eventsLocked(at), max(f.to, at), at >= f.from, nil
}

// readLocked reads on.
func (f *feed) readLocked(ctx context.Context, v *Vault, growth <-chan struct{}) error {
	events, to, err := v.scanEvents(ctx, f.tenant, f.to)
	if err != nil {
		return err
	}
	if to-f.to < feedScan {
		f.growth = growth // no more until the log grows again
	}
	f.to, f.events = to, append(f.events, events...)
	if excess := len(f.events) - maxFeed; excess > 0 {
		f.from = int64(f.events[excess-1].ID)
		f.events = append([]secret.Event(nil), f.events[excess:]...)
	}
	return nil
}

// eventsLocked are those after a position, in an array of their own.
func (f *feed) eventsLocked(at int64) []secret.Event {
	for i, e := range f.events {
		if int64(e.ID) > at {
			return append([]secret.Event(nil), f.events[i:]...)
		}
	}
	return nil
}

// scanEvents reads the events among the next entries after a position, and
// returns the last position that it has looked at.
func (v *Vault) scanEvents(ctx context.Context, t secret.TenantName, after int64) (events []secret.Event, at int64, err error) {
	log := &Audit{vault: v, tenant: t}
	err = v.store.View(ctx, func(r store.Reader) error {
		events, at = nil, after
		w, err := log.walk(r, false, after+1)
		if err == nil && w.beyond {
			err = gone() // archived since
		}
		if err != nil {
			return err
		}
		for range feedScan {
			place, ok, err := w.advance()
			if err != nil || !ok {
				return err
			}
			at = place.position
			if !isNews(w.record.Action()) {
				continue
			}
			entry, err := w.entry(place)
			if err != nil {
				return err
			}
			if e, ok := eventOf(entry); ok {
				events = append(events, e)
			}
		}
		return nil
	})
	return events, at, err
}
