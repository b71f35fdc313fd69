package vault

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

// metaLogKeys is the row that holds storedKeys.
const metaLogKeys = "log.keys"

// storedKeys are the keys of the log as stored: public keys of all time, and
// the current seeds, sealed. Next is there while the keys are being changed.
type storedKeys struct {
	Keys string       `json:"keys"` // audit.KeySet in its text form
	Now  sealedSeeds  `json:"now"`
	Next *sealedSeeds `json:"next,omitempty"`
}

// sealedSeeds are a pair of signing seeds under the root key.
type sealedSeeds struct {
	Generation int    `json:"generation"`
	Ed25519    []byte `json:"ed25519"`
	MLDSA44    []byte `json:"mldsa44"`
}

func purposes(generation int) (ed, ml string) {
	return fmt.Sprintf("ed25519/%d", generation), fmt.Sprintf("mldsa44/%d", generation)
}

// logKeys are the keys of the log in use.
type logKeys struct {
	set    audit.KeySet
	signer *audit.Signer
	seeds  [2]*secretbuf.Key
	now    func() time.Time
}

func (k *logKeys) destroy() {
	for _, seed := range k.seeds {
		if seed != nil {
			seed.Destroy()
		}
	}
}

func (k *logKeys) sign(c store.Checkpoint) ([]byte, error) {
	return k.signer.Sign(audit.Checkpoint{Origin: k.set.Origin, Size: c.Size, Root: c.Root}, k.now())
}

// origin is the log's name: a deployment's, made once.
func (v *Vault) origin() string { return "fastness/" + hex.EncodeToString(v.roots.id[:]) }

// openJournal loads the log's keys, or makes the first ones.
func (v *Vault) openJournal(ctx context.Context, node string, anchor Anchor) error {
	v.journal.node, v.journal.anchor, v.journal.grown = node, anchor, make(chan struct{})
	v.journal.keys.now = v.now
	err := v.store.Update(ctx, func(tx store.Tx) error {
		if _, err := tx.Meta(metaLogKeys); !errors.Is(err, store.ErrAbsent) {
			return err
		}
		seeds, public, err := v.newSeeds(1)
		if err != nil {
			return err
		}
		set := audit.KeySet{Origin: v.origin(), Ranges: []audit.KeyRange{{Keys: public}}}
		return putLogKeys(tx, set, storedKeys{Now: *seeds})
	})
	if err != nil {
		return fmt.Errorf("preparing the log's keys: %w", err)
	}
	return v.loadLogKeys(ctx)
}

func putLogKeys(tx store.Tx, set audit.KeySet, keys storedKeys) error {
	text, err := set.MarshalText()
	if err != nil {
		return err
	}
	keys.Keys = string(text)
	row, err := json.Marshal(keys)
	if err != nil {
		return err
	}
	return tx.SetMeta(metaLogKeys, existing(tx, metaLogKeys), row)
}

func readLogKeys(r store.Reader) (set audit.KeySet, keys storedKeys, err error) {
	row, err := r.Meta(metaLogKeys)
	if err != nil {
		return set, keys, err
	}
	if err := json.Unmarshal(row, &keys); err != nil {
		return set, keys, err
	}
	set, err = audit.ParseKeySet([]byte(keys.Keys))
	return set, keys, err
}

