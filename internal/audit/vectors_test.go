package audit_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/audit"
)

var update = flag.Bool("update", false, "write the vectors in testdata anew: a change of format")

// vectors makes the log of testdata from fixed seeds and salts.
func vectors(t *testing.T) map[string][]byte {
	t.Helper()
	s := newStory(t)
	keys, err := s.keys.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	inclusion, err := audit.ProveInclusion(s.leafEntry(t, 4), s.older, audit.NewHashReader(10, s.tiles))
	if err != nil {
		t.Fatal(err)
	}
	proof, err := inclusion.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var batch []byte
	for _, r := range s.recs {
		batch = audit.AppendBatch(batch, r)
	}
	return map[string][]byte{
		"keys.txt":       keys,
		"checkpoint.txt": s.older,
		"leaves.txt":     leavesText(t, s.fixture),
		"batch.hex":      fmt.Appendf(nil, "%x\n", batch),
		"inclusion.json": proof,
		"tenant.bundle":  s.tenant,
		"whole.bundle":   s.whole,
		"target.hex":     fmt.Appendf(nil, "%x\n", targetVector(t)),
	}
}

// targetVector is a record of an entry with a target.
func targetVector(t *testing.T) audit.Record {
	t.Helper()
	e := sample()
	e.Action, e.SecretName, e.Target = audit.TokenCreate, "", "spiffe://acme/web"
	r, err := audit.NewSaltedRecord(e, [32]byte{1, 31: 2})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// leavesText lists index, leaf and leaf hash of every entry, in hexadecimal.
func leavesText(t *testing.T, f *fixture) []byte {
	t.Helper()
	var out bytes.Buffer
	for i, r := range f.recs {
		leaf := r.Leaf(f.places[i].Seq, f.leafEntry(t, int64(i)).Prev)
		h := tlog.RecordHash(leaf)
		fmt.Fprintf(&out, "%d %x %x\n", i, leaf, h[:])
	}
	return out.Bytes()
}

var sigLine = regexp.MustCompile(`— log\.example/audit [A-Za-z0-9+/=]+`)

// stable blanks the ML-DSA signatures, which are others each time they are made.
func stable(b []byte) string {
	return string(sigLine.ReplaceAllFunc(b, func(line []byte) []byte {
		if len(line) > 3000 {
			return []byte("— ML-DSA-44")
		}
		return line
	}))
}

func TestVectors(t *testing.T) {
	for name, got := range vectors(t) {
		if *update {
			if err := os.WriteFile(filepath.Join("testdata", name), got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if d := cmp.Diff(stable(vector(t, name)), stable(got)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// vector reads a file of testdata.
func vector(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The vectors verify as they lie there, with nothing made anew.
func TestStoredVectorsVerify(t *testing.T) {
	ks, err := audit.ParseKeySet(vector(t, "keys.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tenant.bundle", "whole.bundle"} {
		if _, err := verify(vector(t, name), ks, audit.Options{Since: vector(t, "checkpoint.txt")}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, err := audit.ParseInclusion(vector(t, "inclusion.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Verify(ks); err != nil {
		t.Error(err)
	}
}
