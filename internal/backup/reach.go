package backup

import (
	"maps"
	"time"

	"fastness/internal/dump"
	"fastness/internal/secret"
)

// reach makes a tenant's rows those of an earlier time, as far as its versions
// tell: which of them there were, and that the newest was the current one. What
// came later is left out; names, tags and policies are those of the backup.
type reach struct {
	at       time.Time
	versions map[dump.ID][]secret.Version // of each secret, those that there were, in order
	created  map[dump.ID]time.Time        // of the newest of them
	pending  map[dump.ID]secret.Version
}

func newReach(at time.Time) *reach {
	return &reach{at, make(map[dump.ID][]secret.Version), make(map[dump.ID]time.Time), make(map[dump.ID]secret.Version)}
}

// look takes note of a row, before the rows are passed.
func (a *reach) look(r *dump.Row) {
	switch {
	case r.Secret != nil:
		a.pending[r.Secret.ID] = r.Secret.Labels[secret.Pending]
	case r.Version != nil && !r.Version.Created.After(a.at):
		id := r.Version.Secret
		a.versions[id] = append(a.versions[id], r.Version.Number)
		if r.Version.Number != a.pending[id] {
			a.created[id] = r.Version.Created
		}
	}
}

// row returns the row as it was, or nil if it was not there.
func (a *reach) row(r *dump.Row) *dump.Row {
	late := false
	switch {
	case r.Secret != nil:
		return a.secret(r)
	case r.Version != nil:
		late = r.Version.Created.After(a.at) || !a.has(r.Version.Secret)
	case r.Consumer != nil:
		late = !a.hasVersion(r.Consumer.Secret, r.Consumer.Version)
	case r.Principal != nil:
		late = r.Principal.Created.After(a.at)
	case r.Credential != nil:
		late = r.Credential.Created.After(a.at)
	case r.Document != nil:
		late = r.Document.Created.After(a.at)
	}
	if late {
		return nil
	}
	return r
}

// has reports whether there was a version that was not pending.
func (a *reach) has(id dump.ID) bool { return !a.created[id].IsZero() }

func (a *reach) hasVersion(id dump.ID, number secret.Version) bool {
	for _, n := range a.versions[id] {
		if n == number {
			return a.has(id)
		}
	}
	return false
}

// secret gives a secret the labels that it had. Its deletion, of which nobody
// knows since when it is due, is taken back.
func (a *reach) secret(r *dump.Row) *dump.Row {
	id := r.Secret.ID
	if r.Secret.Created.After(a.at) || !a.has(id) {
		return nil
	}
	s := *r.Secret.Secret
	s.Labels = maps.Clone(s.Labels)
	for label, n := range s.Labels {
		if !a.hasVersion(id, n) || label == secret.Current || label == secret.Previous {
			delete(s.Labels, label)
		}
	}
	for _, n := range a.versions[id] {
		if n == a.pending[id] {
			continue
		}
		if current := s.Labels[secret.Current]; current != 0 {
			s.Labels[secret.Previous] = current
		}
		s.Labels[secret.Current] = n
	}
	s.Versions, s.Deletion, s.LastRotated = len(a.versions[id]), time.Time{}, a.created[id]
	return &dump.Row{Secret: &dump.Secret{Tenant: r.Secret.Tenant, ID: id, Secret: &s}}
}
