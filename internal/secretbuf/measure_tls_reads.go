//go:build !leak_tls_reads && !measures_off

package secretbuf

// clearRecords has Records clear what crypto/tls lends it.
const clearRecords = true
