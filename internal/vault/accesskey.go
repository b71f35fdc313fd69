package vault

import (
	"context"
	"crypto/sha256"
	"errors"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

// SecretHalf opens the secret half of the access key that is being verified. The
// receiver releases it. It costs a look-up and a decryption, which who keeps a key
// derived from it can do without: the secret half never changes under an id.
type SecretHalf func() (*secretbuf.Buffer, error)

// AuthenticateAccessKey finds out who signed a request with an access key. verify
// is called only for a key that is live, and checks the signature; it returns
// secret.ErrUnauthenticated for a bad one. A refusal is recorded before it is
// returned, as Authenticate does, and slowed and paced as there.
func (v *Vault) AuthenticateAccessKey(ctx context.Context, o Origin, id string, verify func(SecretHalf) error) (*Caller, error) {
	i, err := v.accessKey(ctx, id)
	if err == nil && (i.Credential.Kind != store.AccessKey || i.Tenant == nil || !usable(i, v.now())) {
		err = store.ErrAbsent
	}
	if err == nil {
		err = verify(func() (*secretbuf.Buffer, error) { return v.openAccessKey(ctx, i) })
	}
	if errors.Is(err, secret.ErrUnauthenticated) {
		err = store.ErrAbsent
	}
	return v.letIn(ctx, o, i, err, []byte(id))
}

// accessKey finds an access key with its principal and tenant, among those
// known or in the store.
func (v *Vault) accessKey(ctx context.Context, id string) (*store.Identity, error) {
	const purpose = "access key\x00" // no token's hash
	return v.callers.look(sha256.Sum256([]byte(purpose+id)), func() (i *store.Identity, err error) {
		err = v.store.Look(ctx, func(r store.Reader) error {
			i, err = r.Credentials().ByID(id)
			return err
		})
		return i, err
	})
}

func (v *Vault) openAccessKey(ctx context.Context, i *store.Identity) (half *secretbuf.Buffer, err error) {
	c := i.Credential
	err = v.store.View(ctx, func(r store.Reader) error {
		half.Release()                         // of a run that failed
		now, err := r.Credentials().ByID(c.ID) // the tenant's key may be another by now
		if err != nil {
			return err
		}
		key, err := v.key(r, c.Tenant, now.Credential.Key, secret.AES256GCM)
		if err != nil {
			return err
		}
		defer key.release()
		half, err = key.kek.OpenAccessKey(c.Tenant, c.ID, now.Credential.Sealed)
		return err
	})
	return half, err
}
