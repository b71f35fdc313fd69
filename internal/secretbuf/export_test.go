package secretbuf

// Arena lets tests choose the kind of memory.
type Arena struct{ a *arena }

// NewArena makes an arena that has only the kinds of memory not in broken.
func NewArena(chunk, limit int, broken ...string) *Arena {
	a := &arena{chunk: chunk, limit: limit}
	for _, m := range mappers() {
		failing := m
		for _, name := range broken {
			if m.guard == name {
				failing.alloc = func(int) ([]byte, error) { return nil, ErrTooLong }
			}
		}
		a.mappers = append(a.mappers, failing)
	}
	return &Arena{a}
}

// NewKey makes a key in the arena.
func (a *Arena) NewKey(b []byte) *Key { return a.a.newKey(b) }

// Guard is the package function for this arena.
func (a *Arena) Guard() string { return a.a.weakest() }

// Free counts the unused places.
func (a *Arena) Free() int {
	a.a.mu.Lock()
	defer a.a.mu.Unlock()
	return len(a.a.free)
}

// Place returns the memory of a key for inspection.
func Place(k *Key) *[KeySize]byte { return k.slot().key }

// Memory returns the whole memory of a Buffer, spare capacity included, which
// stays readable after Release.
func Memory(b *Buffer) []byte {
	m := b.state().b
	return m[:cap(m)]
}

// Cleaner decides when to collect.
type Cleaner = cleaner

// NewCleaner makes one of its own.
var NewCleaner = newCleaner

// Use is what Do tells it.
func (c *cleaner) Use() { c.use() }

// Hurry is CleanSoon.
func (c *cleaner) Hurry() { c.hurry() }
