package vault

import (
	"container/list"
	"errors"
	"fmt"
	"sync"
	"time"

	"fastness/internal/envelope"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// keyLifetime is how long an unwrapped key may serve without being read from
// the store again. A key's bytes never change under its number, so this bounds
// only how long an idle tenant's key stays in memory.
const keyLifetime = 10 * time.Minute

// keyCache holds unwrapped tenant keys in guarded memory: bounded, expiring,
// least recently used first out. Safe for concurrent use.
type keyCache struct {
	limit    int
	lifetime time.Duration
	now      func() time.Time

	mu    sync.Mutex // guards what follows; never held while a key is used
	byRef map[keyRef]*list.Element
	order *list.List // of *heldKey, most recently used first
}

// keyRef names a key. One with its KEM key pair is another than one without,
// which costs less to load and is all that aes-256-gcm needs: a tenant can get
// its key pair while the key is cached.
type keyRef struct {
	tenant secret.TenantID
	number uint32
	kem    bool
}

// heldKey is a key with the number of those who use it. The cache counts as
// one; the last to let go destroys the key.
type heldKey struct {
	kek     *envelope.KEK
	ref     keyRef
	expires time.Time

	cache *keyCache
	uses  int // guarded by cache.mu
}

func newKeyCache(limit int, lifetime time.Duration, now func() time.Time) *keyCache {
	return &keyCache{limit: limit, lifetime: lifetime, now: now, byRef: map[keyRef]*list.Element{}, order: list.New()}
}

func (c *keyCache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.order.Len()
}

// get returns a key for use, or nil. The user must release it.
func (c *keyCache) get(ref keyRef) *heldKey {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	el, ok := c.byRef[ref]
	if !ok {
		return nil
	}
	k := el.Value.(*heldKey)
	if now.After(k.expires) {
		c.dropLocked(el)
		return nil
	}
	c.order.MoveToFront(el)
	k.uses++
	return k
}

// put takes a key over and returns it for use. If the cache has one for ref
// already, that one is replaced.
func (c *keyCache) put(ref keyRef, kek *envelope.KEK) *heldKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.byRef[ref]; ok {
		c.dropLocked(el)
	}
	k := &heldKey{kek: kek, ref: ref, expires: c.now().Add(c.lifetime), cache: c, uses: 2}
	c.byRef[ref] = c.order.PushFront(k)
	for c.order.Len() > c.limit {
		c.dropLocked(c.order.Back())
	}
	return k
}

// forget drops a tenant's keys.
func (c *keyCache) forget(t secret.TenantID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ref, el := range c.byRef {
		if ref.tenant == t {
			c.dropLocked(el)
		}
	}
}

// expire drops the keys whose time is over.
func (c *keyCache) expire() {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for el := c.order.Back(); el != nil; {
		before := el.Prev()
		if now.After(el.Value.(*heldKey).expires) {
			c.dropLocked(el)
		}
		el = before
	}
}

func (c *keyCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.order.Len() > 0 {
		c.dropLocked(c.order.Back())
	}
}

func (c *keyCache) dropLocked(el *list.Element) {
	k := c.order.Remove(el).(*heldKey)
	delete(c.byRef, k.ref)
	k.releaseLocked()
}

// release gives a key back. A nil key is none.
func (k *heldKey) release() {
	if k == nil {
		return
	}
	k.cache.mu.Lock()
	defer k.cache.mu.Unlock()
	k.releaseLocked()
}

func (k *heldKey) releaseLocked() {
	if k.uses--; k.uses == 0 {
		k.kek.Destroy()
	}
}

// key returns a tenant's key for use with an algorithm, from the cache or
// unwrapped from the row. A key without the key pair that hybrid-quantum needs
// is secret.ErrDecryption with errNoKEM.
func (v *Vault) key(r store.Reader, t secret.TenantID, number uint32, alg secret.Algorithm) (*heldKey, error) {
	ref := keyRef{t, number, alg == secret.HybridQuantum}
	if k := v.keys.get(ref); k != nil {
		return k, nil
	}
	row, err := r.Tenants().Key(t, number)
	if errors.Is(err, store.ErrAbsent) {
		return nil, secret.ErrDecryption.With(fmt.Errorf("key %d of the tenant is gone", number))
	}
	if err != nil {
		return nil, err
	}
	switch {
	case !ref.kem:
		row.KEMSeed = nil
	case row.KEMSeed == nil:
		return nil, secret.ErrDecryption.With(errNoKEM)
	}
	kek, err := v.roots.unwrap(t, row)
	if err != nil {
		return nil, err
	}
	return v.keys.put(ref, kek), nil
}

// errNoKEM is a key that was never used for hybrid-quantum.
var errNoKEM = errors.New("the key has no KEM key pair")
