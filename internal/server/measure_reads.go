//go:build !leak_reads && !measures_off

package server

// clearReads has the connection clear what it is lent to read into.
const clearReads = true
