package secretbuf

import (
	"runtime"
	"sync/atomic"
)

// KeySize is the length of every [Key] in bytes.
const KeySize = 32

// Key is a 32-byte key in guarded memory: see [Guard] for what guards it. Use
// takes a few nanoseconds. Safe for concurrent use.
//
// A Key that is dropped without Destroy is destroyed when the garbage
// collector notices.
type Key struct {
	slot func() *slot // a function for the reason in the package comment
}

// slot is one key's place in an arena, and who uses it. users counts the
// calls of Use that are inside the slot, from one of three bases:
//
//	0          the key is there
//	destroyed  Destroy was called: Use refuses, whoever brings the count back
//	           to the base frees the slot
//	freed      wiped, and the memory given back
type slot struct {
	users atomic.Int64
	gone  atomic.Bool // Destroy was called: makes it idempotent
	place             // read only
	from  *arena      // read only
}

// The bases are so far apart that no number of users leads from one to another.
const (
	destroyed = -1 << 62
	freed     = destroyed - 1<<40
)

// NewKey copies the 32 bytes of b into guarded memory and wipes b. It panics
// when b has another length, and when more than a hundred thousand keys are
// alive, which only a leak can cause.
func NewKey(b []byte) *Key { return keys.newKey(b) }

// newKey is NewKey in the arena a.
func (a *arena) newKey(b []byte) *Key {
	if len(b) != KeySize {
		panic("secretbuf: a key has 32 bytes")
	}
	s := a.take()
	copy(s.key[:], b)
	Wipe(b)
	// The cleanup hangs on an object that every copy of the Key refers to and
	// that the slot does not.
	anchor := &struct{ *slot }{s}
	runtime.AddCleanup(anchor, func(s *slot) { s.destroy() }, s)
	return &Key{slot: func() *slot { return anchor.slot }}
}

// Use lends the key to f and reports true, or reports false without calling f
// when the key was destroyed. f must not keep the slice.
func (k *Key) Use(f func(key []byte)) (ok bool) {
	if k == nil || k.slot == nil {
		return false
	}
	s := k.slot()
	if s.users.Add(1) < 0 {
		s.leave()
		return false
	}
	defer s.leave()
	f(s.key[:])
	runtime.KeepAlive(k)
	return true
}

// Destroy makes the key unusable at once and wipes it: now, or, when calls of
// Use are running, as the last of them returns. It may be called again,
// concurrently, on nil and from within Use.
func (k *Key) Destroy() {
	if k != nil && k.slot != nil {
		k.slot().destroy()
	}
}

// Guard tells what guards this key: "memfd_secret", "mlock", "mmap" or
// "heap". See the function [Guard]. It must not be asked of a nil Key.
func (k *Key) Guard() string { return k.slot().guard }

func (s *slot) destroy() {
	if s.gone.Swap(true) {
		return
	}
	if s.users.Add(destroyed) == destroyed {
		s.free()
	}
}

func (s *slot) leave() {
	if s.users.Add(-1) == destroyed {
		s.free()
	}
}

// free wipes the key and gives its place back, once: a refused Use may bring
// the count to destroyed again while Destroy is on its way here. Whoever makes
// the exchange fail is inside the slot and comes here on leaving it.
func (s *slot) free() {
	if s.users.CompareAndSwap(destroyed, freed) {
		Wipe(s.key[:])
		s.from.give(s.place)
	}
}
