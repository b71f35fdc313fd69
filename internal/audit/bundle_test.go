package audit_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"fastness/internal/audit"
	"fastness/internal/secret"
)

func TestFaultNamesTheEntry(t *testing.T) {
	s := newStory(t)
	for _, b := range [][]byte{s.tenant, s.whole} {
		ls := lines(bytes.Clone(b))
		ls[4] = edit(t, ls[4], `"version":"1"`, `"version":"2"`)
		_, err := verify(slices.Concat(ls...), s.keys, audit.Options{})
		f := wantKind(t, err, audit.ChangedEntry)
		var e struct {
			Index int64
			Seq   uint64
		}
		decode(t, ls[4], &e)
		if !f.Entry || f.Index != e.Index || f.Seq != e.Seq || f.Line != 5 {
			t.Errorf("%v instead of index %d, number %d, line 5", f, e.Index, e.Seq)
		}
		if !strings.Contains(f.Error(), "changed entry") || !strings.Contains(f.Error(), "line 5") {
			t.Errorf("text %q", f.Error())
		}
	}
}

// The last entry of a chain has no successor that points to it.
func TestWholeChangedAtTheEndOfAChain(t *testing.T) {
	s := newStory(t)
	ls := lines(bytes.Clone(s.whole))
	at := len(ls) - 2
	ls[at] = edit(t, ls[at], `"correlationId":"c-`, `"correlationId":"d-`)
	_, err := verify(slices.Concat(ls...), s.keys, audit.Options{})
	wantKind(t, err, audit.ChangedEntry)
}

func TestNonceAsked(t *testing.T) {
	s := newStory(t)
	for _, b := range [][]byte{s.tenant, s.whole} {
		_, err := verify(b, s.keys, audit.Options{Nonce: "another"})
		wantKind(t, err, audit.NonceMismatch)
	}
}

// An older bundle presented as the answer to a new export carries another
// nonce; one whose tail was cut to an older export does, too.
func TestTailCutToAnOlderExport(t *testing.T) {
	f := newFixture(t)
	f.fill(t, 8)
	old := f.export(t, "acme", "first", 0)
	n := entriesOf(t, lines(old))
	ls := lines(f.export(t, "acme", "second", 0))
	promise(t, ls, n-entriesOf(t, ls))
	ls = slices.Concat(ls[:n+1], ls[len(ls)-1:])
	_, err := verify(slices.Concat(ls...), f.keys, audit.Options{Nonce: "second"})
	wantKind(t, err, audit.NonceMismatch)
}

func TestEntriesOfAnotherTenant(t *testing.T) {
	s := newStory(t)
	ls := lines(bytes.Clone(s.tenant))
	ls[0] = edit(t, ls[0], `"tenant":"acme"`, `"tenant":"beta"`)
	_, err := verify(slices.Concat(ls...), s.keys, audit.Options{})
	wantKind(t, err, audit.ChangedEntry)
}

func TestForkedCheckpoint(t *testing.T) {
	s := newStory(t)
	for _, b := range [][]byte{s.tenant, s.whole} {
		ls := lines(bytes.Clone(b))
		fork := s.fork(t, int(s.size()-8))
		fork.fill(t, int(sizeOf(t, noteOf(t, ls))-8))
		change := inCheckpoint(func(testing.TB, string) string { return string(fork.checkpoint(t)) })
		_, err := verify(slices.Concat(change(t, ls, 0)...), s.keys, audit.Options{})
		wantKind(t, err, audit.ForkedTree)
	}
}

func TestCheckpointOfOtherSize(t *testing.T) {
	s := newStory(t)
	smaller, larger := s.older, s.checkpoint(t)
	s.fill(t, 3)
	largest := s.checkpoint(t)
	for _, tt := range []struct {
		bundle, note []byte
		want         audit.Kind
	}{
		{s.tenant, smaller, audit.ForkedTree},
		{s.tenant, larger, audit.TruncatedTail},
		{s.whole, smaller, audit.ForkedTree},
		{s.whole, largest, audit.TruncatedTail},
	} {
		change := inCheckpoint(func(testing.TB, string) string { return string(tt.note) })
		_, err := verify(slices.Concat(change(t, lines(bytes.Clone(tt.bundle)), 0)...), s.keys, audit.Options{})
		wantKind(t, err, tt.want)
	}
}

