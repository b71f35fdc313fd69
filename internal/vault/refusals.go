package vault

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"fastness/internal/audit"
	"fastness/internal/secret"
)

// Refusals before anything was looked at cost the sender nothing, so above a
// rate they share an entry. Those that do wait for that entry, which also
// slows the sender.
const (
	refusalRate   = 50 // entries a second of their own, of all senders unknown
	refusalBurst  = 100
	refusalWindow = 250 * time.Millisecond // how long a counted entry collects
	// maxCrowds bounds the counted entries of one log that collect at once and
	// name whom they count. Those above it are counted together.
	maxCrowds = 16
)

// refusals records cheap refusals, each before it is answered.
type refusals struct {
	vault   *Vault
	limiter *rate.Limiter // of entries of their own before the caller is known

	mu    sync.Mutex                // guards the rest, briefly
	open  map[crowd]*counted        // what collects now
	named map[secret.TenantName]int // how many of those name whom they count
}

// RefusalKinds are what refusals by limits are counted by: bad credentials,
// those not even looked at because there were too many, and what each quota
// refused.
var RefusalKinds = [...]string{"credential", "wait", "secrets", "versions", "bytes", "principals", "requestRate", "sessions"}

// refusalCounts counts refusals since the start, by kind.
type refusalCounts [len(RefusalKinds)]atomic.Uint64

// count counts err if a quota was the reason: its field names the quota.
func (c *refusalCounts) count(err error) {
	if errors.Is(err, secret.ErrQuota) || errors.Is(err, secret.ErrTooMany) {
		c.add(secret.Of(err).Field)
	}
}

// countCredential counts err if a bad credential was the reason.
func (c *refusalCounts) countCredential(err error) {
	switch {
	case errors.Is(err, secret.ErrUnauthenticated):
		c.add("credential")
	case errors.Is(err, secret.ErrTooMany):
		c.add("wait")
	}
}

func (c *refusalCounts) add(kind string) {
	if i := slices.Index(RefusalKinds[:], kind); i >= 0 {
		c[i].Add(1)
	}
}

func (c *refusalCounts) read() map[string]uint64 {
	counts := make(map[string]uint64, len(RefusalKinds))
	for i, kind := range RefusalKinds {
		counts[kind] = c[i].Load()
	}
	return counts
}

// crowd is what refusals that share an entry have in common, and all that the
// entry tells of them. The address and the principal are empty where they
// differ.
type crowd struct {
	tenant    secret.TenantName
	action    audit.Action
	error     string
	address   string
	principal string
}

// names reports whether the crowd's entry tells whom it counts.
func (c crowd) names() bool { return c.address != "" || c.principal != "" }

// counted is an entry that stands for many refusals.
type counted struct {
	entry audit.Entry // the first one's, then counted up
	done  chan struct{}
	err   error // set before done is closed
}

func (r *refusals) init(v *Vault) {
	r.vault = v
	r.limiter = rate.NewLimiter(refusalRate, refusalBurst)
	r.open = make(map[crowd]*counted)
	r.named = make(map[secret.TenantName]int)
}

// record makes a refusal durable, in an entry of its own or in a shared one.
func (r *refusals) record(ctx context.Context, e audit.Entry, alone bool) error {
	if alone {
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

// join adds e to its open entry, or opens one that closes after the window.
func (r *refusals) join(e audit.Entry) *counted {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := crowd{e.TenantID, e.Action, e.Error, e.IPAddress, e.UserID}
	if r.open[k] == nil && r.named[k.tenant] >= maxCrowds {
		k.address, k.principal = "", ""
	}
	if c := r.open[k]; c != nil {
		c.entry.Count++
		return c
	}
	e.IPAddress, e.UserID, e.UserAgent, e.Count = k.address, k.principal, "", 1
	c := &counted{entry: e, done: make(chan struct{})}
	r.open[k] = c
	if k.names() {
		r.named[k.tenant]++
	}
	r.vault.start(func() { r.close(k, c) })
	return c
}

func (r *refusals) close(k crowd, c *counted) {
	time.Sleep(refusalWindow)
	r.mu.Lock()
	delete(r.open, k)
	if k.names() {
		if r.named[k.tenant]--; r.named[k.tenant] == 0 {
			delete(r.named, k.tenant)
		}
	}
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	c.err = r.vault.append(ctx, c.entry)
	close(c.done)
}
