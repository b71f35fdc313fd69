package policy

import (
	"fmt"
	"time"

	"github.com/cedar-policy/cedar-go/types"

	"fastness/internal/secret"
)

// Limits of a tenant's own policies.
const (
	MaxStatements = 1000      // of all policies of a tenant
	MaxText       = 16 << 10  // bytes of one policy's text
	MaxTexts      = 256 << 10 // bytes of the texts of all policies of a tenant
)

// Bounds of Settings.MFAWindow.
const (
	MinMFAWindow     = time.Minute
	MaxMFAWindow     = time.Hour
	DefaultMFAWindow = 5 * time.Minute
)

// Settings are a tenant's rules on second factors.
type Settings struct {
	// MFAWindow is how long a second factor counts as fresh; 0 is DefaultMFAWindow.
	MFAWindow time.Duration
	// MFAForRead demands a fresh one of people who read any secret.
	MFAForRead bool
	// MFAForLogin demands one before a person's session may do anything.
	MFAForLogin bool
}

// Validate checks the window.
func (s Settings) Validate() error {
	if s.MFAWindow != 0 && (s.MFAWindow < MinMFAWindow || s.MFAWindow > MaxMFAWindow) {
		return secret.Limited("mfaWindow", "1 minute to 1 hour")
	}
	return nil
}

// Window is how long a second factor counts as fresh.
func (s Settings) Window() time.Duration {
	if s.MFAWindow == 0 {
		return DefaultMFAWindow
	}
	return s.MFAWindow
}

// Set is what decides in one tenant: its settings and its own policies,
// compiled. It never changes; safe for concurrent use.
type Set struct {
	settings Settings
	tenant   types.EntityUID
	policies *index
	size     int // bytes of the policies' texts
}

// NewSet compiles a tenant's settings and policies. It refuses more of them
// than a tenant may have.
func NewSet(tenant secret.TenantName, s Settings, texts ...*Text) (*Set, error) {
	set := &Set{settings: s, tenant: types.NewEntityUID(tenantType, types.String(tenant))}
	var all []*statement
	named := map[string]bool{}
	for _, t := range texts {
		if named[t.name] {
			return nil, secret.Invalid("policies", fmt.Sprintf("two are named %q", t.name))
		}
		named[t.name] = true
		all = append(all, t.statements...)
		set.size += len(t.source)
	}
	switch {
	case len(all) > MaxStatements:
		return nil, secret.Limited("policies", fmt.Sprintf("at most %d statements in all policies of a tenant", MaxStatements))
	case set.size > MaxTexts:
		return nil, secret.Limited("policies", fmt.Sprintf("at most %d bytes of text in all policies of a tenant", MaxTexts))
	}
	if len(all) > 0 {
		set.policies = newIndex(all)
	}
	return set, nil
}

// Settings returns the settings that the set was made with.
func (s *Set) Settings() Settings { return s.settings }

// Size is about how much memory the set takes, in bytes of its policies' texts.
func (s *Set) Size() int { return s.size }

// verdict is the word of grants and policies on a request.
type verdict uint8

const (
	ungranted verdict = iota // nothing permits it
	narrowed                 // the credential's own grants do not
	forbidden                // a policy forbids it
	permitted
)

// rule asks the grants and the policies. What a forbid refuses stays refused,
// whatever permits it, also if the forbid cannot be evaluated. Tags of a secret
// that nobody has looked at count in the caller's favour.
func (s *Set) rule(r *Request, n *notes) verdict {
	var sc scene
	if !s.setScene(&sc, r, n) {
		return ungranted
	}
	sc.pick(s.policies)
	maybe := sc.action.onSecret && r.Secret.Look == Unseen && sc.setTagsAside()
	policies := sc.evaluate()
	if policies.forbids {
		return forbidden
	}
	granted, within := sc.askGrants(r.Caller)
	switch {
	case !within:
		return narrowed
	case granted || policies.permits || maybe:
		return permitted
	}
	return ungranted
}

// askGrants reports whether the principal's grants permit the request, and
// whether it is within the credential's own; these are the principal's too if
// that has none.
func (sc *scene) askGrants(c *Caller) (granted, within bool) {
	if c.bound != nil {
		sc.pick(c.bound)
		if within = sc.evaluate().permits; !within || c.grants == nil {
			return within, within
		}
	}
	sc.pick(c.grants)
	return sc.evaluate().permits, true
}