func TestConsistencyLines(t *testing.T) {
	s := newStory(t)
	n := entriesOf(t, lines(s.tenant))
	tests := []struct {
		name   string
		change func(ls [][]byte) [][]byte
		want   audit.Kind
	}{
		{"missing", func(ls [][]byte) [][]byte { return slices.Delete(ls, n+1, n+2) }, audit.NoConsistency},
		{"of other size", func(ls [][]byte) [][]byte {
			ls[n+1] = edit(t, ls[n+1], `"from":10`, `"from":11`)
			return ls
		}, audit.NoConsistency},
		{"of smaller size", func(ls [][]byte) [][]byte {
			ls[n+1] = edit(t, ls[n+1], `"from":10`, `"from":9`)
			return ls
		}, audit.SecondForm},
		{"root changed", func(ls [][]byte) [][]byte { return changeValue(t, ls, n+1, "root") }, audit.ForkedTree},
		{"twice", func(ls [][]byte) [][]byte { return slices.Insert(ls, n+2, ls[n+1]) }, audit.SecondForm},
		{"no proof", func(ls [][]byte) [][]byte {
			i := bytes.Index(ls[n+1], []byte(`"proof":`))
			ls[n+1] = append(ls[n+1][:i:i], "\"proof\":null}}\n"...)
			return ls
		}, audit.Malformed},
		{"space", func(ls [][]byte) [][]byte {
			ls[n+1] = edit(t, ls[n+1], `"from":10`, `"from": 10`)
			return ls
		}, audit.SecondForm},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := verify(slices.Concat(tt.change(lines(bytes.Clone(s.tenant)))...), s.keys, audit.Options{})
			wantKind(t, err, tt.want)
		})
	}
}

// The log signs what its own sequencer should never have made.
func TestChainGapInTheSignedLog(t *testing.T) {
	tests := map[string]func(*audit.Head){
		"previous hash":  func(h *audit.Head) { h.Hash[0] ^= 1 },
		"skipped number": func(h *audit.Head) { h.Seq++ },
	}
	for name, forge := range tests {
		for _, tenant := range []secret.TenantName{"acme", ""} {
			t.Run(name+"/"+string(tenant), func(t *testing.T) {
				f := newFixture(t)
				f.fill(t, 8)
				forged := maps.Clone(f.heads)
				head := forged["acme"]
				forge(&head)
				forged["acme"] = head
				f.placeUpon(t, forged, audit.Entry{TenantID: "acme", Action: audit.Read})
				stored := f.leafEntry(t, f.size()-1).Prev
				f.placeUpon(t, f.heads, audit.Entry{TenantID: tenant, Action: audit.AuditExport})
				b := f.bundle(t, tenant, "", f.size()-1, f.now, f.checkpoint(t))
				// The writer reads previous hashes from the tree; the leaf has the forged one.
				b = bytes.Replace(b, []byte(`"prev":"`+stored.String()), []byte(`"prev":"`+head.Hash.String()), 1)
				_, err := verify(b, f.keys, audit.Options{})
				wantKind(t, err, audit.ChainGap)
			})
		}
	}
}

// placeUpon sequences one entry upon the given heads, right or wrong.
func (f *fixture) placeUpon(t *testing.T, heads map[secret.TenantName]audit.Head, e audit.Entry) {
	t.Helper()
	e.Timestamp, e.Result = f.now, audit.Success
	r := newRecord(t, e)
	p, err := audit.Sequence(f.tree, f.tiles, heads, [][]audit.Record{{r}})
	if err != nil {
		t.Fatal(err)
	}
	places, err := audit.DecodePlaces(p.Places[0], p.First[0], 1)
	if err != nil {
		t.Fatal(err)
	}
	f.recs, f.places, f.tree = append(f.recs, r), append(f.places, places...), p.Tree
	f.runs[e.TenantID] = append(f.runs[e.TenantID], p.First[0])
	maps.Copy(f.heads, p.Heads)
	maps.Copy(f.tiles, p.Tiles)
}

