package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/store/sqlite"
)

// TestStress mixes everything, with contexts that end at any moment, and then
// closes the store under those who still use it. An Update that said so is
// there, and one that was withdrawn or refused is not.
func TestStress(t *testing.T) {
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, CheckpointPages: 32, Readers: 2})
	if err != nil {
		t.Fatal(err)
	}
	addKillTenant(t, s)
	const goroutines, each = 24, 60
	var mu sync.Mutex
	there := make(map[string]bool)
	var wg, half sync.WaitGroup
	half.Add(goroutines)
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				if i == each/2 {
					half.Done()
				}
				name := fmt.Sprintf("%d-%d-%d", 1, g, 3*i)
				err := stressStep(t.Context(), s, name)
				if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, store.ErrUnavailable) {
					t.Error(err)
				}
				mu.Lock()
				there[name] = err == nil
				mu.Unlock()
			}
		})
	}
	half.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	again := open(t, sqlite.Config{Dir: dir})
	err = again.View(t.Context(), func(r store.Reader) error {
		for name, want := range there {
			_, err := r.Secrets(killTenant).Secret(secret.Name(name))
			if got := err == nil; got != want {
				t.Errorf("%s: there: %v, acknowledged: %v (%v)", name, got, want, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// stressStep does something at random beside writing the secret of this name.
func stressStep(ctx context.Context, s store.Store, name string) error {
	var err error
	switch rand.IntN(8) {
	case 0:
		err = s.Scrub(ctx)
	case 1:
		_, err = s.Stats(ctx)
	case 2, 3, 4:
		err = s.View(ctx, func(r store.Reader) error {
			_, err := r.Secrets(killTenant).List(store.Query{Limit: 20})
			return err
		})
	}
	if err != nil && !errors.Is(err, store.ErrUnavailable) {
		return fmt.Errorf("beside writing: %w", err)
	}
	if rand.IntN(3) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(2000))*time.Microsecond)
		defer cancel()
	}
	return writeNamed(ctx, s, name, 0)
}
