package vault

import (
	"context"
	"errors"
	"maps"
	"time"

	"fastness/internal/audit"
	"fastness/internal/envelope"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// Locate returns the first of several names under which there is a secret that
// pick picks; the first of all if there is none. It reads names and what the AWS
// protocol keeps, tells nobody, and so leaves no entry: whoever goes on with the
// name is recorded then. Names that the caller may not list are not looked at.
func (s *Session) Locate(ctx context.Context, names []secret.Name, pick func(*store.Secret) bool) (found secret.Name, err error) {
	err = s.vault.store.View(ctx, func(r store.Reader) error {
		found = names[0]
		t, err := s.active(r)
		if err != nil {
			return nil // what comes next says so, and records it
		}
		j, err := s.ruler(r, t)
		if err != nil {
			return err
		}
		for _, name := range names {
			sec, err := r.Secrets(t.ID).Secret(name)
			if errors.Is(err, store.ErrAbsent) {
				continue
			}
			if err != nil {
				return err
			}
			if j.mayList(sec) && pick(sec) {
				found = name
				return nil
			}
		}
		return nil
	})
	return found, s.vault.answer(err)
}

// Promotion makes a secret of its own of a view of another one.
type Promotion struct {
	To secret.Name // must be free
	// Change changes what the AWS protocol keeps of both. It may be called more
	// than once.
	Change func(from, made *secret.AWS) error
}

// Promote copies a secret with all its versions, each sealed anew, to another
// name.
func (s *Session) Promote(ctx context.Context, name secret.Name, p Promotion) (Detail, error) {
	if _, err := secret.ParseName(string(p.To)); err != nil {
		return Detail{}, s.Refused(ctx, audit.Update, name, err)
	}
	for range maxAttempts {
		d, err := s.promote(ctx, name, p)
		if !errors.Is(err, errRetry) {
			return d, err
		}
	}
	return Detail{}, s.Refused(ctx, audit.Update, name, errBusy)
}

func (s *Session) promote(ctx context.Context, name secret.Name, p Promotion) (Detail, error) {
	c, err := s.copySecret(ctx, name)
	if err != nil && !errors.Is(err, errRetry) {
		err = s.Refused(ctx, audit.Update, name, err)
	}
	if err != nil {
		return Detail{}, err
	}
	var d Detail
	err = s.vault.change(ctx, s.entry(audit.Update, name), func(tx store.Tx, e *audit.Entry) error {
		t, err := s.active(tx)
		if err != nil {
			return err
		}
		e.Detail = promotedDetail + string(p.To)
		sec, err := s.promotable(tx, t, name, p)
		if err != nil {
			return err
		}
		if sec.Revision != c.revision || t.Key != c.tenantKey {
			return errRetry
		}
		made, err := c.store(tx, t.ID, sec, p)
		if err != nil {
			return stale(err)
		}
		sec.Changed = later(sec, s.vault.now())
		if err := tx.EditSecrets(t.ID).Update(sec); err != nil {
			return stale(err)
		}
		d, err = detail(tx, t, made)
		return err
	})
	return settled(d, err)
}

// promotable loads the secret, and decides whether it may be copied.
func (s *Session) promotable(r store.Reader, t *store.Tenant, name secret.Name, p Promotion) (*store.Secret, error) {
	j, err := s.ruler(r, t)
	if err != nil {
		return nil, err
	}
	sec, err := j.load(r, t, policy.Update, name)
	if err == nil {
		err = j.allow(policy.Create, absent(p.To, sec.Metadata.Tags))
	}
	if err != nil {
		return nil, err
	}
	if !sec.Deletion.IsZero() {
		return nil, secret.ErrDeleted
	}
	switch there, err := r.Secrets(t.ID).Secret(p.To); {
	case err == nil:
		return nil, taken(there)
	case !errors.Is(err, store.ErrAbsent):
		return nil, err
	}
	return sec, nil
}

// secretCopy are a secret's versions, sealed for another one.
type secretCopy struct {
	id        secret.ID
	revision  int64  // of the secret they were read with
	tenantKey uint32 // that seals the copies
	versions  []*store.Version
}

// copySecret seals all versions of a secret for a new one, outside of any write
// transaction. It decides nothing: the transaction does.
func (s *Session) copySecret(ctx context.Context, name secret.Name) (*secretCopy, error) {
	c := &secretCopy{}
	var needKEM *store.Tenant
	err := s.vault.store.View(ctx, func(r store.Reader) error {
		*c, needKEM = secretCopy{id: secret.NewID()}, nil
		t, err := s.active(r)
		if err != nil {
			return nil // the transaction says so, and records it
		}
		sec, err := s.load(r, t, policy.Update, name)
		if err != nil {
			return nil
		}
		c.revision, c.tenantKey = sec.Revision, t.Key
		if err = c.fill(s.vault, r, t, sec); errors.Is(err, errNoKEM) {
			needKEM = t
			return nil
		}
		return err
	})
	if err == nil && needKEM != nil {
		if err = s.vault.addKEM(ctx, needKEM.ID, needKEM.Key); err == nil {
			err = errRetry
		}
	}
	return c, err
}

func (c *secretCopy) fill(v *Vault, r store.Reader, t *store.Tenant, sec *store.Secret) error {
	for after := secret.Version(0); ; {
		rows, err := r.Secrets(t.ID).Versions(sec.ID, after, secret.MaxVersions)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, row := range rows {
			after = row.Number
			if err := c.add(v, r, t, sec, row.Number); err != nil {
				return err
			}
		}
	}
}

func (c *secretCopy) add(v *Vault, r store.Reader, t *store.Tenant, sec *store.Secret, number secret.Version) error {
	row, err := r.Secrets(t.ID).Version(sec.ID, number)
	if err != nil {
		return err
	}
	from, err := v.key(r, t.ID, row.Key, row.Algorithm)
	if err != nil {
		return err
	}
	defer from.release()
	to, err := v.key(r, t.ID, t.Key, row.Algorithm)
	if err != nil {
		return err
	}
	defer to.release()
	value, err := found{tenant: t, secret: sec, version: row, key: from}.open()
	if err != nil {
		return err
	}
	defer value.Release()
	sealed, err := envelope.Seal(to.kek, envelope.Binding{Tenant: t.ID, Secret: c.id, Version: row.ID}, row.Algorithm, value.Bytes())
	if err != nil {
		return err
	}
	made := *row
	made.Key, made.Envelope, made.Ciphertext, made.LastRead, made.CallerRead = t.Key, sealed.Envelope, sealed.Ciphertext, 0, 0
	c.versions = append(c.versions, &made)
	return nil
}

// store writes the copy. It leaves the change of the secret itself to its caller.
func (c *secretCopy) store(tx store.Tx, t secret.TenantID, sec *store.Secret, p Promotion) (*store.Secret, error) {
	made := *sec
	made.ID, made.Name, made.Revision = c.id, p.To, 0
	// The rotation stays with the secret that is copied.
	made.WorkAt, made.NextRotation = time.Time{}, made.Metadata.RotationInterval.Next(made.LastRotated)
	made.Labels, made.AWS, sec.AWS = maps.Clone(sec.Labels), sec.AWS.Clone(), sec.AWS.Clone()
	if err := p.Change(&sec.AWS, &made.AWS); err != nil {
		return nil, err
	}
	edit := tx.EditSecrets(t)
	if err := edit.Create(&made); err != nil {
		return nil, err
	}
	for _, v := range c.versions {
		if err := edit.AddVersion(made.ID, v); err != nil {
			return nil, err
		}
	}
	return &made, nil
}
