package audit_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"filippo.io/mldsa"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/audit"
	"fastness/internal/secretbuf"
)

func signed(t testing.TB) (audit.Checkpoint, []byte, *audit.Signer) {
	t.Helper()
	s := newSigner(t, 1)
	c := audit.Checkpoint{Origin: origin, Size: 20852163, Root: tlog.RecordHash([]byte("root"))}
	n, err := s.Sign(c, base)
	if err != nil {
		t.Fatal(err)
	}
	return c, n, s
}

func TestCheckpointOpens(t *testing.T) {
	c, n, s := signed(t)
	got, err := audit.OpenCheckpoint(n, keySet(s))
	if err != nil {
		t.Fatal(err)
	}
	if got.Checkpoint != c || !got.Time.Equal(base.Truncate(time.Second)) || !bytes.Equal(got.Note, n) {
		t.Errorf("opened as %+v", got)
	}
	if got, err := audit.ParseCheckpoint(n); err != nil || got != c {
		t.Errorf("parsed as %+v, %v", got, err)
	}
}

// The Ed25519 line is checked by x/mod's own reader of the format.
func TestCheckpointOpensAsNote(t *testing.T) {
	c, n, s := signed(t)
	vkey, _ := s.Keys().VKeys()
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := note.Open(n, note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	if opened.Text != c.Text() || len(opened.Sigs) != 1 || len(opened.UnverifiedSigs) != 1 {
		t.Errorf("opened as %+v", opened)
	}
}

// The ML-DSA-44 line is checked by hand, from the words of tlog-cosignature.
func TestCheckpointMLDSA(t *testing.T) {
	c, n, s := signed(t)
	last := strings.Split(strings.TrimSuffix(string(n), "\n"), "\n")
	line, ok := strings.CutPrefix(last[len(last)-1], "— "+origin+" ")
	blob, err := base64.StdEncoding.DecodeString(line)
	if !ok || err != nil || len(blob) != 4+8+2420 {
		t.Fatalf("signature line %q", line)
	}
	if ts := binary.BigEndian.Uint64(blob[4:]); ts != uint64(base.Unix()) {
		t.Errorf("timestamp %d", ts)
	}
	var msg bytes.Buffer
	msg.WriteString("subtree/v1\n\x00")
	msg.WriteByte(byte(len(origin)))
	msg.WriteString(origin)
	msg.Write(blob[4:12])
	msg.WriteByte(byte(len(origin)))
	msg.WriteString(origin)
	binary.Write(&msg, binary.BigEndian, []uint64{0, uint64(c.Size)})
	msg.Write(c.Root[:])
	if !bytes.Equal(msg.Bytes(), c.CosignedMessage(uint64(base.Unix()))) {
		t.Error("signed message differs")
	}
	pub, err := mldsa.NewPublicKey(mldsa.MLDSA44(), s.Keys().MLDSA44)
	if err != nil {
		t.Fatal(err)
	}
	if err := mldsa.Verify(pub, msg.Bytes(), blob[12:], nil); err != nil {
		t.Error(err)
	}
}

// sigLines returns the text of a note and its two signature lines.
func sigLines(t testing.TB, n []byte) (text, ed, ml string) {
	t.Helper()
	text, sigs, ok := strings.Cut(string(n), "\n\n")
	lines := strings.SplitAfter(sigs, "\n")
	if !ok || len(lines) != 3 {
		t.Fatalf("note %q", n)
	}
	return text + "\n\n", lines[0], lines[1]
}

// flip changes one character in the middle of a signature line.
func flip(line string) string {
	b := []byte(line)
	if at := &b[len(b)/2]; *at == 'A' {
		*at = 'B'
	} else {
		*at = 'A'
	}
	return string(b)
}

func TestCheckpointFaults(t *testing.T) {
	_, n, s := signed(t)
	text, ed, ml := sigLines(t, n)
	_, foreign, err := func() (string, []byte, error) {
		other := newSigner(t, 77)
		n, err := other.Sign(audit.Checkpoint{Origin: origin, Size: 20852163, Root: tlog.RecordHash([]byte("root"))}, base)
		return "", n, err
	}()
	if err != nil {
		t.Fatal(err)
	}
	_, foreignEd, foreignML := sigLines(t, foreign)
	otherSize := strings.Replace(text, "20852163", "20852164", 1)

	tests := []struct {
		name string
		note string
		want audit.Kind
	}{
		{"as signed", text + ed + ml, ""},
		{"other order", text + ml + ed, ""},
		{"a witness's line", text + ed + ml + foreignEd, ""},
		{"no Ed25519", text + ml, audit.MissingEd25519},
		{"foreign Ed25519", text + foreignEd + ml, audit.MissingEd25519},
		{"flipped Ed25519", text + flip(ed) + ml, audit.BadEd25519},
		{"Ed25519 twice", text + ed + ed + ml, audit.BadEd25519},
		{"no ML-DSA", text + ed, audit.MissingMLDSA},
		{"foreign ML-DSA", text + ed + foreignML, audit.MissingMLDSA},
		{"flipped ML-DSA", text + ed + flip(ml), audit.BadMLDSA},
		{"no signatures", text, audit.MissingEd25519},
		{"other size", otherSize + ed + ml, audit.BadEd25519},
		{"other origin", strings.Replace(text+ed+ml, "log.example", "log.examples", 3), audit.WrongOrigin},
		{"extension line", strings.Replace(text, "\n\n", "\nmore\n\n", 1) + ed + ml, audit.Malformed},
		{"size with zero", strings.Replace(text, "20852163", "020852163", 1) + ed + ml, audit.Malformed},
		{"negative size", strings.Replace(text, "20852163", "-1", 1) + ed + ml, audit.Malformed},
		{"no newline at the end", strings.TrimSuffix(text+ed+ml, "\n"), audit.Malformed},
		{"no signature line", text + ed + ml + "hello\n", audit.Malformed},
		{"empty", "", audit.Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := audit.OpenCheckpoint([]byte(tt.note), keySet(s))
			wantKind(t, err, tt.want)
		})
	}
}

