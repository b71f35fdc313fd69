//go:build !leak_ciphers && !measures_off

package secretbuf

// wipeCiphers has ciphers wiped after use.
const wipeCiphers = true
