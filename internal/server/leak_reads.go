//go:build leak_reads || measures_off

package server

// clearReads is a measure that this build, made for tests alone, leaves out.
const clearReads = false
