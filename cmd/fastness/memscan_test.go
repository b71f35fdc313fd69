package main_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"
	"unicode/utf8"
)

// The scanner looks through memory for what must not be there. Its idea: a run
// of 16 bytes at any address holds a whole 8-byte word at an address that is a
// multiple of 8. So every 8-byte window of everything looked for, in each of its
// forms, goes into one table; of memory only each eighth position is looked up;
// and a word that is in the table is extended to both sides as far as it fits.
// All patterns take one pass, at more than a gigabyte a second.

// shortest is the least run of a pattern's bytes that counts as found. Shorter
// ones come about by chance, or are text that every request has.
const shortest = 16

// wordSize is what the table is made of; a run of 2*wordSize-1 bytes is the
// shortest that cannot hide from it.
const wordSize = 8

// kindValue is the kind of plant that is a stored value.
const kindValue = "value"

// plant is something that must not be found.
type plant struct {
	kind  string // such as "value" or "token"
	name  string
	bytes []byte
	// repeats says that it was stored many times in a row, as one long value.
	repeats bool
}

// pattern is a plant in one of its forms.
type pattern struct {
	plant int
	form  string
	bytes []byte
	whole int // a run of so many bytes is all of the plant
}

// find is a run of a pattern's bytes in memory.
type find struct {
	*pattern
	at     uint64
	length int
}

func (f find) isWhole() bool { return f.length >= f.whole }

// patternsOf returns the forms of a plant: as it is, in JSON, base64 and
// hexadecimal. Keys also take forms that no text has: 32-bit words in the other
// byte order, as in portable key schedules, and the pads of HMAC.
func patternsOf(index int, p plant) (patterns []pattern) {
	add := func(form string, encode func([]byte) []byte) {
		one := encode(p.bytes)
		whole, b := len(one), one
		if p.repeats {
			b = encode(slices.Concat(p.bytes, p.bytes))
		}
		if !slices.ContainsFunc(patterns, func(q pattern) bool { return bytes.Equal(q.bytes, b) }) {
			patterns = append(patterns, pattern{index, form, b, whole})
		}
	}
	add("raw", bytes.Clone)
	if utf8.Valid(p.bytes) {
		add("JSON", func(b []byte) []byte { return jsonEscaped(b, false) })
		add("JSON for HTML", func(b []byte) []byte { return jsonEscaped(b, true) })
	}
	for shift := range 3 {
		add("base64", func(b []byte) []byte { return shiftedBase64(base64.StdEncoding, b, shift) })
		add("base64url", func(b []byte) []byte { return shiftedBase64(base64.URLEncoding, b, shift) })
	}
	add("hex", func(b []byte) []byte { return []byte(hex.EncodeToString(b)) })
	add("HEX", func(b []byte) []byte { return bytes.ToUpper([]byte(hex.EncodeToString(b))) })
	if p.kind != kindValue {
		add("swapped words", swappedWords)
		add("HMAC inner pad", func(b []byte) []byte { return xored(b, 0x36) })
		add("HMAC outer pad", func(b []byte) []byte { return xored(b, 0x5c) })
	}
	return patterns
}

// jsonEscaped is the inside of a JSON string.
func jsonEscaped(b []byte, html bool) []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(html)
	if err := e.Encode(string(b)); err != nil {
		panic(err) // a string always encodes
	}
	text := bytes.TrimSuffix(out.Bytes(), []byte("\n"))
	return text[1 : len(text)-1]
}

// shiftedBase64 is what b looks like in base64 behind shift other bytes,
// without the characters that its neighbours have a part in.
func shiftedBase64(e *base64.Encoding, b []byte, shift int) []byte {
	padded := slices.Concat(make([]byte, shift), b, make([]byte, 3))
	text := e.EncodeToString(padded)
	return []byte(text)[(8*shift+5)/6 : 8*(shift+len(b))/6]
}

