package vault

import (
	"context"
	"errors"
	"maps"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// Restage moves a staging label from one version to another, both named by
// their ids, as the AWS protocol does.
type Restage struct {
	Label secret.Label
	From  secret.VersionID // must have the label; empty: no version may have it
	To    secret.VersionID // empty: the label is taken off
}

// LabelPlace is the cause of a secret.ErrConflict about a label that is not
// where the caller said.
type LabelPlace struct {
	ID secret.VersionID // where it is; empty for nowhere
}

// Error says where the label is.
func (l *LabelPlace) Error() string { return "the label is on version " + string(l.ID) }

// Restage moves a staging label. Moving AWSCURRENT leaves AWSPREVIOUS on the
// version that it leaves, and AWSPENDING where it is. A version that is not there is
// secret.ErrNotFound.
func (s *Session) Restage(ctx context.Context, name secret.Name, m Restage) (Detail, error) {
	var d Detail
	err := s.edit(ctx, audit.Label, name, func(tx store.Tx, t *store.Tenant, e *audit.Entry) error {
		sec, err := s.load(tx, t, policy.Label, name)
		if err != nil {
			return err
		}
		if !sec.Deletion.IsZero() {
			return secret.ErrDeleted
		}
		e.Detail = labelDetail + string(m.Label)
		move, err := m.resolve(tx, t, sec)
		if err != nil {
			return err
		}
		from := sec.Labels[m.Label]
		e.OldVersion, e.NewVersion = versionText(from), versionText(move.To)
		if from != move.To {
			sec.Labels = maps.Clone(sec.Labels)
			applyMove(sec, move)
			if from == 0 && labelsUsed(sec) > secret.MaxLabels {
				return errLabels
			}
			sec.Changed = later(sec, s.vault.now())
			if err := tx.EditSecrets(t.ID).Update(sec); err != nil {
				return stale(err)
			}
		}
		d, err = detail(tx, t, sec)
		return err
	})
	return settled(d, err)
}

// resolve finds the versions, and checks that the label is where it must be.
func (m Restage) resolve(r store.Reader, t *store.Tenant, sec *store.Secret) (move Move, err error) {
	move.Label = m.Label
	if m.To != "" {
		if move.To, err = numberOf(r, t, sec, m.To); err != nil {
			return move, err
		}
	}
	at := sec.Labels[m.Label]
	var from secret.Version
	if m.From != "" {
		if from, err = numberOf(r, t, sec, m.From); err != nil {
			return move, err
		}
	}
	if at != from && at != move.To || at == 0 && m.From != "" {
		place := &LabelPlace{}
		if at != 0 {
			v, err := r.Secrets(t.ID).Version(sec.ID, at)
			if err != nil {
				return move, err
			}
			place.ID = v.ID
		}
		return move, secret.ErrConflict.With(place)
	}
	if m.To == "" && m.Label == secret.Current {
		return move, secret.Invalid("stage", "AWSCURRENT can be moved, not taken off")
	}
	return move, nil
}

func numberOf(r store.Reader, t *store.Tenant, sec *store.Secret, id secret.VersionID) (secret.Version, error) {
	_, v, err := r.Secrets(t.ID).Find(sec.Name, store.Selector{ID: id}, "")
	if errors.Is(err, store.ErrAbsent) {
		return 0, secret.ErrNotFound
	}
	if err != nil {
		return 0, err
	}
	return v.Number, nil
}
