//go:build !leak_drain && !measures_off

package api

// drainBodies has bodies that were refused read to their end.
const drainBodies = true
