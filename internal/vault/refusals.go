package vault

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"fastness/internal/audit"
)

// Unauthenticated refusals cost the sender nothing, so above a rate they share
// an entry. Those above it wait for that entry, which also slows the sender.
const (
	refusalRate   = 50 // entries a second of their own
	refusalBurst  = 100
	refusalWindow = 250 * time.Millisecond // how long a counted entry collects
)

// refusals records unauthenticated refusals, each before it is answered.
type refusals struct {
	vault   *Vault
	limiter *rate.Limiter

	mu   sync.Mutex          // guards open, briefly
	open map[string]*counted // what collects now, by the error of its entry
}

// counted is an entry that stands for many refusals.
type counted struct {
	entry audit.Entry // the first one's, then counted up
	done  chan struct{}
	err   error // set before done is closed
}

func (r *refusals) init(v *Vault) {
	r.vault = v
	r.limiter = rate.NewLimiter(refusalRate, refusalBurst)
	r.open = make(map[string]*counted)
}

func (r *refusals) record(ctx context.Context, e audit.Entry) error {
	if r.limiter.Allow() {
		return r.vault.append(ctx, e)
	}
	c := r.join(e)
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join adds e to the open entry, or opens one that closes after the window.
func (r *refusals) join(e audit.Entry) *counted {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.open[e.Error]; c != nil {
		c.entry.Count++
		return c
	}
	// Where many come from is not where one came from.
	e.IPAddress, e.UserAgent, e.Count = "", "", 1
	c := &counted{entry: e, done: make(chan struct{})}
	r.open[e.Error] = c
	r.vault.start(func() { r.close(c) })
	return c
}

func (r *refusals) close(c *counted) {
	time.Sleep(refusalWindow)
	r.mu.Lock()
	delete(r.open, c.entry.Error)
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	c.err = r.vault.append(ctx, c.entry)
	close(c.done)
}
