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
	if err == nil {
		err = v.noteUse(ctx, i)
	}
	switch {
	case errors.Is(err, store.ErrAbsent), errors.Is(err, secret.ErrUnauthenticated):
		return nil, v.Refuse(ctx, o, v.attempts.failed(o.Address))
	case err != nil:
		return nil, v.Refuse(ctx, o, v.answer(err))
	}
	c := callerOf(o, i)
	if err := v.pace(ctx, c); err != nil {
		return nil, err
	}
	return c, nil
}

// accessKey finds an access key with its principal and tenant, among those
// known or in the store.
func (v *Vault) accessKey(ctx context.Context, id string) (*store.Identity, error) {
	const purpose = "access key\x00" // no token's hash
	return v.callers.look(sha256.Sum256([]byte(purpose+id)), func() (i *store.Identity, err error) {
		err = v.store.View(ctx, func(r store.Reader) error {
			i, err = r.Credentials().ByID(id)
			return err
		})
		return i, err
	})
}

func (v *Vault) openAccessKey(ctx context.Context, i *store.Identity) (half *secretbuf.Buffer, err error) {
	c := i.Credential
	var key *heldKey
	err = v.store.View(ctx, func(r store.Reader) error {
		key.release() // of a run that failed
		key, err = v.key(r, c.Tenant, c.Key, secret.AES256GCM)
		return err
	})
	defer key.release()
	if err != nil {
		return nil, err
	}
	return key.kek.OpenAccessKey(c.Tenant, c.ID, c.Sealed)
}
