package wire

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"strings"
	"unicode/utf8"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// MaxDepth is how many objects and arrays may lie within each other.
const MaxDepth = 16

// bodyField stands for the whole body in errors.
const bodyField = "body"

// scanner walks over JSON text (RFC 8259) and checks it on the way. It copies
// nothing; what it returns are parts of the text, borrowed.
type scanner struct {
	text  []byte
	at    int
	depth int
}

// newScanner returns a scanner, unless the text is not UTF-8.
func newScanner(text []byte) (*scanner, error) {
	if !utf8.Valid(text) {
		return nil, secret.Invalid(bodyField, "valid UTF-8 is expected")
	}
	return &scanner{text: text}, nil
}

// broken is the error of text that is not JSON. It tells where, not what.
func (s *scanner) broken() error {
	if s.at >= len(s.text) {
		return secret.Invalid(bodyField, "valid JSON is expected; it ends too early")
	}
	return secret.Invalid(bodyField, fmt.Sprintf("valid JSON is expected; it breaks at byte %d", s.at+1))
}

// peek skips white space and returns the next byte; 0, which begins nothing,
// at the end.
func (s *scanner) peek() byte {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// take consumes c, if it is next after white space.
func (s *scanner) take(c byte) bool {
	if s.peek() != c || s.at >= len(s.text) {
		return false
	}
	s.at++
	return true
}

// end checks that nothing follows.
func (s *scanner) end() error {
	if s.peek(); s.at < len(s.text) {
		return s.broken()
	}
	return nil
}

// skip consumes one value of any type.
func (s *scanner) skip() error {
	switch c := s.peek(); {
	case c == '{':
		return s.members(func([]byte) error { return s.skip() })
	case c == '[':
		return s.elements(s.skip)
	case c == '"':
		_, err := s.str()
		return err
	case c == '-' || isDigit(c):
		_, err := s.number()
		return err
	}
	for _, literal := range []string{"true", "false", "null"} {
		if s.literal(literal) {
			return nil
		}
	}
	return s.broken()
}

// literal consumes the word, if it is next after white space.
func (s *scanner) literal(word string) bool {
	s.peek()
	rest, ok := bytes.CutPrefix(s.text[s.at:], []byte(word))
	if !ok || len(rest) > 0 && isWordByte(rest[0]) {
		return false
	}
	s.at += len(word)
	return true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isWordByte(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// keySeed makes collisions of key hashes unpredictable.
var keySeed = maphash.MakeSeed()

// members consumes an object. For each member it calls f, which consumes the
// value, with the unescaped key, which lives as long as the call.
//
// Keys that occurred are remembered as hashes: a key may be a misplaced
// secret, so it must not become a string. Two keys that differ are taken for
// the same once in 2^64 pairs, and then refused, which harms nobody.
func (s *scanner) members(f func(key []byte) error) error {
	seen := map[uint64]struct{}{}
	return s.sequence('{', '}', func() error {
		if s.peek() != '"' {
			return s.broken()
		}
		raw, err := s.str()
		if err != nil {
			return err
		}
		key := raw
		if bytes.IndexByte(raw, '\\') >= 0 {
			key = make([]byte, unescapedLen(raw))
			defer secretbuf.Wipe(key)
			unescape(key, raw)
		}
		sum := maphash.Bytes(keySeed, key)
		if _, twice := seen[sum]; twice {
			return secret.Invalid(bodyField, fmt.Sprintf("no field may stand twice in an object; one does before byte %d", s.at+1))
		}
		seen[sum] = struct{}{}
		if !s.take(':') {
			return s.broken()
		}
		return f(key)
	})
}

// elements consumes an array. It calls f, which consumes a value, for each.
func (s *scanner) elements(f func() error) error { return s.sequence('[', ']', f) }

// sequence consumes what stands between two brackets, separated by commas.
func (s *scanner) sequence(open, closing byte, f func() error) error {
	if !s.take(open) {
		return s.broken()
	}
	if s.depth++; s.depth > MaxDepth {
		return secret.Limited(bodyField, fmt.Sprintf("at most %d levels of objects and arrays", MaxDepth))
	}
	if !s.take(closing) {
		for {
			if err := f(); err != nil {
				return err
			}
			if s.take(closing) {
				break
			}
			if !s.take(',') {
				return s.broken()
			}
		}
	}
	s.depth--
	return nil
}

// str consumes a string and returns what stands between its quotes, with all
// escapes checked.
func (s *scanner) str() ([]byte, error) {
	if !s.take('"') {
		return nil, s.broken()
	}
	start := s.at
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return s.text[start : s.at-1], nil
		case c < ' ':
			return nil, s.broken()
		case c == '\\':
			_, n := unescapeOne(s.text[s.at:])
			if n == 0 {
				return nil, s.broken()
			}
			s.at += n
		default:
			s.at++
		}
	}
	return nil, s.broken()
}

// number consumes a number and returns its text.
func (s *scanner) number() ([]byte, error) {
	s.peek()
	start := s.at
	s.optional("-")
	if !s.optional("0") && !s.digits() {
		return nil, s.broken()
	}
	if s.optional(".") && !s.digits() {
		return nil, s.broken()
	}
	if s.optional("eE") {
		s.optional("+-")
		if !s.digits() {
			return nil, s.broken()
		}
	}
	if s.at < len(s.text) && isWordByte(s.text[s.at]) {
		return nil, s.broken()
	}
	return s.text[start:s.at], nil
}

// optional consumes one of the bytes of set, if one is next.
func (s *scanner) optional(set string) bool {
	ok := s.at < len(s.text) && strings.IndexByte(set, s.text[s.at]) >= 0
	if ok {
		s.at++
	}
	return ok
}

// digits consumes as many digits as there are and reports whether there were any.
func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.text) && isDigit(s.text[s.at]) {
		s.at++
	}
	return s.at > start
}
