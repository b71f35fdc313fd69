package vault_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// wantFault expects a verification to name what does not hold.
func wantFault(tb testing.TB, err error, kinds ...audit.Kind) {
	tb.Helper()
	var v *audit.VerifyError
	if !errors.As(err, &v) {
		tb.Errorf("verified with %v, want %v", err, kinds)
		return
	}
	for _, k := range kinds {
		if v.Kind == k {
			return
		}
	}
	tb.Errorf("verified with %q, want %v", v, kinds)
}

// TestCheckpoint: both signatures hold, an independent reader of the format
// opens it, and a log that has not grown keeps the one it has.
func TestCheckpoint(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	a := f.Audit(local(f), "")
	want(t, errOf(a.Latest(ctx)), secret.ErrNotFound)
	versions(t, f.Tenant(t, "acme"), "db", 3)
	f.Clock.Advance(time.Minute)
	signed := must(a.Checkpoint(ctx))(t)
	keys := must(a.Keys(ctx))(t)
	c, err := audit.OpenCheckpoint(signed, keys)
	check(t, err)
	if c.Size < 5 || !c.Time.Equal(f.Clock.Now()) || !strings.HasPrefix(c.Origin, "fastness/") {
		t.Errorf("checkpoint %+v", c)
	}
	if got := must(a.Latest(ctx))(t); !bytes.Equal(got, signed) {
		t.Errorf("latest is %s", got)
	}
	ed, _ := keys.Ranges[0].Keys.VKeys()
	n, err := note.Open(signed, note.VerifierList(must(note.NewVerifier(ed))(t)))
	check(t, err)
	if len(n.Sigs) != 1 || n.Text != c.Text() {
		t.Errorf("another reader sees %q with %d signatures", n.Text, len(n.Sigs))
	}
	// The entry tells whoever got a checkpoint which.
	if e := lastOf(t, f, "", audit.AuditCheckpoint); e.TreeSize != c.Size || e.Result != audit.Success {
		t.Errorf("left %+v", e)
	}
}

// TestProofs: every entry's inclusion and every older size's consistency, for
// the tenant and for the deployment.
func TestProofs(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	versions(t, f.Tenant(t, "acme"), "db", 20)
	versions(t, f.Tenant(t, "beta"), "db", 20)
	deployment := f.Audit(local(f), "")
	keys := must(deployment.Keys(ctx))(t)
	auditor := f.Audit(caller(t, f, "acme", policy.Auditor), "")
	for _, e := range entries(t, f, "", audit.Filter{}) {
		p := must(deployment.Inclusion(ctx, e.Index, -1))(t)
		c, err := p.Verify(keys)
		check(t, err)
		if c.Size <= e.Index || p.Entry.Seq != e.Seq || p.Entry.SecretName != e.SecretName {
			t.Errorf("proof of %+v is %+v", e, p.Entry)
		}
		again := must(audit.ParseInclusion(must(p.Encode())(t)))(t)
		check(t, errOf(again.Verify(keys)))
		own, err := auditor.Inclusion(ctx, e.Index, -1)
		if e.TenantID == "acme" {
			check(t, err)
			check(t, errOf(own.Verify(keys)))
			own.Entry.UserID = "somebody"
			wantFault(t, errOf(own.Verify(keys)), audit.BadCommitment, audit.ChangedEntry)
		} else {
			want(t, err, secret.ErrNotFound)
		}
	}
	latest := must(audit.ParseCheckpoint(must(deployment.Checkpoint(ctx))(t)))(t)
	for from := int64(1); from <= latest.Size; from += 7 {
		p := must(auditor.Consistency(ctx, from, -1))(t)
		check(t, errOf(p.Verify(keys, nil)))
	}
	for _, from := range []int64{0, -1, latest.Size + 1000} {
		want(t, errOf(deployment.Consistency(ctx, from, -1)), secret.ErrInvalid)
	}
	want(t, errOf(deployment.Consistency(ctx, 1, 0)), secret.ErrNotFound)
	// Under an older checkpoint, by its size.
	p := must(deployment.Inclusion(ctx, 3, latest.Size))(t)
	if c, err := p.Verify(keys); err != nil || c.Size != latest.Size {
		t.Errorf("under size %d: %v, %v", latest.Size, c.Size, err)
	}
	want(t, errOf(deployment.Inclusion(ctx, latest.Size-1, 5)), secret.ErrNotFound)
}

