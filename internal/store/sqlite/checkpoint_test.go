package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"fastness/internal/store"
)

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// TestLogStaysSmall writes many times what the log may hold, with readers
// coming and going all the while.
func TestLogStaysSmall(t *testing.T) {
	const pages, page = 64, 4096
	s := openTest(t, Config{CheckpointPages: pages})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for ctx.Err() == nil {
				err := s.View(t.Context(), func(r store.Reader) error { _, err := r.Tenants().Count(); return err })
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	value := make([]byte, 16*page)
	var largest int64
	for i := range 40 * pages / 16 {
		if err := s.Update(ctx, func(tx store.Tx) error { return tx.SetMeta(fmt.Sprint(i), nil, value) }); err != nil {
			t.Fatal(err)
		}
		stats, err := s.Stats(ctx)
		if err != nil {
			t.Fatal(err)
		}
		largest = max(largest, stats.LogBytes)
	}
	cancel()
	wg.Wait()
	if most := int64(10 * pages * page); largest > most {
		t.Errorf("the log grew to %d bytes, want at most %d", largest, most)
	}
}

// TestScrubWaits: Scrub waits for the reader of an older snapshot, as long as
// its context lasts, and leaves an empty log.
func TestScrubWaits(t *testing.T) {
	s := openTest(t, Config{})
	write := func(key string) {
		t.Helper()
		if err := set(s, t.Context(), key, nil)(); err != nil {
			t.Fatal(err)
		}
	}
	write("a")
	err := s.View(t.Context(), func(r store.Reader) error {
		if _, err := r.Tenants().Count(); err != nil { // the snapshot starts here
			return err
		}
		write("b")
		short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := s.Scrub(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("scrubbing under a reader: %v", err)
		}
		write("c") // the writer was let go
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	stats, err := s.Stats(t.Context())
	if err != nil || stats.LogBytes != 0 {
		t.Errorf("the log has %d bytes, %v", stats.LogBytes, err)
	}
	write("d")
}
