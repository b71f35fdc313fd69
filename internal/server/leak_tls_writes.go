//go:build leak_tls_writes || measures_off

package server

// eraseWrites is a measure that this build, made for tests alone, leaves out.
const eraseWrites = false
