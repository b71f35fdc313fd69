package policy

import (
	"time"

	"github.com/cedar-policy/cedar-go/types"
)

// Caller is a Subject made ready for many decisions: its grants are compiled.
// It never changes; safe for concurrent use.
type Caller struct {
	Subject
	uid    types.EntityUID
	entity types.Entity
	grants *index // of the principal; nil if it has none of its own
	bound  *index // of the credential; nil if it has none of its own
}

// NewCaller compiles a subject.
func NewCaller(s Subject) *Caller {
	c := &Caller{Subject: s, uid: types.NewEntityUID(serviceType, types.String(s.Name))}
	attributes := types.RecordMap{}
	if s.Kind == Person {
		c.uid.Type = personType
	} else {
		if s.Service != "" {
			attributes[serviceAttribute] = types.String(s.Service)
		}
		if s.Environment != "" {
			attributes[environmentAttribute] = types.String(s.Environment)
		}
	}
	c.entity = types.Entity{UID: c.uid, Attributes: types.NewRecord(attributes)}
	c.grants = compileGrants("grant", c.uid, s.Grants)
	c.bound = compileGrants("credential grant", c.uid, s.Bound)
	return c
}

// isPerson reports whether the caller is a person of a tenant.
func (c *Caller) isPerson() bool { return !c.Operator && !c.System && c.Kind == Person }

// mfaAge is how long ago a second factor was given; false if never. A time to
// come, as after a clock was set back, counts as never.
func (c *Caller) mfaAge(now time.Time) (time.Duration, bool) {
	age := now.Sub(c.MFA)
	return age, !c.MFA.IsZero() && age >= 0
}

// fresh reports whether a second factor was given within the window.
func (c *Caller) fresh(now time.Time, window time.Duration) bool {
	age, ok := c.mfaAge(now)
	return ok && age <= window
}
