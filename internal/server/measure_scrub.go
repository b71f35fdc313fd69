//go:build !leak_scrub && !leak_reads && !measures_off

package server

// scrubReader has the reader of net/http scrubbed once a request is read.
const scrubReader = true
