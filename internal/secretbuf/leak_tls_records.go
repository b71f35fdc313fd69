//go:build leak_tls_records || measures_off

package secretbuf

// oneRecord is a measure that this build, made for tests alone, leaves out.
const oneRecord = false
