//go:build leak_tls_reads || measures_off

package secretbuf

// clearRecords is a measure that this build, made for tests alone, leaves out.
const clearRecords = false
