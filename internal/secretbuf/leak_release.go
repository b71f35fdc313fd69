//go:build leak_release || measures_off

package secretbuf

// wipeReleased is a measure that this build, made for tests alone, leaves out.
const wipeReleased = false
