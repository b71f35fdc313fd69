//go:build goexperiment.runtimesecret && !leak_erase && !leak_ciphers && !measures_off

package secretbuf

import "runtime/secret"

// Erasing tells how this build cleans up after [Do], as a name for the
// operator: "runtime" when the Go runtime erases stack, registers and, at its
// next collection, heap; "stack" when only the stack is overwritten.
const Erasing = erasingRuntime

func do(f func()) { secret.Do(f) }
