package envelope_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"os/exec"
	"strings"
	"testing"

	"fastness/internal/envelope"

	"pgregory.net/rapid"
)

func TestHMACMatchesTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "key")
		message := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 150), 0, 5).Draw(t, "message")
		h := hmac.New(sha256.New, key)
		h.Write(bytes.Join(message, nil))
		stack, module := envelope.HMAC(key, message...)
		if want := [32]byte(h.Sum(nil)); stack != want || module != want {
			t.Fatalf("on the stack %x, by the module %x, want %x", stack, module, want)
		}
	})
}

func TestExpandMatchesTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key")
		label := rapid.StringN(0, -1, 128).Draw(t, "label")
		item := rapid.StringN(0, -1, 300).Draw(t, "item")
		want, err := hkdf.Expand(sha256.New, key, text(label)+text(item), 32)
		if err != nil {
			t.Fatal(err)
		}
		if got := envelope.Expand(key, label, item); !bytes.Equal(got[:], want) {
			t.Fatalf("expanded %x, want %x", got, want)
		}
	})
}

// text is a text behind its length, as the formats have it.
func text(s string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(len(s)))) + s
}

func TestHMACRefusesLongKeys(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a key longer than a block is taken, and would not be hashed first")
		}
	}()
	envelope.HMAC(make([]byte, 65))
}

// TestFIPSModes runs the published vectors, and a round trip, in processes in
// FIPS 140 mode: the formats are the same, and nothing we use is refused.
func TestFIPSModes(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"on", "only"} {
		cmd := exec.Command(exe, "-test.run=^(TestVectors|TestRewrap|TestAccessKeys|TestWrappedKeys)$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140="+mode)
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Count(string(out), "\n--- PASS") < 4 {
			t.Errorf("with fips140=%s: %v\n%s", mode, err, out)
		}
	}
}
