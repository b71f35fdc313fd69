package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"fastness/internal/secret"
)

// Limits of bindings.
const (
	MaxBindings    = 100  // of an issuer or a CA
	maxMatchClaims = 20   // claims that a binding asks for
	maxMatchValues = 50   // values that one of them may have
	maxMatchText   = 1024 // characters of a path or a value
)

// Kinds of principal that a binding may name.
const (
	ServiceKind = "service"
	PersonKind  = "person"
)

// Binding says who the bearer of certain claims is. The first binding of which
// all conditions hold decides.
type Binding struct {
	// Match has, for each path of a claim (see Claims), the values of which it
	// must have one. In a value '*' stands for any run of characters, and "\*"
	// for an asterisk. Of an array one element must match; a number or boolean
	// is compared as JSON writes it. At least one claim must be asked for.
	Match map[string][]string `json:"match"`
	// Principal is its name. "{path}" in it stands for a claim, which must have
	// exactly one value; at most one, so that no two bearers get one name.
	Principal string `json:"principal"`
	// Kind is ServiceKind, the default, or PersonKind.
	Kind string `json:"kind,omitzero"`
	// Create makes the principal if there is none of that name.
	Create bool `json:"create,omitzero"`
	// Service and Environment are attributes of the bearer; each may be
	// "{path}" or contain it, as Principal.
	Service     string `json:"service,omitzero"`
	Environment string `json:"environment,omitzero"`
	// Grants bound what the token may do that is given in exchange: see there.
	Grants []BoundGrant `json:"grants,omitzero"`
}

// BoundGrant is a grant as a binding holds it; what it may be is checked where
// grants are known.
type BoundGrant struct {
	Role     string   `json:"role"`
	Patterns []string `json:"patterns,omitzero"`
}

// Bearer is who a binding says somebody is.
type Bearer struct {
	Principal   string
	Kind        string
	Create      bool
	Service     string
	Environment secret.Environment
	Grants      []BoundGrant
}

// validateBindings checks what somebody wants to store.
func validateBindings(bindings []Binding) error {
	if len(bindings) > MaxBindings {
		return secret.Limited("bindings", fmt.Sprintf("at most %d bindings", MaxBindings))
	}
	for i, b := range bindings {
		if err := b.validate(fmt.Sprintf("bindings.%d", i)); err != nil {
			return err
		}
	}
	return nil
}

func (b Binding) validate(field string) error {
	if b.Kind != "" && b.Kind != ServiceKind && b.Kind != PersonKind {
		return secret.Invalid(field+".kind", "service or person")
	}
	if b.Kind == PersonKind && (b.Service != "" || b.Environment != "") {
		return secret.Invalid(field+".kind", "a person has neither service nor environment")
	}
	if err := b.validateMatch(field + ".match"); err != nil {
		return err
	}
	if err := validateTemplate(field+".principal", b.Principal, CheckPrincipal); err != nil {
		return err
	}
	if b.Service != "" {
		check := func(s string) error { return secret.CheckService("service", s) }
		if err := validateTemplate(field+".service", b.Service, check); err != nil {
			return err
		}
	}
	return validateTemplate(field+".environment", b.Environment, func(s string) error {
		_, err := secret.ParseEnvironment(s)
		return err
	})
}

