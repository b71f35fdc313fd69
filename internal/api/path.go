package api

import (
	"net/url"
	"slices"
	"strings"

	"fastness/internal/secret"
)

// unambiguous reports whether a path means the same to everybody who reads it:
// its encoding is the one that was sent, and none of its segments is empty or
// stands, in any spelling, for "this", "parent" or nothing.
//
// A segment that encodes a slash is fine: it is how names with slashes travel,
// and the mux splits before it decodes.
func unambiguous(u *url.URL) bool {
	escaped := u.EscapedPath()
	// If what was sent is not a valid encoding, EscapedPath encodes the decoded
	// path anew, in which an encoded slash has become a real one.
	if u.RawPath != "" && u.RawPath != escaped {
		return false
	}
	rest, ok := strings.CutPrefix(escaped, "/")
	if !ok {
		return false
	}
	if rest == "" {
		return true
	}
	for segment := range strings.SplitSeq(rest, "/") {
		if segment == "" || unroutable(segment) {
			return false
		}
	}
	return true
}

// unroutable reports whether an encoded segment is one of pathless once
// decoded.
func unroutable(segment string) bool {
	const longest = len("%2e%2e")
	if len(segment) > longest {
		return false
	}
	decoded, err := url.PathUnescape(segment)
	return err != nil || slices.Contains(pathless, decoded)
}

// pathless are the names that no path can carry: the dots because proxies
// resolve them in any spelling, and the slash alone because ServeMux takes it
// for a trailing one.
var pathless = []string{".", "..", "/"}

// checkPathName refuses names that could be stored but not addressed.
func checkPathName(name secret.Name) error {
	if slices.Contains(pathless, string(name)) {
		return secret.Invalid("name", `".", ".." and "/" are not allowed`)
	}
	return nil
}
