//go:build soak

package main_test

import (
	"testing"
	"time"
)

// TestSoakNodes is TestNodesUnderFaults with all faults, for a minute or more.
func TestSoakNodes(t *testing.T) {
	nodesUnderFaults(t, 64, time.Minute, []fault{
		pauseNode(0), killNode(1), cutNode(2, linkCut), {"database restarted", restartDatabase}, pauseNode(1),
		{"all cut off", cutAll}, killNode(2), cutNode(0, linkFrozen), pauseNode(2),
		{"database failed over", failOver}, killNode(0), {"all cut off again", cutAll},
	})
}
