package secretbuf_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fastness/internal/secretbuf"
)

// TestKeepClean counts collections over simulated time.
func TestKeepClean(t *testing.T) {
	const settled, longest = time.Second, 5 * time.Second
	synctest.Test(t, func(t *testing.T) {
		c := secretbuf.NewCleaner(settled, longest)
		ctx, cancel := context.WithCancel(t.Context())
		var collected atomic.Int32
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.Keep(ctx, func() { collected.Add(1) })
		}()
		after := func(d time.Duration, want int32, what string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if n := collected.Load(); n != want {
				t.Errorf("%s: %d collections, want %d", what, n, want)
			}
		}
		after(time.Hour, 0, "without a use")
		c.Use()
		after(settled/2, 0, "at once")
		after(settled, 1, "when it has settled")
		after(time.Hour, 1, "idle")
		for range 105 {
			c.Use()
			time.Sleep(settled / 10)
		}
		after(0, 3, "in ten seconds and a half of use")
		after(2*settled, 4, "after them")
		after(time.Hour, 4, "idle again")
		c.Hurry()
		after(0, 5, "in a hurry")
		for range 10 {
			c.Use()
			c.Hurry()
			time.Sleep(settled / 10)
		}
		after(0, 5, "ten times within a second")
		after(time.Hour, 6, "idle at last")
		cancel()
		<-done
	})
}
