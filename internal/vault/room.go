package vault

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"fastness/internal/secret"
	"fastness/internal/store"
)

// What a tenant's credentials may number. Those made by hand live long, and are
// few. Sessions come with every run of somebody's pipeline, and go by themselves,
// so that they have room of their own: else a busy pipeline would keep
// administrators from making a token. The last of that room is for people, who
// then can still log in and see to it.

// keepDead is how long a credential that has ended is still listed, if there
// is room for it.
const keepDead = 30 * 24 * time.Hour

// makeRoom drops credentials that ended long ago, and, where there are as many
// made by hand as there may be, the one that ended first. It refuses one too many.
func (c *Credentials) makeRoom(tx store.Tx, t secret.TenantID) error {
	now := c.vault.now()
	old, err := tx.Credentials().Ended(t, now.Add(-keepDead), secret.MaxTokens)
	if err != nil {
		return err
	}
	if _, err := drop(tx, old); err != nil {
		return err
	}
	if n, err := tx.Credentials().Count(t); err != nil || n < secret.MaxTokens {
		return err
	}
	all, err := tx.Credentials().List(t, "", secret.MaxCredentials)
	if err != nil {
		return err
	}
	made := slices.DeleteFunc(all, func(c *store.Credential) bool { return c.Source != "" })
	tooMany := len(made) - secret.MaxTokens + 1
	if tooMany <= 0 {
		return nil
	}
	dead := slices.DeleteFunc(made, func(c *store.Credential) bool { return live(c, now) })
	if len(dead) < tooMany {
		return secret.Limited("tokens", fmt.Sprintf("at most %d live credentials made by hand", secret.MaxTokens))
	}
	slices.SortFunc(dead, func(a, b *store.Credential) int { return cmp.Compare(endOf(a).UnixMilli(), endOf(b).UnixMilli()) })
	_, err = drop(tx, dead[:tooMany])
	return err
}

// endOf is when a credential ended.
func endOf(c *store.Credential) time.Time {
	if c.Revoked.IsZero() || !c.Expires.IsZero() && c.Expires.Before(c.Revoked) {
		return c.Expires
	}
	return c.Revoked
}

// sessionsAtOnce is how many sessions one transaction drops, so that others need
// not wait for long; a login drops what is above the limit beside them.
const sessionsAtOnce = 200

// sessionWait is when to come back for a session: by then those that have ended
// meanwhile were dropped.
const sessionWait = time.Minute

// roomForSession drops sessions that have ended where a tenant has as many
// credentials as its principal may find there. It refuses one too many:
// secret.ErrTooMany that names the field sessions.
func (v *Vault) roomForSession(tx store.Tx, p *store.Principal) error {
	most := int64(secret.MaxSessions)
	if p.Kind == store.Person {
		most += secret.SessionsForPeople
	}
	n, err := tx.Credentials().Count(p.Tenant)
	if err != nil || n < most {
		return err
	}
	dropped, err := v.dropSessions(tx, p.Tenant, int(n-most)+sessionsAtOnce)
	if err != nil || n-int64(dropped) < most {
		return err
	}
	e := secret.TooMany(fmt.Sprintf("the tenant has %d credentials, with which nobody else can log in", most), sessionWait)
	e.Field, e.Usage = "sessions", &secret.Usage{Limit: most, Used: n - int64(dropped)}
	return e
}

// dropSessions drops up to limit of a tenant's sessions that have ended, those that
// ended first, and returns how many. Credentials made by hand stay in the lists
// for a while.
func (v *Vault) dropSessions(tx store.Tx, t secret.TenantID, limit int) (int, error) {
	ended, err := tx.Credentials().Ended(t, v.now(), secret.MaxTokens+limit)
	if err != nil {
		return 0, err
	}
	ended = slices.DeleteFunc(ended, func(c *store.Credential) bool { return c.Source == "" })
	return drop(tx, ended[:min(len(ended), limit)])
}

// drop deletes credentials, and returns how many: another node may have dropped
// some of them first.
func drop(tx store.Tx, credentials []*store.Credential) (n int, err error) {
	for _, c := range credentials {
		switch err := tx.EditCredentials().Delete(c.ID); {
		case err == nil:
			n++
		case !errors.Is(err, store.ErrAbsent):
			return n, err
		}
	}
	return n, nil
}
