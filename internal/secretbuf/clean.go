package secretbuf

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// When KeepClean collects.
const (
	// settled is how long after the last Do the memory is cleaned.
	settled = time.Second
	// longest is how long that may be put off by further calls of Do, so that a
	// steady trickle of requests does not put it off for ever.
	longest = 5 * time.Second
)

// used says that Do was called since KeepClean last looked; it changes rarely,
// so that asking costs nothing. woken tells KeepClean when it becomes true.
var (
	used  atomic.Bool
	woken = make(chan struct{}, 1)
)

func use() {
	if used.Load() || used.Swap(true) {
		return
	}
	select {
	case woken <- struct{}{}:
	default:
	}
}

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
	keepClean(ctx, settled, longest, func() { runtime.GC(); runtime.GC() })
}

func keepClean(ctx context.Context, settled, longest time.Duration, collect func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-woken:
		}
		for begun := time.Now(); ; {
			used.Store(false)
			select {
			case <-ctx.Done():
				return
			case <-time.After(settled):
			}
			if !used.Load() || time.Since(begun) >= longest {
				break
			}
		}
		collect()
	}
}
