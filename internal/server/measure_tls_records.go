//go:build !leak_tls_records && !measures_off

package server

// eraseReads has TLS records opened where what their opening leaves is erased,
// should an array be dropped that secretbuf.Records did not foresee.
const eraseReads = true
