package cli

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"fastness/internal/secretbuf"
)

// pair is a named value on its way into or out of the tenant.
type pair struct {
	name   string
	value  *secretbuf.Buffer
	binary bool
	line   int // where it stood in a file; 0 if it did not
}

func releasePairs(pairs []pair) {
	for _, p := range pairs {
		p.value.Release()
	}
}

// dotenvParser reads the dotenv form: NAME=VALUE lines, blank lines, comments
// that start with '#', and an optional "export " before the name.
//
//	plain   a b # note       the trimmed text up to " #"
//	'…'     literal, may span lines
//	"…"     may span lines; knows \n \r \t \" \\ \$ \` and nothing else
//
// A '$' has no meaning: nothing is expanded, because what a variable would
// expand to depends on who imports. Errors name the line and never show what
// stands on it, which may be a value.
type dotenvParser struct {
	rest []byte
	line int
}

// parseDotenv returns the pairs in the order of the file. Values are copied
// out of src, which stays the caller's to wipe.
func parseDotenv(src []byte) (pairs []pair, err error) {
	defer func() {
		if err != nil {
			releasePairs(pairs)
			pairs = nil
		}
	}()
	if !utf8.Valid(src) {
		return nil, errors.New("dotenv: the file is not valid UTF-8")
	}
	p := &dotenvParser{rest: bytes.TrimPrefix(src, []byte("\xef\xbb\xbf")), line: 1}
	seen := make(map[string]int)
	for p.skipToName() {
		line := p.line
		name, err := p.name()
		if err != nil {
			return pairs, err
		}
		if first, ok := seen[name]; ok {
			return pairs, fmt.Errorf("dotenv: line %d: %s was already given on line %d", line, clean(name), first)
		}
		seen[name] = line
		value, err := p.value(name)
		if err != nil {
			return pairs, err
		}
		pairs = append(pairs, pair{name: name, value: value, line: line})
	}
	return pairs, nil
}

// skipToName passes blank lines and comments; false at the end.
func (p *dotenvParser) skipToName() bool {
	for len(p.rest) > 0 {
		switch p.rest[0] {
		case '\n':
			p.line++
			p.rest = p.rest[1:]
		case ' ', '\t', '\r':
			p.rest = p.rest[1:]
		case '#':
			p.rest = p.rest[p.lineEnd():]
		default:
			return true
		}
	}
	return false
}

// lineEnd is the length of the rest of the line, without its newline.
func (p *dotenvParser) lineEnd() int {
	if i := bytes.IndexByte(p.rest, '\n'); i >= 0 {
		return i
	}
	return len(p.rest)
}

// name reads up to the '='. What it accepts is a word; whether the word may
// name a secret is checked later, with the prefix before it.
func (p *dotenvParser) name() (string, error) {
	line := p.rest[:p.lineEnd()]
	i := bytes.IndexByte(line, '=')
	if i < 0 {
		return "", fmt.Errorf("dotenv: line %d: expected NAME=VALUE", p.line)
	}
	word := bytes.TrimRight(line[:i], " \t")
	if after, ok := bytes.CutPrefix(word, []byte("export ")); ok {
		word = bytes.TrimLeft(after, " \t")
	}
	if len(word) == 0 || bytes.ContainsAny(word, " \t\r'\"") {
		return "", fmt.Errorf("dotenv: line %d: the text before '=' is not a name", p.line)
	}
	p.rest = p.rest[i+1:]
	return string(word), nil
}

func (p *dotenvParser) value(name string) (*secretbuf.Buffer, error) {
	p.rest = bytes.TrimLeft(p.rest, " \t")
	if len(p.rest) > 0 && (p.rest[0] == '\'' || p.rest[0] == '"') {
		return p.quoted(name)
	}
	n := p.lineEnd()
	text := p.rest[:n]
	p.rest = p.rest[n:]
	for i := range text {
		if text[i] == '#' && (i == 0 || text[i-1] == ' ' || text[i-1] == '\t') {
			text = text[:i]
			break
		}
	}
	var b secretbuf.Builder
	b.Append(bytes.TrimRight(text, " \t\r")...)
	return b.Buffer(), nil
}

// quoted reads a value in quotes and the rest of its last line, which may hold
// nothing but a comment.
func (p *dotenvParser) quoted(name string) (*secretbuf.Buffer, error) {
	start, quote := p.line, p.rest[0]
	p.rest = p.rest[1:]
	var b secretbuf.Builder
	defer b.Release()
	for {
		if len(p.rest) == 0 {
			return nil, fmt.Errorf("dotenv: line %d: the quote of %s is never closed", start, clean(name))
		}
		c := p.rest[0]
		p.rest = p.rest[1:]
		switch {
		case c == quote:
			tail := bytes.Trim(p.rest[:p.lineEnd()], " \t\r")
			if len(tail) > 0 && tail[0] != '#' {
				return nil, fmt.Errorf("dotenv: line %d: text after the closing quote of %s", p.line, clean(name))
			}
			p.rest = p.rest[p.lineEnd():]
			return b.Buffer(), nil
		case c == '\\' && quote == '"':
			e, err := p.escape(name)
			if err != nil {
				return nil, err
			}
			b.Append(e)
		default:
			if c == '\n' {
				p.line++
			}
			b.Append(c)
		}
	}
}

func (p *dotenvParser) escape(name string) (byte, error) {
	if len(p.rest) > 0 {
		c := p.rest[0]
		p.rest = p.rest[1:]
		switch c {
		case 'n':
			return '\n', nil
		case 'r':
			return '\r', nil
		case 't':
			return '\t', nil
		case '"', '\\', '$', '`':
			return c, nil
		}
	}
	return 0, fmt.Errorf("dotenv: line %d: unknown escape in %s; known are %s, and single quotes take text as it is",
		p.line, clean(name), "\\n \\r \\t \\\" \\\\ \\$ \\`")
}

// appendDotenv writes a pair such that parseDotenv reads the same value, and a
// shell that sources the file too: between single quotes where the value has
// none, otherwise between double quotes with everything escaped that a shell
// would act on.
func appendDotenv(b *secretbuf.Builder, name string, value []byte) error {
	if bytes.IndexByte(value, 0) >= 0 || !utf8.Valid(value) {
		return fmt.Errorf("%s is binary, which the dotenv form cannot hold; use --format json", clean(name))
	}
	b.AppendString(name)
	if bytes.IndexByte(value, '\'') < 0 {
		b.AppendString("='")
		b.Append(value...)
		b.AppendString("'\n")
		return nil
	}
	b.AppendString(`="`)
	for _, c := range value {
		if bytes.IndexByte([]byte("\"\\$`"), c) >= 0 {
			b.AppendString(`\`)
		}
		b.Append(c)
	}
	b.AppendString("\"\n")
	return nil
}
