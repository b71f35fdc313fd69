//go:build !leak_tls_records && !measures_off

package secretbuf

// oneRecord has Records hand over one record at a time.
const oneRecord = true
