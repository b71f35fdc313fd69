//go:build !linux

package secretbuf

// Harden does nothing on this system.
func Harden() error { return nil }

// HardenUntilExec does nothing on this system.
func HardenUntilExec() error { return nil }
