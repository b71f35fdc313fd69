package secret

import (
	"fmt"
	"runtime"
	"strings"
)

// Panicked is what may be logged of a panic: the type of what was passed to
// panic, and the functions and lines that led there. The value itself may hold
// anything, and the arguments that Go's own traces print may be keys. It is
// called by the deferred function that recovered.
func Panicked(p any) error { return fmt.Errorf("panic with a %T at %s", p, panicTrace()) }

// deepest is how many frames of a panic are named.
const deepest = 32

// panicTrace names them, from the one that panicked.
func panicTrace() string {
	pcs := make([]uintptr, deepest)
	const above = 5 // runtime.Callers, this, Panicked, the deferred function, runtime.gopanic
	frames := runtime.CallersFrames(pcs[:runtime.Callers(above, pcs)])
	var b strings.Builder
	for {
		f, more := frames.Next()
		fmt.Fprintf(&b, "%s:%d ", f.Function, f.Line)
		if !more {
			return strings.TrimSpace(b.String())
		}
	}
}
