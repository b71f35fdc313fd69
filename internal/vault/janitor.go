package vault

import (
	"context"
	"errors"
	"time"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// janitorPeriod is how often secrets whose recovery window has ended and expired
// documents are looked for, and expired keys dropped from memory.
const janitorPeriod = time.Minute

// janitorChunk bounds one round, after which what was purged is scrubbed.
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
			v.expireKnown()
			v.attempts.expire()
			v.rates.expire()
			if err := v.purgeAll(ctx); err != nil && ctx.Err() == nil {
				v.log.ErrorContext(ctx, "purging deleted secrets", "error", err, "cause", secret.Of(err).Cause)
			}
			if err := v.ExpireSessions(ctx); err != nil && ctx.Err() == nil {
				v.log.ErrorContext(ctx, "dropping ended sessions", "error", err, "cause", secret.Of(err).Cause)
			}
			if err := v.ExpireDocuments(ctx); err != nil && ctx.Err() == nil {
				v.log.ErrorContext(ctx, "dropping expired documents", "error", err, "cause", secret.Of(err).Cause)
			}
		}
	}
}

func (v *Vault) purgeAll(ctx context.Context) error {
	for {
		if n, err := v.PurgeExpired(ctx); err != nil || n < janitorChunk {
			return err
		}
	}
}

// ExpireDocuments drops the documents that have expired: what was noted for a
// while, such as tokens that must not come twice. An open Vault does so every
// minute.
func (v *Vault) ExpireDocuments(ctx context.Context) error {
	for {
		n := 0
		err := v.store.Update(ctx, func(tx store.Tx) (err error) {
			n, err = tx.EditDocuments().Expire(v.now(), janitorChunk)
			return err
		})
		if err != nil || n < janitorChunk {
			return v.answer(err)
		}
	}
}

// PurgeExpired destroys some secrets whose recovery window has ended, oldest
// first, and returns how many. An open Vault purges all of them every minute.
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
		switch err := v.purgeExpired(ctx, names[ref], ref); {
		case err == nil:
			purged++
		case !errors.Is(err, errRetry):
			return purged, err
		}
	}
	if purged == 0 {
		return 0, nil
	}
	return purged, v.answer(v.store.Scrub(ctx))
}

// purgeExpired destroys one secret, or returns errRetry if it is not, or no
// longer, to be destroyed.
func (v *Vault) purgeExpired(ctx context.Context, t *store.Tenant, ref store.SecretRef) error {
	e := v.system().entry(v, audit.Purge)
	e.TenantID, e.SecretName = t.Name, string(ref.Name)
	return v.change(ctx, e, func(tx store.Tx, _ *audit.Entry) error {
		sec, err := tx.Secrets(ref.Tenant).Secret(ref.Name)
		if err != nil {
			return stale(err)
		}
		// It may have been restored since it was found.
		if sec.ID != ref.ID || sec.Deletion.IsZero() || v.now().Before(sec.Deletion) {
			return errRetry
		}
		return errors.Join(dropRotation(tx, ref.Tenant, sec.ID), tx.EditSecrets(ref.Tenant).Purge(sec.ID))
	})
}
