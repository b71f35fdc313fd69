// Package iam reads, checks and evaluates the resource policies of secrets:
// JSON in the language of AWS IAM. It is pure: a policy and a request go in, a
// decision comes out.
//
// The key idea is that reading is strict and evaluating is total. [Parse]
// refuses every element, operator and form that it does not know, since a
// statement that is passed over may be the one that denies. What it has read
// can be evaluated for any request without an error: a key that the request
// does not have, or that is not of the operator's type, makes its condition
// false (or true under the operators that AWS says so of).
//
// A statement that denies wins over all that allow. Start with Parse and
// Policy.Evaluate.
package iam

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of a policy.
const (
	MaxPolicy     = 20_480 // bytes of text
	maxDepth      = 8      // objects and arrays within each other
	maxStatements = 200
)

// Policy is a resource policy.
type Policy struct {
	variables  bool // its version knows policy variables
	statements []statement
}

// statement is one rule.
type statement struct {
	sid          string
	deny         bool
	principals   principals
	notPrincipal bool
	actions      []string // in lower case
	notAction    bool
	resources    []string // nil: all, as the secret is the resource
	notResource  bool
	conditions   []condition
}

// SyntaxError is a text that is not a policy. Its message names the place by
// elements, never by what they hold.
type SyntaxError struct{ Message string }

// Error returns the message.
func (e *SyntaxError) Error() string { return e.Message }

func malformed(format string, args ...any) error {
	return &SyntaxError{fmt.Sprintf(format, args...)}
}

// Parse reads a policy. An error is a *SyntaxError.
func Parse(text string) (*Policy, error) {
	if len(text) > MaxPolicy {
		return nil, malformed("the policy has more than %d bytes", MaxPolicy)
	}
	if err := checkJSON(text); err != nil {
		return nil, err
	}
	top, err := members(json.RawMessage(text), "the policy", "Version", "Id", "Statement")
	if err != nil {
		return nil, err
	}
	p := &Policy{}
	if p.variables, err = readVersion(top["Version"]); err != nil {
		return nil, err
	}
	if raw, ok := top["Id"]; ok {
		if _, err := oneString(raw, "Id"); err != nil {
			return nil, err
		}
	}
	return p, p.readStatements(top["Statement"])
}

func readVersion(raw json.RawMessage) (variables bool, err error) {
	if raw == nil {
		return false, nil
	}
	version, err := oneString(raw, "Version")
	if err != nil {
		return false, err
	}
	if version != "2012-10-17" && version != "2008-10-17" {
		return false, malformed("Version must be 2012-10-17 or 2008-10-17")
	}
	return version == "2012-10-17", nil
}

func (p *Policy) readStatements(raw json.RawMessage) error {
	if raw == nil {
		return malformed("the policy has no Statement")
	}
	list := []json.RawMessage{raw}
	if isArray(raw) {
		if json.Unmarshal(raw, &list) != nil {
			return malformed("Statement must be an object or an array of them")
		}
	}
	if len(list) < 1 || len(list) > maxStatements {
		return malformed("a policy has 1 to %d statements", maxStatements)
	}
	seen := map[string]bool{}
	for i, raw := range list {
		s, err := readStatement(raw)
		if err != nil {
			return malformed("statement %d: %v", i+1, err)
		}
		if s.sid != "" && seen[s.sid] {
			return malformed("statement %d: its Sid stands twice in the policy", i+1)
		}
		seen[s.sid] = true
		p.statements = append(p.statements, s)
	}
	return nil
}

func readStatement(raw json.RawMessage) (s statement, err error) {
	m, err := members(raw, "a statement", "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction",
		"Resource", "NotResource", "Condition")
	if err != nil {
		return s, err
	}
	if raw, ok := m["Sid"]; ok {
		if s.sid, err = oneString(raw, "Sid"); err != nil {
			return s, err
		}
	}
	for _, read := range []func(map[string]json.RawMessage) error{s.readEffect, s.readPrincipals, s.readActions, s.readResources} {
		if err := read(m); err != nil {
			return s, err
		}
	}
	if raw, ok := m["Condition"]; ok {
		s.conditions, err = readConditions(raw)
	}
	return s, err
}

