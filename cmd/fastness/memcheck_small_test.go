//go:build memcheck

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

// TestMemory is the memory check in small; TestMemcheck is in full.
func TestMemory(t *testing.T) {
	for name, encrypted := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, idle, busy := checkMemory(t, program, encrypted, small)
			expectNothing(t, s, idle, busy, small.connections)
		})
	}
}
