package backup_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"

	"fastness/fastnesstest"
	"fastness/internal/backup"
	"fastness/internal/dump"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/testservers"
	"fastness/internal/vault"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// filled opens a vault with two secrets in it and a log.
func filled(t *testing.T) *fastnesstest.Fixture {
	t.Helper()
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	fastnesstest.Put(t, s, "a", "first")
	fastnesstest.Put(t, s, "a", "second")
	fastnesstest.Put(t, s, "b", "third")
	if _, err := f.Audit(f.Vault.Local(vault.Origin{}), "").Checkpoint(t.Context()); err != nil { // gives places
		t.Fatal(err)
	}
	return f
}

func identity(t *testing.T) (age.Identity, []age.Recipient) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id, []age.Recipient{id.Recipient()}
}

// TestScheduler backs up when it is due, verifies what it has made, keeps as
// many files as it is told, and tells the store.
func TestScheduler(t *testing.T) {
	f := filled(t)
	id, recipients := identity(t)
	dir := filepath.Join(t.TempDir(), "backups")
	clock := fastnesstest.NewClock()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	s := backup.Scheduler{Vault: f.Vault, Every: time.Hour, Dir: dir, Recipients: recipients, Keep: 2, Logger: slog.New(slog.DiscardHandler), Now: clock.Now, Look: time.Millisecond}
	go func() { defer close(done); s.Run(ctx) }()
	var last time.Time
	for range 4 {
		want := clock.Now().Truncate(time.Millisecond)
		for !last.Equal(want) {
			var err error
			if last, err = f.Vault.BackupVerified(t.Context()); err != nil {
				t.Fatal(err)
			}
			if t.Context().Err() != nil {
				t.Fatal("no backup is made")
			}
			time.Sleep(time.Millisecond)
		}
		clock.Advance(time.Hour)
	}
	cancel()
	<-done
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 2 || len(files) > 3 { // one more may have been under way
		t.Fatalf("%v, error %v; want the two newest", files, err)
	}
	check := backup.Verify{File: backup.File{Path: files[0], Identities: []age.Identity{id}}, Vault: f.Vault, Logger: s.Logger}
	got, err := check.Run(t.Context())
	if err != nil || got.Counts["version"] != 3 || got.Opened == 0 {
		t.Errorf("a scheduled backup holds %+v, error %v", got, err)
	}
	stats, err := f.Vault.Stats(t.Context())
	if err != nil || stats.Backup.Before(last) {
		t.Errorf("the newest backup is told to be of %v, error %v", stats.Backup, err)
	}
}

// TestTampering changes one row of a store at a time: an inspection finds each.
func TestTampering(t *testing.T) {
	f := filled(t)
	var rows []*dump.Row
	if err := f.Vault.Snapshot(t.Context(), func(r store.Reader) error {
		return dump.Read(r, func(row *dump.Row) error { rows = append(rows, row); return nil })
	}); err != nil {
		t.Fatal(err)
	}
	inspect := func(rows []*dump.Row) error {
		i := vault.NewInspector(fastnesstest.MasterKey(), nil)
		defer i.Close()
		for _, r := range rows {
			if err := i.Row(r); err != nil {
				return err
			}
		}
		_, err := i.End()
		return err
	}
	if err := inspect(rows); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kind   string
		change func(*dump.Row)
		want   error
	}{
		"value":      {"version", func(r *dump.Row) { r.Version.Ciphertext[20] ^= 1 }, secret.ErrDecryption},
		"envelope":   {"version", func(r *dump.Row) { r.Version.Envelope[20] ^= 1 }, secret.ErrDecryption},
		"moved":      {"version", func(r *dump.Row) { r.Version.Secret[0] ^= 1 }, secret.ErrDecryption},
		"key number": {"version", func(r *dump.Row) { r.Version.Version.Key = 9 }, secret.ErrDecryption},
		"kek":        {"key", func(r *dump.Row) { r.Key.KEK[30] ^= 1 }, secret.ErrDecryption},
		"record":     {"batch", func(r *dump.Row) { r.Batch.Records[0][15] ^= 1 }, vault.ErrBrokenLog},
		"places":     {"batch", func(r *dump.Row) { r.Batch.Places[1] ^= 1 }, vault.ErrBrokenLog},
		"order":      {"batch", func(r *dump.Row) { r.Batch.First++ }, vault.ErrBrokenLog},
		"tile":       {"tile", func(r *dump.Row) { r.Tile.Data[0] ^= 1 }, vault.ErrBrokenLog},
		"head":       {"run", func(r *dump.Row) { r.Run.Hash[0] ^= 1 }, vault.ErrBrokenLog},
		"run":        {"run", func(r *dump.Row) { r.Run.Run.First++ }, vault.ErrBrokenLog},
		"root":       {"tree", func(r *dump.Row) { r.Tree.Root[0] ^= 1 }, vault.ErrBrokenLog},
		"size":       {"tree", func(r *dump.Row) { r.Tree.Size++ }, vault.ErrBrokenLog},
	} {
		changed, found := make([]*dump.Row, len(rows)), false
		for i, r := range rows {
			line, err := r.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			if changed[i], err = dump.ParseRow(line); err != nil {
				t.Fatal(err)
			}
			if r.Kind() == c.kind && !found {
				found = true
				c.change(changed[i])
			}
		}
		if err := inspect(changed); !errors.Is(err, c.want) || !found {
			t.Errorf("%s: error is %v, want %v; found %v", name, err, c.want, found)
		}
	}
	if err := inspect(rows[:len(rows)-1]); !errors.Is(err, vault.ErrBrokenLog) {
		t.Errorf("without an end: %v", err)
	}
}

// TestCreateLeavesNothing: a backup that fails leaves no file, and one that is
// there is not overwritten.
func TestCreateLeavesNothing(t *testing.T) {
	f := filled(t)
	_, recipients := identity(t)
	dir := t.TempDir()
	create := backup.Create{Path: filepath.Join(dir, "b.age"), Recipients: recipients, Tenant: "nobody"}
	if _, err := create.From(t.Context(), f.Vault); !errors.Is(err, store.ErrAbsent) {
		t.Errorf("backing up a tenant that is not there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	create.Tenant = ""
	if _, err := create.From(ctx, f.Vault); err == nil {
		t.Error("a canceled backup was made")
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	create.Recipients = append(recipients, hybrid.Recipient())
	if _, err := create.From(t.Context(), f.Vault); err == nil {
		t.Error("a hybrid recipient was weakened by another")
	}
	create.Recipients = nil
	if _, err := create.From(t.Context(), f.Vault); err == nil {
		t.Error("a backup for nobody was made")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, error %v", left, err)
	}
	create.Recipients = recipients
	if _, err := create.From(t.Context(), f.Vault); err != nil {
		t.Fatal(err)
	}
	if _, err := create.From(t.Context(), f.Vault); !errors.Is(err, backup.ErrFileExists) {
		t.Errorf("a second backup of one name: %v", err)
	}
}
