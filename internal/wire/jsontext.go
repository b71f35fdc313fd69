package wire

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"

	"fastness/internal/secretbuf"
)

// unescapeOne reads the escape that raw begins with and returns its character
// and its length; length 0 if there is no such escape, or if it is half of a
// surrogate pair without its other half.
func unescapeOne(raw []byte) (r rune, n int) {
	if len(raw) < 2 {
		return 0, 0
	}
	switch raw[1] {
	case '"', '\\', '/':
		return rune(raw[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		return unescapeUnicode(raw)
	}
	return 0, 0
}

// unescapeUnicode reads \uXXXX, or a pair of them.
func unescapeUnicode(raw []byte) (r rune, n int) {
	high, ok := hex4(raw)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(high) {
		return high, 6
	}
	low, ok := hex4(raw[6:])
	r = utf16.DecodeRune(high, low)
	if !ok || r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

// hex4 reads the \uXXXX that raw begins with.
func hex4(raw []byte) (r rune, ok bool) {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0, false
	}
	for _, c := range raw[2:6] {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unescapedLen returns the length of what unescape makes of raw.
func unescapedLen(raw []byte) int {
	n := 0
	for len(raw) > 0 {
		plain := untilEscape(raw)
		n += plain
		if raw = raw[plain:]; len(raw) > 0 {
			r, size := unescapeOne(raw)
			n += utf8.RuneLen(r)
			raw = raw[size:]
		}
	}
	return n
}

// unescape writes the text that raw stands for to dst, which has unescapedLen
// bytes. The escapes of raw must be known to be valid.
func unescape(dst, raw []byte) {
	for len(raw) > 0 {
		plain := copy(dst, raw[:untilEscape(raw)])
		dst = dst[plain:]
		if raw = raw[plain:]; len(raw) > 0 {
			r, size := unescapeOne(raw)
			dst = dst[utf8.EncodeRune(dst, r):]
			raw = raw[size:]
		}
	}
}

func untilEscape(raw []byte) int {
	if i := bytes.IndexByte(raw, '\\'); i >= 0 {
		return i
	}
	return len(raw)
}

// escapes maps the bytes that a JSON string cannot hold to their short
// escapes; the other control characters have none. '<', '>' and '&' need no
// escape, as no answer of ours is taken for HTML.
var escapes = [256]byte{'"': '"', '\\': '\\', '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't'}

func needsEscape(c byte) bool { return c < ' ' || c == '"' || c == '\\' }

// quotedLen returns the length of what appendQuoted appends.
func quotedLen(text []byte) int {
	n := len(text) + 2
	for _, c := range text {
		switch {
		case escapes[c] != 0:
			n++
		case c < ' ':
			n += len(`\u0000`) - 1
		}
	}
	return n
}

// appendQuoted appends UTF-8 text as a JSON string. It makes room first, so
// that the text is never moved.
func appendQuoted(b *secretbuf.Builder, text []byte) {
	const digits = "0123456789abcdef"
	b.Grow(quotedLen(text))
	b.AppendString(`"`)
	start := 0
	for i, c := range text {
		if !needsEscape(c) {
			continue
		}
		b.Append(text[start:i]...)
		start = i + 1
		if short := escapes[c]; short != 0 {
			b.Append('\\', short)
		} else {
			b.Append('\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	b.Append(text[start:]...)
	b.AppendString(`"`)
}

// appendText appends text that is not secret as a JSON string.
func appendText(b *secretbuf.Builder, text string) {
	for _, c := range []byte(text) {
		if needsEscape(c) {
			appendQuoted(b, []byte(text))
			return
		}
	}
	b.AppendString(`"`)
	b.AppendString(text)
	b.AppendString(`"`)
}
