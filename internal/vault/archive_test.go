package vault_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/fastnesstest"
	"fastness/internal/archive"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

// archived is a deployment with a log to archive, and where it goes.
type archived struct {
	*fastnesstest.Fixture
	dir  string
	keys audit.KeySet
}

func (a *archived) ArchiveState(ctx context.Context) (wire.ArchiveState, error) {
	s, err := a.whole().ArchiveState(ctx)
	return wire.ArchiveState(s), err
}

func (a *archived) Segment(ctx context.Context, w io.Writer, before time.Time) error {
	return a.whole().Segment(ctx, w, before)
}

func (a *archived) Archive(ctx context.Context, r wire.ArchiveRequest) (wire.ArchiveState, error) {
	d := vault.Archived{From: r.From, To: r.To}
	var err error
	if d.Root, err = tlog.ParseHash(r.Root); err != nil {
		return wire.ArchiveState{}, err
	}
	if _, err := hex.Decode(d.Digest[:], []byte(r.SHA256)); err != nil {
		return wire.ArchiveState{}, err
	}
	s, err := a.whole().Archive(ctx, d)
	return wire.ArchiveState(s), err
}

func (a *archived) whole() *vault.Audit { return a.Audit(local(a.Fixture), "") }

// old makes a log with entries of two tenants of which the older half is from
// before the time that it returns.
func old(t *testing.T) (a *archived, cut time.Time) {
	t.Helper()
	f, _, _ := story(t)
	must(f.Audit(local(f), "acme").Checkpoint(ctx))(t) // whose size a tenant's bundle has to prove
	f.Clock.Advance(time.Hour)
	cut = f.Clock.Now()
	f.Clock.Advance(time.Hour)
	get(f.Tenant(t, "acme"), "db", store.Selector{})
	get(f.Tenant(t, "beta"), "db", store.Selector{})
	a = &archived{f, filepath.Join(t.TempDir(), "archive"), audit.KeySet{}}
	must(a.whole().Checkpoint(ctx))(t)
	a.keys = must(a.whole().Keys(ctx))(t)
	return a, cut
}

func (a *archived) options(cut time.Time) archive.Options {
	return archive.Options{Dir: a.dir, Before: cut, Keys: a.keys}
}

// lines are the segments' text.
func (a *archived) lines(t *testing.T) (text string) {
	t.Helper()
	for _, path := range must(filepath.Glob(filepath.Join(a.dir, "segments", "*.jsonl")))(t) {
		text += string(must(os.ReadFile(path))(t))
	}
	return text
}

// fill completes an export from the archive.
func (a *archived) fill(t *testing.T, tenant secret.TenantName) []byte {
	t.Helper()
	var partial, whole bytes.Buffer
	log := a.Audit(local(a.Fixture), tenant)
	check(t, log.Export(ctx, &partial, vault.ExportOptions{Archived: true, Nonce: "n"}))
	entries := must(archive.OpenEntries(a.dir))(t)
	defer entries.Close()
	check(t, audit.FillBundle(&whole, &partial, audit.Filling{
		Entry:       entries.Entry,
		Consistency: func(from, to int64) (*audit.Consistency, error) { return log.Consistency(ctx, from, to) },
	}))
	return whole.Bytes()
}

