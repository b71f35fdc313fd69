package vault

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"strings"

	"fastness/internal/policy"
	"fastness/internal/store"
)

// What entries say of principals, before and after a change. It names none of
// them: that is the entry's Target, which can be redacted. Patterns of grants
// are in it.

// maxGrantsText bounds the text of a list of grants, so that two of them fit in
// an entry. One that is longer is told by its beginning and its hash.
const maxGrantsText = 3 << 10

// describeGrants is the text of a list of grants, empty for none.
func describeGrants(grants []policy.Grant) string {
	words := make([]string, len(grants))
	for i, g := range grants {
		words[i] = string(g.Role)
		if g.Patterns != nil {
			words[i] += "=" + strings.Join(g.Patterns, ",")
		}
	}
	text := strings.Join(words, " ")
	if len(text) > maxGrantsText {
		return fmt.Sprintf("%s… (%d grants, SHA-256 %x)", text[:maxGrantsText], len(grants), sha256.Sum256([]byte(text)))
	}
	return text
}

// describePrincipal tells what a principal is.
func describePrincipal(p *store.Principal) string {
	text := p.Kind.String()
	for _, f := range fields(p) {
		if f.text != "" {
			text += ", " + f.name + " " + f.shown
		}
	}
	return text
}

// describeChange tells what of a principal is new.
func describeChange(before, after *store.Principal) string {
	var changes []string
	was := fields(before)
	for i, f := range fields(after) {
		if f.text != was[i].text {
			changes = append(changes, fmt.Sprintf("%s: %s -> %s", f.name, cmp.Or(was[i].shown, "none"), cmp.Or(f.shown, "none")))
		}
	}
	if len(changes) == 0 {
		return "no change"
	}
	return strings.Join(changes, "\n")
}

// field is one of those that can change, empty if there is none, and how it is
// shown.
type field struct{ name, text, shown string }

// fields are what can change of a principal. A subject names a person, so all
// that is told is that there is one.
func fields(p *store.Principal) []field {
	grants, subject, disabled := describeGrants(p.Grants), "", ""
	if p.Subject != "" {
		subject = "(one that is not told)"
	}
	if !p.Disabled.IsZero() {
		disabled = "yes"
	}
	return []field{
		{"grants", grants, grants}, {"service", p.Service, p.Service},
		{"environment", string(p.Environment), string(p.Environment)},
		{"subject", p.Subject, subject}, {"disabled", disabled, disabled},
	}
}
