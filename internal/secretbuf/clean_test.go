package secretbuf_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fastness/internal/secretbuf"
)

// TestCleaner counts cleanings over simulated time.
func TestCleaner(t *testing.T) {
	const settled, longest = time.Second, 5 * time.Second
	synctest.Test(t, func(t *testing.T) {
		var cleaned atomic.Int32
		var c *secretbuf.Cleaner
		c = secretbuf.NewCleaner(settled, longest, func() {
			if cleaned.Add(1) == 2 {
				c.Use() // what is used while it is cleaned counts for the next time
			}
		})
		after := func(d time.Duration, want int32, what string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if n := cleaned.Load(); n != want {
				t.Errorf("%s: %d cleanings, want %d", what, n, want)
			}
		}
		after(time.Hour, 0, "without a use")
		c.Use()
		after(settled/2, 0, "at once")
		after(settled, 1, "when it has settled")
		after(time.Hour, 1, "idle")
		c.Use()
		after(5*settled, 3, "used while it was cleaned")
		for range 105 {
			c.Use()
			time.Sleep(settled / 10)
		}
		after(0, 5, "in ten seconds and a half of use")
		after(2*settled, 6, "after them")
		after(time.Hour, 6, "idle again")
		c.Hurry()
		after(0, 7, "in a hurry")
		for range 10 {
			c.Hurry()
			time.Sleep(settled / 20)
		}
		after(0, 7, "ten times within half a second")
		after(2*settled, 8, "after them")
		after(time.Hour, 8, "idle at last")
	})
}