// TestArchive: what is old goes outside and verifies there with the keys alone; its
// text is gone from the store, its hashes are not; and the log goes on.
func TestArchive(t *testing.T) {
	a, cut := old(t)
	before := entries(t, a.Fixture, "", audit.Filter{})
	done, err := archive.Run(ctx, a, a.options(cut))
	check(t, err)
	if done.Entries == 0 || done.Entries != done.Size || done.Segments != 1 {
		t.Fatalf("archived %+v", done)
	}
	for _, e := range before {
		if (e.Index < done.Size) != e.Timestamp.Before(cut) {
			t.Errorf("entry %d of %s is on the wrong side of %d and %s", e.Index, e.Timestamp, done.Size, cut)
		}
	}
	report, err := archive.Verify(a.dir, a.keys)
	check(t, err)
	if report.Entries != done.Entries || report.Tiles == 0 || report.LastIndex != done.Size-1 {
		t.Fatalf("the archive holds %+v", report)
	}
	if again, err := archive.Run(ctx, a, a.options(cut)); err != nil || again.Entries != 0 || again.Size != done.Size {
		t.Fatalf("again: %+v, %v", again, err)
	}

	t.Run("the log goes on", func(t *testing.T) {
		get(a.Tenant(t, "beta"), "db", store.Selector{})
		must(a.whole().Checkpoint(ctx))(t)
		must(a.whole().Consistency(ctx, 3, -1))(t)
		kept := entries(t, a.Fixture, "", audit.Filter{})
		if kept[0].Index != done.Size {
			t.Fatalf("the list begins at %d, not %d", kept[0].Index, done.Size)
		}
		for i, e := range kept {
			if e.Index != done.Size+int64(i) {
				t.Fatalf("entry %d is in the place of %d", e.Index, done.Size+int64(i))
			}
		}
		found := entries(t, a.Fixture, "", audit.Filter{Action: audit.AuditArchive, Result: audit.Success})
		if !strings.Contains(found[len(found)-1].Detail+found[len(found)-2].Detail+found[len(found)-3].Detail, "archived, root ") {
			t.Errorf("no entry tells of the archive: %v", found)
		}
	})
	t.Run("lists say so", func(t *testing.T) {
		for _, tenant := range []secret.TenantName{"", "acme", "beta"} {
			for _, newest := range []bool{false, true} {
				page := must(a.Audit(local(a.Fixture), tenant).List(ctx, vault.AuditQuery{Newest: newest}))(t)
				if page.Archived != done.Size {
					t.Errorf("a list of %q, newest first %t, tells of %d archived entries", tenant, newest, page.Archived)
				}
			}
			page := must(a.Audit(local(a.Fixture), tenant).List(ctx, vault.AuditQuery{Filter: audit.Filter{From: cut}}))(t)
			if page.Archived != 0 || len(page.Items) == 0 {
				t.Errorf("a list of what is newer tells of %d archived entries", page.Archived)
			}
		}
	})
	t.Run("refusals", func(t *testing.T) { a.refusals(t, done.Size) })
	t.Run("proofs", func(t *testing.T) {
		entries := must(archive.OpenEntries(a.dir))(t)
		defer entries.Close()
		for index := range done.Size {
			path := must(a.whole().Path(ctx, index, -1))(t)
			proof := must(path.With(must(entries.Entry(index))(t)))(t)
			must(proof.Verify(a.keys))(t)
		}
		last := newestIndex(t, a)
		proof := must(a.whole().Inclusion(ctx, last, -1))(t)
		must(proof.Verify(a.keys))(t)
	})
	t.Run("exports", func(t *testing.T) {
		for _, tenant := range []secret.TenantName{"acme", "beta", ""} {
			bundle := a.fill(t, tenant)
			report, err := audit.Verify(bytes.NewReader(bundle), a.keys, audit.Options{Nonce: "n"})
			if err != nil {
				t.Fatalf("bundle of %q: %v", tenant, err)
			}
			if first := report.FirstIndex; first >= done.Size {
				t.Errorf("the bundle of %q begins at %d", tenant, first)
			}
		}
	})
}

// newestIndex is the index of the newest entry.
func newestIndex(t *testing.T, a *archived) int64 {
	t.Helper()
	return must(a.whole().List(ctx, vault.AuditQuery{Newest: true, Limit: 1}))(t).Items[0].Index
}

