//go:build !leak_environ && !measures_off

package secretbuf

// wipeEnviron has variables overwritten that held the root key.
const wipeEnviron = true
