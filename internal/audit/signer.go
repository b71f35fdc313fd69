package audit

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"filippo.io/mldsa"

	"fastness/internal/secretbuf"
)

// Signer signs a log's checkpoints with Ed25519 and ML-DSA-44. It keeps only
// the seeds, in guarded memory: keys are expanded for each signature, inside
// the cleaning call. It is safe for concurrent use.
//
// It does not know what it signed before. Its caller stores size and root
// before asking for the signature, so that no two roots of one size are signed.
type Signer struct {
	keys    PublicKeys
	ed25519 *secretbuf.Key
	mldsa   *secretbuf.Key
}

var errSeedGone = errors.New("signing seed was destroyed")

// NewSigner makes a signer of the log origin from the two seeds, which stay
// the caller's to destroy.
func NewSigner(origin string, ed25519Seed, mldsaSeed *secretbuf.Key) (*Signer, error) {
	if err := CheckOrigin(origin); err != nil {
		return nil, err
	}
	s := &Signer{ed25519: ed25519Seed, mldsa: mldsaSeed}
	s.keys = PublicKeys{
		Origin:  origin,
		Ed25519: make([]byte, ed25519.PublicKeySize),
		MLDSA44: make([]byte, mldsa.MLDSA44PublicKeySize),
	}
	err := s.withKeys(func(ed ed25519.PrivateKey, ml *mldsa.PrivateKey) error {
		copy(s.keys.Ed25519, ed[ed25519.SeedSize:])
		copy(s.keys.MLDSA44, ml.PublicKey().Bytes())
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("deriving public keys: %w", err)
	}
	return s, nil
}

// Keys returns the public keys.
func (s *Signer) Keys() PublicKeys { return s.keys }

// Sign returns the checkpoint as a signed note: the Ed25519 line, then the
// ML-DSA-44 line with the time now.
func (s *Signer) Sign(c Checkpoint, now time.Time) ([]byte, error) {
	timestamp := now.Unix()
	if c.Origin != s.keys.Origin || c.Size < 0 || timestamp < 0 {
		return nil, errors.New("signing checkpoint: it is not of this log, or its size or time is negative")
	}
	text := c.Text()
	message := c.cosignedMessage(uint64(timestamp))
	edSig := make([]byte, ed25519.SignatureSize)
	mlSig := binary.BigEndian.AppendUint64(make([]byte, 0, 8+mldsa.MLDSA44SignatureSize), uint64(timestamp))
	err := s.withKeys(func(ed ed25519.PrivateKey, ml *mldsa.PrivateKey) error {
		copy(edSig, ed25519.Sign(ed, []byte(text)))
		sig, err := ml.Sign(nil, message, nil)
		mlSig = append(mlSig, sig...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("signing checkpoint: %w", err)
	}
	note := text + "\n" +
		sigLine(c.Origin, keyID(c.Origin, typeEd25519, s.keys.Ed25519), edSig) +
		sigLine(c.Origin, keyID(c.Origin, typeMLDSA44, s.keys.MLDSA44), mlSig)
	return []byte(note), nil
}

// withKeys lends the expanded keys to f inside the cleaning call.
func (s *Signer) withKeys(f func(ed25519.PrivateKey, *mldsa.PrivateKey) error) (err error) {
	err = errSeedGone
	// Expanded keys lie on the heap, and checkpoints are signed when nobody asks.
	defer secretbuf.CleanSoon()
	secretbuf.Do(func() {
		s.ed25519.Use(func(edSeed []byte) {
			s.mldsa.Use(func(mlSeed []byte) {
				ed := ed25519.NewKeyFromSeed(edSeed)
				defer secretbuf.Wipe(ed)
				var ml *mldsa.PrivateKey
				if ml, err = mldsa.NewPrivateKey(mldsa.MLDSA44(), mlSeed); err == nil {
					err = f(ed, ml)
				}
			})
		})
	})
	return err
}