// refusals expects whatever needs the text of archived entries to say so.
func (a *archived) refusals(t *testing.T, size int64) {
	t.Helper()
	first := int64(0)
	calls := map[string]func(*vault.Audit) error{
		"export": func(l *vault.Audit) error { return l.Export(ctx, io.Discard, vault.ExportOptions{}) },
		"tail": func(l *vault.Audit) error {
			return l.Tail(ctx, 0, func(audit.Entry) error { return errors.New("an entry came") })
		},
		"redact":    func(l *vault.Audit) error { _, err := l.Redact(ctx, vault.RedactQuery{Index: &first}); return err },
		"inclusion": func(l *vault.Audit) error { _, err := l.Inclusion(ctx, 0, -1); return err },
	}
	for name, call := range calls {
		for _, tenant := range []secret.TenantName{"", "acme"} {
			err := call(a.Audit(local(a.Fixture), tenant))
			if !errors.Is(err, secret.ErrArchived) || !strings.Contains(err.Error(), fmt.Sprintf("0 to %d", size-1)) {
				t.Errorf("%s of %q: %v", name, tenant, err)
			}
		}
	}
	s := a.Tenant(t, "acme")
	if err := s.Follow(ctx, vault.EventQuery{After: 0}, func(vault.News) error { return nil }); !errors.Is(err, secret.ErrGone) {
		t.Errorf("following from the beginning: %v", err)
	}
	if _, err := s.Access().Denial(ctx, "no such denial"); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("explaining an unknown denial: %v", err)
	}
	if n := must(a.whole().Redact(ctx, vault.RedactQuery{Principal: "alice"}))(t); n != 0 {
		t.Errorf("%d archived entries were redacted", n)
	}
}

// TestArchiveIsTheOperators: nobody else archives, and nobody a tenant's part. Each
// refusal leaves an entry, in the log of whoever was refused, and drops nothing.
func TestArchiveIsTheOperators(t *testing.T) {
	a, cut := old(t)
	admin := caller(t, a.Fixture, "acme", policy.Admin, "*")
	op := local(a.Fixture)
	for name, asks := range map[string]struct {
		log *vault.Audit
		as  *secret.Error
		of  secret.TenantName // whose log has the entry
	}{
		"an administrator":                    {a.Audit(admin, "acme"), secret.ErrAccessDenied, "acme"},
		"an administrator, of all":            {a.Audit(admin, ""), secret.ErrAccessDenied, "acme"},
		"an administrator, of another tenant": {a.Audit(admin, "beta"), secret.ErrAccessDenied, "acme"},
		"an administrator, of none":           {a.Audit(admin, "none"), secret.ErrAccessDenied, "acme"},
		"an operator, of one tenant":          {a.Audit(op, "acme"), secret.ErrInvalid, "acme"},
	} {
		for what, call := range map[string]func() error{
			"ArchiveState": func() error { return errOf(asks.log.ArchiveState(ctx)) },
			"Segment":      func() error { return asks.log.Segment(ctx, io.Discard, cut) },
			"Archive":      func() error { return errOf(asks.log.Archive(ctx, vault.Archived{To: 1})) },
		} {
			if err := call(); !errors.Is(err, asks.as) {
				t.Errorf("%s by %s: %v", what, name, err)
			}
			if e := last(t, a.Fixture, asks.of); e.Action != audit.AuditArchive || e.Result == audit.Success {
				t.Errorf("%s by %s left %+v", what, name, e)
			}
		}
	}
	if state := must(a.ArchiveState(ctx))(t); state.Size != 0 {
		t.Errorf("archived: %+v", state)
	}
}

