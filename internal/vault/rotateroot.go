package vault

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"

	"fastness/internal/audit"
	"fastness/internal/envelope"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// rewrapChunk is how many keys or versions one transaction re-wraps: a few
// milliseconds of the writer's time.
const rewrapChunk = 200

// RotateRoot re-wraps every tenant key, and the log's signing seeds, from the
// old root key to the new one, online. Killed and called again it goes on
// where it was. It returns how many keys it re-wrapped and reports progress.
func (o *Operator) RotateRoot(ctx context.Context, progress func(done int64)) (int64, error) {
	v, e := o.vault, o.caller.entry(o.vault, audit.KeyRotate)
	if err := o.beginRootChange(ctx, e); err != nil {
		return 0, err
	}
	done, err := v.rewrapAllKeys(ctx, progress)
	if err == nil {
		err = v.rewrapSeeds(ctx)
	}
	if err == nil {
		err = v.rewrapOwnKey(ctx)
	}
	if err != nil {
		return done, v.conclude(ctx, e, err)
	}
	e.Detail = fmt.Sprintf("root key %s -> %s, %d keys re-wrapped", v.roots.previous.ID(), v.roots.current.ID(), done)
	err = v.change(ctx, e, func(tx store.Tx, _ *audit.Entry) error {
		return tx.SetMeta(metaRoots, v.roots.change(), checkOf(v.roots.current))
	})
	if err != nil {
		return done, err
	}
	return done, v.answer(v.store.Scrub(ctx))
}

// beginRootChange notes the new root key beside the old one, so that from here
// on the store opens only with both.
func (o *Operator) beginRootChange(ctx context.Context, e audit.Entry) error {
	v := o.vault
	return v.change(ctx, e, func(tx store.Tx, e *audit.Entry) error {
		if err := o.allow(policy.ManageKeys); err != nil {
			return err
		}
		if v.roots.previous == nil {
			return secret.Invalid("SECRETS_MASTER_KEY_PREVIOUS", "the server must run with the new key in SECRETS_MASTER_KEY and the old one here")
		}
		stored, err := tx.Meta(metaRoots)
		if err != nil {
			return err
		}
		e.Detail = fmt.Sprintf("root key %s -> %s begun", v.roots.previous.ID(), v.roots.current.ID())
		switch {
		case len(stored) == 2*checkSize:
			return nil // begun before; Open has proved both
		case subtle.ConstantTimeCompare(stored, checkOf(v.roots.current)) == 1:
			return secret.Conflict("the root key in SECRETS_MASTER_KEY is in use already")
		}
		return tx.SetMeta(metaRoots, stored, v.roots.change())
	})
}

// rewrapAllKeys walks the keys of all tenants. One that does not open is passed
// over, for the others' sake, and then keeps the change from ending.
func (v *Vault) rewrapAllKeys(ctx context.Context, progress func(done int64)) (done int64, err error) {
	var at store.OwnedKey
	broken := 0
	for {
		n, failed, more, err := v.rewrapKeys(ctx, &at)
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
			return done, secret.ErrDecryption.With(fmt.Errorf("%d tenant keys do not open; the old root key is kept for them", broken))
		}
		return done, nil
	}
}

// rewrapKeys re-wraps the next chunk of tenant keys behind at, and says how
// many were, how many do not open, and whether there may be more.
func (v *Vault) rewrapKeys(ctx context.Context, at *store.OwnedKey) (n int64, failed int, more bool, err error) {
	last := *at
	err = v.store.Update(ctx, func(tx store.Tx) error {
		n, failed = 0, 0
		rows, err := tx.Tenants().AllKeys(at.Tenant, at.Number, rewrapChunk)
		if err != nil {
			return err
		}
		for _, row := range rows {
			changed, err := v.rewrapKey(tx, row)
			if errors.Is(err, secret.ErrDecryption) {
				t, terr := tx.Tenants().Tenant(row.Tenant)
				if terr != nil {
					return terr
				}
				v.log.ErrorContext(ctx, "tenant key does not open", "tenant", t.Name, "key", row.Number, "cause", secret.Of(err).Cause)
				failed++
			} else if err != nil {
				return err
			}
			last = *row
			n += changed
		}
		more = len(rows) == rewrapChunk
		return nil
	})
	if err != nil {
		return 0, 0, false, v.answer(err)
	}
	*at = last
	return n, failed, more, nil
}

func (v *Vault) rewrapKey(tx store.Tx, row *store.OwnedKey) (int64, error) {
	id, err := envelope.RootOf(row.KEK)
	if err != nil {
		return 0, err
	}
	if id == v.roots.current.ID() {
		return 0, nil
	}
	kek, err := v.roots.unwrap(row.Tenant, &row.TenantKey)
	if err != nil {
		return 0, err
	}
	defer kek.Destroy()
	next, err := v.wrap(tx, row.Tenant, kek)
	if err != nil {
		return 0, err
	}
	next.Created = row.Created
	return 1, tx.EditTenants().PutKey(row.Tenant, next)
}
