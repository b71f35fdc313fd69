//go:build !leak_strings && !measures_off

package secretbuf

// wipeStrings has strings overwritten that held credentials.
const wipeStrings = true
