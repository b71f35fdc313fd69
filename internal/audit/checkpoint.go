package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is the head of a log: whoever holds it can check everything that
// the log held by then. Its text is C2SP's tlog-checkpoint without extension
// lines:
//
//	origin
//	size in decimal
//	root in base64
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
}

// SignedCheckpoint is a checkpoint whose two signatures were found valid.
type SignedCheckpoint struct {
	Checkpoint
	Time time.Time // when the ML-DSA-44 signature says it was signed, in seconds
	Note []byte    // the signed note
}

// Text returns what is signed with Ed25519.
func (c Checkpoint) Text() string {
	return c.Origin + "\n" + strconv.FormatInt(c.Size, 10) + "\n" + c.Root.String() + "\n"
}

// cosignedMessage is what is signed with ML-DSA-44, as C2SP tlog-cosignature
// has it:
//
//	 12  label, "subtree/v1\n\0"
//	1+n  cosigner's name
//	  8  timestamp, seconds since 1970, big endian
//	1+n  log's origin
//	  8  start, 0
//	  8  end, the size
//	 32  root
//
// The log is its own cosigner, so the two names are one.
func (c Checkpoint) cosignedMessage(timestamp uint64) []byte {
	m := []byte("subtree/v1\n\x00")
	m = append(m, byte(len(c.Origin)))
	m = append(m, c.Origin...)
	m = binary.BigEndian.AppendUint64(m, timestamp)
	m = append(m, byte(len(c.Origin)))
	m = append(m, c.Origin...)
	m = binary.BigEndian.AppendUint64(m, 0)
	m = binary.BigEndian.AppendUint64(m, uint64(c.Size))
	return append(m, c.Root[:]...)
}

const (
	maxNote = 64 << 10 // bytes of a note: room for some witnesses' signatures
	maxSigs = 64       // signature lines of a note
	sigMark = "— "
)

// OpenCheckpoint reads a signed note and requires both valid signatures of
// the keys whose range holds its size. As the note format asks, signatures of
// unknown keys are passed over. Errors are *VerifyError.
func OpenCheckpoint(note []byte, ks KeySet) (SignedCheckpoint, error) {
	n, err := parseNote(note)
	if err != nil {
		return SignedCheckpoint{}, err
	}
	return n.open(ks)
}

// openBundled is OpenCheckpoint for a bundle, where the note must be exactly as
// Signer writes it: the Ed25519 line, the ML-DSA-44 line, and no more.
func openBundled(note []byte, ks KeySet) (SignedCheckpoint, error) {
	c, err := OpenCheckpoint(note, ks)
	if err != nil {
		return c, err
	}
	n, _ := parseNote(note)
	keys, _ := ks.For(c.Size)
	if len(n.sigs) != 2 || n.sigs[0].id != keyID(c.Origin, typeEd25519, keys.Ed25519) {
		return SignedCheckpoint{}, fault(SecondForm, "the checkpoint has other lines than its two signatures")
	}
	return c, nil
}

// ParseCheckpoint reads a signed note without looking at its signatures.
func ParseCheckpoint(note []byte) (Checkpoint, error) {
	n, err := parseNote(note)
	if err != nil {
		return Checkpoint{}, err
	}
	return n.Checkpoint, nil
}

// signedNote is a note taken apart.
type signedNote struct {
	Checkpoint
	raw  []byte
	text []byte
	sigs []signature
}

type signature struct {
	name string
	id   uint32
	sig  []byte
}

func parseNote(note []byte) (*signedNote, error) {
	if len(note) > maxNote || !utf8.Valid(note) {
		return nil, fault(Malformed, "the checkpoint is too long or not UTF-8")
	}
	cut := bytes.LastIndex(note, []byte("\n\n"))
	if cut < 0 || !bytes.HasSuffix(note, []byte("\n")) {
		return nil, fault(Malformed, "the checkpoint is not a signed note")
	}
	n := &signedNote{raw: bytes.Clone(note)}
	n.text = n.raw[:cut+1]
	c, err := parseText(string(n.text))
	if err != nil {
		return nil, err
	}
	n.Checkpoint = c
	if cut+2 == len(note) {
		return n, nil // no signature at all: open says which are missing
	}
	for line := range strings.SplitSeq(string(note[cut+2:len(note)-1]), "\n") {
		s, ok := parseSignature(line)
		if !ok || len(n.sigs) == maxSigs {
			return nil, fault(Malformed, "the checkpoint has a line that is no signature, or too many")
		}
		n.sigs = append(n.sigs, s)
	}
	return n, nil
}

