//go:build !goexperiment.runtimesecret && !leak_erase && !leak_ciphers && !measures_off

package secretbuf

// Erasing tells how this build cleans up after [Do], as a name for the
// operator: "runtime" when the Go runtime erases stack, registers and, at its
// next collection, heap; "stack" when only the stack is overwritten.
const Erasing = erasingStack

// scrubbed is how much stack below it do overwrites: more than any standard
// library cipher, hash or key derivation uses at once.
const scrubbed = 8 << 10

func do(f func()) {
	// Growing the stack first keeps f from moving it, which would leave an
	// old copy behind.
	scrubStack()
	defer scrubStack()
	f()
}

// scrubStack overwrites the stack below its caller.
//
//go:noinline
func scrubStack() {
	var frame [scrubbed]byte
	wipeFrame(&frame)
}

// wipeFrame keeps the compiler from dropping the frame as unused.
//
//go:noinline
func wipeFrame(frame *[scrubbed]byte) { clear(frame[:]) }
