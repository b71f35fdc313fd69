package main_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The tests of this file are about the scanner itself: a search that cannot
// find proves nothing.

// luck makes repeatable noise.
func luck(seed uint64) *rand.ChaCha8 {
	var s [32]byte
	binary.LittleEndian.PutUint64(s[:], seed)
	return rand.NewChaCha8(s)
}

func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	luck(seed).Read(b)
	return b
}

// writtenForms are the forms of a value as other code writes them, not as the
// scanner does.
func writtenForms(v string) map[string][]byte {
	html, _ := json.Marshal(v)
	forms := map[string][]byte{
		"raw":           []byte(v),
		"JSON for HTML": html[1 : len(html)-1],
		"hex":           []byte(hex.EncodeToString([]byte(v))),
		"HEX":           fmt.Appendf(nil, "%X", v),
	}
	for shift := range 3 {
		text := "abc"[:shift] + v
		forms[fmt.Sprint("base64 ", shift)] = []byte(base64.StdEncoding.EncodeToString([]byte(text)))
		forms[fmt.Sprint("base64url ", shift)] = []byte(base64.RawURLEncoding.EncodeToString([]byte(text)))
	}
	return forms
}

// TestScannerFindsEveryForm puts each form of values at every alignment into
// noise and expects to find all of it.
func TestScannerFindsEveryForm(t *testing.T) {
	values := []string{"Zk3mQ9xT7bWc1LhN5vRy8sGd4pJf6uAe", "Zk3m\"9xT7\\Wc1LhN<vRy8sGd\npJf6uAe>", "~~~?~~>>ÿÿÿ0123456789abcdefghi~?>"}
	for i, v := range values {
		s := newScanner([]plant{{kind: kindValue, name: "it", bytes: []byte(v)}})
		for form, written := range writtenForms(v) {
			for alignment := range wordSize {
				mem := noise(uint64(i), 4096)
				copy(mem[1000+alignment:], written)
				var finds []find
				s.search(mem, 0, len(mem), 1<<40, func(f find) { finds = append(finds, f) })
				if len(finds) != 1 || !finds[0].isWhole() {
					t.Fatalf("%q as %s at alignment %d: finds %v", v, form, alignment, finds)
				}
				// In base64 the first characters are also their neighbour's.
				if at := finds[0].at - 1<<40; at < uint64(1000+alignment) || at > uint64(1000+alignment+3) {
					t.Errorf("%q as %s: at %d", v, form, at)
				}
			}
		}
	}
}

// TestScannerFindsFragments puts every run of 16 bytes at every alignment, and
// expects it; 15 bytes are nothing yet.
func TestScannerFindsFragments(t *testing.T) {
	value := []byte("Zk3mQ9xT7bWc1LhN5vRy8sGd4pJf6uAe")
	s := newScanner([]plant{{kind: kindValue, bytes: value}})
	for length, want := range map[int]int{shortest: 1, shortest - 1: 0} {
		for start := range len(value) - length + 1 {
			for alignment := range wordSize {
				mem := make([]byte, 256)
				copy(mem[64+alignment:], value[start:][:length])
				found, whole := 0, 0
				s.search(mem, 0, len(mem), 0, func(f find) {
					found++
					if f.isWhole() {
						whole++
					}
				})
				if found != want || whole != 0 {
					t.Fatalf("%d bytes from %d at alignment %d: found %d times, %d of them whole", length, start, alignment, found, whole)
				}
			}
		}
	}
}

// TestScannerFindsKeyForms is about the forms that only keys have.
func TestScannerFindsKeyForms(t *testing.T) {
	key := noise(7, 32)
	s := newScanner([]plant{{kind: "KEK", bytes: key}})
	swapped := make([]byte, 32)
	for i := range 8 {
		binary.BigEndian.PutUint32(swapped[4*i:], binary.LittleEndian.Uint32(key[4*i:]))
	}
	for _, with := range [][]byte{key, swapped, xored(key, 0x36), xored(key, 0x5c)} {
		mem := noise(8, 4096)
		copy(mem[777:], with)
		found := 0
		s.search(mem, 0, len(mem), 0, func(f find) { found++ })
		if found != 1 {
			t.Errorf("found %d times", found)
		}
	}
}

// TestScannerCounts tells copies apart, repeated values too.
func TestScannerCounts(t *testing.T) {
	block := []byte("0f9Kq2LmX7tZc4VbN1sWd8RhY5uJp3GeT6iOaQxUyHoBwMkCv")[:48]
	one := []byte("Zk3mQ9xT7bWc1LhN5vRy8sGd4pJf6uAe")
	s := newScanner([]plant{{kind: kindValue, name: "one", bytes: one}, {kind: kindValue, name: "long", bytes: block, repeats: true}})
	mem := slices.Concat(one, one, []byte("-"), one[:20], bytes.Repeat(block, 100), one, noise(3, 100), block[:30])
	count := map[string]int{}
	s.search(mem, 0, len(mem), 0, func(f find) {
		name := s.plants[f.plant].name
		if f.isWhole() {
			count[name]++
		} else {
			count[name+" part"]++
		}
	})
	// A pattern of the long one is two blocks.
	if diff := cmp.Diff(map[string]int{"one": 3, "one part": 1, "long": 50, "long part": 1}, count); diff != "" {
		t.Error(diff)
	}
}

