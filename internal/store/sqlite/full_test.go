//go:build linux

package sqlite_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"fastness/internal/store"
	"fastness/internal/store/sqlite"
)

// smallDisk mounts a file system of its own.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("mounting a small tmpfs: %v\nthis test mounts a file system: run it as root, or in a user namespace:\n\tunshare --user --map-root-user --mount go test ./internal/store/sqlite", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestDiskFull fills the disk under concurrent writers. They are refused with
// ErrUnavailable, readers go on, nothing that was acknowledged is lost, and
// once there is room the same store serves again.
func TestDiskFull(t *testing.T) {
	dir := smallDisk(t, "3m")
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, CheckpointPages: 64, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	defer func() {
		if !closed {
			s.Close()
		}
	}()
	addKillTenant(t, s)
	// What others put on the disk takes half of the room, and can go.
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 3<<19), 0o600); err != nil {
		t.Fatal(err)
	}
	acknowledged := fillDisk(t, s, "a")
	if len(acknowledged) == 0 {
		t.Fatal("nothing fitted on the disk")
	}
	// A checkpoint may make some room again; then it is full once more.
	for i, refused := 0, 0; refused < 20; i += 3 {
		name := fmt.Sprintf("0-9-%d", i)
		err := writeNamed(t.Context(), s, name, 0)
		switch {
		case err == nil:
			acknowledged = append(acknowledged, name)
		case errors.Is(err, store.ErrUnavailable):
			refused++
		default:
			t.Fatalf("writing to the full disk: %v", err)
		}
	}
	verifyStore(t, s, acknowledged)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	more := fillDisk(t, s, "b")
	if len(more) == 0 {
		t.Fatal("nothing was served after there was room again")
	}
	acknowledged = append(acknowledged, more...)
	verifyStore(t, s, acknowledged)
	closed = true
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	verify(t, dir, acknowledged)
}

// fillDisk writes until every writer was refused.
func fillDisk(t *testing.T, s store.Store, round string) (acknowledged []string) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := 0; ; i += 3 { // the kind with a secret
				name := fmt.Sprintf("%d-%d-%d", round[0], g, i)
				if err := writeNamed(t.Context(), s, name, 0); err != nil {
					if !errors.Is(err, store.ErrUnavailable) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged, name)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return acknowledged
}

// TestOpenOnFullDisk: a store cannot be opened where there is no room, and can
// once there is.
func TestOpenOnFullDisk(t *testing.T) {
	dir := smallDisk(t, "1m")
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20-8<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir}); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("opening on a full disk: %v, %v", s, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s := open(t, sqlite.Config{Dir: dir})
	addKillTenant(t, s)
	// The file system can be unmounted only after this.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
