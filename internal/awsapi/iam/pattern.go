package iam

import (
	"slices"
	"strings"
)

// pattern is text with wildcards: '*' for any run of characters and '?' for
// one. What came out of a variable holds no wildcards, so those characters are
// kept apart as negative runes.
type pattern []rune

const (
	anyRun = -1
	anyOne = -2
)

// literal reads the wildcards of a text without variables.
func literal(text string) pattern {
	out := make(pattern, 0, len(text))
	for _, c := range text {
		switch c {
		case '*':
			c = anyRun
		case '?':
			c = anyOne
		}
		out = append(out, c)
	}
	return out
}

// plain takes every character of a text for itself.
func plain(text string) pattern { return pattern([]rune(text)) }

// like reports whether the text matches. It goes back to the last '*' only, so
// its time is at most the product of both lengths.
func like(p pattern, text string) bool {
	s := []rune(text)
	i, j, star, mark := 0, 0, -1, 0
	for j < len(s) {
		switch {
		case i < len(p) && p[i] == anyRun:
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == anyOne || p[i] == s[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == anyRun {
		i++
	}
	return i == len(p)
}

// likeARN is like with each of an ARN's six parts on its own: no wildcard
// reaches across a colon of the first five.
func likeARN(p pattern, arn string) bool {
	if len(p) == 1 && p[0] == anyRun {
		return true
	}
	want, got := splitPattern(p, 6), strings.SplitN(arn, ":", 6)
	if len(want) != 6 || len(got) != 6 {
		return false
	}
	for i := range want {
		if !like(want[i], got[i]) {
			return false
		}
	}
	return true
}

func splitPattern(p pattern, n int) (parts []pattern) {
	for len(parts) < n-1 {
		i := slices.Index(p, ':')
		if i < 0 {
			break
		}
		parts, p = append(parts, p[:i]), p[i+1:]
	}
	return append(parts, p)
}

// expand puts the request's keys in the place of ${key} and ${key, 'default'}.
// ok is false if a key is absent and has no default: what names it then
// matches nothing. wild says whether '*' and '?' of the text are wildcards.
func (p *Policy) expand(text string, r Request, wild bool) (out pattern, ok bool) {
	read := plain
	if wild {
		read = literal
	}
	for p.variables {
		before, rest, found := strings.Cut(text, "${")
		name, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			break
		}
		value, known := variable(name, r)
		if !known {
			return nil, false
		}
		out = append(append(out, read(before)...), plain(value)...)
		text = after
	}
	return append(out, read(text)...), true
}

// variable returns what a variable stands for.
func variable(name string, r Request) (value string, ok bool) {
	switch name {
	case "*", "?", "$":
		return name, true
	}
	key, rest, hasDefault := strings.Cut(name, ",")
	if values := r.Keys[strings.ToLower(strings.TrimSpace(key))]; len(values) == 1 {
		return values[0], true
	}
	rest = strings.TrimSpace(rest)
	if n := len(rest); hasDefault && n >= 2 && rest[0] == '\'' && rest[n-1] == '\'' {
		return rest[1 : n-1], true
	}
	return "", false
}
