//go:build soak

package main_test

import (
	"os"
	"strconv"
	"testing"
)

// killsVariable is how often TestSoakKill ends the server.
const killsVariable = "FASTNESS_SOAK_KILLS"

// TestSoakKill is TestKill for as long as patience lasts: 500 kills take some
// ten minutes.
func TestSoakKill(t *testing.T) {
	kills := 500
	if s := os.Getenv(killsVariable); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("%s=%s is no number of kills", killsVariable, s)
		}
		kills = n
	}
	killLoop(t, kills)
}
