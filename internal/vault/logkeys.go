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

	row []byte // as read; nil if there were none
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
	generation int
	set        audit.KeySet
	signer     *audit.Signer
	seeds      [2]*secretbuf.Key
	now        func() time.Time
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
	_, _, err := v.logKeys(ctx)
	if errors.Is(err, store.ErrAbsent) {
		err = v.store.Update(ctx, v.createLogKeys)
	}
	if errors.Is(err, store.ErrStale) {
		err = nil // another node has made them
	}
	if err != nil {
		return fmt.Errorf("preparing the log's keys: %w", err)
	}
	return v.loadLogKeys(ctx)
}

// createLogKeys makes the log's first keys: ErrStale if another node has made
// them, which may have signed by now. A log that has entries has lost its own,
// which nobody may replace unnoticed.
func (v *Vault) createLogKeys(tx store.Tx) error {
	tree, err := tx.Log().State() // before the keys: without them it does not grow
	if err != nil {
		return err
	}
	switch _, err := tx.Meta(metaLogKeys); {
	case err == nil:
		return store.ErrStale
	case !errors.Is(err, store.ErrAbsent):
		return err
	case tree.Size > 0:
		return fmt.Errorf("%w: its keys are gone", errBrokenLog)
	}
	seeds, public, err := v.newSeeds(tx, 1)
	if err != nil {
		return err
	}
	set := audit.KeySet{Origin: v.origin(), Ranges: []audit.KeyRange{{Keys: public}}}
	return putLogKeys(tx, set, storedKeys{Now: *seeds})
}

// putLogKeys replaces the keys that were read: ErrStale if another node has
// changed them since.
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
	return tx.SetMeta(metaLogKeys, keys.row, row)
}

func readLogKeys(r store.Reader) (set audit.KeySet, keys storedKeys, err error) {
	row, err := r.Meta(metaLogKeys)
	if err != nil {
		return set, keys, err
	}
	return parseLogKeys(row)
}

func parseLogKeys(row []byte) (set audit.KeySet, keys storedKeys, err error) {
	if err := json.Unmarshal(row, &keys); err != nil {
		return set, keys, err
	}
	keys.row = row
	set, err = audit.ParseKeySet([]byte(keys.Keys))
	return set, keys, err
}

// loadLogKeys opens the current seeds, in the place of those held.
func (v *Vault) loadLogKeys(ctx context.Context) error {
	set, keys, err := v.logKeys(ctx)
	if err != nil {
		return fmt.Errorf("reading the log's keys: %w", err)
	}
	signer, seeds, err := v.openSeeds(keys.Now)
	if err != nil {
		return fmt.Errorf("opening the log's keys: %w", err)
	}
	k := &v.journal.keys
	k.destroy()
	k.generation, k.set, k.signer, k.seeds = keys.Now.Generation, set, signer, seeds
	return nil
}

// openSeeds opens a pair of seeds, which the caller destroys.
func (v *Vault) openSeeds(s sealedSeeds) (signer *audit.Signer, seeds [2]*secretbuf.Key, err error) {
	ed, ml := purposes(s.Generation)
	if seeds[0], err = v.openSeed(ed, s.Ed25519); err == nil {
		seeds[1], err = v.openSeed(ml, s.MLDSA44)
	}
	if err == nil {
		signer, err = audit.NewSigner(v.origin(), seeds[0], seeds[1])
	}
	if err != nil {
		seeds[0].Destroy()
		seeds[1].Destroy()
	}
	return signer, seeds, err
}

func (v *Vault) openSeed(purpose string, blob []byte) (*secretbuf.Key, error) {
	root, err := v.roots.of(blob)
	if err != nil {
		return nil, err
	}
	return root.OpenLogSeed(purpose, blob)
}

// newSeeds makes a pair of seeds, sealed, and their public keys.
func (v *Vault) newSeeds(r store.Reader, generation int) (*sealedSeeds, audit.PublicKeys, error) {
	root, err := v.wrappingRoot(r)
	if err != nil {
		return nil, audit.PublicKeys{}, err
	}
	s := &sealedSeeds{Generation: generation}
	ed, ml := purposes(generation)
	for purpose, dst := range map[string]*[]byte{ed: &s.Ed25519, ml: &s.MLDSA44} {
		seed := make([]byte, secretbuf.KeySize)
		rand.Read(seed)
		*dst, err = root.SealLogSeed(purpose, seed)
		secretbuf.Wipe(seed)
		if err != nil {
			return nil, audit.PublicKeys{}, err
		}
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
	return settled(set, a.vault.conclude(ctx, a.entry(audit.AuditKeys), err))
}

// RotateKeys gives the log new signing keys: they are announced by an entry
// under a checkpoint of the old ones, whose seeds are then destroyed. Killed
// and called again it goes on with the keys that it had announced.
func (a *Audit) RotateKeys(ctx context.Context) (audit.KeySet, error) {
	v, e := a.vault, a.entry(audit.AuditKeysRotate)
	if err := v.Operator(a.caller).allow(policy.ManageKeys); err != nil {
		return audit.KeySet{}, v.conclude(ctx, e, err)
	}
	if a.tenant != "" {
		return audit.KeySet{}, v.refuse(ctx, e, secret.Invalid("tenant", "the log's keys are the deployment's"))
	}
	set, err := v.rotateKeys(ctx, e)
	v.publish(ctx)
	if err == nil {
		err = v.store.Scrub(ctx)
	}
	return settled(set, v.answer(err))
}

// rotateKeys announces the keys and takes them into use, or has the node do so
// that holds the lease.
func (v *Vault) rotateKeys(ctx context.Context, e audit.Entry) (audit.KeySet, error) {
	if err := v.announceKeys(ctx, e); err != nil {
		return audit.KeySet{}, err
	}
	if err := v.orAsk(ctx, func() error { return v.useAnnounced(ctx) }); err != nil {
		return audit.KeySet{}, err
	}
	v.journal.mu.Lock()
	defer v.journal.mu.Unlock()
	err := v.loadLogKeys(ctx)
	return v.journal.keys.set, err
}

func (v *Vault) useAnnounced(ctx context.Context) error {
	v.journal.mu.Lock()
	defer v.journal.mu.Unlock()
	c, err := v.checkpointLocked(ctx)
	if err != nil {
		return err
	}
	return v.adoptKeys(ctx, c.Size)
}

// announceKeys stores the keys to come and logs them. The verifier wants one
// such entry for each change: a call that goes on with keys announced by an
// interrupted one is logged as another action.
func (v *Vault) announceKeys(ctx context.Context, e audit.Entry) error {
	return v.change(ctx, e, func(tx store.Tx, e *audit.Entry) error {
		set, stored, err := readLogKeys(tx)
		if err != nil {
			return err
		}
		if stored.Next != nil {
			e.Action, e.Detail = audit.AuditKeys, "going on with the announced keys"
			return nil
		}
		next, public, err := v.newSeeds(tx, stored.Now.Generation+1)
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
		seed, err := v.openSeed(purpose, *blob)
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
