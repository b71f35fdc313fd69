package secretbuf_test

import (
	"bytes"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fastness/internal/secretbuf"
)

// guards are the arenas that a Linux kernel may leave us, by the kinds of
// memory it refuses.
var guards = map[string][]string{
	"memfd_secret": nil,
	"mlock":        {"memfd_secret"},
	"mmap":         {"memfd_secret", "mlock"},
}

func forEachGuard(t *testing.T, f func(t *testing.T, a *secretbuf.Arena)) {
	for guard, broken := range guards {
		t.Run(guard, func(t *testing.T) {
			a := secretbuf.NewArena(4, 64, broken...)
			if got := a.Guard(); got != guard {
				t.Fatalf("the guard is %q; this machine cannot run the test", got)
			}
			f(t, a)
		})
	}
}

func fill(c byte) []byte { return bytes.Repeat([]byte{c}, secretbuf.KeySize) }

func keyBytes(t *testing.T, k *secretbuf.Key) []byte {
	t.Helper()
	var got []byte
	if !k.Use(func(key []byte) { got = bytes.Clone(key) }) {
		t.Fatal("the key cannot be used")
	}
	return got
}

func TestKeysKeepApart(t *testing.T) {
	forEachGuard(t, func(t *testing.T, a *secretbuf.Arena) {
		var all []*secretbuf.Key
		for i := range byte(64) {
			src := fill(i + 1)
			all = append(all, a.NewKey(src))
			if !allZero(src) {
				t.Fatal("the source was not wiped")
			}
		}
		for i, k := range all {
			if got := keyBytes(t, k); !bytes.Equal(got, fill(byte(i)+1)) {
				t.Errorf("key %d holds %x", i, got)
			}
		}
		if a.Free() != 0 {
			t.Errorf("%d places are free, want none", a.Free())
		}
	})
}

func TestDestroyWipesAndPlacesAreReused(t *testing.T) {
	forEachGuard(t, func(t *testing.T, a *secretbuf.Arena) {
		for i := range 1000 {
			k := a.NewKey(fill(byte(i) | 1))
			place := secretbuf.Place(k)
			k.Destroy()
			k.Destroy()
			if !allZero(place[:]) {
				t.Fatal("Destroy left bytes")
			}
			if k.Use(func([]byte) { t.Error("a destroyed key was lent") }) {
				t.Error("Use of a destroyed key reports true")
			}
		}
		if a.Free() != 4 {
			t.Errorf("%d places are free, want the 4 of one mapping", a.Free())
		}
	})
}

func TestNilKey(t *testing.T) {
	for _, k := range []*secretbuf.Key{nil, {}} {
		k.Destroy()
		if k.Use(func([]byte) { t.Error("lent") }) {
			t.Error("Use reports true")
		}
	}
}

// TestDestroyWithinUse checks that a key stays whole until the last user, who
// may himself be the one to destroy it, has returned.
func TestDestroyWithinUse(t *testing.T) {
	a := secretbuf.NewArena(4, 4)
	k := a.NewKey(fill(7))
	place := secretbuf.Place(k)
	k.Use(func(outer []byte) {
		k.Use(func(inner []byte) {
			k.Destroy()
			if !bytes.Equal(inner, fill(7)) {
				t.Error("wiped under the inner user")
			}
		})
		if k.Use(func([]byte) {}) {
			t.Error("a destroyed key was lent again")
		}
		if !bytes.Equal(outer, fill(7)) || a.Free() != 3 {
			t.Error("wiped under the outer user")
		}
	})
	if !allZero(place[:]) || a.Free() != 4 {
		t.Error("not wiped after the last user")
	}
}

func TestUseSurvivesPanic(t *testing.T) {
	a := secretbuf.NewArena(4, 4)
	k := a.NewKey(fill(7))
	func() {
		defer func() { recover() }()
		k.Use(func([]byte) { panic("boom") })
	}()
	k.Destroy()
	if a.Free() != 4 {
		t.Error("a panic in Use keeps the key alive for ever")
	}
}

// TestConcurrentUseAndDestroy has readers race one destroyer over many keys:
// nobody may see anything but the whole key, every place must come back once.
func TestConcurrentUseAndDestroy(t *testing.T) {
	a := secretbuf.NewArena(4, 8)
	var torn atomic.Int64
	for round := range 500 {
		k, want := a.NewKey(fill(byte(round)|1)), fill(byte(round)|1)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for k.Use(func(key []byte) {
					if !bytes.Equal(key, want) {
						torn.Add(1)
					}
				}) {
				}
			})
		}
		for range 2 {
			wg.Go(k.Destroy)
		}
		wg.Wait()
	}
	if n := torn.Load(); n > 0 {
		t.Errorf("%d readers saw a key that was not theirs", n)
	}
	if a.Free() != 4 {
		t.Errorf("%d places are free, want 4", a.Free())
	}
}

func TestDroppedKeysAreDestroyed(t *testing.T) {
	a := secretbuf.NewArena(4, 4)
	for range 3 {
		a.NewKey(fill(7))
	}
	kept := a.NewKey(fill(9))
	deadline := time.Now().Add(10 * time.Second)
	for a.Free() != 3 && time.Now().Before(deadline) {
		runtime.GC()
		runtime.Gosched()
	}
	if a.Free() != 3 {
		t.Errorf("%d of 3 dropped keys were destroyed", a.Free())
	}
	if got := keyBytes(t, kept); !bytes.Equal(got, fill(9)) {
		t.Errorf("the live key holds %x", got)
	}
}

func TestKeyPanics(t *testing.T) {
	full := secretbuf.NewArena(4, 4)
	var keep []*secretbuf.Key
	for range 4 {
		keep = append(keep, full.NewKey(fill(1)))
	}
	for name, f := range map[string]func(){
		"short":     func() { secretbuf.NewKey(make([]byte, 31)) },
		"long":      func() { secretbuf.NewKey(make([]byte, 33)) },
		"too many":  func() { full.NewKey(fill(2)) },
		"no memory": func() { secretbuf.NewArena(4, 4, "memfd_secret", "mlock", "mmap").NewKey(fill(1)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
	runtime.KeepAlive(keep)
	// A panic must not leave the arena locked.
	keep[0].Destroy()
	full.NewKey(fill(3)).Destroy()
}

func TestGuardNamesTheWeakest(t *testing.T) {
	k := secretbuf.NewKey(fill(1))
	defer k.Destroy()
	if secretbuf.Guard() != "memfd_secret" || k.Guard() != "memfd_secret" {
		t.Errorf("the process has %q, the key %q: this kernel should have memfd_secret", secretbuf.Guard(), k.Guard())
	}
}

func BenchmarkKeyUse(b *testing.B) {
	k := secretbuf.NewKey(fill(1))
	defer k.Destroy()
	b.ReportAllocs()
	for b.Loop() {
		k.Use(func([]byte) {})
	}
}

func BenchmarkKeyNewDestroy(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		secretbuf.NewKey(make([]byte, secretbuf.KeySize)).Destroy()
	}
}