func TestRedaction(t *testing.T) {
	f := newFixture(t)
	f.fill(t, 12)
	for _, i := range []int{0, 4, 5, 11} {
		f.recs[i] = f.recs[i].Redact()
	}
	for _, tenant := range []secret.TenantName{"acme", ""} {
		b := f.export(t, tenant, "", 0)
		r, err := verify(b, f.keys, audit.Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := int64(4)
		if tenant == "acme" {
			want = 3
		}
		if r.Redacted != want {
			t.Errorf("%d entries are redacted, not %d", r.Redacted, want)
		}
		at := slices.IndexFunc(lines(b), func(l []byte) bool { return bytes.Contains(l, []byte(`"redacted":true`)) })
		for name, tt := range map[string]struct {
			old, new string
			want     audit.Kind
		}{
			"a personal field is put in": {`"secretName":""`, `"secretName":"x"`, audit.Malformed},
			"redaction is denied":        {`,"redacted":true`, ``, audit.Malformed},
			"a public field is changed":  {`"version":"1"`, `"version":"2"`, audit.ChangedEntry},
		} {
			ls := lines(bytes.Clone(b))
			ls[at] = edit(t, ls[at], tt.old, tt.new)
			_, err := verify(slices.Concat(ls...), f.keys, audit.Options{})
			if fault := wantKind(t, err, tt.want); fault == nil {
				t.Errorf("%s: verified", name)
			}
		}
		ls := changeValue(t, lines(bytes.Clone(b)), at, "commitment")
		_, err = verify(slices.Concat(ls...), f.keys, audit.Options{})
		wantKind(t, err, audit.ChangedEntry)
	}
}

// There is exactly one form: no byte of a bundle can be another.
func TestEveryByteCounts(t *testing.T) {
	f := newFixture(t)
	f.fill(t, 3)
	f.recs[0] = f.recs[0].Redact()
	for _, tenant := range []secret.TenantName{"acme", ""} {
		b := f.export(t, tenant, "n", 2)
		last := bytes.LastIndex(b, []byte(`{"checkpoint"`))
		for i := range b {
			if i > last && i%5 != 0 {
				continue // the signatures' many bytes are alike, and slow to check
			}
			bit := byte(1) << (i % 7)
			b[i] ^= bit
			_, err := verify(b, f.keys, audit.Options{})
			var fault *audit.VerifyError
			if !errors.As(err, &fault) {
				t.Fatalf("tenant %q: byte %d can be %q: %v", tenant, i, b[i], err)
			}
			b[i] ^= bit
		}
		if _, err := verify(b, f.keys, audit.Options{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKnownSizeBeyondTheTree(t *testing.T) {
	f := newFixture(t)
	f.fill(t, 4)
	f.add(t, audit.Entry{TenantID: "acme", Action: audit.AuditCheckpoint, TreeSize: 900, Result: audit.Failed})
	if _, err := verify(f.export(t, "acme", "", 0), f.keys, audit.Options{}); err != nil {
		t.Errorf("a refused request counts: %v", err)
	}
	f.add(t, audit.Entry{TenantID: "acme", Action: audit.AuditCheckpoint, TreeSize: 900})
	_, err := verify(f.export(t, "acme", "", 0), f.keys, audit.Options{})
	wantKind(t, err, audit.TruncatedTail)
}

func TestKeyRotation(t *testing.T) {
	next := newSigner(t, 11)
	rotate := func(t *testing.T, f *fixture, detail string) audit.KeySet {
		f.fill(t, 9)
		f.add(t, audit.Entry{Action: audit.AuditKeysRotate, UserID: "operator", Detail: detail})
		f.fill(t, 2)
		last := f.size()
		f.signer = next
		f.fill(t, 3)
		return f.keys.Rotated(last, next.Keys())
	}
	announced := next.Keys().RotationDetail()
	t.Run("announced", func(t *testing.T) {
		f := newFixture(t)
		ks := rotate(t, f, announced)
		for _, tenant := range []secret.TenantName{"", "acme"} {
			b := f.export(t, tenant, "", 0)
			if _, err := verify(b, ks, audit.Options{}); err != nil {
				t.Errorf("tenant %q: %v", tenant, err)
			}
			_, err := verify(b, f.keys, audit.Options{})
			wantKind(t, err, audit.MissingEd25519)
		}
	})
	t.Run("other keys announced", func(t *testing.T) {
		f := newFixture(t)
		ks := rotate(t, f, newSigner(t, 33).Keys().RotationDetail())
		_, err := verify(f.export(t, "", "", 0), ks, audit.Options{})
		if fault := wantKind(t, err, audit.WrongKeys); fault.Index != 9 {
			t.Errorf("%v", fault)
		}
	})
	t.Run("not announced under the old keys", func(t *testing.T) {
		f := newFixture(t)
		ks := rotate(t, f, announced)
		ks.Ranges[0].To, ks.Ranges[1].From = 8, 9 // as if the new keys had signed before the entry
		_, err := verify(f.export(t, "", "", 0), ks, audit.Options{})
		wantKind(t, err, audit.WrongKeys)
	})
	t.Run("before the rotation", func(t *testing.T) {
		f := newFixture(t)
		f.fill(t, 3)
		ks := f.keys.Rotated(500, next.Keys())
		if _, err := verify(f.export(t, "", "", 0), ks, audit.Options{}); err != nil {
			t.Error(err)
		}
	})
}

func TestVerifyReaderFails(t *testing.T) {
	s := newStory(t)
	for _, cut := range []int{0, 100, 5000, len(s.tenant)} {
		broken := io.MultiReader(bytes.NewReader(s.tenant[:cut]), iotest.ErrReader(io.ErrClosedPipe))
		_, err := audit.Verify(broken, s.keys, audit.Options{})
		var fault *audit.VerifyError
		if !errors.Is(err, io.ErrClosedPipe) || errors.As(err, &fault) {
			t.Errorf("after %d bytes: %v", cut, err)
		}
	}
	if _, err := audit.Verify(iotest.OneByteReader(bytes.NewReader(s.tenant)), s.keys, audit.Options{}); err != nil {
		t.Error(err)
	}
	if _, err := verify(s.tenant, audit.KeySet{}, audit.Options{}); err == nil {
		t.Error("verified without keys")
	}
}

func TestBundleWriterRefuses(t *testing.T) {
	f := newFixture(t)
	f.fill(t, 8)
	for name, h := range map[string]audit.BundleHeader{
		"no entries":       {Origin: origin, Tenant: "acme", Tree: f.tree},
		"too many entries": {Origin: origin, Tenant: "acme", Entries: 9, Tree: f.tree},
		"whole with holes": {Origin: origin, Entries: 7, Tree: f.tree},
	} {
		if _, err := audit.NewBundleWriter(io.Discard, h, f.hashes()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	h := audit.BundleHeader{Origin: origin, Tenant: "acme", Entries: 2, Tree: f.tree}
	w, err := audit.NewBundleWriter(io.Discard, h, f.hashes())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add(0, f.places[0], f.recs[0]); err != nil {
		t.Fatal(err)
	}
	if err := w.Add(8, f.places[0], f.recs[0]); err == nil {
		t.Error("an entry beyond the tree was added")
	}
	if err := w.Close(f.checkpoint(t)); err == nil {
		t.Error("closed with an entry missing")
	}
	if w, err = audit.NewBundleWriter(failingWriter{}, audit.BundleHeader{Origin: origin, Tenant: "", Entries: 8, Tree: f.tree}, f.hashes()); err != nil {
		t.Fatal(err)
	}
	for i, r := range f.recs {
		if err := w.Add(int64(i), f.places[i], r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(f.checkpoint(t)); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("the writer's error is lost: %v", err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// A record that was changed in the store is exported as it is, and named.
func TestStoredRecordChanged(t *testing.T) {
	f := newFixture(t)
	f.fill(t, 12)
	changed, err := f.recs[4].Entry()
	if err != nil {
		t.Fatal(err)
	}
	changed.Version = "9"
	f.recs[4] = newRecord(t, changed)
	for _, tenant := range []secret.TenantName{"acme", ""} {
		_, err := verify(f.export(t, tenant, "", 0), f.keys, audit.Options{})
		if fault := wantKind(t, err, audit.ChangedEntry); fault.Index != 4 && tenant == "acme" {
			t.Errorf("%v", fault)
		}
	}
}

func FuzzVerify(f *testing.F) {
	tenant, whole := vector(f, "tenant.bundle"), vector(f, "whole.bundle")
	ks, err := audit.ParseKeySet(vector(f, "keys.txt"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(tenant)
	f.Add(whole)
	f.Add(tenant[:len(tenant)/2])
	f.Add([]byte(`{"format":"fastness-audit-bundle/1"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := verify(b, ks, audit.Options{})
		// Deleting a personal part is a redaction, which holds.
		redacted := bytes.Count(b, []byte(`"redacted":true`)) > 1
		if err == nil && !redacted && !bytes.Equal(b, tenant) && !bytes.Equal(b, whole) {
			t.Fatal("another bundle was accepted")
		}
	})
}

func BenchmarkExportAndVerify(b *testing.B) {
	f := newFixture(b)
	f.fill(b, 20_000)
	var bundle []byte
	for _, tenant := range []secret.TenantName{"acme", ""} {
		name := "tenant"
		if tenant == "" {
			name = "whole"
		}
		bundle = f.export(b, tenant, "", 0)
		n := float64(entriesOf(b, lines(bundle)))
		last, note := f.runs[tenant][len(f.runs[tenant])-1], f.checkpoint(b)
		b.Run(name+"/write", func(b *testing.B) {
			for b.Loop() {
				f.bundle(b, tenant, "", last, f.now, note)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/entry")
		})
		b.Run(name+"/verify", func(b *testing.B) {
			for b.Loop() {
				if _, err := verify(bundle, f.keys, audit.Options{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/entry")
		})
	}
}
