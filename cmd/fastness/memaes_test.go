package main_test

import (
	"encoding/binary"
	"math/bits"
)

// AES-256 makes of a key 60 words that follow from one another, so a schedule
// gives itself away whatever its key is (FIPS 197, 5.2):
//
//	w[i] = w[i-8] ^ w[i-1]                          but for
//	w[i] = w[i-8] ^ SubWord(RotWord(w[i-1])) ^ Rcon  at multiples of 8
//	w[i] = w[i-8] ^ SubWord(w[i-1])                  4 past them
//
// scheduleWords of them, 64 bytes, are proof enough: the twelve words that are
// computed agree by chance once in 2^256. A schedule of which more is left than
// that is found by any part of it.
const scheduleWords = 16

// kindSchedule is the kind of a find that follows from no plant.
const kindSchedule = "AES-256 key schedule"

// searchSchedules reports the key schedules that begin in mem[from:to], each
// once. mem[from] has an address that is a multiple of 4, as words have.
func searchSchedules(mem []byte, from, to int, at uint64, report func(find)) {
	end := 0
	for i := from; i < to && i+4*scheduleWords <= len(mem); i += 4 {
		// Zeros satisfy all that is linear; most memory is zeros.
		first := binary.LittleEndian.Uint64(mem[i+4:])
		if first == 0 || i < end {
			continue
		}
		if form := scheduleAt(mem[i:]); form != "" {
			const round = 16
			for end = i + round; end+4*scheduleWords <= len(mem) && scheduleAt(mem[end:]) != ""; end += round {
			}
			end += 4*scheduleWords - round
			report(find{&pattern{plant: -1, form: form, whole: 4 * scheduleWords}, at + uint64(i), end - i})
		}
	}
}

// scheduleAt names the form of the schedule that stands at the start of mem;
// empty if none does.
func scheduleAt(mem []byte) string {
	w := func(i int) uint32 { return binary.LittleEndian.Uint32(mem[4*i:]) }
	linear := func(i, eight int) bool { return w(i) == w(eight)^w(i-1) }
	switch {
	case linear(9, 1) && linear(10, 2) && linear(11, 3) && linear(13, 5) && linear(14, 6) && linear(15, 7):
		if follows(w, func(x uint32) uint32 { return x }) {
			return "encryption"
		}
		if follows(w, bits.ReverseBytes32) {
			return "encryption, big-endian"
		}
	// The equivalent inverse cipher has the rounds in reverse, mixed by a
	// linear map that keeps the linear half of the rule.
	case linear(1, 9) && linear(2, 10) && linear(3, 11) && linear(5, 13) && linear(6, 14) && linear(7, 15):
		if followsBack(w, func(x uint32) uint32 { return x }) {
			return "decryption"
		}
		if followsBack(w, bits.ReverseBytes32) {
			return "decryption, big-endian"
		}
	}
	return ""
}

// follows checks the rest of the rule for words read in some byte order.
func follows(w func(int) uint32, order func(uint32) uint32) bool {
	v := func(i int) uint32 { return order(w(i)) }
	// In which of both halves the constant is shows where w(0) is in the
	// schedule, which may begin on either.
	return constantWord(v(0), v(7), v(8)) && plainWord(v(4), v(11), v(12)) ||
		plainWord(v(0), v(7), v(8)) && constantWord(v(4), v(11), v(12))
}

// followsBack is follows for four reversed round keys, the first in memory
// being the last of the schedule.
func followsBack(w func(int) uint32, order func(uint32) uint32) bool {
	forward := func(i int) uint32 { return mixColumn(order(w(4*(3-i/4) + i%4))) }
	return follows(forward, func(x uint32) uint32 { return x })
}

// constantWord checks a word at a multiple of 8, words being little-endian.
func constantWord(eight, before, w uint32) bool {
	constant := w ^ eight ^ subWord(bits.RotateLeft32(before, -8))
	return constant != 0 && constant <= 0x40 && constant&(constant-1) == 0
}

// plainWord checks a word 4 past a multiple of 8.
func plainWord(eight, before, w uint32) bool { return w == eight^subWord(before) }

func subWord(w uint32) uint32 {
	return uint32(sbox[w&0xff]) | uint32(sbox[w>>8&0xff])<<8 | uint32(sbox[w>>16&0xff])<<16 | uint32(sbox[w>>24])<<24
}

// mixColumn is MixColumns of one column, little-endian.
func mixColumn(w uint32) uint32 {
	double := func(x uint32) uint32 { return (x&0x7f7f7f7f)<<1 ^ (x>>7&0x01010101)*0x1b }
	r8, r16, r24 := bits.RotateLeft32(w, -8), bits.RotateLeft32(w, -16), bits.RotateLeft32(w, -24)
	return double(w) ^ double(r8) ^ r8 ^ r16 ^ r24
}

// sbox is the table of FIPS 197, 5.1.1, computed from its definition: the
// inverse in GF(2^8), then an affine map.
var sbox = func() (box [256]byte) {
	p, q := byte(1), byte(1)
	for {
		p ^= p<<1 ^ byte(int8(p)>>7)&0x1b // times 3
		q ^= q << 1                       // divided by 3
		q ^= q << 2
		q ^= q << 4
		q ^= byte(int8(q)>>7) & 0x09
		box[p] = q ^ bits.RotateLeft8(q, 1) ^ bits.RotateLeft8(q, 2) ^ bits.RotateLeft8(q, 3) ^ bits.RotateLeft8(q, 4) ^ 0x63
		if p == 1 {
			box[0] = 0x63
			return box
		}
	}
}()
