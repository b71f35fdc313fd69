package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"fastness/internal/audit"
	"fastness/internal/envelope"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// RotateKey gives the tenant a new key and re-wraps every envelope under it,
// online; values stay sealed. Killed and called again it goes on with the key
// that it had made. It returns the new key's number and reports progress in
// versions.
func (s *Session) RotateKey(ctx context.Context, progress func(done int64)) (uint32, error) {
	v := s.vault
	t, err := s.beginKey(ctx)
	if err != nil {
		return 0, err
	}
	done, err := s.rewrapAll(ctx, t, progress)
	if err == nil {
		err = v.rewrapAccessKeys(ctx, t)
	}
	if err == nil {
		err = v.rewrapDocuments(ctx, t)
	}
	if err != nil {
		return t.Key, s.Refused(ctx, audit.KeyRotate, "", err)
	}
	if err := s.endKey(ctx, t, done); err != nil {
		return t.Key, err
	}
	v.keys.forget(t.ID)
	return t.Key, v.answer(v.store.Scrub(ctx))
}

// rewrapAll re-wraps every version of the tenant that is under another key. A
// version that does not open is passed over, for the others' sake, and then
// keeps the rotation from ending: its key must stay.
func (s *Session) rewrapAll(ctx context.Context, t *store.Tenant, progress func(done int64)) (done int64, err error) {
	var at store.VersionRef
	broken := 0
	for {
		n, failed, more, err := s.rewrapVersions(ctx, t, &at)
		if err != nil {
			return done, err
		}
		done += n
		broken += failed
		if progress != nil {
			progress(done)
		}
		if more {
			continue
		}
		if broken > 0 {
			return done, secret.ErrDecryption.With(fmt.Errorf("%d versions do not open; key %d is in use, and the old one kept for them", broken, t.Key))
		}
		return done, nil
	}
}

// editTenant is edit for the administration of the tenant itself.
func (s *Session) editTenant(ctx context.Context, a audit.Action, need policy.Action,
	f func(tx store.Tx, t *store.Tenant, e *audit.Entry) error) error {
	return s.vault.change(ctx, s.entry(a, ""), func(tx store.Tx, e *audit.Entry) error {
		t, err := s.administered(tx)
		if err != nil {
			return err
		}
		if err := s.authorize(tx, t, need); err != nil {
			return err
		}
		return f(tx, t, e)
	})
}

// beginKey makes a new key the tenant's current one, unless an earlier call
// has and was interrupted: then there is more than one.
func (s *Session) beginKey(ctx context.Context) (*store.Tenant, error) {
	var tenant *store.Tenant
	err := s.editTenant(ctx, audit.KeyRotate, policy.ManageKeys, func(tx store.Tx, t *store.Tenant, e *audit.Entry) error {
		tenant = t
		keys, err := tx.Tenants().Keys(t.ID)
		if err != nil {
			return err
		}
		if len(keys) > 1 {
			e.Detail = fmt.Sprintf("going on with key %d", t.Key)
			return nil
		}
		kek, err := envelope.NewKEK(t.Key + 1)
		if err != nil {
			return err
		}
		defer kek.Destroy()
		if len(keys) == 1 && keys[0].KEMSeed != nil {
			if err := kek.AddKEM(); err != nil {
				return err
			}
		}
		row, err := s.vault.wrap(tx, t.ID, kek)
		if err != nil {
			return err
		}
		if err := tx.EditTenants().PutKey(t.ID, row); err != nil {
			return err
		}
		e.Detail = fmt.Sprintf("key %d -> %d begun", t.Key, kek.Number)
		t.Key = kek.Number
		return tx.EditTenants().Update(t)
	})
	return tenant, err
}

// rewrapVersions re-wraps the next chunk of envelopes behind at, and says how
// many were, how many do not open, and whether there may be more.
func (s *Session) rewrapVersions(ctx context.Context, t *store.Tenant, at *store.VersionRef) (n int64, failed int, more bool, err error) {
	v := s.vault
	last := *at
	err = v.store.Update(ctx, func(tx store.Tx) error {
		n, failed = 0, 0
		now, err := tx.Tenants().Tenant(t.ID)
		if err != nil {
			return err
		}
		if now.Key != t.Key {
			return errOtherRotation
		}
		refs, err := tx.Secrets(t.ID).NotUnderKey(t.Key, *at, rewrapChunk)
		if err != nil {
			return err
		}
		for _, ref := range refs {
			err := v.rewrapVersion(tx, t, ref)
			if errors.Is(err, secret.ErrDecryption) {
				v.log.ErrorContext(ctx, "stored version does not open", "tenant", t.Name, "secret", ref.Secret, "version", ref.Number,
					"cause", secret.Of(err).Cause)
				failed++
			} else if err != nil {
				return err
			} else {
				n++
			}
			last = ref
		}
		more = len(refs) == rewrapChunk
		return nil
	})
	if err != nil {
		return 0, 0, false, v.answer(err)
	}
	*at = last
	return n, failed, more, nil
}

