package secretbuf_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"strings"
	"testing"
	"unsafe"

	"fastness/internal/secretbuf"
)

func TestWipeString(t *testing.T) {
	s := strings.Repeat(string(planted), 2)
	secretbuf.WipeString(s)
	secretbuf.WipeString("")
	if !allZero([]byte(s)) {
		t.Errorf("the string still holds %q", s)
	}
}

// ciphers makes each kind of cipher that the standard library has for AES-GCM.
func ciphers(t *testing.T, key []byte) map[string]any {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	random, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{"block": block, "gcm": gcm, "gcm with random nonce": random}
}

// TestWipeCipher reads the ciphers' memory. That WipeCipher reports true means
// that the types of this version of Go hold no further pointers.
func TestWipeCipher(t *testing.T) {
	for name, c := range ciphers(t, planted) {
		memory := cipherMemory(c)
		if !bytes.Contains(memory, planted[:16]) && !bytes.Contains(memory, swapWords(planted[:16])) {
			t.Errorf("%s: its memory does not hold the key: the test looks in the wrong place", name)
		}
		if !secretbuf.WipeCipher(c) {
			t.Errorf("%s: this version of Go keeps keys in a way that WipeCipher does not know", name)
		}
		if !allZero(cipherMemory(c)) {
			t.Errorf("%s: bytes are left", name)
		}
	}
}

// cipherMemory returns the 480 bytes or more to which the cipher points: less
// than the two key schedules of a Block.
func cipherMemory(c any) []byte {
	return unsafe.Slice((*byte)((*[2]unsafe.Pointer)(unsafe.Pointer(&c))[1]), 480)
}

// swapWords reverses the bytes of each 32-bit word, as key schedules are kept
// without AES instructions.
func swapWords(b []byte) []byte {
	out := bytes.Clone(b)
	for i := 0; i+4 <= len(out); i += 4 {
		out[i], out[i+1], out[i+2], out[i+3] = out[i+3], out[i+2], out[i+1], out[i]
	}
	return out
}

func TestWipeCipherKnowsItsLimits(t *testing.T) {
	block, _ := aes.NewCipher(planted)
	for name, x := range map[string]any{
		"nil": nil, "hash": sha256.New(), "stream": cipher.NewCTR(block, make([]byte, 16)), "slice": []byte{1}, "number": 1,
	} {
		if secretbuf.WipeCipher(x) {
			t.Errorf("%s: claims to be wiped", name)
		}
	}
}

func TestWipeCipherAllocates(t *testing.T) {
	c := ciphers(t, planted)["gcm"]
	if n := testing.AllocsPerRun(100, func() { secretbuf.WipeCipher(c) }); n > 0 {
		t.Errorf("wiping a cipher allocates %v times", n)
	}
}