func swappedWords(b []byte) []byte {
	out := bytes.Clone(b[:len(b)&^3])
	for i := 0; i < len(out); i += 4 {
		slices.Reverse(out[i : i+4])
	}
	return out
}

func xored(b []byte, with byte) []byte {
	out := bytes.Clone(b)
	for i := range out {
		out[i] ^= with
	}
	return out
}

// scanner knows everything that is looked for.
type scanner struct {
	plants   []plant
	patterns []pattern
	longest  int // pattern
	// filter has a bit for each hash of a word in the table; it fits the
	// processor's cache and answers almost every question.
	filter []uint64
	heads  []int32 // by hash: 1 + the first of the entries
	nexts  []int32 // by entry: 1 + the next with the same hash
	words  []word  // the entries
}

// word is a window of a pattern.
type word struct {
	bits            uint64
	pattern, offset int32
}

const (
	filterBits = 23 // 1 MiB
	headBits   = 19
	mixer      = 0x9e3779b97f4a7c15 // spreads a word over the top bits
)

// newScanner prepares the search. Plants shorter than the shortest run that
// counts cannot be told from chance and are refused.
func newScanner(plants []plant) *scanner {
	s := &scanner{plants: plants, filter: make([]uint64, 1<<filterBits/64), heads: make([]int32, 1<<headBits)}
	for i, p := range plants {
		if len(p.bytes) < shortest {
			panic("too short to look for: " + p.kind + " " + p.name)
		}
		s.patterns = append(s.patterns, patternsOf(i, p)...)
	}
	for i, p := range s.patterns {
		s.longest = max(s.longest, len(p.bytes))
		for at := 0; at+wordSize <= len(p.bytes); at++ {
			s.insert(word{binary.LittleEndian.Uint64(p.bytes[at:]), int32(i), int32(at)})
		}
	}
	return s
}

func (s *scanner) insert(w word) {
	h := w.bits * mixer
	s.filter[h>>(64-filterBits+6)] |= 1 << (h >> (64 - filterBits) & 63)
	head := &s.heads[h>>(64-headBits)]
	s.words = append(s.words, w)
	s.nexts = append(s.nexts, *head)
	*head = int32(len(s.words))
}

// search reports the runs in mem[from:to] that reach shortest. What lies
// around serves to extend them; at is the address of mem[0].
func (s *scanner) search(mem []byte, from, to int, at uint64, report func(find)) {
	end, last := 0, -1 // of the last run, and whose it was
	for i := from; i < to && i+wordSize <= len(mem); i += wordSize {
		bits := binary.LittleEndian.Uint64(mem[i:])
		h := bits * mixer
		if s.filter[h>>(64-filterBits+6)]&(1<<(h>>(64-filterBits)&63)) == 0 || i < end {
			continue
		}
		best := find{}
		for n := s.heads[h>>(64-headBits)]; n != 0; n = s.nexts[n-1] {
			w := &s.words[n-1]
			if w.bits != bits {
				continue
			}
			p := &s.patterns[w.pattern]
			lowest := 0
			if p.plant == last {
				lowest = end // a repeated value is not to be counted twice
			}
			before, after := extent(mem, i, lowest, p.bytes, int(w.offset))
			if before+after > best.length {
				best = find{p, at + uint64(i-before), before + after}
			}
		}
		if best.length >= shortest {
			report(best)
			end, last = int(best.at-at)+best.length, best.plant
		}
	}
}

// extent tells how many bytes before mem[i] and from there on are those of the
// pattern around its offset, down to mem[lowest].
func extent(mem []byte, i, lowest int, pattern []byte, offset int) (before, after int) {
	for i-before > lowest && before < offset && mem[i-before-1] == pattern[offset-before-1] {
		before++
	}
	for i+after < len(mem) && offset+after < len(pattern) && mem[i+after] == pattern[offset+after] {
		after++
	}
	return before, after
}
