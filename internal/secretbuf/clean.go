package secretbuf

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// KeepClean collects garbage a second after the last call of [Do] anywhere in
// the process, and every five seconds while calls go on, until ctx ends: what Do
// left on the heap is erased by the collector, and only by it. Collecting twice
// also overwrites registers that a signal saved, and empties pools. Without
// calls of Do it does nothing, and nothing at all in builds where collecting
// erases nothing; see [Erasing].
func KeepClean(ctx context.Context) {
	if Erasing != erasingRuntime || !collect {
		<-ctx.Done()
		return
	}
	process.keep(ctx, erase)
}

// erase collects, lets cleanups run, and collects again. crypto/ed25519 and
// crypto/ecdsa hold expanded keys in a cache from which a cleanup takes them when
// the key that they were made of is gone: only then are they garbage.
func erase() {
	cleaned := make(chan struct{})
	plantCleanup(cleaned)
	runtime.GC()
	select {
	case <-cleaned:
	case <-time.After(100 * time.Millisecond):
	}
	time.Sleep(10 * time.Millisecond) // for cleanups that were queued behind ours
	runtime.GC()
}

// plantCleanup makes garbage whose cleanup closes the channel.
//
//go:noinline
func plantCleanup(cleaned chan struct{}) {
	runtime.AddCleanup(new([32]byte), func(c chan struct{}) { close(c) }, cleaned)
}

// CleanSoon has KeepClean collect without waiting for a second of quiet, but not
// more often than that. It is for rare work that leaves long-lived keys behind,
// of which an idle process should not keep even for a second what it did by
// itself. Where KeepClean does not run it does nothing.
func CleanSoon() { process.hurry() }

// process is the cleaner of what Do leaves.
var process = newCleaner(time.Second, 5*time.Second)

// cleaner decides when to clean.
type cleaner struct {
	settled time.Duration // after the last use comes a cleaning
	longest time.Duration // for so long uses may put it off: else a steady trickle would for ever

	used   atomic.Bool // since keep last looked; it changes rarely, so that asking costs nothing
	woken  chan struct{}
	urgent chan struct{}
}

func newCleaner(settled, longest time.Duration) *cleaner {
	return &cleaner{settled: settled, longest: longest, woken: make(chan struct{}, 1), urgent: make(chan struct{}, 1)}
}

// use says that there is something to clean.
func (c *cleaner) use() {
	if c.used.Load() || c.used.Swap(true) {
		return
	}
	tell(c.woken)
}

// hurry says that it should be cleaned without waiting.
func (c *cleaner) hurry() {
	tell(c.urgent)
	tell(c.woken)
}

func tell(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is told already
	}
}

// keep cleans until ctx ends.
func (c *cleaner) keep(ctx context.Context, clean func()) {
	var last time.Time // of cleaning
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.woken:
		}
		if !c.settle(ctx, last) {
			return
		}
		// In this order: what is used from here on wakes the next round.
		for _, told := range []chan struct{}{c.woken, c.urgent} {
			select {
			case <-told:
			default:
			}
		}
		c.used.Store(false)
		clean()
		last = time.Now()
	}
}

// settle waits until it is time to clean; it reports false if ctx ends.
func (c *cleaner) settle(ctx context.Context, last time.Time) bool {
	for begun := time.Now(); ; {
		c.used.Store(false)
		select {
		case <-ctx.Done():
			return false
		case <-c.urgent:
			if time.Since(last) >= c.settled {
				return true
			}
		case <-time.After(c.settled):
		}
		quiet := !c.used.Load() && time.Since(begun) >= c.settled
		if quiet || time.Since(begun) >= c.longest {
			return true
		}
	}
}