func (s *statement) readEffect(m map[string]json.RawMessage) error {
	if m["Effect"] == nil {
		return malformed("Effect is required")
	}
	effect, err := oneString(m["Effect"], "Effect")
	if err != nil {
		return err
	}
	if effect != "Allow" && effect != "Deny" {
		return malformed("Effect must be Allow or Deny")
	}
	s.deny = effect == "Deny"
	return nil
}

// either returns the one of two elements that stands in a statement; negated
// is true for the second.
func either(m map[string]json.RawMessage, name, not string) (raw json.RawMessage, negated bool, err error) {
	raw, other := m[name], m[not]
	switch {
	case raw != nil && other != nil:
		return nil, false, malformed("%s and %s exclude each other", name, not)
	case other != nil:
		return other, true, nil
	}
	return raw, false, nil
}

func (s *statement) readActions(m map[string]json.RawMessage) (err error) {
	raw, negated, err := either(m, "Action", "NotAction")
	if err != nil {
		return err
	}
	if raw == nil {
		return malformed("Action or NotAction is required")
	}
	if s.actions, err = stringList(raw, "Action"); err != nil {
		return err
	}
	s.notAction = negated
	for i, a := range s.actions {
		service, action, ok := strings.Cut(a, ":")
		if a != "*" && (!ok || service == "" || action == "" || strings.Contains(action, ":")) {
			return malformed("an Action must be \"*\" or of the form \"secretsmanager:Name\"")
		}
		s.actions[i] = strings.ToLower(a)
	}
	return nil
}

func (s *statement) readResources(m map[string]json.RawMessage) (err error) {
	raw, negated, err := either(m, "Resource", "NotResource")
	if err != nil {
		return err
	}
	if raw == nil {
		return malformed("Resource or NotResource is required")
	}
	if s.resources, err = stringList(raw, "Resource"); err != nil {
		return err
	}
	s.notResource = negated
	for _, r := range s.resources {
		if r != "*" && strings.Count(r, ":") < 5 {
			return malformed("a Resource must be \"*\" or an ARN")
		}
	}
	return nil
}

// checkJSON makes sure that the text is one JSON value without members that
// stand twice, which readers take differently.
func checkJSON(text string) error {
	if !utf8.ValidString(text) {
		return malformed("the policy is not valid UTF-8")
	}
	d := json.NewDecoder(strings.NewReader(text))
	if err := checkValue(d, 0); err != nil {
		var syntax *SyntaxError
		if errors.As(err, &syntax) {
			return err
		}
		return malformed("the policy is not valid JSON") // the decoder's error would quote it
	}
	if _, err := d.Token(); err != io.EOF {
		return malformed("something stands behind the policy")
	}
	return nil
}

func checkValue(d *json.Decoder, depth int) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	bracket, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	if depth == maxDepth {
		return malformed("the policy has more than %d levels of objects and arrays", maxDepth)
	}
	seen := map[string]bool{}
	for d.More() {
		if bracket == '{' {
			key, err := d.Token()
			if err != nil {
				return err
			}
			if name, _ := key.(string); seen[name] {
				return malformed("a member stands twice in an object")
			} else {
				seen[name] = true
			}
		}
		if err := checkValue(d, depth+1); err != nil {
			return err
		}
	}
	_, err = d.Token() // the closing bracket
	return err
}

// members reads an object that may have only these members, spelt so.
func members(raw json.RawMessage, what string, names ...string) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil || m == nil {
		return nil, malformed("%s must be an object", what)
	}
	for name := range m {
		if !slices.Contains(names, name) {
			return nil, malformed("%s has an element that is not known; known are %s", what, strings.Join(names, ", "))
		}
	}
	return m, nil
}

func isArray(raw json.RawMessage) bool {
	return bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("["))
}

func oneString(raw json.RawMessage, name string) (string, error) {
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil {
		return "", malformed("%s must be a string", name)
	}
	return *s, nil
}

// stringList reads a string or a list of at least one.
func stringList(raw json.RawMessage, name string) ([]string, error) {
	if !isArray(raw) {
		s, err := oneString(raw, name)
		return []string{s}, err
	}
	var list []*string
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 || slices.Contains(list, nil) {
		return nil, malformed("%s must be a string or a list of strings", name)
	}
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = *s
	}
	return out, nil
}
