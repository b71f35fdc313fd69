package policy

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"fastness/internal/secret"
)

// Text is one of a tenant's own policies: a text of Cedar statements, parsed,
// validated against the schema, and compiled. It never changes.
type Text struct {
	name       string
	source     string
	statements []*statement
}

// maxPolicyName bounds the name of a policy, and of a statement in it.
const maxPolicyName = 63

var policyName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

// CheckName checks the name of a policy: it stands in the open part of audit
// entries, and must not name a person.
func CheckName(field, name string) error {
	if len(name) < 1 || len(name) > maxPolicyName || !policyName.MatchString(name) {
		return secret.Invalid(field, fmt.Sprintf("1 to %d characters of a-z, 0-9 and '-', not beginning with '-'", maxPolicyName))
	}
	return nil
}

// ParseText parses and validates a policy's text. An error says where, by line
// and column, and why; a limit that was passed is named.
//
// A statement's id is NAME if it is the only one, otherwise NAME/N for the
// Nth, or NAME/ID where it is annotated with @id("ID").
func ParseText(name, source string) (*Text, error) { return parseText(name, source, true) }

// LoadText parses a text that was validated against this very schema before,
// which takes a quarter of the time.
func LoadText(name, source string) (*Text, error) { return parseText(name, source, false) }

func parseText(name, source string, validate bool) (*Text, error) {
	if err := CheckName("name", name); err != nil {
		return nil, err
	}
	if err := checkText(source); err != nil {
		return nil, err
	}
	list, err := cedar.NewPolicyListFromBytes("", []byte(source))
	if err != nil {
		return nil, syntaxError(err)
	}
	if len(list) == 0 {
		return nil, secret.Invalid("text", "at least one statement")
	}
	if len(list) > MaxStatements {
		return nil, secret.Limited("text", fmt.Sprintf("at most %d statements in all policies of a tenant", MaxStatements))
	}
	t := &Text{name: name, source: source}
	return t, t.compile(list, validate)
}

// checkText bounds what the parser gets to see.
func checkText(source string) error {
	switch {
	case len(source) > MaxText:
		return secret.Limited("text", fmt.Sprintf("at most %d bytes", MaxText))
	case !utf8.ValidString(source):
		return secret.Invalid("text", "not valid UTF-8")
	}
	return checkNesting(source)
}

func (t *Text) compile(list cedar.PolicyList, validate bool) error {
	taken := map[string]bool{}
	for i, p := range list {
		id, err := t.statementID(p, i, len(list))
		if err == nil && taken[id] {
			err = fmt.Errorf("another statement has the id %q", id)
		}
		if err == nil && validate {
			err = validateStatement(p)
		}
		if err != nil {
			at := p.Position()
			return secret.Invalid("text", fmt.Sprintf("line %d, column %d: %v", at.Line, at.Column, err))
		}
		taken[id] = true
		t.statements = append(t.statements, newStatement(id, p))
	}
	return nil
}

func (t *Text) statementID(p *cedar.Policy, i, n int) (string, error) {
	switch given, ok := p.Annotations()["id"]; {
	case ok && (CheckName("", string(given)) != nil || strings.Trim(string(given), "0123456789") == ""):
		return "", fmt.Errorf("@id: 1 to %d characters of a-z, 0-9 and '-', not only digits", maxPolicyName)
	case ok:
		return t.name + "/" + string(given), nil
	case n == 1:
		return t.name, nil
	}
	return fmt.Sprintf("%s/%d", t.name, i+1), nil
}

// validateStatement checks a statement against the schema.
func validateStatement(p *cedar.Policy) error {
	tree := (*ast.Policy)(p.AST())
	for _, c := range tree.Conditions {
		if depth(c.Body) > maxDepth {
			return fmt.Errorf("more than %d expressions within each other; split the statement", maxDepth)
		}
		if err := cmp.Or(checkTagNames(c.Body), checkComparisons(c.Body)); err != nil {
			return err
		}
	}
	if err := words().validator.Policy("", tree); err != nil {
		return abridged(err)
	}
	return nil
}

// maxFindings bounds how many findings of the validator an error tells.
const maxFindings = 3

// abridged is the first of what the validator found, on one line.
func abridged(err error) error {
	var findings []string
	for line := range strings.Lines(err.Error()) {
		findings = append(findings, strings.TrimSpace(line))
	}
	if n := len(findings) - maxFindings; n > 0 {
		findings = append(findings[:maxFindings], fmt.Sprintf("and %d more", n))
	}
	return fmt.Errorf("%s", bounded(strings.Join(findings, "; ")))
}

// maxMessage bounds a message about a text, which may quote it.
const maxMessage = 500

func bounded(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessage], "") + "…"
}

// StatementInfo tells of one statement.
type StatementInfo struct {
	ID     string
	Effect string // permit or forbid
	Line   int
	Text   string // in Cedar's canonical form
}

func (s *statement) info() StatementInfo {
	effect := "permit"
	if s.forbid {
		effect = "forbid"
	}
	return StatementInfo{ID: s.id, Effect: effect, Line: s.policy.Position().Line, Text: string(s.policy.MarshalCedar())}
}

// Name is the policy's name.
func (t *Text) Name() string { return t.name }

// Source is the text as it was given.
func (t *Text) Source() string { return t.source }

// Statements tells of the text's statements, in their order.
func (t *Text) Statements() []StatementInfo {
	all := make([]StatementInfo, len(t.statements))
	for i, s := range t.statements {
		all[i] = s.info()
	}
	return all
}
