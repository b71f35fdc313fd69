//go:build leak_environ || measures_off

package secretbuf

// wipeEnviron is a measure that this build, made for tests alone, leaves out.
const wipeEnviron = false
