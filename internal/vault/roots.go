package vault

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"

	"fastness/internal/envelope"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

// The deployment's own rows.
const (
	metaDeployment = "deployment" // 16 random bytes: the salt of the root key
	metaRoots      = "roots"      // check values of the root keys in use
)

// Deployment reads the id of the deployment whose store it is, in hexadecimal,
// and what proves its root key right, for ProveRoot.
func Deployment(r store.Reader) (id string, check []byte, err error) {
	b, err := r.Meta(metaDeployment)
	if err != nil {
		return "", nil, fmt.Errorf("reading the deployment's id: %w", err)
	}
	check, err = r.Meta(metaRoots)
	return hex.EncodeToString(b), check, err
}

// ProveRoot tells whether the material is that of a deployment's root key, and
// of the previous one while it changes (nil otherwise): if not it returns
// ErrWrongRootKey or ErrRootKeyChanging.
func ProveRoot(deployment string, check []byte, master, previous *secretbuf.Buffer) error {
	r, err := openRootsOf(deployment, check, master, previous)
	if err == nil {
		r.destroy()
	}
	return err
}

// openRootsOf derives a deployment's root keys and proves them. The caller
// destroys them.
func openRootsOf(deployment string, check []byte, master, previous *secretbuf.Buffer) (*roots, error) {
	id, err := hex.DecodeString(deployment)
	if err != nil || len(id) != 16 {
		return nil, errors.New("this is no deployment's id")
	}
	r := &roots{id: [16]byte(id)}
	if err := r.derive(master, previous); err != nil {
		return nil, err
	}
	if err := r.prove(check); err != nil {
		r.destroy()
		return nil, err
	}
	return r, nil
}

// roots are the root keys of the deployment. While the root key changes there
// are two, and a blob says which one wraps it.
type roots struct {
	current  *envelope.Root // wraps what is new
	previous *envelope.Root // nil unless configured
	id       [16]byte       // the deployment's
}

func (r *roots) destroy() {
	r.current.Destroy()
	if r.previous != nil {
		r.previous.Destroy()
	}
}

// checkSize is a root key's id and its check value.
const checkSize = 8 + 32

// checkOf is what proves a root key right: its id and its key check value.
func checkOf(r *envelope.Root) []byte {
	id, check := r.ID(), r.CheckValue()
	return append(id[:], check[:]...)
}

// change is what the store holds while the previous root key gives way to the
// current one.
func (r *roots) change() []byte { return append(checkOf(r.previous), checkOf(r.current)...) }

// ErrWrongRootKey refuses a root key that is not the store's.
var ErrWrongRootKey = errors.New("SECRETS_MASTER_KEY is not the key that this store was made with; nothing was changed")

// ErrRootKeyChanging refuses to run with one of two root keys while the root
// key changes.
var ErrRootKeyChanging = errors.New("the root key of this store is being changed: give the new key in SECRETS_MASTER_KEY and the old one in SECRETS_MASTER_KEY_PREVIOUS until `fastness key rotate --root` has finished")

// openRoots is openRootsOnce, again if another node has made the deployment
// meanwhile.
func (v *Vault) openRoots(ctx context.Context, master, previous *secretbuf.Buffer) error {
	err := v.openRootsOnce(ctx, master, previous)
	if errors.Is(err, store.ErrStale) {
		err = v.openRootsOnce(ctx, master, previous)
	}
	return err
}

