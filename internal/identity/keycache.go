package identity

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How long keys are believed. An issuer may say otherwise within the bounds. At
// half of their lifetime they are fetched anew; if the issuer is down then, they
// are used to the end of it.
const (
	defaultKeyLife = time.Hour
	minKeyLife     = 5 * time.Minute
	maxKeyLife     = 24 * time.Hour
)

// An issuer is asked for its keys at most so often, whatever tokens come: a few
// times at once, then once every half minute.
const (
	fetchEvery = 30 * time.Second
	fetchBurst = 4
)

// maxCached is how many issuers' keys are kept.
const maxCached = 1000

// keyCache keeps the keys of issuers. Safe for concurrent use.
type keyCache struct {
	fetch fetcher
	now   func() time.Time

	mu      sync.Mutex // guards the rest, for moments
	entries map[[32]byte]*cachedKeys
}

// cachedKeys are the keys of one issuer.
type cachedKeys struct {
	turn chan struct{} // held by whoever fetches; capacity 1
	rate *rate.Limiter

	mu       sync.Mutex // guards the rest, for moments
	keys     keySet     // nil before the first fetch
	fetched  time.Time
	life     time.Duration
	attempts int
	failure  error // of the last attempt; nil if it went well
	used     time.Time
}

func newKeyCache(f fetcher, now func() time.Time) *keyCache {
	return &keyCache{fetch: f, now: now, entries: map[[32]byte]*cachedKeys{}}
}

// errIssuerDown is an issuer whose keys cannot be had, with why as its cause.
var errIssuerDown = errors.New("the issuer's keys cannot be fetched")

// lookup returns an issuer's keys that may have made a signature. fresh says
// that those which the cache had did not verify it, so that new ones are asked
// for, unless it was done only just now.
func (c *keyCache) lookup(ctx context.Context, issuer *Issuer, id, alg string, fresh bool) (keySet, error) {
	if issuer.KeySet != "" {
		keys, err := parseKeySet([]byte(issuer.KeySet))
		return keys.candidates(id, alg), err
	}
	e := c.entry(issuer)
	had := e.snapshot(c.now())
	found := had.keys.candidates(id, alg)
	switch {
	case had.age >= had.life: // at first, too
		// Nothing can be believed before the issuer has answered.
		if err := c.refresh(ctx, e, issuer, had); err != nil {
			return nil, err
		}
	case len(found) == 0 || fresh:
		// It may be a new key of the issuer's. If the issuer is down, or was asked
		// just now, it is not believed.
		if c.refresh(ctx, e, issuer, had) != nil {
			return nil, nil
		}
	case had.age >= had.life/2:
		c.refreshEarly(ctx, e, issuer)
		return found, nil
	default:
		return found, nil
	}
	return e.snapshot(c.now()).keys.candidates(id, alg), nil
}

// entry returns the keys of an issuer as it is configured now. The cache is kept
// small by dropping what was used longest ago.
func (c *keyCache) entry(i *Issuer) *cachedKeys {
	id := sha256.Sum256([]byte(strings.Join([]string{i.URL, i.KeySetURL, i.CA}, "\x00")))
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[id]
	if e == nil {
		if len(c.entries) >= maxCached {
			c.dropOldestLocked()
		}
		e = &cachedKeys{turn: make(chan struct{}, 1), rate: rate.NewLimiter(rate.Every(fetchEvery), fetchBurst)}
		c.entries[id] = e
	}
	e.mu.Lock()
	e.used = c.now()
	e.mu.Unlock()
	return e
}

func (c *keyCache) dropOldestLocked() {
	var oldest [32]byte
	var when time.Time
	for id, e := range c.entries {
		e.mu.Lock()
		used := e.used
		e.mu.Unlock()
		if when.IsZero() || used.Before(when) {
			oldest, when = id, used
		}
	}
	delete(c.entries, oldest)
}

// snapshot is what a look at cachedKeys finds.
type snapshot struct {
	keys      keySet
	age, life time.Duration // how old the keys are, and may become; life is 0 before the first fetch
	attempts  int           // of fetching, so far
}

// snapshot looks at the keys. A clock that was set back makes them no younger
// than new.
func (e *cachedKeys) snapshot(now time.Time) snapshot {
	e.mu.Lock()
	defer e.mu.Unlock()
	return snapshot{e.keys, max(0, now.Sub(e.fetched)), e.life, e.attempts}
}

// refresh fetches the keys, or waits for somebody else who does.
func (c *keyCache) refresh(ctx context.Context, e *cachedKeys, issuer *Issuer, had snapshot) error {
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if e.snapshot(c.now()).attempts > had.attempts {
		return e.outcome()
	}
	return c.fetchKeys(ctx, e, issuer)
}

// refreshEarly fetches the keys, unless somebody else does. If it cannot, those
// that are there still hold.
func (c *keyCache) refreshEarly(ctx context.Context, e *cachedKeys, issuer *Issuer) {
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
		_ = c.fetchKeys(ctx, e, issuer) // e keeps the outcome
	default:
	}
}

// fetchKeys fetches the keys, if it may; its caller holds the turn.
func (c *keyCache) fetchKeys(ctx context.Context, e *cachedKeys, issuer *Issuer) error {
	if !e.rate.AllowN(c.now(), 1) {
		if err := e.outcome(); err != nil {
			return err
		}
		return fmt.Errorf("%w: it was asked just now", errIssuerDown)
	}
	keys, life, err := c.ask(ctx, issuer)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.attempts++
	if e.failure = nil; err != nil {
		e.failure = fmt.Errorf("%w: %w", errIssuerDown, err)
		return e.failure
	}
	e.keys, e.fetched, e.life = keys, c.now(), life
	return nil
}

// outcome is how the last fetch ended.
func (e *cachedKeys) outcome() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failure
}

// ask fetches an issuer's keys, and says how long they live.
func (c *keyCache) ask(ctx context.Context, i *Issuer) (keySet, time.Duration, error) {
	var roots *x509.CertPool
	if i.CA != "" {
		bundle, err := parseBundle("issuer.ca", i.CA)
		if err != nil {
			return nil, 0, err
		}
		roots = bundle.pool()
	}
	address := i.KeySetURL
	if address == "" {
		d, err := c.discover(ctx, i, roots)
		if err != nil {
			return nil, 0, err
		}
		address = d.KeySetURL
	}
	text, keep, err := c.fetch.get(ctx, address, roots, maxRemoteKeys)
	if err != nil {
		return nil, 0, err
	}
	keys, err := parseKeySet(text)
	if err != nil {
		return nil, 0, err
	}
	return keys, min(max(keep, minKeyLife), maxKeyLife), nil
}

// discovery is what is read of an issuer's discovery document.
type discovery struct {
	Issuer    string `json:"issuer"`
	KeySetURL string `json:"jwks_uri"`
}

// discover reads the discovery document, which must be of the issuer to the
// letter (OpenID Connect Discovery, section 4.3).
func (c *keyCache) discover(ctx context.Context, i *Issuer, roots *x509.CertPool) (d discovery, err error) {
	address := strings.TrimSuffix(i.URL, "/") + "/.well-known/openid-configuration"
	text, _, err := c.fetch.get(ctx, address, roots, maxDocument)
	if err != nil {
		return d, err
	}
	if json.Unmarshal(text, &d) != nil {
		return d, errors.New("the discovery document is not JSON")
	}
	if d.Issuer != i.URL {
		return d, errors.New("the discovery document is another issuer's")
	}
	return d, checkURL("jwks_uri", d.KeySetURL)
}
