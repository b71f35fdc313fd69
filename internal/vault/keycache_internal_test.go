package vault

import (
	"fmt"
	"math/rand"
	"sync"
	"testing"
	"time"

	"fastness/internal/envelope"
	"fastness/internal/secret"
)

// cacheClock is moved by hand.
type cacheClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *cacheClock) get() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *cacheClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func refOf(i int) keyRef { return keyRef{secret.TenantID{byte(i), byte(i >> 8)}, 1, false} }

func newKey(tb testing.TB) *envelope.KEK {
	tb.Helper()
	k, err := envelope.NewKEK(1)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// alive reports whether a key was not destroyed.
func alive(k *envelope.KEK) bool { return k.Key.Use(func([]byte) {}) }

func newTestCache(limit int) (*keyCache, *cacheClock) {
	clock := &cacheClock{now: time.Unix(1_000_000, 0)}
	return newKeyCache(limit, time.Minute, clock.get), clock
}

// TestCacheBound: the least recently used key goes first, and is destroyed
// once nobody uses it any more.
func TestCacheBound(t *testing.T) {
	c, _ := newTestCache(2)
	held := make([]*heldKey, 3)
	for i := range 2 {
		held[i] = c.put(refOf(i), newKey(t))
	}
	c.get(refOf(0)).release() // 1 is the oldest now
	held[2] = c.put(refOf(2), newKey(t))
	if c.len() != 2 || c.get(refOf(1)) != nil {
		t.Error("the oldest key was kept")
	}
	if !alive(held[1].kek) {
		t.Error("a key in use was destroyed")
	}
	held[1].release()
	if alive(held[1].kek) {
		t.Error("a dropped key lives on")
	}
	for _, i := range []int{0, 2} {
		held[i].release()
		if !alive(held[i].kek) {
			t.Error("a cached key was destroyed")
		}
	}
	c.clear()
	if c.len() != 0 || alive(held[0].kek) || alive(held[2].kek) {
		t.Error("clearing leaves keys")
	}
	(*heldKey)(nil).release()
}

// TestCacheExpiry: a key serves for its lifetime, whether it is used or not.
func TestCacheExpiry(t *testing.T) {
	c, clock := newTestCache(10)
	k := c.put(refOf(0), newKey(t))
	k.release()
	clock.advance(time.Minute)
	if got := c.get(refOf(0)); got == nil {
		t.Error("expired too early")
	} else {
		got.release()
	}
	clock.advance(1)
	if c.get(refOf(0)) != nil || alive(k.kek) {
		t.Error("an expired key is given out or lives on")
	}
	k = c.put(refOf(1), newKey(t))
	k.release()
	clock.advance(30 * time.Second)
	young := c.put(refOf(2), newKey(t))
	young.release()
	clock.advance(31 * time.Second)
	c.expire()
	if c.len() != 1 || alive(k.kek) || !alive(young.kek) {
		t.Error("expiring drops the wrong keys")
	}
}

// TestCacheForget drops all keys of a tenant, and a key that is put again
// takes the place of the one before.
func TestCacheForget(t *testing.T) {
	c, _ := newTestCache(10)
	var keys []*heldKey
	for _, ref := range []keyRef{{refOf(1).tenant, 1, false}, {refOf(1).tenant, 1, true}, {refOf(1).tenant, 2, false}, {refOf(2).tenant, 1, false}} {
		k := c.put(ref, newKey(t))
		k.release()
		keys = append(keys, k)
	}
	c.forget(refOf(1).tenant)
	for i, k := range keys {
		if alive(k.kek) != (i == 3) {
			t.Errorf("key %d", i)
		}
	}
	again := c.put(refOf(2), newKey(t))
	defer again.release()
	if c.len() != 1 || alive(keys[3].kek) {
		t.Error("two keys for one name")
	}
}

// TestCacheConcurrent: whoever has a key can use it until it lets go, whatever
// others do.
func TestCacheConcurrent(t *testing.T) {
	c, clock := newTestCache(4)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewSource(int64(g)))
			for i := range 300 {
				ref := refOf(r.Intn(8))
				k := c.get(ref)
				if k == nil {
					k = c.put(ref, newKey(t))
				}
				switch r.Intn(20) {
				case 0:
					c.forget(ref.tenant)
				case 1:
					clock.advance(time.Minute)
					c.expire()
				}
				if !alive(k.kek) {
					t.Error(fmt.Sprint("destroyed in use, round ", i))
				}
				k.release()
			}
		})
	}
	wg.Wait()
	if c.len() > 4 {
		t.Errorf("%d keys", c.len())
	}
	c.clear()
}
