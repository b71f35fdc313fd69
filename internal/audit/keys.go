package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"filippo.io/mldsa"
)

// Types of note signature, assigned by C2SP signed-note and tlog-cosignature.
const (
	typeEd25519 = 0x01
	typeMLDSA44 = 0x06
)

// maxOrigin is what tlog-cosignature's signed message has room for.
const maxOrigin = 255

// PublicKeys are the two keys that sign a log's checkpoints.
type PublicKeys struct {
	Origin  string // the log's name, and both keys'
	Ed25519 ed25519.PublicKey
	MLDSA44 []byte
}

// CheckOrigin refuses what cannot be the name of a log: it must have 1 to 255
// bytes without spaces, control characters and '+'. A host and path without a
// scheme is usual.
func CheckOrigin(s string) error {
	bad := func(r rune) bool { return unicode.IsSpace(r) || isUnsafe(r) || r == '+' }
	if s == "" || len(s) > maxOrigin || !utf8.ValidString(s) || strings.ContainsFunc(s, bad) {
		return errors.New("an origin has 1 to 255 bytes, without spaces, control characters and '+'")
	}
	return nil
}

// ParsePublicKeys reads a pair of verifier keys as VKeys writes them.
func ParsePublicKeys(ed25519Key, mldsaKey string) (PublicKeys, error) {
	name, ed, err := parseVKey(ed25519Key, typeEd25519, ed25519.PublicKeySize)
	if err != nil {
		return PublicKeys{}, fmt.Errorf("reading Ed25519 key: %w", err)
	}
	name2, ml, err := parseVKey(mldsaKey, typeMLDSA44, mldsa.MLDSA44PublicKeySize)
	if err != nil {
		return PublicKeys{}, fmt.Errorf("reading ML-DSA-44 key: %w", err)
	}
	if name != name2 {
		return PublicKeys{}, errors.New("the two keys have different names")
	}
	return PublicKeys{Origin: name, Ed25519: ed, MLDSA44: ml}, nil
}

// VKeys returns the keys in C2SP's form: name, '+', key id in hexadecimal,
// '+', base64 of the type byte and the key.
func (k PublicKeys) VKeys() (ed25519Key, mldsaKey string) {
	return vkey(k.Origin, typeEd25519, k.Ed25519), vkey(k.Origin, typeMLDSA44, k.MLDSA44)
}

// RotationDetail is the detail of the AuditKeysRotate entry that names k as
// the keys to come: the verifier keys on two lines.
func (k PublicKeys) RotationDetail() string {
	ed, ml := k.VKeys()
	return ed + "\n" + ml
}

// keyID is the key id that a signature line carries.
func keyID(name string, typ byte, key []byte) uint32 {
	h := sha256.New()
	h.Write([]byte(name + "\n"))
	h.Write([]byte{typ})
	h.Write(key)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

func vkey(name string, typ byte, key []byte) string {
	typed := append([]byte{typ}, key...)
	return fmt.Sprintf("%s+%08x+%s", name, keyID(name, typ, key), base64.StdEncoding.EncodeToString(typed))
}

func parseVKey(s string, typ byte, size int) (name string, key []byte, err error) {
	name, rest, _ := strings.Cut(s, "+")
	_, encoded, _ := strings.Cut(rest, "+")
	if err := CheckOrigin(name); err != nil {
		return "", nil, err
	}
	typed, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(typed) != 1+size || typed[0] != typ {
		return "", nil, fmt.Errorf("not a verifier key of type 0x%02x", typ)
	}
	key = typed[1:]
	if vkey(name, typ, key) != s {
		return "", nil, errors.New("key id does not fit the key, or the key is written in an unusual way")
	}
	return name, key, nil
}

// verifyEd25519 checks a signature of type 0x01 over a note's text.
func (k PublicKeys) verifyEd25519(text, sig []byte) bool {
	return len(k.Ed25519) == ed25519.PublicKeySize && ed25519.Verify(k.Ed25519, text, sig)
}

// verifyMLDSA checks a signature of type 0x06 without its timestamp over a
// cosigned message.
func (k PublicKeys) verifyMLDSA(message, sig []byte) bool {
	pub, err := mldsa.NewPublicKey(mldsa.MLDSA44(), k.MLDSA44)
	return err == nil && mldsa.Verify(pub, message, sig, nil) == nil
}
