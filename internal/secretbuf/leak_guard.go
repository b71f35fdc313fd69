//go:build leak_guard || measures_off

package secretbuf

// guardKeys is a measure that this build, made for tests alone, leaves out.
const guardKeys = false
