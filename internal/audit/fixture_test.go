package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

const origin = "log.example/audit"

// newSigner makes a signer from seeds that are all n.
func newSigner(t testing.TB, n byte) *audit.Signer {
	t.Helper()
	seed := func(b byte) *secretbuf.Key {
		k := secretbuf.NewKey(bytes.Repeat([]byte{b}, 32))
		t.Cleanup(k.Destroy)
		return k
	}
	s, err := audit.NewSigner(origin, seed(n), seed(n+1))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func keySet(s *audit.Signer) audit.KeySet {
	return audit.KeySet{Origin: origin, Ranges: []audit.KeyRange{{Keys: s.Keys()}}}
}

// fixture is a deployment: a log, its keys and its signer.
type fixture struct {
	*memLog
	signer *audit.Signer
	keys   audit.KeySet
	now    time.Time
	salts  byte // counts up; makes every salt another fixed one
}

func newFixture(t testing.TB) *fixture {
	s := newSigner(t, 1)
	return &fixture{memLog: newMemLog(), signer: s, keys: keySet(s), now: base}
}

// add records and sequences entries, a second apart.
func (f *fixture) add(t testing.TB, entries ...audit.Entry) {
	t.Helper()
	var batch []audit.Record
	for _, e := range entries {
		f.now = f.now.Add(time.Second)
		e.Timestamp = f.now
		if e.Result == "" {
			e.Result = audit.Success
		}
		var salts [32]byte
		for i := range salts {
			salts[i] = f.salts
			f.salts++
		}
		f.salts++
		r, err := audit.NewSaltedRecord(e, salts)
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, r)
	}
	f.sequence(t, batch)
}

// fill adds n reads in turn of the tenants acme and beta and the deployment.
func (f *fixture) fill(t testing.TB, n int) {
	t.Helper()
	var entries []audit.Entry
	for i := range n {
		tenant := []secret.TenantName{"acme", "acme", "beta", ""}[(len(f.recs)+i)%4]
		entries = append(entries, audit.Entry{TenantID: tenant, Action: audit.Read, SecretName: "db/password",
			UserID: "alice", IPAddress: "192.0.2.7", UserAgent: "curl/8.5", CorrelationID: fmt.Sprintf("c-%d", len(f.recs)+i),
			Version: "1"})
	}
	f.add(t, entries...)
}

// checkpoint signs the tree as it is.
func (f *fixture) checkpoint(t testing.TB) []byte {
	t.Helper()
	note, err := f.signer.Sign(audit.Checkpoint{Origin: origin, Size: f.tree.N, Root: f.tree.Hash}, f.now)
	if err != nil {
		t.Fatal(err)
	}
	return note
}

func (f *fixture) size() int64 { return f.tree.N }

// fork continues a copy of the log as if the last n entries had never been.
func (f *fixture) fork(t testing.TB, n int) *fixture {
	t.Helper()
	g := newFixture(t)
	g.signer, g.keys, g.now, g.salts = f.signer, f.keys, f.now, f.salts+99
	g.sequence(t, f.recs[:len(f.recs)-n])
	return g
}

// export records an export for the tenant, "" for the whole deployment, and
// writes the bundle under a checkpoint that has two more entries.
func (f *fixture) export(t testing.TB, tenant secret.TenantName, nonce string, since int64) []byte {
	t.Helper()
	f.add(t, audit.Entry{TenantID: tenant, Action: audit.AuditExport, UserID: "auditor", Nonce: nonce, TreeSize: since})
	last, exported := f.size()-1, f.now
	f.fill(t, 2)
	return f.bundle(t, tenant, nonce, last, exported, f.checkpoint(t))
}

// bundle writes a tenant's entries up to index last, or all of the tree.
func (f *fixture) bundle(t testing.TB, tenant secret.TenantName, nonce string, last int64, exported time.Time, note []byte) []byte {
	t.Helper()
	indices := f.runs[tenant]
	if tenant == "" {
		indices, last = indices[:0:0], f.size()-1
		for i := range f.recs {
			indices = append(indices, int64(i))
		}
	}
	indices = indices[:slices.Index(indices, last)+1]
	var out bytes.Buffer
	w, err := audit.NewBundleWriter(&out, audit.BundleHeader{Origin: origin, Tenant: tenant, Nonce: nonce,
		Exported: exported, Entries: int64(len(indices)), Tree: f.tree}, audit.NewHashReader(f.size(), f.tiles))
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range indices {
		if err := w.Add(i, f.places[i], f.recs[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(note); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func (f *fixture) hashes() *audit.HashReader { return audit.NewHashReader(f.size(), f.tiles) }

// leafEntry returns a sequenced entry with its place.
func (f *fixture) leafEntry(t testing.TB, index int64) audit.LeafEntry {
	t.Helper()
	var prev tlog.Hash
	var err error
	if p := f.places[index].Prev; p >= 0 {
		if prev, err = f.hashes().LeafHash(p); err != nil {
			t.Fatal(err)
		}
	}
	l, err := audit.NewLeafEntry(f.recs[index], index, f.places[index].Seq, prev)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// wantKind checks that err is a VerifyError of the kind, none for "".
func wantKind(t testing.TB, err error, want audit.Kind) *audit.VerifyError {
	t.Helper()
	var f *audit.VerifyError
	switch {
	case err == nil && want == "":
		return nil
	case !errors.As(err, &f):
		t.Fatalf("got error %v, want kind %q", err, want)
	case f.Kind != want:
		t.Fatalf("got %v, want kind %q", err, want)
	}
	return f
}

// noteOf returns the signed note in a bundle's last line.
func noteOf(t testing.TB, ls [][]byte) []byte {
	t.Helper()
	var c struct{ Checkpoint string }
	decode(t, ls[len(ls)-1], &c)
	return []byte(c.Checkpoint)
}

func decode(t testing.TB, line []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(line, v); err != nil {
		t.Fatal(err)
	}
}
