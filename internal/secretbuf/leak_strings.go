//go:build leak_strings || measures_off

package secretbuf

// wipeStrings is a measure that this build, made for tests alone, leaves out.
const wipeStrings = false
