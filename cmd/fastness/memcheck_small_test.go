package main_test

import (
	"testing"
	"time"
)

// small is the check in what time a test may take.
var small = scale{
	standard: standard{values: 64, reads: 10, connections: 16},
	hostile:  3, others: 1, idle: 5 * time.Second,
}

// TestMemory is the memory check in small; TestMemcheck is in full. Of cores
// one transport will do.
func TestMemory(t *testing.T) {
	for name, encrypted := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			load := small
			load.cores = encrypted
			s, idle, busy := checkMemory(t, program, encrypted, load)
			expectNothing(t, s, idle, busy, load.connections)
		})
	}
}

// TestMemoryLeaks is the check of the check, in small: without a measure it must
// find what that measure is for.
func TestMemoryLeaks(t *testing.T) {
	for _, l := range leaks {
		if l.small {
			t.Run(l.tag, func(t *testing.T) {
				t.Parallel()
				l.check(t, small)
			})
		}
	}
}
