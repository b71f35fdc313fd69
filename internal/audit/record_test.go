package audit_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"fastness/internal/audit"
	"fastness/internal/secret"
)

func newRecord(t testing.TB, e audit.Entry) audit.Record {
	t.Helper()
	r, err := audit.NewRecord(e)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecordHoldsTheEntry(t *testing.T) {
	text := rapid.StringMatching(`[ -~]{0,40}`)
	rapid.Check(t, func(t *rapid.T) {
		e := audit.Entry{
			Timestamp: time.Unix(0, rapid.Int64Min(0).Draw(t, "time")).UTC(),
			Action:    audit.Action(rapid.StringMatching(`[a-z._]{1,32}`).Draw(t, "action")),
			Result:    audit.Result(rapid.StringMatching(`[a-z._]{1,32}`).Draw(t, "result")),
			TenantID:  secret.TenantName(rapid.StringMatching(`[a-z0-9-]{0,63}`).Draw(t, "tenant")),
			Count:     rapid.Int64Min(0).Draw(t, "count"),
			TreeSize:  rapid.Int64Min(0).Draw(t, "size"),
			Detail:    rapid.StringMatching(`[ -~\n]{0,200}`).Draw(t, "detail"),
		}
		for _, field := range []*string{&e.SecretName, &e.UserID, &e.Target, &e.IPAddress, &e.UserAgent, &e.Error,
			&e.CorrelationID, &e.Version, &e.OldVersion, &e.NewVersion, &e.Nonce} {
			*field = text.Draw(t, "text")
		}
		r, err := audit.NewRecord(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := audit.ParseRecord(r); err != nil {
			t.Fatal(err)
		}
		got, err := r.Entry()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(e, got); d != "" {
			t.Fatal(d)
		}
		if r.Tenant() != e.TenantID || r.Action() != e.Action || !r.Time().Equal(e.Timestamp) || r.Redacted() {
			t.Fatalf("accessors differ: %q %q %v %v", r.Tenant(), r.Action(), r.Time(), r.Redacted())
		}
	})
}

func TestNewRecordBoundsTexts(t *testing.T) {
	long := strings.Repeat("é", 5000)
	e := sample()
	e.SecretName, e.UserID, e.IPAddress, e.UserAgent, e.Error = long, long, long, long, long
	e.Target = long
	e.CorrelationID, e.Version, e.OldVersion, e.NewVersion, e.Nonce = long, long, long, long, long
	e.Detail = strings.Repeat("d\n", audit.MaxDetail/2)
	r := newRecord(t, e)
	got, err := r.Entry()
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Target) != 256 || len(got.SecretName) != 512 || len(got.UserAgent) != 256 || len(got.IPAddress) != 64 || len(got.Nonce) != 128 {
		t.Errorf("lengths %d %d %d %d", len(got.SecretName), len(got.UserAgent), len(got.IPAddress), len(got.Nonce))
	}
	if got.Detail != e.Detail {
		t.Error("detail was changed")
	}
}

func TestNewRecordRefusesOurFaults(t *testing.T) {
	tests := map[string]func(*audit.Entry){
		"no time":         func(e *audit.Entry) { e.Timestamp = time.Time{} },
		"time too late":   func(e *audit.Entry) { e.Timestamp = time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC) },
		"no action":       func(e *audit.Entry) { e.Action = "" },
		"action no word":  func(e *audit.Entry) { e.Action = "Read it" },
		"no result":       func(e *audit.Entry) { e.Result = "" },
		"bad tenant":      func(e *audit.Entry) { e.TenantID = "A/B" },
		"negative count":  func(e *audit.Entry) { e.Count = -1 },
		"negative size":   func(e *audit.Entry) { e.TreeSize = -1 },
		"detail too long": func(e *audit.Entry) { e.Detail = strings.Repeat("d", audit.MaxDetail+1) },
		"detail grows":    func(e *audit.Entry) { e.Detail = strings.Repeat("\x00", audit.MaxDetail) },
	}
	for name, change := range tests {
		e := sample()
		change(&e)
		if r, err := audit.NewRecord(e); err == nil || r != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestRedactKeepsTheLeaf(t *testing.T) {
	e := sample()
	e.SecretName, e.UserID, e.Target = "secret-of-alice", "alice@example.com", "bob@example.com"
	r := newRecord(t, e)
	redacted := r.Redact()
	prev := tlog.RecordHash([]byte("prev"))
	if !redacted.Redacted() || r.Redacted() {
		t.Error("Redacted does not tell them apart")
	}
	if !bytes.Equal(r.Leaf(7, prev), redacted.Leaf(7, prev)) {
		t.Error("leaf changed")
	}
	for _, personal := range []string{e.SecretName, e.UserID, e.Target, e.IPAddress, e.UserAgent, e.Error} {
		if bytes.Contains(redacted, []byte(personal)) || bytes.Contains(r.Leaf(7, prev), []byte(personal)) {
			t.Errorf("%q is still there", personal)
		}
	}
	if !bytes.Equal(redacted.Redact(), redacted) {
		t.Error("redacting again changes it")
	}
	got, err := redacted.Entry()
	if err != nil {
		t.Fatal(err)
	}
	want := sample()
	want.SecretName, want.UserID, want.IPAddress, want.UserAgent, want.Error = "", "", "", "", ""
	want.Redacted = true
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestRecordsOfEqualEntriesDiffer(t *testing.T) {
	a, b := newRecord(t, sample()), newRecord(t, sample())
	var zero tlog.Hash
	if bytes.Equal(a.Leaf(1, zero), b.Leaf(1, zero)) {
		t.Error("two leaves are equal: a neighbour can be guessed")
	}
}

func TestBatch(t *testing.T) {
	var blob []byte
	var want []audit.Record
	for range 5 {
		r := newRecord(t, sample())
		want = append(want, r)
		blob = audit.AppendBatch(blob, r)
	}
	got, err := audit.ParseBatch(blob)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestBatchIsStrict(t *testing.T) {
	r := newRecord(t, sample())
	good := audit.AppendBatch(nil, r)
	head := binary.AppendUvarint(nil, uint64(len(r)))
	longLength := append([]byte{1, head[0], head[1] | 0x80, 0}, r...)
	tests := map[string][]byte{
		"empty":           nil,
		"no record":       {1},
		"other format":    append([]byte{2}, good[1:]...),
		"cut short":       good[:len(good)-1],
		"a byte too many": append(bytes.Clone(good), 0),
		"long length":     longLength,
		"empty record":    {1, 0},
		"huge length":     {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
	}
	for name, blob := range tests {
		if _, err := audit.ParseBatch(blob); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for i := range r {
		if _, err := audit.ParseRecord(r[:i]); err == nil && !audit.Record(r[:i]).Redacted() {
			t.Errorf("record cut to %d bytes: accepted", i)
		}
	}
}

// The target stands at the end if there is one. An empty one that is written
// out would be a second form.
func TestTarget(t *testing.T) {
	without := newRecord(t, sample())
	if _, err := audit.ParseRecord(append(bytes.Clone(without), 0)); err == nil {
		t.Error("an empty target was accepted")
	}
	e := sample()
	e.Target = "bob"
	with := newRecord(t, e)
	if want := len(without) + 4; len(with) != want || !bytes.HasSuffix(with, []byte("\x03bob")) {
		t.Errorf("record ends with %q and has %d bytes, want %d", with[len(with)-4:], len(with), want)
	}
	if _, err := audit.ParseRecord(append(bytes.Clone(with), 0)); err == nil {
		t.Error("a byte behind the target was accepted")
	}
	l, err := audit.NewLeafEntry(with, 3, 9, tlog.Hash{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Hash(); err != nil {
		t.Error(err)
	}
	l.Target = "eve"
	var fault *audit.VerifyError
	if _, err := l.Hash(); !errors.As(err, &fault) || fault.Kind != audit.BadCommitment {
		t.Errorf("another target: %v", err)
	}
}

// leafByHand builds the leaf from the documented layout, independently of the
// package's own encoder.
func leafByHand(seq uint64, prev tlog.Hash, e audit.Entry, salt, commitment []byte) []byte {
	var b bytes.Buffer
	text := func(s string) {
		b.Write(binary.AppendUvarint(nil, uint64(len(s))))
		b.WriteString(s)
	}
	b.WriteByte(1)
	binary.Write(&b, binary.BigEndian, seq)
	b.Write(prev[:])
	binary.Write(&b, binary.BigEndian, uint64(e.Timestamp.UnixNano()))
	for _, s := range []string{string(e.TenantID), string(e.Action), string(e.Result), e.CorrelationID,
		e.Version, e.OldVersion, e.NewVersion} {
		text(s)
	}
	b.Write(binary.AppendUvarint(nil, uint64(e.Count)))
	b.Write(binary.AppendUvarint(nil, uint64(e.TreeSize)))
	text(e.Nonce)
	text(e.Detail)
	b.Write(salt)
	b.Write(commitment)
	return b.Bytes()
}

func TestLeafLayout(t *testing.T) {
	e := sample()
	r := newRecord(t, e)
	prev := tlog.RecordHash([]byte("prev"))
	l, err := audit.NewLeafEntry(r, 3, 9, prev)
	if err != nil {
		t.Fatal(err)
	}
	want := leafByHand(9, prev, e, l.LeafSalt, l.Commitment[:])
	if got := r.Leaf(9, prev); !bytes.Equal(got, want) {
		t.Errorf("leaf\n got %x\nwant %x", got, want)
	}
	h, err := l.Hash()
	if err != nil {
		t.Fatal(err)
	}
	if h != tlog.RecordHash(want) {
		t.Error("leaf hash is not that of the leaf")
	}
}

func FuzzParseRecord(f *testing.F) {
	r := newRecord(f, sample())
	f.Add([]byte(r))
	f.Add([]byte(r.Redact()))
	f.Add([]byte{})
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := audit.ParseRecord(b)
		if err != nil {
			return
		}
		e, err := r.Entry()
		if err != nil {
			t.Fatal(err)
		}
		if r.Tenant() != e.TenantID || r.Action() != e.Action || e.Redacted != r.Redacted() {
			t.Fatal("accessors differ from the entry")
		}
		l, err := audit.NewLeafEntry(r, 0, 1, tlog.Hash{})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(r.Leaf(1, tlog.Hash{}), leafByHand(1, tlog.Hash{}, e, l.LeafSalt, l.Commitment[:])) {
			t.Fatal("a second form of a record was accepted")
		}
	})
}

func FuzzParseBatch(f *testing.F) {
	r := newRecord(f, sample())
	f.Add(audit.AppendBatch(nil, r))
	f.Add(audit.AppendBatch(audit.AppendBatch(nil, r), r.Redact()))
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := audit.ParseBatch(b)
		if err != nil {
			return
		}
		var again []byte
		for _, r := range records {
			again = audit.AppendBatch(again, r)
		}
		if !bytes.Equal(again, b) {
			t.Fatal("a second form of a batch was accepted")
		}
	})
}

func BenchmarkNewRecord(b *testing.B) {
	e := sample()
	e.Detail, e.Nonce, e.Error = "", "", ""
	b.ReportAllocs()
	for b.Loop() {
		if _, err := audit.NewRecord(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLeaf(b *testing.B) {
	r := newRecord(b, sample())
	b.ReportAllocs()
	for b.Loop() {
		tlog.RecordHash(r.Leaf(1, tlog.Hash{}))
	}
}
