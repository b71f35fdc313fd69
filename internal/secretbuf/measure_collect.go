//go:build !leak_collect && !measures_off

package secretbuf

// collect has KeepClean collect garbage.
const collect = true
