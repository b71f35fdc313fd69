package secretbuf

import "sync"

const (
	// chunkKeys keys share one mapping, 16 KiB: few mappings and descriptors,
	// little locked memory in a process that needs a handful of keys.
	chunkKeys = 512
	// maxKeys bounds guarded memory to 4 MiB, half of the usual RLIMIT_MEMLOCK
	// and ten times what the caches above hold.
	maxKeys = 128 << 10
)

// The guards, best first.
const (
	guardSecret = "memfd_secret"
	guardLocked = "mlock"
	guardMapped = "mmap"
	guardHeap   = "heap"
)

// mapper gets n bytes of zeroed memory of one kind, or says why it cannot.
type mapper struct {
	guard string
	alloc func(n int) ([]byte, error)
}

// keys is where NewKey puts all keys of the process. It is global because what
// it spends is: the process's limit of locked memory.
var keys = &arena{mappers: mappers(), chunk: chunkKeys, limit: maxKeys}

// Guard tells what guards keys of this process, as a name for the operator:
//
//   - "memfd_secret": pages that the kernel itself cannot read: absent from
//     every core dump, unreadable through /proc/PID/mem, never swapped
//   - "mlock": never swapped, left out of the kernel's core dumps; a debugger
//     run by root reads them
//   - "mmap": as mlock, but may be swapped: the limit on locked memory is used up
//   - "heap": ordinary memory, on systems other than Linux
//
// When different keys have different guards it names the weakest.
func Guard() string { return keys.weakest() }

// arena packs keys into few mappings. Mappings are never given back to the
// system, places within them are used again. Safe for concurrent use.
type arena struct {
	mappers []mapper // best first; read only
	chunk   int      // keys in a mapping; read only
	limit   int      // most keys; read only

	// mu guards what follows, for the time of a list operation and now and
	// then of a few system calls; Use never takes it.
	mu    sync.Mutex
	free  []place
	total int // places in use or free
	worst int // index into mappers of the weakest in use
}

// place is room for one key.
type place struct {
	key   *[KeySize]byte
	guard string
}

// take returns a place with zeros.
func (a *arena) take() *slot {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.free) == 0 {
		a.growLocked()
	}
	last := len(a.free) - 1
	p := a.free[last]
	a.free = a.free[:last]
	return &slot{place: p, from: a}
}

// give takes back a wiped place.
func (a *arena) give(p place) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.free = append(a.free, p)
}

// growLocked adds a mapping of the best kind that is to be had now. It tries
// the best first each time: a limit that was raised helps at once.
func (a *arena) growLocked() {
	if a.total+a.chunk > a.limit {
		panic("secretbuf: too many keys are alive: a leak")
	}
	for i, m := range a.mappers {
		mem, err := m.alloc(a.chunk * KeySize)
		if err != nil {
			continue
		}
		for n := a.chunk - 1; n >= 0; n-- {
			a.free = append(a.free, place{(*[KeySize]byte)(mem[n*KeySize:]), m.guard})
		}
		a.total += a.chunk
		a.worst = max(a.worst, i)
		return
	}
	panic("secretbuf: no memory for keys")
}

// weakest names the weakest guard in use, mapping the first pages if there are
// none yet.
func (a *arena) weakest() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.total == 0 {
		a.growLocked()
	}
	return a.mappers[a.worst].guard
}
