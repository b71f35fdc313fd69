package vault

import (
	"cmp"
	"context"
	"errors"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/schedule"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// Amendment changes what a secret carries besides its versions, by looking at
// what is there.
type Amendment struct {
	Audit  audit.Action
	Action policy.Action // that the caller must be allowed
	// Deleted lets it change a secret in its recovery window too.
	Deleted bool
	// Change changes the secret's description, tags, and what the AWS protocol
	// keeps. Other fields that it changes are put back. An error, which must be a
	// *secret.Error, undoes all. It may be called more than once.
	Change func(m *secret.Metadata, aws *secret.AWS) error
}

// Amend changes a secret in one transaction.
func (s *Session) Amend(ctx context.Context, name secret.Name, a Amendment) (Detail, error) {
	var d Detail
	err := s.edit(ctx, a.Audit, name, func(tx store.Tx, t *store.Tenant, e *audit.Entry) error {
		j, err := s.ruler(tx, t)
		if err != nil {
			return err
		}
		sec, err := j.load(tx, t, a.Action, name)
		if err != nil {
			return err
		}
		if !sec.Deletion.IsZero() && !a.Deleted {
			return secret.ErrDeleted
		}
		if err := a.apply(j, sec, e); err != nil {
			return err
		}
		sec.Changed = later(sec, s.vault.now())
		if err := tx.EditSecrets(t.ID).Update(sec); err != nil {
			return stale(err)
		}
		d, err = detail(tx, t, sec)
		return err
	})
	return settled(d, err)
}

func (a Amendment) apply(j ruler, sec *store.Secret, e *audit.Entry) error {
	m, aws := secret.Patch{Tags: sec.Metadata.Tags}.Apply(sec.Metadata), sec.AWS.Clone()
	if err := a.Change(&m, &aws); err != nil {
		return err
	}
	next := sec.Metadata
	next.Description, next.Tags = m.Description, m.Tags
	if err := cmp.Or(j.allowPatch(sec, next), next.Validate()); err != nil {
		return err
	}
	if a.Audit == audit.Update {
		e.Detail = changed(sec.Metadata, next)
	}
	sec.Metadata, sec.AWS = next, aws
	return nil
}

// Bare is a secret without a version.
type Bare struct {
	Patch secret.Patch
	Amend func(*secret.AWS) // as in Put
}

// CreateBare makes a secret that has no version yet; secret.ErrExists if the
// name is taken.
func (s *Session) CreateBare(ctx context.Context, name secret.Name, b Bare) (Written, error) {
	var w Written
	if _, err := secret.ParseName(string(name)); err != nil {
		return w, s.Refused(ctx, audit.Create, name, err)
	}
	err := s.edit(ctx, audit.Create, name, func(tx store.Tx, t *store.Tenant, _ *audit.Entry) error {
		meta := b.Patch.Apply(secret.Metadata{Algorithm: t.Algorithm, RotationInterval: schedule.Default})
		j, err := s.ruler(tx, t)
		if err == nil {
			err = j.allow(policy.Create, absent(name, meta.Tags))
		}
		if err != nil {
			return err
		}
		switch there, err := tx.Secrets(t.ID).Secret(name); {
		case err == nil:
			return taken(there)
		case !errors.Is(err, store.ErrAbsent):
			return err
		}
		now := s.vault.now()
		sec := &store.Secret{
			ID: secret.NewID(), Name: name, Labels: map[secret.Label]secret.Version{}, Created: now, Changed: now,
			Metadata: meta,
		}
		if err := sec.Metadata.Validate(); err != nil {
			return err
		}
		if b.Amend != nil {
			b.Amend(&sec.AWS)
		}
		if err := tx.EditSecrets(t.ID).Create(sec); err != nil {
			return stale(err)
		}
		w = Written{ID: sec.ID, Name: name, Created: true, Made: now}
		return nil
	})
	return settled(w, err)
}

func taken(sec *store.Secret) error {
	if !sec.Deletion.IsZero() {
		return secret.ErrDeleted
	}
	return secret.ErrExists
}
