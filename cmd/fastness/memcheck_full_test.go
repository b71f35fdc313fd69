//go:build memcheck

package main_test

import "testing"

// TestMemcheck is the check in full: `make memcheck`.
func TestMemcheck(t *testing.T) {
	for name, encrypted := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			s, idle, busy := checkMemory(t, program, encrypted, full)
			expectNothing(t, s, idle, busy, full.connections)
		})
	}
}

// TestMemcheckUsers is the same for programs that use the Go client or the
// library.
func TestMemcheckUsers(t *testing.T) {
	t.Run("client, plain", func(t *testing.T) { checkClient(t, false, full) })
	t.Run("client, TLS", func(t *testing.T) { checkClient(t, true, full) })
	t.Run("library", func(t *testing.T) { checkLibrary(t, full) })
}

// TestMemcheckCommands is the same for commands as they exit.
func TestMemcheckCommands(t *testing.T) {
	t.Run("plain", func(t *testing.T) { checkCommands(t, false) })
	t.Run("TLS", func(t *testing.T) { checkCommands(t, true) })
}

// TestMemcheckLeaks builds Fastness without each measure in turn.
func TestMemcheckLeaks(t *testing.T) {
	for _, l := range leaks {
		t.Run(l.tag, func(t *testing.T) { l.check(t, full) })
	}
}
