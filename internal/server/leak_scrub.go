//go:build leak_scrub || leak_reads || measures_off

package server

// scrubReader is a measure that this build, made for tests alone, leaves out. So
// does the one without clearReads: either finds what the other missed.
const scrubReader = false
