//go:build goexperiment.runtimesecret

package secretbuf

import "runtime/secret"

// Erasing tells how this build cleans up after [Do], as a name for the
// operator: "runtime" when the Go runtime erases stack, registers and, at its
// next collection, heap; "stack" when only the stack is overwritten.
const Erasing = "runtime"

// Do calls f and erases what it leaves behind: registers and stack before Do
// returns, also when f panics; allocations that f made when the garbage
// collector finds them dead. It costs some 50 ns and some 400 ns for each
// allocation in f, so results are best allocated before. It does not cover
// goroutines that f starts, nor globals.
func Do(f func()) { secret.Do(f) }
