package secretbuf

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// What Do leaves on the heap is erased by the garbage collector, and only by it.
// So a second after the last call of Do in the process garbage is collected, and
// every five seconds while calls go on. Nothing has to be started or stopped for
// that, and without calls of Do nothing happens; nor in builds where collecting
// erases nothing.

// CleanSoon has garbage collected without waiting for a second of quiet, but not
// more often than that. It is for rare work with long-lived keys that a process
// does by itself: while idle it should not keep them for even a second.
func CleanSoon() {
	if cleans {
		process.hurry()
	}
}

// Clean erases now what Do has left, before it returns: for a command that is
// about to end. It costs some milliseconds in a small process, and nothing where
// there is nothing to erase.
func Clean() {
	if cleans && process.armed.Load() {
		do(func() {}) // for this thread's registers, which a signal may yet save
		collectTwice()
	}
}

// cleans says whether collecting erases anything.
const cleans = Erasing == erasingRuntime && collect

// process is the cleaner of what Do leaves.
var process = newCleaner(time.Second, 5*time.Second, erase)

// cleaner decides when to clean. It has a timer while there is something to
// clean, and no goroutine.
type cleaner struct {
	settled time.Duration // after the last use comes a cleaning
	longest time.Duration // for so long uses may put it off: else a steady trickle would for ever
	clean   func()

	used  atomic.Bool // since the timer last looked; it changes rarely, so that asking costs nothing
	armed atomic.Bool // a timer runs, or cleaning does

	mu    sync.Mutex // guards the rest
	timer *time.Timer
	begun time.Time // of what is to be cleaned
	last  time.Time // end of the last cleaning
	rush  bool      // the timer should not wait for quiet
}

func newCleaner(settled, longest time.Duration, clean func()) *cleaner {
	return &cleaner{settled: settled, longest: longest, clean: clean}
}

// use says that there is something to clean.
func (c *cleaner) use() {
	if !c.used.Load() && !c.used.Swap(true) {
		c.arm()
	}
}

// arm sets the timer, unless it is set.
func (c *cleaner) arm() {
	if !c.armed.CompareAndSwap(false, true) {
		return // whoever disarms it asks for uses afterwards
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used.Store(false) // only what comes after this one puts it off
	c.begun = time.Now()
	c.timer = time.AfterFunc(c.settled, c.look)
}

// hurry is use without waiting for quiet.
func (c *cleaner) hurry() {
	c.use()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil && time.Since(c.last) >= c.settled {
		c.rush = true
		c.timer.Reset(0)
	}
}

// look is the timer's: it cleans, or waits on.
func (c *cleaner) look() {
	if c.waits() {
		return
	}
	c.clean()
	c.mu.Lock()
	c.last = time.Now()
	c.mu.Unlock()
	c.armed.Store(false)
	if c.used.Load() { // while it was cleaned
		c.arm()
	}
}

// waits reports whether it is not yet time to clean, and has set the timer
// again. If it is time, uses from now on are for the next cleaning.
func (c *cleaner) waits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer == nil {
		return true // two came at once
	}
	if c.used.Swap(false) && !c.rush && time.Since(c.begun) < c.longest {
		c.timer.Reset(c.settled)
		return true
	}
	c.timer, c.rush = nil, false
	return false
}

// erase collects, lets cleanups run, and collects again. crypto/ed25519 and
// crypto/ecdsa hold expanded keys in a cache from which a cleanup takes them when
// the key that they were made of is gone: only then are they garbage. The second
// collection also overwrites registers that a signal saved, and empties pools.
func erase() {
	var cleaned atomic.Bool
	plantCleanup(&cleaned)
	runtime.GC()
	for range 10 {
		time.Sleep(10 * time.Millisecond) // once more for cleanups that were queued behind ours
		if cleaned.Load() {
			break
		}
	}
	runtime.GC()
}

// collectTwice is erase without waiting for cleanups: for who has no private key
// that crypto/ed25519 or crypto/ecdsa would have expanded.
func collectTwice() {
	runtime.GC()
	runtime.GC()
}

// plantCleanup makes garbage whose cleanup sets the flag.
//
//go:noinline
func plantCleanup(cleaned *atomic.Bool) {
	runtime.AddCleanup(new([32]byte), func(cleaned *atomic.Bool) { cleaned.Store(true) }, cleaned)
}
