package wire

import (
	"maps"
	"slices"

	"fastness/internal/secretbuf"
)

// ReplaceText appends a JSON object to b with other texts as the values of
// some of its members, by name; a member that is not there comes last. What is
// not replaced stays byte for byte. The object and the texts stay the caller's.
func ReplaceText(b *secretbuf.Builder, object *secretbuf.Buffer, texts map[string]*secretbuf.Buffer) error {
	s, err := newScanner(object.Bytes())
	if err != nil {
		return err
	}
	left := maps.Clone(texts)
	copied, members := 0, 0
	if s.peek() != '{' {
		return s.broken()
	}
	err = s.members(func(key []byte) error {
		members++
		s.peek()
		start := s.at
		if err := s.skip(); err != nil {
			return err
		}
		if text, ok := left[string(key)]; ok {
			b.Append(s.text[copied:start]...)
			appendQuoted(b, text.Bytes())
			copied = s.at
			delete(left, string(key))
		}
		return nil
	})
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return err
	}
	closing := s.lastBrace()
	b.Append(s.text[copied:closing]...)
	for _, name := range slices.Sorted(maps.Keys(left)) {
		if members > 0 {
			b.AppendString(`,`)
		}
		appendText(b, name)
		b.AppendString(`:`)
		appendQuoted(b, left[name].Bytes())
		members++
	}
	b.Append(s.text[closing:]...)
	return nil
}

// lastBrace returns where the object that was read ends.
func (s *scanner) lastBrace() int {
	at := len(s.text) - 1
	for s.text[at] != '}' {
		at--
	}
	return at
}
