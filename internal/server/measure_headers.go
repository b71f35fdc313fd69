//go:build !leak_headers && !measures_off

package server

// takeCredentials has credentials kept from net/http until a handler begins.
const takeCredentials = true