func TestSignerRefuses(t *testing.T) {
	s := newSigner(t, 1)
	for name, c := range map[string]audit.Checkpoint{
		"other origin":  {Origin: "other.example"},
		"negative size": {Origin: origin, Size: -1},
	} {
		if _, err := s.Sign(c, base); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
	ed, ml := secretbuf.NewKey(make([]byte, 32)), secretbuf.NewKey(make([]byte, 32))
	if _, err := audit.NewSigner("with space", ed, ml); err == nil {
		t.Error("origin with a space: accepted")
	}
	gone, err := audit.NewSigner(origin, ed, ml)
	if err != nil {
		t.Fatal(err)
	}
	ml.Destroy()
	defer ed.Destroy()
	if _, err := gone.Sign(audit.Checkpoint{Origin: origin}, base); err == nil {
		t.Error("signed with a destroyed seed")
	}
	if _, err := audit.NewSigner(origin, ed, ml); err == nil {
		t.Error("made a signer of a destroyed seed")
	}
}

func FuzzOpenCheckpoint(f *testing.F) {
	_, n, s := signed(f)
	text, ed, ml := sigLines(f, n)
	f.Add(n)
	f.Add([]byte(text))
	f.Add([]byte(text + ml + ed))
	f.Add([]byte("a\n0\n\n\n— a AAAA\n"))
	ks := keySet(s)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := audit.ParseCheckpoint(b)
		if err == nil && !bytes.HasPrefix(b, []byte(c.Text()+"\n")) {
			t.Fatal("a second form of a checkpoint was accepted")
		}
		if got, err := audit.OpenCheckpoint(b, ks); err == nil && got.Text() != strings.TrimSuffix(text, "\n") {
			t.Fatal("another text than the signed one was accepted")
		}
	})
}

func BenchmarkSign(b *testing.B) {
	s := newSigner(b, 1)
	for b.Loop() {
		if _, err := s.Sign(audit.Checkpoint{Origin: origin, Size: 5}, base); err != nil {
			b.Fatal(err)
		}
	}
}
