//go:build leak_ciphers || measures_off

package secretbuf

// wipeCiphers is a measure that this build, made for tests alone, leaves out.
const wipeCiphers = false