// TestArchiveCutOff ends a run after each step, and lets another one go on.
func TestArchiveCutOff(t *testing.T) {
	for _, step := range []archive.Step{archive.Written, archive.Verified, archive.Named, archive.Tiled, archive.Dropped} {
		t.Run(string(step), func(t *testing.T) {
			a, cut := old(t)
			cutOff := errors.New("cut off")
			o := a.options(cut)
			o.Step = func(s archive.Step) error {
				if s == step {
					return cutOff
				}
				return nil
			}
			if _, err := archive.Run(ctx, a, o); !errors.Is(err, cutOff) {
				t.Fatalf("the run ended with %v", err)
			}
			state := must(a.ArchiveState(ctx))(t)
			if dropped := state.Size > 0; dropped != (step == archive.Dropped) {
				t.Fatalf("after the step %q %d entries are archived", step, state.Size)
			}
			a.reopen(t)
			done, err := archive.Run(ctx, a, a.options(cut))
			check(t, err)
			report := must(archive.Verify(a.dir, a.keys))(t)
			if done.Size == 0 || report.Entries != done.Size {
				t.Fatalf("archived %+v, and the folder holds %+v", done, report)
			}
			wantWhole(t, a)
		})
	}
}

func (a *archived) reopen(t *testing.T) {
	t.Helper()
	dir, clock := a.Dir, a.Clock
	a.Close(t)
	clock.Advance(time.Minute) // in which a lease of the node that is gone ends
	a.Fixture = fastnesstest.Open(t, &fastnesstest.Options{Dir: dir, Clock: clock})
}

// wantWhole expects whole bundles to verify.
func wantWhole(t *testing.T, a *archived) {
	t.Helper()
	for _, tenant := range []secret.TenantName{"acme", ""} {
		must(audit.Verify(bytes.NewReader(a.fill(t, tenant)), a.keys, audit.Options{}))(t)
	}
}

// TestArchiveRedactedMeanwhile: an entry that was redacted after its segment was
// written is not dropped under the segment that still has its text.
func TestArchiveRedactedMeanwhile(t *testing.T) {
	a, cut := old(t)
	o := a.options(cut)
	o.Step = func(s archive.Step) error {
		if s == archive.Tiled {
			_, err := a.Audit(local(a.Fixture), "acme").Redact(ctx, vault.RedactQuery{Principal: "alice"})
			return err
		}
		return nil
	}
	if _, err := archive.Run(ctx, a, o); !errors.Is(err, secret.ErrConflict) {
		t.Fatalf("the run ended with %v", err)
	}
	if state := must(a.ArchiveState(ctx))(t); state.Size != 0 {
		t.Fatalf("%d entries were dropped", state.Size)
	}
	if !strings.Contains(a.lines(t), "alice") {
		t.Fatal("the segment never had the name")
	}
	must(archive.Run(ctx, a, a.options(cut)))(t)
	if strings.Contains(a.lines(t), "alice") {
		t.Error("the archive has a name that was redacted before")
	}
	if report := must(archive.Verify(a.dir, a.keys))(t); report.Redacted == 0 {
		t.Error("the archive tells of no redacted entry")
	}
	wantWhole(t, a)
}