// loadLogKeys opens the current seeds, in the place of those held.
func (v *Vault) loadLogKeys(ctx context.Context) error {
	var keys storedKeys
	var set audit.KeySet
	err := v.store.View(ctx, func(r store.Reader) error {
		var err error
		set, keys, err = readLogKeys(r)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the log's keys: %w", err)
	}
	signer, seeds, err := v.openSeeds(keys.Now)
	if err != nil {
		return fmt.Errorf("opening the log's keys: %w", err)
	}
	v.journal.keys.destroy()
	v.journal.keys.set, v.journal.keys.signer, v.journal.keys.seeds = set, signer, seeds
	return nil
}

func (v *Vault) openSeeds(s sealedSeeds) (*audit.Signer, [2]*secretbuf.Key, error) {
	var seeds [2]*secretbuf.Key
	edPurpose, mlPurpose := purposes(s.Generation)
	for i, blob := range [][]byte{s.Ed25519, s.MLDSA44} {
		root, err := v.roots.of(blob)
		if err != nil {
			return nil, seeds, err
		}
		purpose := [...]string{edPurpose, mlPurpose}[i]
		if seeds[i], err = root.OpenLogSeed(purpose, blob); err != nil {
			return nil, seeds, err
		}
	}
	signer, err := audit.NewSigner(v.origin(), seeds[0], seeds[1])
	return signer, seeds, err
}

// newSeeds makes a pair of seeds, sealed, and their public keys.
func (v *Vault) newSeeds(generation int) (*sealedSeeds, audit.PublicKeys, error) {
	s := &sealedSeeds{Generation: generation}
	ed, ml := purposes(generation)
	for purpose, dst := range map[string]*[]byte{ed: &s.Ed25519, ml: &s.MLDSA44} {
		seed := make([]byte, secretbuf.KeySize)
		rand.Read(seed)
		blob, err := v.roots.current.SealLogSeed(purpose, seed)
		secretbuf.Wipe(seed)
		if err != nil {
			return nil, audit.PublicKeys{}, err
		}
		*dst = blob
	}
	signer, seeds, err := v.openSeeds(*s)
	if err != nil {
		return nil, audit.PublicKeys{}, err
	}
	defer seeds[0].Destroy()
	defer seeds[1].Destroy()
	return s, signer.Keys(), nil
}

// Keys tells the public keys of the log with the sizes that each signs.
func (a *Audit) Keys(ctx context.Context) (audit.KeySet, error) {
	var set audit.KeySet
	err := a.vault.store.View(ctx, func(r store.Reader) error {
		if err := a.authorize(r); err != nil {
			return err
		}
		var err error
		set, _, err = readLogKeys(r)
		return err
	})
	return set, a.vault.conclude(ctx, a.entry(audit.AuditKeys), err)
}

// RotateKeys gives the log new signing keys: they are announced by an entry
// under a checkpoint of the old ones, whose seeds are then destroyed. Killed
// and called again it goes on with the keys that it had announced.
func (a *Audit) RotateKeys(ctx context.Context) (audit.KeySet, error) {
	v := a.vault
	v.journal.mu.Lock()
	defer v.journal.mu.Unlock()
	if err := a.announceKeys(ctx); err != nil {
		return audit.KeySet{}, err
	}
	c, err := v.checkpointLocked(ctx)
	if err != nil {
		return audit.KeySet{}, v.answer(err)
	}
	if err := v.adoptKeys(ctx, c.Size); err != nil {
		return audit.KeySet{}, v.answer(err)
	}
	if err := v.loadLogKeys(ctx); err != nil {
		return audit.KeySet{}, v.answer(err)
	}
	return v.journal.keys.set, v.answer(v.store.Scrub(ctx))
}

// announceKeys stores the keys to come and logs them, once.
func (a *Audit) announceKeys(ctx context.Context) error {
	v := a.vault
	e := a.entry(audit.AuditKeysRotate)
	if err := a.vault.Operator(a.caller).allow(policy.ManageKeys); err != nil || a.tenant != "" {
		if err == nil {
			err = secret.Invalid("tenant", "the log's keys are the deployment's")
		}
		return v.conclude(ctx, e, err)
	}
	_, stored, err := v.logKeys(ctx)
	if err != nil {
		return v.conclude(ctx, e, err)
	}
	if stored.Next != nil {
		return nil // announced by a call that was interrupted
	}
	next, public, err := v.newSeeds(stored.Now.Generation + 1)
	if err != nil {
		return v.conclude(ctx, e, err)
	}
	return v.change(ctx, e, func(tx store.Tx, e *audit.Entry) error {
		set, stored, err := readLogKeys(tx)
		if err != nil {
			return err
		}
		e.Detail = public.RotationDetail()
		stored.Next = next
		return putLogKeys(tx, set, stored)
	})
}

func (v *Vault) logKeys(ctx context.Context) (set audit.KeySet, keys storedKeys, err error) {
	err = v.store.View(ctx, func(r store.Reader) error {
		set, keys, err = readLogKeys(r)
		return err
	})
	return set, keys, err
}

// adoptKeys ends the range of the old keys at size, and drops their seeds.
func (v *Vault) adoptKeys(ctx context.Context, size int64) error {
	return v.store.Update(ctx, func(tx store.Tx) error {
		if err := v.holdLease(tx); err != nil {
			return err
		}
		set, stored, err := readLogKeys(tx)
		if err != nil || stored.Next == nil {
			return err
		}
		signer, seeds, err := v.openSeeds(*stored.Next)
		if err != nil {
			return err
		}
		defer seeds[0].Destroy()
		defer seeds[1].Destroy()
		stored.Now, stored.Next = *stored.Next, nil
		return putLogKeys(tx, set.Rotated(size, signer.Keys()), stored)
	})
}

// rewrapSeeds seals the log's seeds under the current root key.
func (v *Vault) rewrapSeeds(ctx context.Context) error {
	v.journal.mu.Lock()
	defer v.journal.mu.Unlock()
	return v.answer(v.store.Update(ctx, func(tx store.Tx) error {
		set, stored, err := readLogKeys(tx)
		if err != nil {
			return err
		}
		if err := v.rewrapPair(&stored.Now); err != nil {
			return err
		}
		if stored.Next != nil {
			if err := v.rewrapPair(stored.Next); err != nil {
				return err
			}
		}
		return putLogKeys(tx, set, stored)
	}))
}

func (v *Vault) rewrapPair(s *sealedSeeds) error {
	ed, ml := purposes(s.Generation)
	for purpose, blob := range map[string]*[]byte{ed: &s.Ed25519, ml: &s.MLDSA44} {
		root, err := v.roots.of(*blob)
		if err != nil {
			return err
		}
		seed, err := root.OpenLogSeed(purpose, *blob)
		if err != nil {
			return err
		}
		seed.Use(func(k []byte) { *blob, err = v.roots.current.SealLogSeed(purpose, k) })
		seed.Destroy()
		if err != nil {
			return err
		}
	}
	return nil
}
