package vault

import (
	"context"
	"errors"
	"slices"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// errLockout is a change of rules by which the one who makes it could make no
// other.
var errLockout = &secret.Error{
	Code:   secret.ErrConflict.Code,
	Detail: "with this the caller could no longer change policies; leave the action \"policies\" open to it, or ask an operator",
}

// rulesChange is a change of a tenant's rules: of one policy, or of none where
// it is the settings that change.
type rulesChange struct {
	audit    audit.Action
	replaced string       // name of the policy
	by       *policy.Text // nil for nothing
}

// writeRules writes a change in its transaction, may change the settings, and
// returns what to tell the log.
type writeRules func(tx store.Tx, t secret.TenantID, row *settingsRow) (detail string, err error)

// changeRules changes a tenant's rules. What is to be in force is compiled
// beside the writer, from a snapshot; if the rules have changed since, it is
// compiled anew.
func (s *Session) changeRules(ctx context.Context, c rulesChange, write writeRules) error {
	for range maxAttempts {
		err := s.tryRules(ctx, c, write)
		if !errors.Is(err, errRetry) {
			return err
		}
	}
	return s.vault.conclude(ctx, s.entry(c.audit, ""), errBusy)
}

func (s *Session) tryRules(ctx context.Context, c rulesChange, write writeRules) error {
	draft, err := s.draftRules(ctx, c)
	if err != nil {
		return s.vault.conclude(ctx, s.entry(c.audit, ""), err)
	}
	err = s.editTenant(ctx, c.audit, policy.ManagePolicies, func(tx store.Tx, t *store.Tenant, e *audit.Entry) error {
		row, d, err := readSettings(tx, t.ID)
		if err != nil {
			return err
		}
		if row.Generation != draft.generation {
			return errRetry
		}
		detail, err := write(tx, t.ID, &row)
		if err != nil {
			return contended(err)
		}
		row.Generation = secret.NewUUID()
		if err := s.finishRules(draft, t, row); err != nil {
			return err
		}
		e.Detail = detail
		return contended(s.vault.putDocument(tx, d, row))
	})
	if err == nil && draft.whole {
		s.vault.rules.put(draft.tenant, draft.generation, draft.set)
	}
	return err
}

// contended asks for another attempt where another change was faster.
func contended(err error) error {
	if errors.Is(err, store.ErrTaken) {
		return errRetry
	}
	return stale(err)
}

// rulesDraft is what is to be in force.
type rulesDraft struct {
	tenant     secret.TenantID
	generation string // of what it takes the place of; in the end its own
	texts      []*policy.Text
	whole      bool // no text is left out
	set        *policy.Set
}

// draftRules compiles the texts that are to be in force, for a caller who may
// change them. Texts that this release does not take are left out, so that
// they can be replaced one by one.
func (s *Session) draftRules(ctx context.Context, c rulesChange) (*rulesDraft, error) {
	d := &rulesDraft{}
	err := s.vault.store.View(ctx, func(r store.Reader) error {
		t, err := s.administered(r)
		if err != nil {
			return err
		}
		if err := s.authorize(r, t, policy.ManagePolicies); err != nil {
			return err
		}
		row, _, err := readSettings(r, t.ID)
		if err != nil {
			return err
		}
		var broken []string
		d.generation = row.Generation
		d.texts, broken, err = readTexts(r, t.ID)
		d.whole = !slices.ContainsFunc(broken, func(name string) bool { return name != c.replaced })
		return err
	})
	d.texts = slices.DeleteFunc(d.texts, func(t *policy.Text) bool { return t.Name() == c.replaced })
	if c.by != nil {
		d.texts = append(d.texts, c.by)
	}
	return d, err
}

// finishRules compiles the draft with the settings that are to be in force.
func (s *Session) finishRules(d *rulesDraft, t *store.Tenant, row settingsRow) (err error) {
	if d.set, err = policy.NewSet(t.Name, row.settings(), d.texts...); err != nil {
		return err
	}
	j := s.rulerBy(d.set)
	if e := d.set.Decide(j.request(policy.ManagePolicies, policy.Secret{})); e != policy.Allow && e != policy.NeedMFA {
		return errLockout
	}
	d.tenant, d.generation = t.ID, row.Generation
	return nil
}
