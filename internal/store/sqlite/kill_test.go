package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/store/sqlite"
)

// writePart writes as fast as it can, until it is killed, and prints the name
// of each operation once the store has acknowledged it.
func writePart(dir string) int {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: dir, CheckpointPages: 64})
	if err != nil {
		fmt.Println("cannot open:", err)
		return 1
	}
	failed := make(chan error)
	for g := range 32 {
		go func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%d-%d-%d", os.Getpid(), g, i)
				if err := writeNamed(ctx, s, name, i%3); err != nil {
					failed <- err
				}
				fmt.Println(name) // one write, straight to the pipe
			}
		}()
	}
	fmt.Println("failed:", <-failed)
	return 1
}

// writeNamed leaves a record, and in one of the kinds a secret with its version.
func writeNamed(ctx context.Context, s store.Store, name string, kind int) error {
	r, err := audit.NewRecord(audit.Entry{Timestamp: testTime, Action: audit.Create, Result: audit.Success, CorrelationID: name})
	if err != nil {
		return err
	}
	if kind > 0 {
		return s.Record(ctx, r)
	}
	return s.Update(ctx, func(tx store.Tx) error {
		tx.Audit(r)
		return addSecret(tx, killTenant, secret.Name(name), testTime)
	})
}

var killTenant = secret.TenantID{1, 2, 3}

func addKillTenant(t *testing.T, s store.Store) {
	t.Helper()
	err := s.Update(t.Context(), func(tx store.Tx) error {
		return tx.EditTenants().Create(&store.Tenant{ID: killTenant, Name: "acme", Account: "000000000001", Algorithm: secret.AES256GCM})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestKill kills the writing process again and again: whatever it had
// acknowledged is there, whole, with its record.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	addKillTenant(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var acknowledged []string
	for range 8 {
		acknowledged = append(acknowledged, killed(t, dir, 50+rand.IntN(1500))...)
		verify(t, dir, acknowledged)
	}
	t.Logf("%d operations were acknowledged", len(acknowledged))
}

// killed runs the writing process until it has acknowledged n operations, kills
// it, and returns all that it had acknowledged.
func killed(t *testing.T, dir string, n int) (names []string) {
	t.Helper()
	cmd := play(t, "write", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), ":") {
			t.Fatal(lines.Text())
		}
		if names = append(names, lines.Text()); len(names) == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd.Wait() // reports that it was killed
	return names
}

func verify(t *testing.T, dir string, acknowledged []string) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	verifyStore(t, s, acknowledged)
}

func verifyStore(t *testing.T, s store.Store, acknowledged []string) {
	t.Helper()
	err := s.View(t.Context(), func(r store.Reader) error {
		recorded, err := recordedNames(r)
		if err != nil {
			return err
		}
		for _, name := range acknowledged {
			if recorded[name] != 1 {
				return fmt.Errorf("%d records of the acknowledged operation %s", recorded[name], name)
			}
		}
		return verifySecrets(r, acknowledged, recorded)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func recordedNames(r store.Reader) (map[string]int, error) {
	recorded := make(map[string]int)
	batches, err := r.Log().Pending(1 << 30)
	for _, b := range batches {
		for _, rec := range b.Records {
			e, err := rec.Entry()
			if err != nil {
				return nil, err
			}
			recorded[e.CorrelationID]++
		}
	}
	return recorded, err
}

// verifySecrets expects every secret to have its version and its record, and
// every acknowledged one to be there.
func verifySecrets(r store.Reader, acknowledged []string, recorded map[string]int) error {
	list, err := r.Secrets(killTenant).List(store.Query{Limit: 1 << 30})
	if err != nil {
		return err
	}
	there := make(map[string]bool)
	for _, s := range list {
		name := string(s.Name)
		there[name] = true
		if _, err := r.Secrets(killTenant).Version(s.ID, 1); err != nil || recorded[name] != 1 {
			return fmt.Errorf("secret %s has %d records; its version: %w", name, recorded[name], err)
		}
	}
	for _, name := range acknowledged {
		var pid, g, i int
		if _, err := fmt.Sscanf(name, "%d-%d-%d", &pid, &g, &i); err != nil {
			return err
		}
		if i%3 == 0 && !there[name] {
			return fmt.Errorf("the acknowledged secret %s is not there", name)
		}
	}
	return nil
}