func parseText(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || CheckOrigin(lines[0]) != nil {
		return Checkpoint{}, fault(Malformed, "the checkpoint does not have an origin, a size and a root")
	}
	size, err1 := strconv.ParseInt(lines[1], 10, 64)
	root, err2 := tlog.ParseHash(lines[2])
	c := Checkpoint{Origin: lines[0], Size: size, Root: root}
	if err1 != nil || err2 != nil || size < 0 || c.Text() != text {
		return Checkpoint{}, fault(Malformed, "the checkpoint's size or root is not well formed")
	}
	return c, nil
}

func parseSignature(line string) (signature, bool) {
	name, encoded, ok := strings.Cut(strings.TrimPrefix(line, sigMark), " ")
	if !ok || !strings.HasPrefix(line, sigMark) || CheckOrigin(name) != nil {
		return signature{}, false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(b) < 5 || base64.StdEncoding.EncodeToString(b) != encoded {
		return signature{}, false
	}
	return signature{name: name, id: binary.BigEndian.Uint32(b), sig: b[4:]}, true
}

func (n *signedNote) open(ks KeySet) (SignedCheckpoint, error) {
	if n.Origin != ks.Origin {
		return SignedCheckpoint{}, fault(WrongOrigin, "the checkpoint is of the log %q, the keys are of %q", n.Origin, ks.Origin)
	}
	keys, ok := ks.For(n.Size)
	if !ok {
		return SignedCheckpoint{}, fault(WrongKeys, "no key covers a checkpoint of size %d", n.Size)
	}
	ed, err := n.signature(keyID(keys.Origin, typeEd25519, keys.Ed25519), MissingEd25519, BadEd25519)
	if err != nil {
		return SignedCheckpoint{}, err
	}
	if !keys.verifyEd25519(n.text, ed) {
		return SignedCheckpoint{}, fault(BadEd25519, "the checkpoint of size %d is not signed by the key of its size", n.Size)
	}
	ml, err := n.signature(keyID(keys.Origin, typeMLDSA44, keys.MLDSA44), MissingMLDSA, BadMLDSA)
	if err != nil {
		return SignedCheckpoint{}, err
	}
	timestamp, ok := n.checkMLDSA(keys, ml)
	if !ok {
		return SignedCheckpoint{}, fault(BadMLDSA, "the checkpoint of size %d is not signed by the key of its size", n.Size)
	}
	return SignedCheckpoint{Checkpoint: n.Checkpoint, Time: time.Unix(timestamp, 0).UTC(), Note: n.raw}, nil
}

// signature finds the one signature of a key of ours.
func (n *signedNote) signature(id uint32, missing, bad Kind) ([]byte, error) {
	var found []byte
	for _, s := range n.sigs {
		switch {
		case s.name != n.Origin || s.id != id:
		case found != nil:
			return nil, fault(bad, "the checkpoint of size %d has two signatures of one key", n.Size)
		default:
			found = s.sig
		}
	}
	if found == nil {
		return nil, fault(missing, "the checkpoint of size %d has no such signature by the key of its size", n.Size)
	}
	return found, nil
}

// checkMLDSA checks a timestamp, 8 bytes, with its signature.
func (n *signedNote) checkMLDSA(keys PublicKeys, stamped []byte) (timestamp int64, ok bool) {
	if len(stamped) < 8 {
		return 0, false
	}
	t := binary.BigEndian.Uint64(stamped)
	if t > 1<<63-1 || !keys.verifyMLDSA(n.cosignedMessage(t), stamped[8:]) {
		return 0, false
	}
	return int64(t), true
}

// sigLine writes one signature line of a note.
func sigLine(name string, id uint32, sig []byte) string {
	b := append(binary.BigEndian.AppendUint32(nil, id), sig...)
	return fmt.Sprintf("%s%s %s\n", sigMark, name, base64.StdEncoding.EncodeToString(b))
}
