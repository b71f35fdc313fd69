//go:build leak_ciphers || measures_off

package secretbuf

// wipeCiphers is a measure that this build, made for tests alone, leaves out, and
// Do with it, which erases most ciphers too.
const wipeCiphers = false
