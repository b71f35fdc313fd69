package vault

import (
	"context"
	"errors"
	"fmt"

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
	var done int64
	var at store.VersionRef
	for {
		n, more, err := s.rewrapVersions(ctx, t, &at)
		done += n
		if err != nil {
			return t.Key, s.Refused(ctx, audit.KeyRotate, "", err)
		}
		if progress != nil {
			progress(done)
		}
		if !more {
			break
		}
	}
	if err := v.rewrapAccessKeys(ctx, t); err != nil {
		return t.Key, s.Refused(ctx, audit.KeyRotate, "", err)
	}
	if err := s.endKey(ctx, t, done); err != nil {
		return t.Key, err
	}
	v.keys.forget(t.ID)
	return t.Key, v.answer(v.store.Scrub(ctx))
}

// beginKey makes a new key the tenant's current one, unless an earlier call
// has and was interrupted: then there is more than one.
func (s *Session) beginKey(ctx context.Context) (*store.Tenant, error) {
	var tenant *store.Tenant
	err := s.edit(ctx, audit.KeyRotate, "", func(tx store.Tx, t *store.Tenant, e *audit.Entry) error {
		tenant = t
		if err := s.allowTenant(policy.ManageKeys); err != nil {
			return err
		}
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
		if len(keys) == 1 && keys[0].KEMPublic != nil {
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
		return stale(tx.EditTenants().Update(t))
	})
	return tenant, err
}

// rewrapVersions re-wraps the next chunk of envelopes behind at.
func (s *Session) rewrapVersions(ctx context.Context, t *store.Tenant, at *store.VersionRef) (n int64, more bool, err error) {
	v := s.vault
	last := *at
	err = v.store.Update(ctx, func(tx store.Tx) error {
		n = 0
		refs, err := tx.Secrets(t.ID).NotUnderKey(t.Key, *at, rewrapChunk)
		if err != nil {
			return err
		}
		to, err := v.key(tx, t.ID, t.Key)
		if err != nil {
			return err
		}
		defer to.release()
		for _, ref := range refs {
			if err := v.rewrapVersion(tx, t.ID, ref, to); err != nil {
				return fmt.Errorf("re-wrapping version %d of secret %s: %w", ref.Number, ref.Secret, err)
			}
			last = ref
			n++
		}
		more = len(refs) == rewrapChunk
		return nil
	})
	if err == nil {
		*at = last
	}
	return n, more, v.answer(err)
}

func (v *Vault) rewrapVersion(tx store.Tx, t secret.TenantID, ref store.VersionRef, to *heldKey) error {
	row, err := tx.Secrets(t).Version(ref.Secret, ref.Number)
	if err != nil {
		return err
	}
	from, err := v.key(tx, t, row.Key)
	if err != nil {
		return err
	}
	defer from.release()
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
		creds, err := tx.Credentials().List(t.ID, "", secret.MaxTokens)
		if err != nil {
			return err
		}
		to, err := v.key(tx, t.ID, t.Key)
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
	from, err := v.key(tx, t.ID, c.Key)
	if err != nil {
		return err
	}
	defer from.release()
	plain, err := from.kek.OpenAccessKey(t.ID, c.ID, c.Sealed)
	if err != nil {
		return err
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
	return s.edit(ctx, audit.KeyRotate, "", func(tx store.Tx, now *store.Tenant, e *audit.Entry) error {
		if now.ID != t.ID || now.Key != t.Key {
			return secret.Conflict("another rotation of the key has begun")
		}
		left, err := tx.Secrets(t.ID).NotUnderKey(t.Key, store.VersionRef{}, 1)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return errors.New("versions are left under an old key")
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
