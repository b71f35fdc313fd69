package vault

import (
	"context"
	"errors"
	"time"

	"fastness/internal/audit"
	"fastness/internal/store"
)

// janitorPeriod is how often secrets whose recovery window has ended are looked
// for, and expired keys dropped from memory.
const janitorPeriod = time.Minute

// janitorChunk bounds one round, so that a mass deletion does not hold the
// writer; what is left waits for the next.
const janitorChunk = 100

func (v *Vault) runJanitor(ctx context.Context) {
	tick := time.NewTicker(janitorPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			v.keys.expire()
			if _, err := v.PurgeExpired(ctx); err != nil && ctx.Err() == nil {
				v.log.ErrorContext(ctx, "purging deleted secrets", "error", err)
			}
		}
	}
}

// PurgeExpired destroys secrets whose recovery window has ended, and returns
// how many. An open Vault does so by itself every minute.
func (v *Vault) PurgeExpired(ctx context.Context) (int, error) {
	var refs []store.SecretRef
	names := map[store.SecretRef]*store.Tenant{}
	err := v.store.View(ctx, func(r store.Reader) error {
		var err error
		if refs, err = r.Tenants().Expired(v.now(), janitorChunk); err != nil {
			return err
		}
		for _, ref := range refs {
			if names[ref], err = r.Tenants().Tenant(ref.Tenant); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, v.answer(err)
	}
	purged := 0
	for _, ref := range refs {
		if err := v.purgeExpired(ctx, names[ref], ref); err != nil {
			return purged, err
		}
		purged++
	}
	if purged == 0 {
		return 0, nil
	}
	return purged, v.answer(v.store.Scrub(ctx))
}

func (v *Vault) purgeExpired(ctx context.Context, t *store.Tenant, ref store.SecretRef) error {
	e := v.system().entry(v, audit.Purge)
	e.TenantID, e.SecretName = t.Name, string(ref.Name)
	return v.change(ctx, e, func(tx store.Tx, _ *audit.Entry) error {
		sec, err := tx.Secrets(ref.Tenant).Secret(ref.Name)
		if errors.Is(err, store.ErrAbsent) {
			return nil
		}
		if err != nil {
			return err
		}
		// It may have been restored since it was found.
		if sec.ID != ref.ID || sec.Deletion.IsZero() || v.now().Before(sec.Deletion) {
			return nil
		}
		return tx.EditSecrets(ref.Tenant).Purge(sec.ID)
	})
}
