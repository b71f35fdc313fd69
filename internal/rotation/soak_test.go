//go:build soak

package rotation_test

import (
	"testing"
	"time"

	"fastness/internal/testservers"
)

// TestSoakProcessKilled kills the process at every point by every rotator and
// strategy, over either store.
func TestSoakProcessKilled(t *testing.T) {
	overStores(t, func(r *trial) { r.everywhere() })
}

// TestSoakProcessKilledAgain kills it in each state that the world and the
// journal can be in, and once more at every point of the way on from there.
func TestSoakProcessKilledAgain(t *testing.T) {
	overStores(t, func(r *trial) {
		for _, first := range []string{"after writing pending", "after setting", "after writing set", "after writing tested"} {
			r.again(first)
		}
	})
}

// overStores runs trials of all subjects over either store.
func overStores(t *testing.T, f func(*trial)) {
	stores := map[string]func(testing.TB) *testservers.Server{
		"embedded store": func(testing.TB) *testservers.Server { return nil },
		"PostgreSQL":     testservers.Postgres,
	}
	for store, server := range stores {
		t.Run(store, func(t *testing.T) {
			of(t, subjects(), func(t *testing.T, s subject) {
				start, r := time.Now(), newTrial(t, s, server(t))
				f(r)
				t.Logf("%s over %s: %d kills in %.0f s, each rotation finished with a credential that logs in and each step once in the audit log",
					s.name, store, r.kills, time.Since(start).Seconds())
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

// TestSoakTwoWorkers stops a worker at every point for longer than its lease
// lasts. Another one finishes, and begins and finishes further rotations too;
// then the first one goes on, and does no harm.
func TestSoakTwoWorkers(t *testing.T) {
	of(t, subjects(), func(t *testing.T, s subject) { twoWorkers(t, s, 0, 1, 2) })
}

// TestSoakTwoWorkersAtOnce is TestTwoWorkersAtOnce for all subjects.
func TestSoakTwoWorkersAtOnce(t *testing.T) {
	of(t, subjects(), competing)
}

// TestSoakConsumer is TestConsumer with a hundred rotations, for all subjects.
func TestSoakConsumer(t *testing.T) {
	for _, s := range changeable(t, subjects()) { // one after another: the window is measured
		t.Run(s.name, func(t *testing.T) { consume(t, s, 100) })
	}
}
