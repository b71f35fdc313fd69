//go:build !linux

package secretbuf

// wipeEnvironBlock does nothing: only Linux tells where the block is.
func wipeEnvironBlock(string) {}
