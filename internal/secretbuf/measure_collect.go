//go:build !leak_collect && !measures_off

package secretbuf

// collect has garbage collected soon after Do.
const collect = true