// errOtherRotation ends a rotation that another one has overtaken.
var errOtherRotation = secret.Conflict("another rotation of the key has begun")

func (v *Vault) rewrapVersion(tx store.Tx, tenant *store.Tenant, ref store.VersionRef) error {
	t := tenant.ID
	row, err := tx.Secrets(t).Version(ref.Secret, ref.Number)
	if err != nil {
		return err
	}
	from, err := v.key(tx, t, row.Key, row.Algorithm)
	if err != nil {
		return err
	}
	defer from.release()
	to, err := v.key(tx, t, tenant.Key, row.Algorithm)
	if err != nil {
		return err
	}
	defer to.release()
	b := envelope.Binding{Tenant: t, Secret: ref.Secret, Version: row.ID}
	env, err := envelope.Rewrap(from.kek, to.kek, b, row.Algorithm, row.Envelope)
	if err != nil {
		return err
	}
	old := row.Envelope
	row.Envelope, row.Key = env, to.kek.Number
	return tx.EditSecrets(t).Rewrap(ref.Secret, row, old)
}

// rewrapAccessKeys seals the tenant's access-key secrets under its current key.
func (v *Vault) rewrapAccessKeys(ctx context.Context, t *store.Tenant) error {
	return v.answer(v.store.Update(ctx, func(tx store.Tx) error {
		creds, err := tx.Credentials().List(t.ID, "", secret.MaxCredentials)
		if err != nil {
			return err
		}
		to, err := v.key(tx, t.ID, t.Key, secret.AES256GCM)
		if err != nil {
			return err
		}
		defer to.release()
		for _, c := range creds {
			if c.Kind != store.AccessKey || c.Key == t.Key {
				continue
			}
			if err := v.rewrapAccessKey(tx, t, c, to); err != nil {
				return err
			}
		}
		return nil
	}))
}

func (v *Vault) rewrapAccessKey(tx store.Tx, t *store.Tenant, c *store.Credential, to *heldKey) error {
	from, err := v.key(tx, t.ID, c.Key, secret.AES256GCM)
	if err != nil {
		return err
	}
	defer from.release()
	plain, err := from.kek.OpenAccessKey(t.ID, c.ID, c.Sealed)
	if err != nil {
		return secret.ErrDecryption.With(fmt.Errorf("access key %s: %w", c.ID, err))
	}
	defer plain.Release()
	if c.Sealed, err = to.kek.SealAccessKey(t.ID, c.ID, plain.Bytes()); err != nil {
		return err
	}
	c.Key = t.Key
	return tx.EditCredentials().Update(c)
}

// endKey destroys the tenant's other keys, once nothing is sealed under them.
func (s *Session) endKey(ctx context.Context, t *store.Tenant, done int64) error {
	return s.editTenant(ctx, audit.KeyRotate, policy.ManageKeys, func(tx store.Tx, now *store.Tenant, e *audit.Entry) error {
		if now.ID != t.ID || now.Key != t.Key {
			return errOtherRotation
		}
		if err := nothingLeft(tx, t); err != nil {
			return err
		}
		keys, err := tx.Tenants().Keys(t.ID)
		if err != nil {
			return err
		}
		for _, k := range keys {
			if k.Number == t.Key {
				continue
			}
			if err := tx.EditTenants().DeleteKey(t.ID, k.Number); err != nil {
				return err
			}
		}
		e.Detail = fmt.Sprintf("key %d in use, %d versions re-wrapped", t.Key, done)
		return nil
	})
}

// nothingLeft makes sure that no key but the current one is needed any more:
// what was sealed before the rotation began can have been stored since.
func nothingLeft(tx store.Tx, t *store.Tenant) error {
	versions, err := tx.Secrets(t.ID).NotUnderKey(t.Key, store.VersionRef{}, 1)
	if err != nil {
		return err
	}
	documents, err := tx.Documents().NotUnderKey(t.ID, t.Key, store.DocumentRef{}, 1)
	if err != nil {
		return err
	}
	creds, err := tx.Credentials().List(t.ID, "", secret.MaxCredentials)
	if err != nil {
		return err
	}
	accessKeys := slices.ContainsFunc(creds, func(c *store.Credential) bool { return c.Kind == store.AccessKey && c.Key != t.Key })
	if len(versions) > 0 || len(documents) > 0 || accessKeys {
		return errors.New("versions, documents or access keys are left under an old key")
	}
	return nil
}