// TestScannerSeesNothingInNoise: what is reported must be true.
func TestScannerSeesNothingInNoise(t *testing.T) {
	var plants []plant
	for i := range 300 {
		plants = append(plants, plant{kind: "KEK", bytes: noise(uint64(1000+i), 32)})
	}
	s := newScanner(plants)
	mem := noise(1, 16<<20)
	clear(mem[1<<20 : 2<<20])
	copy(mem[3<<20:], bytes.Repeat([]byte("\x63\x7c\x77\x7b"), 1<<18))
	f := s.look([]memory{{0, uint64(len(mem)), "noise", bytes.NewReader(mem)}})
	if len(f.finds) > 0 || len(f.schedules) > 0 {
		t.Errorf("%d finds, %d schedules", len(f.finds), len(f.schedules))
	}
	if f.read != uint64(len(mem)) || f.withheld != 0 {
		t.Errorf("read %d, withheld %d of %d bytes", f.read, f.withheld, len(mem))
	}
}

// TestLookAcrossWindows puts a plant and a key schedule over each edge between
// two windows, where each must be found once.
func TestLookAcrossWindows(t *testing.T) {
	key := noise(9, 32)
	s := newScanner([]plant{{kind: "KEK", bytes: key}})
	const base = 0x7f0000001000
	for shift := -64; shift <= 32; shift++ {
		mem := make([]byte, 2*window+100)
		copy(mem[window+shift:], key)
		mem = append(mem, key...)
		f := s.look([]memory{{base, base + uint64(len(mem)), "", offsetReader{bytes.NewReader(mem), base}}})
		if len(f.finds) != 2 || f.finds[0].at != base+window+uint64(shift) || !f.finds[0].isWhole() || !f.finds[1].isWhole() {
			t.Errorf("shift %d: %d finds", shift, len(f.finds))
		}
	}
	for shift := -240; shift <= 32; shift += 4 {
		mem := make([]byte, 2*window)
		for i, w := range expandKey(key) {
			binary.LittleEndian.PutUint32(mem[window+shift+4*i:], w)
		}
		f := s.look([]memory{{base, base + uint64(len(mem)), "", offsetReader{bytes.NewReader(mem), base}}})
		if len(f.schedules) != 1 || f.schedules[0].at != base+window+uint64(shift) {
			t.Errorf("shift %d: %d schedules", shift, len(f.schedules))
		}
	}
}

// expandKey is KeyExpansion of FIPS 197, 5.2, for AES-256, in little-endian
// words. It shares nothing with the search but the table.
func expandKey(key []byte) (w [60]uint32) {
	constant := uint32(1)
	for i := range w {
		if i < 8 {
			w[i] = binary.LittleEndian.Uint32(key[4*i:])
			continue
		}
		x := w[i-1]
		switch i % 8 {
		case 0:
			x = subWord(x>>8|x<<24) ^ constant
			constant <<= 1
		case 4:
			x = subWord(x)
		}
		w[i] = w[i-8] ^ x
	}
	return w
}

// TestExpandKey pins the above to the example of FIPS 197, A.3, and with it
// the table that it shares with the search.
func TestExpandKey(t *testing.T) {
	key, _ := hex.DecodeString("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
	w := expandKey(key)
	got := []uint32{bits.ReverseBytes32(w[8]), bits.ReverseBytes32(w[12]), bits.ReverseBytes32(w[59])}
	if diff := cmp.Diff([]uint32{0x9ba35411, 0xa8b09c1a, 0x706c631e}, got); diff != "" {
		t.Error(diff)
	}
}

// decryptionKey is the schedule of the equivalent inverse cipher: rounds in
// reverse, those in the middle put through InvMixColumns, which is MixColumns
// three times over.
func decryptionKey(w [60]uint32) (d [60]uint32) {
	for i := range d {
		d[i] = w[56-i&^3+i%4]
		if i >= 4 && i < 56 {
			d[i] = mixColumn(mixColumn(mixColumn(d[i])))
		}
	}
	return d
}

// TestSchedules recognizes schedules of either byte order, whole and in part,
// at any multiple of 4, and nothing else.
func TestSchedules(t *testing.T) {
	key := noise(11, 32)
	forward := expandKey(key)
	backward := decryptionKey(forward)
	for _, c := range []struct {
		name  string
		words []uint32
		swap  bool
		want  string // the only finding
	}{
		{"whole", forward[:], false, "encryption"},
		{"whole, portable", forward[:], true, "encryption, big-endian"},
		{"start", forward[:16], false, "encryption"},
		{"middle", forward[20:36], false, "encryption"},
		{"end", forward[44:], true, "encryption, big-endian"},
		{"from within a round key", forward[5:30], false, "encryption"},
		{"inverse", backward[:], false, "decryption"},
		{"inverse, portable", backward[:], true, "decryption, big-endian"},
		{"inverse, middle", backward[8:24], false, "decryption"},
		{"key alone", forward[:8], false, ""},
		{"too little", forward[:15], false, ""},
		{"one bit wrong", append(slices.Clone(forward[:15]), forward[15]^1), false, ""},
	} {
		for offset := 0; offset < 16; offset += 4 {
			mem := noise(12, 1024)
			for i, w := range c.words {
				if c.swap {
					w = bits.ReverseBytes32(w)
				}
				binary.LittleEndian.PutUint32(mem[256+offset+4*i:], w)
			}
			var got []string
			searchSchedules(mem, 0, len(mem), 0, func(f find) { got = append(got, f.form) })
			var want []string
			if c.want != "" {
				want = []string{c.want}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s at %d:\n%s", c.name, offset, diff)
			}
		}
	}
}