// openRootsOnce derives the root keys and proves them against the store before
// anything is written. A fresh store is bound to the key it is opened with.
func (v *Vault) openRootsOnce(ctx context.Context, master, previous *secretbuf.Buffer) error {
	var stored []byte
	fresh := false
	err := v.store.View(ctx, func(r store.Reader) error {
		id, err := r.Meta(metaDeployment)
		if fresh = errors.Is(err, store.ErrAbsent); fresh {
			return refuseLoading(r)
		}
		if err != nil {
			return err
		}
		copy(v.roots.id[:], id)
		if err := refuseLoading(r); err != nil {
			return err
		}
		stored, err = r.Meta(metaRoots)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the deployment's id: %w", err)
	}
	if fresh {
		rand.Read(v.roots.id[:])
	}
	if err := v.roots.derive(master, previous); err != nil {
		return err
	}
	if fresh {
		err = v.createDeployment(ctx)
	} else {
		err = v.roots.prove(stored)
	}
	if err != nil {
		v.roots.destroy()
	}
	return err
}

// ErrLoading refuses a store that is being filled, and is not whole yet.
var ErrLoading = errors.New("the store is the target of a move or a restore that has not finished: run the same command again, and it goes on where it was")

func refuseLoading(r store.Reader) error {
	_, err := r.Meta(store.MetaLoading)
	switch {
	case err == nil:
		return ErrLoading
	case errors.Is(err, store.ErrAbsent):
		return nil
	}
	return err
}

// derive makes the root keys of the deployment r.id.
func (r *roots) derive(master, previous *secretbuf.Buffer) (err error) {
	if r.current, err = envelope.NewRoot(master, r.id); err != nil {
		return err
	}
	if previous == nil {
		return nil
	}
	if r.previous, err = envelope.NewRoot(previous, r.id); err != nil {
		r.current.Destroy()
	}
	return err
}

func (v *Vault) createDeployment(ctx context.Context) error {
	return v.store.Update(ctx, func(tx store.Tx) error {
		switch n, err := tx.Tenants().Count(); {
		case err != nil:
			return err
		case n > 0:
			return errors.New("the store has tenants and has lost its deployment's id")
		}
		if err := tx.SetMeta(metaDeployment, nil, v.roots.id[:]); err != nil {
			return fmt.Errorf("preparing a fresh store: %w", err)
		}
		return tx.SetMeta(metaRoots, nil, checkOf(v.roots.current))
	})
}

// prove compares the given keys with the stored check values: the root key in
// use, and behind it, while it changes, the one that takes its place.
func (r *roots) prove(stored []byte) error {
	if len(stored) != checkSize && len(stored) != 2*checkSize {
		return fmt.Errorf("key check value of %d bytes", len(stored))
	}
	inUse, next := stored[:checkSize], stored[checkSize:]
	is := func(r *envelope.Root, check []byte) bool {
		return r != nil && subtle.ConstantTimeCompare(checkOf(r), check) == 1
	}
	switch cur, prev := r.current, r.previous; {
	case len(next) > 0 && is(cur, next) && is(prev, inUse):
		return nil
	case len(next) > 0 && (is(cur, next) || is(cur, inUse)):
		return ErrRootKeyChanging
	case is(cur, inUse):
		return nil
	case len(next) == 0 && is(prev, inUse):
		return nil // the change may begin
	}
	return ErrWrongRootKey
}

// of returns the root key that wraps a blob.
func (r *roots) of(blob []byte) (*envelope.Root, error) {
	id, err := envelope.RootOf(blob)
	switch {
	case err != nil:
		return nil, secret.ErrDecryption.With(err)
	case id == r.current.ID():
		return r.current, nil
	case r.previous != nil && id == r.previous.ID():
		return r.previous, nil
	}
	return nil, secret.ErrDecryption.With(fmt.Errorf("wrapped by an unknown root key %x", id))
}

// unwrap opens a tenant's key.
func (r *roots) unwrap(t secret.TenantID, row *store.TenantKey) (*envelope.KEK, error) {
	root, err := r.of(row.KEK)
	if err != nil {
		return nil, err
	}
	key, err := root.UnwrapKEK(t, row.Number, row.KEK)
	if err != nil {
		return nil, err
	}
	kek := &envelope.KEK{Number: row.Number, Key: key}
	if row.KEMSeed == nil {
		return kek, nil
	}
	if err := r.attachKEM(t, kek, row.KEMSeed); err != nil {
		kek.Destroy()
		return nil, err
	}
	return kek, nil
}

// attachKEM opens a key's KEM key pair. The public key follows from the seed:
// the stored copy is nobody's word.
func (r *roots) attachKEM(t secret.TenantID, kek *envelope.KEK, blob []byte) error {
	root, err := r.of(blob)
	if err != nil {
		return err
	}
	seed, err := root.UnwrapKEMSeed(t, kek.Number, blob)
	if err != nil {
		return err
	}
	if err := kek.AttachKEM(seed); err != nil {
		seed.Destroy()
		return err
	}
	return nil
}

// wrap makes the row of a key. Until a change of the root key has begun, new
// keys are wrapped by the one in use even if the next is given already.
func (v *Vault) wrap(r store.Reader, t secret.TenantID, k *envelope.KEK) (*store.TenantKey, error) {
	root, err := v.wrappingRoot(r)
	if err != nil {
		return nil, err
	}
	row := &store.TenantKey{Number: k.Number, KEMPublic: k.KEMPublic, Created: v.now()}
	if row.KEK, err = root.WrapKEK(t, k.Number, k.Key); err != nil {
		return nil, err
	}
	if k.KEMSeed != nil {
		row.KEMSeed, err = root.WrapKEMSeed(t, k.Number, k.KEMSeed)
	}
	return row, err
}

func (v *Vault) wrappingRoot(r store.Reader) (*envelope.Root, error) {
	if v.roots.previous == nil {
		return v.roots.current, nil
	}
	stored, err := r.Meta(metaRoots)
	if err != nil {
		return nil, err
	}
	if len(stored) == checkSize && subtle.ConstantTimeCompare(stored, checkOf(v.roots.previous)) == 1 {
		return v.roots.previous, nil
	}
	return v.roots.current, nil
}

// addKEM gives a tenant's key the KEM key pair that hybrid-quantum needs, if
// it has none yet.
func (v *Vault) addKEM(ctx context.Context, t secret.TenantID, number uint32) error {
	err := v.store.Update(ctx, func(tx store.Tx) error {
		row, err := tx.Tenants().Key(t, number)
		if err != nil {
			return stale(err)
		}
		if row.KEMSeed != nil {
			return nil
		}
		kek, err := v.roots.unwrap(t, row)
		if err != nil {
			return err
		}
		defer kek.Destroy()
		if err := kek.AddKEM(); err != nil {
			return err
		}
		next, err := v.wrap(tx, t, kek)
		if err != nil {
			return err
		}
		next.Created = row.Created
		return tx.EditTenants().PutKey(t, next)
	})
	return v.answer(err)
}
