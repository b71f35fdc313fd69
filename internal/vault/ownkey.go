package vault

import (
	"context"
	"errors"
	"fmt"

	"fastness/internal/envelope"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

// What belongs to a tenant's principals is sealed under the tenant's key. The
// operators have no tenant: for what is theirs, the deployment has a key of its
// own, wrapped by the root key as a tenant's is, for the tenant that is none.
const (
	metaOwnKey   = "own key"
	ownKeyNumber = 1
)

// ownerKey returns the key under which an owner's documents are sealed that were
// sealed under this number. The zero owner is the deployment.
func (v *Vault) ownerKey(r store.Reader, owner secret.TenantID, number uint32) (*heldKey, error) {
	if !owner.IsZero() {
		return v.key(r, owner, number, secret.AES256GCM)
	}
	ref := keyRef{number: ownKeyNumber}
	if k := v.keys.get(ref); k != nil {
		return k, nil
	}
	blob, err := r.Meta(metaOwnKey)
	if errors.Is(err, store.ErrAbsent) || number != ownKeyNumber {
		return nil, secret.ErrDecryption.With(fmt.Errorf("key %d of the deployment is gone", number))
	}
	if err != nil {
		return nil, err
	}
	kek, err := v.roots.unwrap(owner, &store.TenantKey{Number: ownKeyNumber, KEK: blob})
	if err != nil {
		return nil, err
	}
	return v.keys.put(ref, kek), nil
}

// sealingKey returns the key under which what an owner has now is sealed. The
// deployment's must have been made: see makeOwnKey.
func (v *Vault) sealingKey(r store.Reader, owner secret.TenantID) (*heldKey, error) {
	if owner.IsZero() {
		return v.ownerKey(r, owner, ownKeyNumber)
	}
	t, err := r.Tenants().Tenant(owner)
	if err != nil {
		return nil, err
	}
	return v.key(r, owner, t.Key, secret.AES256GCM)
}

// makeOwnKey makes the deployment's own key, unless there is one. It does so in a
// transaction of its own: a key that is in the cache must be in the store.
func (v *Vault) makeOwnKey(ctx context.Context) error {
	return v.answer(v.store.Update(ctx, func(tx store.Tx) error {
		if _, err := tx.Meta(metaOwnKey); !errors.Is(err, store.ErrAbsent) {
			return err
		}
		kek, err := envelope.NewKEK(ownKeyNumber)
		if err != nil {
			return err
		}
		defer kek.Destroy()
		row, err := v.wrap(tx, secret.TenantID{}, kek)
		if err != nil {
			return err
		}
		return tx.SetMeta(metaOwnKey, nil, row.KEK)
	}))
}

// rewrapOwnKey wraps the deployment's own key by the current root key.
func (v *Vault) rewrapOwnKey(ctx context.Context) error {
	return v.answer(v.store.Update(ctx, func(tx store.Tx) error {
		old, err := tx.Meta(metaOwnKey)
		if errors.Is(err, store.ErrAbsent) {
			return nil
		}
		if err != nil {
			return err
		}
		kek, err := v.roots.unwrap(secret.TenantID{}, &store.TenantKey{Number: ownKeyNumber, KEK: old})
		if err != nil {
			return err
		}
		defer kek.Destroy()
		row, err := v.wrap(tx, secret.TenantID{}, kek)
		if err != nil {
			return err
		}
		return tx.SetMeta(metaOwnKey, old, row.KEK)
	}))
}

// sealInto seals the part of a document that must not be read in the store.
func (v *Vault) sealInto(tx store.Tx, d *store.Document, plain []byte) error {
	key, err := v.sealingKey(tx, d.Owner)
	if err != nil {
		return err
	}
	defer key.release()
	d.Key = key.kek.Number
	d.Sealed, err = key.kek.SealDocument(d.Owner, d.Kind, d.ID, plain)
	return err
}

// openSealed opens what sealInto sealed. The caller releases it.
func (v *Vault) openSealed(r store.Reader, d *store.Document) (*secretbuf.Buffer, error) {
	key, err := v.ownerKey(r, d.Owner, d.Key)
	if err != nil {
		return nil, err
	}
	defer key.release()
	plain, err := key.kek.OpenDocument(d.Owner, d.Kind, d.ID, d.Sealed)
	if err != nil {
		return nil, secret.ErrDecryption.With(fmt.Errorf("document of kind %s: %w", d.Kind, err))
	}
	return plain, nil
}
