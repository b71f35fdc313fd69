package policy

import (
	"fmt"
	"strings"

	"fastness/internal/secret"
)

// Grant gives a role over the secrets whose names match one of the patterns.
// Without patterns (nil) it gives the role over all names; a list that is
// there but empty matches none.
//
// In a pattern '*' stands for any run of characters, '/' included and also
// none; every other character stands for itself.
type Grant struct {
	Role     Role     `json:"role"`
	Patterns []string `json:"patterns,omitzero"`
}

// ValidateGrants checks what somebody wants to give: known roles, patterns of
// the characters of names, and the limits. It refuses an empty list of
// patterns, which could be taken to mean either none or all.
func ValidateGrants(grants []Grant) error {
	if n := len(grants); n < 1 || n > secret.MaxGrants {
		return secret.Limited("grants", fmt.Sprintf("1 to %d grants", secret.MaxGrants))
	}
	for _, g := range grants {
		if _, ok := onSecrets[g.Role]; !ok {
			return secret.Invalid("grants.role", "admin, writer, reader, rotator or auditor")
		}
		if g.Patterns != nil && len(g.Patterns) == 0 {
			return secret.Invalid("grants.patterns", "at least one pattern; leave it out for all names")
		}
		if len(g.Patterns) > secret.MaxPatterns {
			return secret.Limited("grants.patterns", fmt.Sprintf("at most %d patterns", secret.MaxPatterns))
		}
		for _, p := range g.Patterns {
			if err := checkPattern(p); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkPattern(p string) error {
	if len(p) < 1 || len(p) > secret.MaxName {
		return secret.Limited("grants.patterns", fmt.Sprintf("1 to %d characters", secret.MaxName))
	}
	literal := strings.ReplaceAll(p, "*", "")
	if literal == "" {
		return nil
	}
	if _, err := secret.ParseName(literal); err != nil {
		return secret.Invalid("grants.patterns", "only '*' and the characters of names are allowed")
	}
	return nil
}

// coversAll reports whether one of the patterns alone matches every name.
func (g Grant) coversAll() bool {
	if g.Patterns == nil {
		return true
	}
	for _, p := range g.Patterns {
		if p != "" && strings.Trim(p, "*") == "" {
			return true
		}
	}
	return false
}
