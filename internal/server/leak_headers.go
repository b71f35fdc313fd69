//go:build leak_headers || measures_off

package server

// takeCredentials is a measure that this build, made for tests alone, leaves out.
const takeCredentials = false
