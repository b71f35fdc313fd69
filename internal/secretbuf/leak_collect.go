//go:build leak_collect || measures_off

package secretbuf

// collect is a measure that this build, made for tests alone, leaves out.
const collect = false
