//go:build !leak_guard && !measures_off

package secretbuf

// guardKeys has keys in pages that the kernel itself cannot read.
const guardKeys = true
