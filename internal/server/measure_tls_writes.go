//go:build !leak_tls_writes && !measures_off

package server

// eraseWrites has TLS records made where what their making leaves is erased.
const eraseWrites = true
