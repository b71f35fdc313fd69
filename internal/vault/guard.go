package vault

import "fastness/internal/store"

// Guard is a further part of a decision, for a front whose protocol has one: a
// resource policy, or a name that is good for one secret of that name only. It
// is asked about a secret's row once grants and access policy allow, within the
// same snapshot or transaction, and returns nil, or the *secret.Error to refuse
// with. It may be asked more than once, must be quick, and must not change the row.
type Guard func(*store.Secret) error

// Guarded returns a session that asks g as well. It can only narrow.
func (s *Session) Guarded(g Guard) *Session {
	c := *s
	c.guard = g
	return &c
}

// pass asks the guard, if there is one.
func (s *Session) pass(sec *store.Secret) error {
	if s.guard == nil {
		return nil
	}
	return s.guard(sec)
}