// TestExport: a tenant's and the deployment's verify, carry the nonce, and end
// with or hold their own entry.
func TestExport(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	versions(t, f.Tenant(t, "acme"), "db", 3)
	versions(t, f.Tenant(t, "beta"), "db", 300) // more than one tile
	auditor := caller(t, f, "acme", policy.Auditor)
	for _, a := range []*vault.Audit{f.Audit(auditor, ""), f.Audit(local(f), "acme"), f.Audit(local(f), "")} {
		bundle := export(t, a, vault.ExportOptions{Nonce: "0123 abc"})
		report := verify(t, f, bundle, audit.Options{Nonce: "0123 abc"})
		if report.Nonce != "0123 abc" || report.Tenant == "" && report.Entries != report.Size || report.Tenant != "" && report.Entries >= 20 {
			t.Errorf("report %+v", report)
		}
		keys := must(f.Audit(local(f), "").Keys(ctx))(t)
		for _, bad := range []audit.Options{{Nonce: "other"}} {
			wantFault(t, errOf(audit.Verify(bytes.NewReader(bundle), keys, bad)), audit.NonceMismatch)
		}
		lines := bytes.SplitAfter(bundle, []byte("\n"))
		cut := bytes.Join(append(append([][]byte{}, lines[:2]...), lines[3:]...), nil)
		wantFault(t, errOf(audit.Verify(bytes.NewReader(cut), keys, audit.Options{})), audit.RemovedEntry, audit.TruncatedTail, audit.ReorderedPair)
	}
	for nonce, sentinel := range map[string]*secret.Error{strings.Repeat("n", 129): secret.ErrLimit, "a\nb": secret.ErrInvalid, "\xff": secret.ErrInvalid} {
		want(t, f.Audit(auditor, "").Export(ctx, &bytes.Buffer{}, vault.ExportOptions{Nonce: nonce}), sentinel)
	}
}

// TestExportSince: an older checkpoint is proved to be continued, whether it
// was handed out to the tenant or is brought along; one of a larger or another
// log is refused.
func TestExportSince(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 3)
	auditor := f.Audit(caller(t, f, "acme", policy.Auditor), "")
	handedOut := must(auditor.Checkpoint(ctx))(t)
	versions(t, s, "db", 3)
	secretly := must(f.Audit(local(f), "").Checkpoint(ctx))(t)
	versions(t, f.Tenant(t, "beta"), "db", 3)

	plain := export(t, auditor, vault.ExportOptions{})
	if r := verify(t, f, plain, audit.Options{Since: handedOut}); r.Since == 0 {
		t.Errorf("report %+v", r)
	}
	keys := must(f.Audit(local(f), "").Keys(ctx))(t)
	wantFault(t, errOf(audit.Verify(bytes.NewReader(plain), keys, audit.Options{Since: secretly})), audit.NoConsistency)
	verify(t, f, export(t, auditor, vault.ExportOptions{Since: secretly}), audit.Options{Since: secretly})
	verify(t, f, export(t, auditor, vault.ExportOptions{}), audit.Options{Since: secretly}) // known from now on
	whole := export(t, f.Audit(local(f), ""), vault.ExportOptions{})
	verify(t, f, whole, audit.Options{Since: handedOut})
	verify(t, f, whole, audit.Options{Since: secretly})

	// A bundle that is older than what its reader knows is cut off.
	newer := must(auditor.Checkpoint(ctx))(t)
	wantFault(t, errOf(audit.Verify(bytes.NewReader(plain), keys, audit.Options{Since: newer})), audit.TruncatedTail)

	other := fastnesstest.Open(t, nil)
	other.Tenant(t, "acme")
	foreign := must(other.Audit(local(other), "").Checkpoint(ctx))(t)
	larger := bytes.Replace(newer, []byte("\n"+itoa(parse(t, newer).Size)+"\n"), []byte("\n999999\n"), 1)
	for what, since := range map[string][]byte{"foreign": foreign, "garbage": []byte("x"), "larger": larger} {
		err := auditor.Export(ctx, &bytes.Buffer{}, vault.ExportOptions{Since: since})
		if !errors.Is(err, secret.ErrInvalid) || secret.Of(err).Field != "since" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func parse(tb testing.TB, signed []byte) audit.Checkpoint {
	tb.Helper()
	return must(audit.ParseCheckpoint(signed))(tb)
}

// TestConcurrentExports: at one moment, by one caller, under load.
func TestConcurrentExports(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 30)
	keys := must(f.Audit(local(f), "").Keys(ctx))(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			nonce := []string{"same", "same", itoa(int64(i))}[i%3]
			tenant := []secret.TenantName{"acme", ""}[i%2]
			var b bytes.Buffer
			if err := f.Audit(local(f), tenant).Export(ctx, &b, vault.ExportOptions{Nonce: nonce}); err != nil {
				t.Error(describe(err))
				return
			}
			if _, err := audit.Verify(&b, keys, audit.Options{Nonce: nonce}); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			for range 10 {
				get(s, "db", store.Selector{})
			}
		})
	}
	wg.Wait()
}

// TestExportToSlowReader: a receiver that stands still holds up nobody, not
// even a purge, which waits for snapshots to end.
func TestExportToSlowReader(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 100)
	reached, release := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- f.Audit(local(f), "").Export(ctx, &slowWriter{reached: reached, release: release}, vault.ExportOptions{})
	}()
	<-reached
	check(t, s.Purge(ctx, "db"))
	close(release)
	check(t, <-ended)
}

type slowWriter struct {
	reached, release chan struct{}
	once             sync.Once
}

func (w *slowWriter) Write(p []byte) (int, error) {
	w.once.Do(func() { close(w.reached) })
	<-w.release
	return len(p), nil
}

// TestExportFails: a receiver that fails is told, and the log goes on.
func TestExportFails(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	versions(t, f.Tenant(t, "acme"), "db", 3)
	if err := f.Audit(local(f), "").Export(ctx, failingWriter{}, vault.ExportOptions{}); err == nil {
		t.Error("exported into nothing")
	}
	verify(t, f, export(t, f.Audit(local(f), ""), vault.ExportOptions{}), audit.Options{})
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("receiver is gone") }
