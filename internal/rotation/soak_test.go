//go:build soak

package rotation_test

import (
	"testing"
	"time"

	"fastness/internal/testservers"
)

// TestSoakProcessKilled kills the process at every point by every rotator and
// strategy over either store, and once more at every point of the way on from
// each state that the world and the journal can be in.
func TestSoakProcessKilled(t *testing.T) {
	for _, store := range []string{"embedded store", "PostgreSQL"} {
		t.Run(store, func(t *testing.T) {
			of(t, subjects(), func(t *testing.T, s subject) {
				var server *testservers.Server
				if store == "PostgreSQL" {
					server = testservers.Postgres(t)
				}
				start, r := time.Now(), newTrial(t, s, server)
				r.everywhere()
				for _, first := range []string{"after writing pending", "after setting", "after writing set", "after writing tested"} {
					r.again(first)
				}
				t.Logf("%d kills in %.0f s: finished with a credential that logs in, every step once in the audit log", r.kills, time.Since(start).Seconds())
			})
		})
	}
}

// TestSoakTargetCutOff is TestCutOffAnywhere for all subjects and faults.
func TestSoakTargetCutOff(t *testing.T) {
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			of(t, targeted(t, subjects()), func(t *testing.T, s subject) { cutOff(t, s, f) })
		})
	}
}

// TestSoakChangedBehindOurBack is TestHumanAnywhere and TestSpoiledAnywhere for
// all subjects.
func TestSoakChangedBehindOurBack(t *testing.T) {
	t.Run("and put", func(t *testing.T) { of(t, changeable(t, subjects()), human) })
	t.Run("and told nobody", func(t *testing.T) { of(t, changeable(t, subjects()), spoiled) })
}

// TestSoakTwoWorkers is TestTwoWorkersAnywhere for all subjects.
func TestSoakTwoWorkers(t *testing.T) {
	of(t, subjects(), func(t *testing.T, s subject) { twoWorkers(t, s, 0, 1, 2) })
}

// TestSoakConsumer is TestConsumer with a hundred rotations, for all subjects.
func TestSoakConsumer(t *testing.T) {
	for _, s := range changeable(t, subjects()) { // one after another: the window is measured
		t.Run(s.name, func(t *testing.T) { consume(t, s, 100) })
	}
}
