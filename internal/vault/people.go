package vault

import (
	"context"
	"errors"
	"fmt"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// This file is what an administrator does about that by which others prove who
// they are: what there is can be learnt, never what it is.

// on changes what a principal has.
func (p *Principals) on(ctx context.Context, a audit.Action, name string, f func(tx store.Tx, row *store.Principal, e *audit.Entry) error) error {
	e := p.entry(a)
	e.Target = name
	return p.change(ctx, e, policy.ManagePrincipals, func(tx store.Tx, t secret.TenantID, e *audit.Entry) error {
		row, err := principal(tx, t, name)
		if err != nil {
			return err
		}
		return f(tx, row, e)
	})
}

// scrubbed makes what a change has deleted unreadable in the store's files.
func (p *Principals) scrubbed(ctx context.Context, err error) error {
	if err != nil {
		return err
	}
	return p.vault.answer(p.vault.store.Scrub(ctx))
}

// SetPassword gives a person a password, in the place of the one it had. Sessions
// that the old one gave end. The password stays the caller's to wipe.
func (p *Principals) SetPassword(ctx context.Context, name string, password []byte) error {
	v := p.vault
	e := p.entry(audit.PasswordSet)
	e.Target = name
	// Who may not do it is refused before the work is done.
	err := v.store.View(ctx, func(r store.Reader) error {
		_, err := p.authorize(r, policy.ManagePrincipals)
		return err
	})
	if err != nil {
		return v.conclude(ctx, e, err)
	}
	hash, err := v.hashPassword(ctx, password)
	if err != nil {
		return v.conclude(ctx, e, err)
	}
	defer hash.Release()
	return p.on(ctx, audit.PasswordSet, name, func(tx store.Tx, row *store.Principal, e *audit.Entry) error {
		if row.Kind != store.Person {
			return secret.Invalid("principal", "only a person has a password")
		}
		replaced, err := v.putPassword(tx, row.Tenant, row.Name, hash)
		if err != nil {
			return err
		}
		n, err := v.endPasswordSessions(tx, row.Tenant, row.Name, "")
		e.Detail = "none before"
		if replaced {
			e.Detail = "in the place of another"
		}
		e.Detail += fmt.Sprintf("; %d sessions ended", n)
		return err
	})
}

// RemovePassword takes a person's password away, and ends the sessions that it
// gave.
func (p *Principals) RemovePassword(ctx context.Context, name string) error {
	return p.scrubbed(ctx, p.on(ctx, audit.PasswordRemove, name, func(tx store.Tx, row *store.Principal, e *audit.Entry) error {
		err := tx.EditDocuments().Delete(row.Tenant, passwordKind, row.Name)
		if errors.Is(err, store.ErrAbsent) {
			return secret.ErrNotFound
		}
		if err != nil {
			return err
		}
		n, err := p.vault.endPasswordSessions(tx, row.Tenant, row.Name, "")
		e.Detail = fmt.Sprintf("%d sessions ended", n)
		return err
	}))
}

// Factors tells of a principal's second factors.
func (p *Principals) Factors(ctx context.Context, name string) ([]FactorInfo, error) {
	var infos []FactorInfo
	e := p.entry(audit.FactorList)
	e.Target = name
	err := p.look(ctx, e, policy.ManagePrincipals, func(r store.Reader, t secret.TenantID) error {
		row, err := principal(r, t, name)
		if err != nil {
			return err
		}
		infos, err = p.vault.factorInfos(r, factorOwner{t, row.Name})
		return err
	})
	return settled(infos, err)
}

// RemoveFactor forgets a second factor of a principal that has lost it.
func (p *Principals) RemoveFactor(ctx context.Context, name, id string) error {
	return p.scrubbed(ctx, p.on(ctx, audit.FactorRemove, name, func(tx store.Tx, row *store.Principal, e *audit.Entry) error {
		return p.vault.removeFactor(tx, factorOwner{row.Tenant, row.Name}, id, e)
	}))
}
