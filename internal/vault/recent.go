package vault

import "container/list"

// recent is a map of bounded size: where there is no more room, the entry that
// was not asked for or written for longest goes. It is not safe for concurrent
// use: whoever embeds it holds a mutex.
type recent[K comparable, V any] struct {
	max     int
	order   *list.List // of *recentEntry[K, V], the last used first
	entries map[K]*list.Element
}

type recentEntry[K comparable, V any] struct {
	key   K
	value V
}

func newRecent[K comparable, V any](max int) *recent[K, V] {
	return &recent[K, V]{max: max, order: list.New(), entries: make(map[K]*list.Element)}
}

// get returns the entry of key, which the caller may change; nil if there is none.
func (r *recent[K, V]) get(key K) *V {
	e, ok := r.entries[key]
	if !ok {
		return nil
	}
	r.order.MoveToFront(e)
	return &e.Value.(*recentEntry[K, V]).value
}

// put sets the entry of key, and returns it.
func (r *recent[K, V]) put(key K, value V) *V {
	if v := r.get(key); v != nil {
		*v = value
		return v
	}
	if len(r.entries) >= r.max {
		r.remove(r.order.Back())
	}
	entry := &recentEntry[K, V]{key, value}
	r.entries[key] = r.order.PushFront(entry)
	return &entry.value
}

// drop forgets the entry of key.
func (r *recent[K, V]) drop(key K) {
	if e, ok := r.entries[key]; ok {
		r.remove(e)
	}
}

// dropWhile forgets entries, the one unused for longest first, as long as f
// says so.
func (r *recent[K, V]) dropWhile(f func(*V) bool) {
	for e := r.order.Back(); e != nil && f(&e.Value.(*recentEntry[K, V]).value); e = r.order.Back() {
		r.remove(e)
	}
}

func (r *recent[K, V]) remove(e *list.Element) {
	r.order.Remove(e)
	delete(r.entries, e.Value.(*recentEntry[K, V]).key)
}
