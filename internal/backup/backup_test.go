package backup_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"

	"fastness/fastnesstest"
	"fastness/internal/audit"
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

// archived is filled with a log of which more than some tiles' worth was archived.
func archived(t *testing.T) *fastnesstest.Fixture {
	t.Helper()
	f := filled(t)
	log := f.Audit(f.Vault.Local(vault.Origin{}), "")
	for i := range 600 {
		f.Tenant(t, secret.TenantName([]string{"acme", "beta"}[i%2])).Describe(t.Context(), "a")
	}
	checkpoint := func() {
		if _, err := log.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.Clock.Advance(time.Hour)
	}
	checkpoint()
	cut := f.Clock.Now()
	fastnesstest.Put(t, f.Tenant(t, "acme"), "a", "fourth")
	checkpoint()
	var segment bytes.Buffer
	if err := log.Segment(t.Context(), &segment, cut); err != nil {
		t.Fatal(err)
	}
	keys, err := log.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v, err := audit.NewSegmentVerifier(keys)
	if err != nil {
		t.Fatal(err)
	}
	s, err := v.Verify(&segment)
	if err != nil {
		t.Fatal(err)
	}
	state, err := log.Archive(t.Context(), vault.Archived{From: s.FromIndex, To: s.ToIndex, Root: s.Root, Digest: s.Digest})
	if err != nil || state.Size < 600 {
		t.Fatalf("archived %+v, error %v", state, err)
	}
	return f
}

// TestTampering changes one row of a store at a time: an inspection finds each.
func TestTampering(t *testing.T) { testTampering(t, filled(t)) }

// TestTamperingArchived does so with a log whose beginning was archived.
func TestTamperingArchived(t *testing.T) {
	testTampering(t, archived(t), tampered{
		"archive size":  {"archive", func(r *dump.Row) { r.Archive.Size++ }, vault.ErrBrokenLog},
		"archive edge":  {"archive", func(r *dump.Row) { r.Archive.Edge[0][0] ^= 1 }, vault.ErrBrokenLog},
		"archived head": {"head", func(r *dump.Row) { r.Head.Hash[0] ^= 1 }, vault.ErrBrokenLog},
		"head":          {"run", func(r *dump.Row) { r.Run.Last++ }, vault.ErrBrokenLog}, // the first of many runs: its hash is nobody's head
		"archived seq":  {"head", func(r *dump.Row) { r.Head.Seq++ }, vault.ErrBrokenLog},
	})
}

// TestArchivedTravels: a deployment whose log was archived is backed up, verified
// and restored, and its log goes on.
func TestArchivedTravels(t *testing.T) {
	f := archived(t)
	id, recipients := identity(t)
	path := filepath.Join(t.TempDir(), "backup.age")
	logger := slog.New(slog.DiscardHandler)
	if _, err := (backup.Create{Path: path, Recipients: recipients, Logger: logger}).From(t.Context(), f.Vault); err != nil {
		t.Fatal(err)
	}
	file := backup.File{Path: path, Identities: []age.Identity{id}}
	if _, err := (backup.Verify{File: file, Vault: f.Vault, Logger: logger}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	master := fastnesstest.MasterKey()
	defer master.Release()
	dir := filepath.Join(t.TempDir(), "restored")
	restore := backup.Restore{File: file, To: backup.Place{Dir: dir}, Keys: backup.Keys{Current: master}, Logger: logger}
	if _, err := restore.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := fastnesstest.Open(t, &fastnesstest.Options{Dir: dir})
	if got := fastnesstest.Get(t, back.Tenant(t, "acme"), "a", store.Selector{}); got != "fourth" {
		t.Errorf("the value is %q", got)
	}
	log := back.Audit(back.Vault.Local(vault.Origin{}), "")
	if _, err := log.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Consistency(t.Context(), 300, -1); err != nil {
		t.Error(err)
	}
	state, err := log.ArchiveState(t.Context())
	if err != nil || state.Size < 600 {
		t.Errorf("after the restore %+v is archived, error %v", state, err)
	}
}

type tampered = map[string]struct {
	kind   string
	change func(*dump.Row)
	want   error
}

func testTampering(t *testing.T, f *fastnesstest.Fixture, more ...tampered) {
	t.Helper()
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
	cases := tampered{
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
	}
	for _, m := range more {
		maps.Copy(cases, m)
	}
	for name, c := range cases {
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