func (b Binding) validateMatch(field string) error {
	if n := len(b.Match); n < 1 || n > maxMatchClaims {
		return secret.Limited(field, fmt.Sprintf("1 to %d claims", maxMatchClaims))
	}
	for path, values := range b.Match {
		if err := checkPath(field, path); err != nil {
			return err
		}
		if n := len(values); n < 1 || n > maxMatchValues {
			return secret.Limited(field, fmt.Sprintf("1 to %d values of a claim", maxMatchValues))
		}
		for _, v := range values {
			if len(v) < 1 || len(v) > maxMatchText {
				return secret.Limited(field, fmt.Sprintf("values of 1 to %d bytes", maxMatchText))
			}
			if err := secret.CheckLine(field, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkPath checks the path of a claim: names that are not empty, and no
// backslash but before a dot or another one.
func checkPath(field, path string) error {
	if len(path) < 1 || len(path) > maxMatchText {
		return secret.Limited(field, fmt.Sprintf("paths of claims of 1 to %d bytes", maxMatchText))
	}
	if err := secret.CheckLine(field, path); err != nil {
		return err
	}
	rest := strings.NewReplacer(`\\`, "", `\.`, "").Replace(path)
	if slices.Contains(splitPath(path), "") || strings.Contains(rest, `\`) || strings.ContainsAny(path, "{}") {
		return secret.Invalid(field, `a path is names with dots between them; a dot within a name is written "\."`)
	}
	return nil
}

// A template is text in which one "{path}" may stand for a claim. cut splits it.
func cut(template string) (before, path, after string, hasClaim, ok bool) {
	before, rest, open := strings.Cut(template, "{")
	if !open {
		return template, "", "", false, !strings.Contains(template, "}")
	}
	path, after, closed := strings.Cut(rest, "}")
	return before, path, after, true, closed && !strings.ContainsAny(before+after, "{}")
}

// validateTemplate checks a template; text without a claim also by what its
// result must be.
func validateTemplate(field, template string, check func(string) error) error {
	if len(template) > maxMatchText {
		return secret.Limited(field, fmt.Sprintf("at most %d bytes", maxMatchText))
	}
	_, path, _, hasClaim, ok := cut(template)
	switch {
	case !ok:
		return secret.Invalid(field, "text in which at most one {path} stands for a claim")
	case hasClaim:
		return checkPath(field, path)
	}
	if err := check(template); err != nil {
		e := secret.Of(err)
		return &secret.Error{Code: e.Code, Field: field, Detail: e.Detail}
	}
	return nil
}

// Bind returns who the bearer of the claims is by the first binding that
// matches. Without one, and if a claim that the binding names is not there or
// cannot be what it is used for, it is secret.ErrUnauthenticated.
func Bind(bindings []Binding, claims Claims) (Bearer, error) {
	for _, b := range bindings {
		if b.matches(claims) {
			return b.bearer(claims)
		}
	}
	return Bearer{}, refused("no binding matches the claims")
}

func (b Binding) matches(claims Claims) bool {
	for path, patterns := range b.Match {
		one := slices.ContainsFunc(claims.texts(path), func(text string) bool {
			return slices.ContainsFunc(patterns, func(p string) bool { return glob(p, text) })
		})
		if !one {
			return false
		}
	}
	return len(b.Match) > 0
}

func (b Binding) bearer(claims Claims) (who Bearer, err error) {
	who = Bearer{Kind: b.Kind, Create: b.Create, Grants: b.Grants}
	if who.Kind == "" {
		who.Kind = ServiceKind
	}
	if who.Principal, err = expand(b.Principal, claims); err != nil {
		return Bearer{}, err
	}
	if CheckPrincipal(who.Principal) != nil {
		return Bearer{}, refused("the claims do not make a principal's name")
	}
	if who.Service, err = expand(b.Service, claims); err != nil {
		return Bearer{}, err
	}
	if b.Service != "" && secret.CheckService("service", who.Service) != nil {
		return Bearer{}, refused("the claims do not make a service's name")
	}
	environment, err := expand(b.Environment, claims)
	if err != nil {
		return Bearer{}, err
	}
	if who.Environment, err = secret.ParseEnvironment(environment); err != nil || b.Environment != "" && environment == "" {
		return Bearer{}, refused("the claims do not make an environment")
	}
	return who, nil
}

// expand puts a claim in its place.
func expand(template string, claims Claims) (string, error) {
	before, path, after, hasClaim, _ := cut(template)
	if !hasClaim {
		return template, nil
	}
	texts := claims.texts(path)
	if len(texts) != 1 || texts[0] == "" {
		return "", refused("a claim that the binding names has not one value")
	}
	return before + texts[0] + after, nil
}

// glob reports whether text is of the pattern: '*' stands for any run of
// characters, a backslash takes the character after it as it is. Going back to
// the last star alone is enough, which bounds the work by the product of both
// lengths.
func glob(pattern, text string) bool {
	star, from := -1, 0 // where to go back to
	p, t := 0, 0
	for t < len(text) {
		literal, width := byte(0), 0
		if p < len(pattern) {
			literal, width = pattern[p], 1
			if literal == '\\' && p+1 < len(pattern) {
				literal, width = pattern[p+1], 2
			}
		}
		switch {
		case width == 1 && literal == '*':
			star, from = p, t
			p++
		case width > 0 && literal == text[t]:
			p, t = p+width, t+1
		case star >= 0:
			from++
			p, t = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// refused is an ErrUnauthenticated with its reason, in our own words, for the
// log. The caller is told none.
func refused(reason string) error { return secret.ErrUnauthenticated.With(errors.New(reason)) }
