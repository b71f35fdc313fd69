package client

import (
	"context"
	"sync"
	"time"
)

// Defaults and bounds of a Cache.
const (
	defaultCacheSize = 256
	maxCacheSize     = 10_000
	defaultCacheLife = 5 * time.Minute
)

// CacheConfig says how much a Cache keeps. The zero value is good.
type CacheConfig struct {
	// Size is how many values are kept; default 256, at most 10,000.
	Size int
	// Life is how long a value is kept, whatever is heard of it; default 5 minutes.
	Life time.Duration
	// Query says of which secrets to hear; After is not used. Values of others are
	// not kept.
	Query EventQuery
}

// Cache keeps current values, in memory that is wiped, and drops those of which it
// hears that they have changed. Safe for concurrent use.
//
// It keeps only while Run follows the tenant's events; before and after, each Get
// goes to the server. A change is heard of within a second or two; while the
// stream is broken, a value may be as old as Life. What is answered from memory
// leaves no entry in the audit log.
type Cache struct {
	session *Session
	config  CacheConfig
	now     func() time.Time

	mu      sync.Mutex // guards the rest, briefly
	keeping bool
	changes uint64 // events heard, so that nothing is kept that was read before one
	kept    map[Name]keptReading
}

type keptReading struct {
	reading *Reading
	ends    time.Time
}

// Cache returns a cache of the tenant's current values. Run fills it with life.
func (s *Session) Cache(c CacheConfig) *Cache {
	if c.Size <= 0 {
		c.Size = defaultCacheSize
	}
	c.Size = min(c.Size, maxCacheSize)
	if c.Life <= 0 {
		c.Life = defaultCacheLife
	}
	c.Query.After, c.Query.Types = -1, nil
	return &Cache{session: s, config: c, now: time.Now, kept: map[Name]keptReading{}}
}

// Run follows the tenant's events until ctx ends, or Watch returns an error. Then
// all values are wiped.
func (c *Cache) Run(ctx context.Context) error {
	defer c.drop(false, "")
	return c.session.Watch(ctx, c.config.Query, func(e Event) error {
		switch {
		case e.Type == EventSync:
			c.drop(true, "")
		case e.Type.MovesCurrent():
			c.drop(true, e.Name)
		}
		return nil
	})
}

// drop wipes what is kept of a secret; of the empty name, all.
func (c *Cache) drop(keeping bool, name Name) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keeping = keeping
	c.changes++
	if name != "" {
		c.dropLocked(name)
		return
	}
	for name := range c.kept {
		c.dropLocked(name)
	}
}

func (c *Cache) dropLocked(name Name) {
	if k, ok := c.kept[name]; ok {
		delete(c.kept, name)
		k.reading.Value.Release()
	}
}

// Get returns the current value, from memory or from the server. The caller
// releases the reading's Value, which is its own.
func (c *Cache) Get(ctx context.Context, name Name) (*Reading, error) {
	reading, changes := c.look(name)
	if reading != nil {
		return reading, nil
	}
	reading, err := c.session.Get(ctx, name, Selector{})
	if err == nil {
		c.keep(reading, changes)
	}
	return reading, err
}

// look returns a copy of what is kept, or nil, and how many changes were heard of.
func (c *Cache) look(name Name) (*Reading, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.kept[name]
	if !ok {
		return nil, c.changes
	}
	if !c.now().Before(k.ends) {
		c.dropLocked(name)
		return nil, c.changes
	}
	return copyReading(k.reading), c.changes
}

func copyReading(r *Reading) *Reading {
	made := *r
	made.Labels, made.Value = append([]Label(nil), r.Labels...), r.Value.Clone()
	return &made
}

// keep keeps a copy of what was read, unless something has changed since.
func (c *Cache) keep(r *Reading, changes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.keeping || c.changes != changes || !c.config.Query.Match(Event{Name: r.Name}) {
		return
	}
	c.dropLocked(r.Name)
	if len(c.kept) >= c.config.Size {
		c.evictLocked()
	}
	c.kept[r.Name] = keptReading{copyReading(r), c.now().Add(c.config.Life)}
}

// evictLocked makes room: the value goes that would be kept no longer than the others.
func (c *Cache) evictLocked() {
	var first Name
	for name, k := range c.kept {
		if first == "" || k.ends.Before(c.kept[first].ends) {
			first = name
		}
	}
	c.dropLocked(first)
}
