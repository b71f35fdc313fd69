package audit_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fastness/internal/audit"
)

func TestInclusion(t *testing.T) {
	f := newFixture(t)
	f.fill(t, 20)
	note := f.checkpoint(t)
	for index := range f.size() {
		p, err := audit.ProveInclusion(f.leafEntry(t, index), note, f.hashes())
		if err != nil {
			t.Fatal(err)
		}
		doc, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := audit.ParseInclusion(doc)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(p, back); d != "" {
			t.Fatal(d)
		}
		if c, err := back.Verify(f.keys); err != nil || c.Size != 20 {
			t.Fatalf("entry %d: %v", index, err)
		}
	}
}

func TestInclusionFaults(t *testing.T) {
	f := newFixture(t)
	f.fill(t, 20)
	p, err := audit.ProveInclusion(f.leafEntry(t, 4), f.checkpoint(t), f.hashes())
	if err != nil {
		t.Fatal(err)
	}
	good, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, old, new string
		want           audit.Kind
	}{
		{"public field", `"correlationId":"c-4"`, `"correlationId":"c-5"`, audit.ChangedEntry},
		{"index", `"index":4`, `"index":5`, audit.ChangedEntry},
		{"personal field", `"userId":"alice"`, `"userId":"bob"`, audit.BadCommitment},
		{"space", `"seq":`, `"seq": `, audit.SecondForm},
		{"unknown field", `"proof":`, `"more":1,"proof":`, audit.SecondForm},
		{"no proof", `"proof":[`, `"prof":[`, audit.SecondForm},
		{"other document", `inclusion/1`, `inclusion/2`, audit.Malformed},
		{"cut", `"}` + "\n", ``, audit.Malformed},
		{"trailing", "\n", "\n\n", audit.SecondForm},
		{"time", `"timestamp":"2026`, `"timestamp":"1926`, audit.Malformed},
		{"signature", `\n— log`, `\n— lag`, audit.MissingEd25519},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(string(good), tt.old) {
				t.Fatalf("no %q", tt.old)
			}
			p, err := audit.ParseInclusion([]byte(strings.Replace(string(good), tt.old, tt.new, 1)))
			if err == nil {
				_, err = p.Verify(f.keys)
			}
			wantKind(t, err, tt.want)
		})
	}
}

func TestConsistency(t *testing.T) {
	f := newFixture(t)
	f.fill(t, 9)
	older := f.checkpoint(t)
	f.fill(t, 11)
	p, err := audit.ProveConsistency(9, f.checkpoint(t), f.hashes())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := audit.ParseConsistency(doc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := back.Verify(f.keys, nil); err != nil {
		t.Error(err)
	}
	if c, err := back.Verify(f.keys, older); err != nil || c.Size != 20 {
		t.Error(err)
	}

	fork := f.fork(t, 15)
	fork.fill(t, 4)
	_, err = back.Verify(f.keys, fork.checkpoint(t))
	wantKind(t, err, audit.ForkedTree)
	back.Root[0] ^= 1
	_, err = back.Verify(f.keys, nil)
	wantKind(t, err, audit.ForkedTree)
	_, err = p.Verify(f.keys, []byte("nonsense"))
	wantKind(t, err, audit.Malformed)
	_, err = audit.ParseConsistency(bytes.Replace(doc, []byte(`"from":9`), []byte(`"from":09`), 1))
	wantKind(t, err, audit.Malformed)
	for _, from := range []int64{0, -1, 21} {
		if _, err := audit.ProveConsistency(from, f.checkpoint(t), f.hashes()); err == nil {
			t.Errorf("proof from size %d was made", from)
		}
	}
}

func FuzzParseProofs(f *testing.F) {
	x := newFixture(f)
	x.fill(f, 5)
	inclusion, err := audit.ProveInclusion(x.leafEntry(f, 2), x.checkpoint(f), x.hashes())
	if err != nil {
		f.Fatal(err)
	}
	consistency, err := audit.ProveConsistency(3, x.checkpoint(f), x.hashes())
	if err != nil {
		f.Fatal(err)
	}
	for _, doc := range []interface{ Encode() ([]byte, error) }{inclusion, consistency} {
		b, err := doc.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		if p, err := audit.ParseInclusion(b); err == nil {
			p.Verify(x.keys)
			again, _ = p.Encode()
		} else if p, err := audit.ParseConsistency(b); err == nil {
			p.Verify(x.keys, nil)
			again, _ = p.Encode()
		} else {
			return
		}
		if !bytes.Equal(bytes.TrimSuffix(b, []byte("\n")), bytes.TrimSuffix(again, []byte("\n"))) {
			t.Fatal("a second form of a proof was accepted")
		}
	})
}
