package policy

import (
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// nameTest is a condition on a secret's name: one of some names, or a match of
// one of some patterns.
type nameTest struct {
	exact    []string
	patterns []namePattern
}

// namePattern is a pattern with what every name that matches it begins and ends
// with.
type namePattern struct {
	types.Pattern
	prefix, suffix string
}

func (t *nameTest) accepts(name types.String) bool {
	return slices.Contains(t.exact, string(name)) ||
		slices.ContainsFunc(t.patterns, func(p namePattern) bool { return p.Match(name) })
}

// nameTestOf reads a condition that holds only if a test of the resource's name
// does; all tells whether the test is all that it says.
func nameTestOf(n ast.IsNode) (t nameTest, ok, all bool) {
	switch n := n.(type) {
	case ast.NodeTypeLike:
		if !isName(n.Arg) {
			return nameTest{}, false, false
		}
		return nameTest{patterns: []namePattern{{n.Value, literalPrefix(n.Value), literalSuffix(n.Value)}}}, true, true
	case ast.NodeTypeEquals:
		t, ok = equalName(n)
		return t, ok, ok
	case ast.NodeTypeContains:
		names, constant := constants(n.Left)
		ok = constant && isName(n.Right)
		return nameTest{exact: names}, ok, ok
	case ast.NodeTypeAnd:
		if t, ok, _ = nameTestOf(n.Left); ok {
			return t, true, false
		}
		t, ok, _ = nameTestOf(n.Right)
		return t, ok, false
	case ast.NodeTypeOr:
		return eitherName(n)
	}
	return nameTest{}, false, false
}

// eitherName joins the tests of both sides.
func eitherName(n ast.NodeTypeOr) (t nameTest, ok, all bool) {
	left, ok, allLeft := nameTestOf(n.Left)
	if !ok {
		return nameTest{}, false, false
	}
	right, ok, allRight := nameTestOf(n.Right)
	return nameTest{append(left.exact, right.exact...), append(left.patterns, right.patterns...)}, ok, allLeft && allRight
}

// equalName reads resource.name == "…" and resource == Secret::"…", either
// way round.
func equalName(n ast.NodeTypeEquals) (nameTest, bool) {
	left, right := n.Left, n.Right
	if valueOf(left) != nil {
		left, right = right, left
	}
	switch v := valueOf(right).(type) {
	case types.String:
		return nameTest{exact: []string{string(v)}}, isName(left)
	case types.EntityUID:
		return nameTest{exact: []string{string(v.ID)}}, v.Type == secretType && variableOf(left) == "resource"
	}
	return nameTest{}, false
}

// isName reports whether an expression is resource.name.
func isName(n ast.IsNode) bool {
	a, ok := n.(ast.NodeTypeAccess)
	return ok && a.Value == nameAttribute && variableOf(a.Arg) == "resource"
}

// constants returns the strings of a set that holds nothing else.
func constants(n ast.IsNode) (all []string, ok bool) {
	set, ok := n.(ast.NodeTypeSet)
	if !ok {
		return nil, false
	}
	for _, e := range set.Elements {
		s, ok := valueOf(e).(types.String)
		if !ok {
			return nil, false
		}
		all = append(all, string(s))
	}
	return all, true
}

// maxKey bounds the keys of the index by beginning and end: so many characters
// tell names apart well enough, and a name has no more of them to be looked up.
const maxKey = 64

// key is how the index finds a statement: by a name, its beginning or end, or by
// a tag.
type key struct {
	text string
	part part
}

// part says what of a secret a key is.
type part uint8

const (
	whole part = iota
	prefix
	suffix
	tag
)

// tagKey is the key of a tag. The length keeps tags apart that read alike.
func tagKey(k, v string) key { return key{string(rune(len(k))) + k + v, tag} }

// keys returns keys of which every accepted name has one; none if there are
// names that begin and end with anything.
func (t *nameTest) keys() []key {
	var all []key
	for _, name := range t.exact {
		all = append(all, key{name, whole})
	}
	for _, p := range t.patterns {
		switch {
		case p.prefix != "":
			all = append(all, key{p.prefix[:min(len(p.prefix), maxKey)], prefix})
		case p.suffix != "":
			all = append(all, key{p.suffix[max(0, len(p.suffix)-maxKey):], suffix})
		default:
			return nil
		}
	}
	return all
}

// literalSuffix is what every string that matches a pattern ends with, from
// behind the last character that is written with an escape, or nothing if one
// follows the last wildcard.
func literalSuffix(p types.Pattern) string {
	text := string(p.MarshalCedar())
	text = text[1 : len(text)-1]
	text = text[strings.LastIndexByte(text, '*')+1:]
	if strings.ContainsRune(text, '\\') {
		return ""
	}
	return text
}

// tagTest is a condition on a secret's tag: that it has this value.
type tagTest struct{ tag, is types.String }

// tagTestOf reads resource.getTag("…") == "…", either way round.
func tagTestOf(n ast.IsNode) (t tagTest, ok bool) {
	equals, ok := n.(ast.NodeTypeEquals)
	if !ok {
		return t, false
	}
	left, right := equals.Left, equals.Right
	if valueOf(left) != nil {
		left, right = right, left
	}
	get, ok := left.(ast.NodeTypeGetTag)
	if !ok || variableOf(get.Left) != "resource" {
		return t, false
	}
	k, constant := valueOf(get.Right).(types.String)
	v, ok := valueOf(right).(types.String)
	return tagTest{k, v}, ok && constant
}

// literalPrefix is what every string that matches a pattern begins with, up to
// the first character that is written with an escape. The pattern tells its
// parts only as text.
func literalPrefix(p types.Pattern) string {
	text := string(p.MarshalCedar())[1:]
	return text[:strings.IndexAny(text, `*\"`)]
}