// TestArchiveRefusesOtherSegments: what is not the log's is not dropped for.
func TestArchiveRefusesOtherSegments(t *testing.T) {
	a, cut := old(t)
	must(archive.Run(ctx, a, a.options(cut)))(t)
	state := must(a.ArchiveState(ctx))(t)
	size := state.Size
	a.Clock.Advance(time.Hour)
	cut = a.Clock.Now()
	a.Clock.Advance(time.Hour)
	get(a.Tenant(t, "beta"), "db", store.Selector{})
	must(a.whole().Checkpoint(ctx))(t)
	var segment bytes.Buffer
	check(t, a.Segment(ctx, &segment, cut))
	v := must(audit.NewSegmentVerifier(a.keys))(t)
	s := must(v.Verify(&segment))(t)
	good := vault.Archived{From: s.FromIndex, To: s.ToIndex, Root: s.Root, Digest: s.Digest}
	if good.From != size {
		t.Fatalf("the segment begins at %d, not %d", good.From, size)
	}
	for name, change := range map[string]func(*vault.Archived){
		"from":     func(d *vault.Archived) { d.From-- },
		"gap":      func(d *vault.Archived) { d.From++ },
		"to":       func(d *vault.Archived) { d.To-- },
		"beyond":   func(d *vault.Archived) { d.To += 1000 },
		"backward": func(d *vault.Archived) { d.To = d.From },
		"root":     func(d *vault.Archived) { d.Root[0] ^= 1 },
		"digest":   func(d *vault.Archived) { d.Digest[31] ^= 1 },
		"before":   func(d *vault.Archived) { d.From, d.To, d.Root[0] = 0, size, 1 },
	} {
		d := good
		change(&d)
		if _, err := a.whole().Archive(ctx, d); !errors.Is(err, secret.ErrConflict) && !errors.Is(err, secret.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if state := must(a.ArchiveState(ctx))(t); state.Size != size {
		t.Fatalf("%d entries are archived now", state.Size)
	}
	must(a.whole().Archive(ctx, good))(t)
	must(a.whole().Archive(ctx, good))(t) // its answer was lost
}

// TestEmbeddedFilesLoseArchivedText: a name that was in the embedded store's files
// is not in them any more. What PostgreSQL overwrites, and when, is its own affair.
func TestEmbeddedFilesLoseArchivedText(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	const name = "a-name-that-only-the-log-has"
	for range 300 { // enough for several pages
		get(f.Tenant(t, "acme"), name, store.Selector{})
	}
	a := &archived{f, filepath.Join(t.TempDir(), "archive"), must(f.Audit(local(f), "").Keys(ctx))(t)}
	must(a.whole().Checkpoint(ctx))(t)
	f.Clock.Advance(time.Hour)
	get(f.Tenant(t, "acme"), "another", store.Selector{})
	must(a.whole().Checkpoint(ctx))(t)
	if !inFiles(t, f.Dir, name) {
		t.Fatal("the files never had the name")
	}
	must(archive.Run(ctx, a, a.options(f.Clock.Now())))(t)
	if !strings.Contains(a.lines(t), name) {
		t.Error("the archive does not have the name")
	}
	if inFiles(t, f.Dir, name) {
		t.Error("the files still have the name")
	}
}

func inFiles(t *testing.T, dir, text string) bool {
	t.Helper()
	for _, path := range must(filepath.Glob(filepath.Join(dir, "*")))(t) {
		if bytes.Contains(must(os.ReadFile(path))(t), []byte(text)) {
			return true
		}
	}
	return false
}

// TestArchiveVerifierNamesTheFault: a folder in which anything was changed does not
// hold.
func TestArchiveVerifierNamesTheFault(t *testing.T) {
	a, cut := old(t)
	must(archive.Run(ctx, a, a.options(cut)))(t)
	paths := []string{filepath.Join(a.dir, "checkpoint")}
	for _, pattern := range []string{"segments/*", "tile/0/*", "tile/0/*/*"} {
		paths = append(paths, must(filepath.Glob(filepath.Join(a.dir, pattern)))(t)...)
	}
	changed := 0
	for _, path := range paths {
		if info := must(os.Stat(path))(t); info.IsDir() {
			continue
		}
		text := must(os.ReadFile(path))(t)
		for _, at := range []int{0, len(text) / 3, len(text) / 2, len(text) - 2} {
			bad := bytes.Clone(text)
			bad[at] ^= 1
			check(t, os.WriteFile(path, bad, 0o600))
			var f *audit.VerifyError
			if _, err := archive.Verify(a.dir, a.keys); !errors.As(err, &f) {
				t.Errorf("%s with byte %d changed: %v", filepath.Base(path), at, err)
			}
			changed++
		}
		check(t, os.WriteFile(path, text, 0o600))
	}
	if changed < 12 {
		t.Fatalf("only %d changes were tried", changed)
	}
	must(archive.Verify(a.dir, a.keys))(t)
}

// TestArchivesOnPostgres runs the tests of archives again, in PostgreSQL.
func TestArchivesOnPostgres(t *testing.T) {
	onPostgres(t, "-test.run=^TestArchive(IsTheOperators|CutOff|RedactedMeanwhile|RefusesOtherSegments|VerifierNamesTheFault|dTextLeavesTheFiles)?$")
}
