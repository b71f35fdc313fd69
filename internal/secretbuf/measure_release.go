//go:build !leak_release && !measures_off

package secretbuf

// wipeReleased has buffers wiped when they are released.
const wipeReleased = true
