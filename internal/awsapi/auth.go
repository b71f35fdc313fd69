package awsapi

import (
	"errors"
	"sync"
	"time"

	"fastness/internal/awsapi/sigv4"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/vault"
)

// authenticate verifies the signature with the day's key of the access key.
func (c *call) authenticate(s *sigv4.Signature) error {
	payload, err := sigv4.Payload(c.r.Header, c.body, c.r.TLS != nil)
	if err != nil {
		return c.refusedUnknown(err)
	}
	text := s.StringToSign(sigv4.Request{
		Method: c.r.Method, Target: c.r.RequestURI, Host: c.r.Host, Header: c.r.Header, Length: c.r.ContentLength, Payload: payload,
	})
	var mismatch error
	verify := func(open vault.SecretHalf) error {
		if err := c.api.keys.verify(s, text, open); err != nil {
			mismatch = err
			return secret.ErrUnauthenticated.With(err)
		}
		return nil
	}
	c.caller, err = c.api.vault.AuthenticateAccessKey(c.context(), c.origin, s.AccessKeyID, verify)
	switch {
	case err == nil:
		c.region = c.api.regionOf(s.Scope.Region)
		return nil
	case !errors.Is(err, secret.ErrUnauthenticated):
		return err
	case mismatch != nil:
		return mismatch
	}
	return sigv4.ErrUnknownKey
}

const (
	// maxSigningKeys bounds the keys that are kept in guarded memory.
	maxSigningKeys = 4096
	// signingKeyLifetime bounds how long one is kept that nobody asks for. A
	// key's bytes never change under its id, day and region; whether the access key
	// is live is asked each time.
	signingKeyLifetime = 10 * time.Minute
)

// signingKeys keeps the signing keys of the access keys in use, so that the
// secret half is opened once in a while and not with every request. Safe for
// concurrent use.
type signingKeys struct {
	now func() time.Time

	mu   sync.Mutex // guards held, briefly; never held while a key is used
	held map[signingKeyID]*signingKey
}

type signingKeyID struct {
	accessKeyID string
	scope       sigv4.Scope
}

type signingKey struct {
	key  *secretbuf.Key
	used time.Time // guarded by signingKeys.mu
}

func newSigningKeys(now func() time.Time) *signingKeys {
	return &signingKeys{now: now, held: map[signingKeyID]*signingKey{}}
}

// verify checks a signature with the key that is kept, or with one derived from
// the secret half, which open opens.
func (k *signingKeys) verify(s *sigv4.Signature, text []byte, open vault.SecretHalf) error {
	id := signingKeyID{s.AccessKeyID, s.Scope}
	ok := false
	if k.get(id).Use(func(key []byte) { ok = s.Verify(key, text) }) {
		return verdict(ok)
	}
	half, err := open()
	if err != nil {
		return err
	}
	defer half.Release()
	key := s.Scope.SigningKey(half)
	defer key.Release()
	if ok = s.Verify(key.Bytes(), text); ok {
		k.put(id, secretbuf.NewKey(key.Bytes()))
	}
	return verdict(ok)
}

func verdict(ok bool) error {
	if !ok {
		return sigv4.ErrMismatch
	}
	return nil
}

// get returns the key that is kept; nil if none is.
func (k *signingKeys) get(id signingKeyID) *secretbuf.Key {
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.held[id]
	if h == nil || now.Sub(h.used) > signingKeyLifetime {
		return nil
	}
	h.used = now
	return h.key
}

// put keeps a key. Only a signature that was right brings one in, so that
// nobody can fill the memory with keys of scopes that he makes up.
func (k *signingKeys) put(id signingKeyID, key *secretbuf.Key) {
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if old := k.held[id]; old != nil {
		old.key.Destroy()
	} else if len(k.held) >= maxSigningKeys {
		k.makeRoomLocked(now)
	}
	k.held[id] = &signingKey{key, now}
}

// makeRoomLocked drops the keys that nobody has asked for lately; if there are
// none, half of all: which, the map's order decides.
func (k *signingKeys) makeRoomLocked(now time.Time) {
	for id, h := range k.held {
		if now.Sub(h.used) > signingKeyLifetime {
			k.dropLocked(id)
		}
	}
	for id := range k.held {
		if len(k.held) < maxSigningKeys/2 {
			return
		}
		k.dropLocked(id)
	}
}

func (k *signingKeys) dropLocked(id signingKeyID) {
	k.held[id].key.Destroy()
	delete(k.held, id)
}
