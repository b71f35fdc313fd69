//go:build !leak_drain && !measures_off

package server

// drainBodies has bodies read to their end, or cut off, before net/http does.
const drainBodies = true
