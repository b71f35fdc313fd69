package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fastness"
	"fastness/internal/rotation"
)

// fetchPeriod is how often a consumer fetches the credential and logs in.
const fetchPeriod = 20 * time.Millisecond

// consumer is a program that uses the credential while it rotates.
type consumer struct {
	r       *trial
	d       *deployment
	rotated atomic.Int64 // rotations that were finished so far
	asked   atomic.Int64 // those that were asked for

	mu       sync.Mutex // guards the rest
	logins   int
	failures int           // while a rotation was under way
	longest  time.Duration // from a failure to the next login that succeeds
	failing  time.Time     // since when; zero if it is not
	err      error         // what must not be
}

// run fetches and logs in until ctx ends.
func (c *consumer) run(ctx context.Context) {
	tick := time.NewTicker(fetchPeriod)
	defer tick.Stop()
	for ctx.Err() == nil {
		asked := c.asked.Load()
		settled := c.rotated.Load() == asked
		value, err := read(context.Background(), c.d, fastness.Selector{})
		worked := err == nil && c.r.logsIn(value)
		c.note(worked, settled && c.asked.Load() == asked, err)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// note counts an attempt; settled is one from before to after which no rotation
// was under way.
func (c *consumer) note(worked, settled bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = errors.Join(c.err, err)
	c.logins++
	switch {
	case worked && !c.failing.IsZero():
		c.longest, c.failing = max(c.longest, time.Since(c.failing)), time.Time{}
	case worked:
	case settled:
		c.err = errors.Join(c.err, fmt.Errorf("after rotation %d the credential does not log in", c.rotated.Load()))
	default:
		c.failures++
		if c.failing.IsZero() {
			c.failing = time.Now()
		}
	}
}

func (c *consumer) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logins
}

// consume has a credential rotate while somebody uses it.
func consume(t *testing.T, s subject, rotations int) {
	r := newTrial(t, s, nil)
	r.inside(func(ctx context.Context, d *deployment) error {
		c := &consumer{r: r, d: d}
		stopping, stop := context.WithCancel(ctx)
		var running sync.WaitGroup
		running.Go(func() { c.run(stopping) })
		var err error
		for range rotations {
			err = errors.Join(err, c.rotate(ctx))
		}
		stop()
		running.Wait()
		if c.err == nil && s.overlaps && c.failures > 0 {
			c.err = fmt.Errorf("%d failures, though the old credential goes on working", c.failures)
		}
		t.Logf("%d rotations, %d logins, %d failed while one was under way, the longest window %v", rotations, c.logins, c.failures, c.longest.Round(time.Millisecond))
		return errors.Join(err, c.err)
	})
}

// rotate rotates once, after the consumer has fetched what the last rotation
// made: it is not to be overtaken by two.
func (c *consumer) rotate(ctx context.Context) error {
	for fetched := c.count(); c.count() < fetched+3; {
		time.Sleep(time.Millisecond)
	}
	c.asked.Add(1)
	defer c.rotated.Add(1)
	if err := errors.Join(c.r.begin(ctx, c.d), c.d.Once(ctx)); err != nil {
		return err
	}
	if _, past, err := c.d.records(ctx); err != nil || past[0].State != rotation.StateFinished {
		return fmt.Errorf("the rotation is %s: %w", past[0].State, err)
	}
	return nil
}

// TestConsumer has a program fetch the credential and log in fifty times a
// second while it rotates: where two credentials overlap nothing ever fails,
// and elsewhere nothing once the rotation is finished.
func TestConsumer(t *testing.T) {
	of(t, changeable(t, few()), func(t *testing.T, s subject) { consume(t, s, 5) })
}
