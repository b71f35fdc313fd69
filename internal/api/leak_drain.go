//go:build leak_drain || measures_off

package api

// drainBodies is a measure that this build, made for tests alone, leaves out.
const drainBodies = false
