//go:build leak_drain || measures_off

package server

// drainBodies is a measure that this build, made for tests alone, leaves out.
const drainBodies = false
