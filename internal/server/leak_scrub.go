//go:build leak_scrub || measures_off

package server

// scrubReader is a measure that this build, made for tests alone, leaves out.
const scrubReader = false
