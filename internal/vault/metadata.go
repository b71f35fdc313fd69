package vault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"fastness/internal/audit"
	"fastness/internal/envelope"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// allowPatch decides on what a change of metadata needs beyond the action
// itself: an access policy is an administrator's to change, and whoever changes
// tags must be allowed to with the new ones too, so that nobody gives a secret
// away to where policies would not let them write it.
func (j ruler) allowPatch(sec *store.Secret, next secret.Metadata) error {
	if !maps.Equal(sec.Metadata.Tags, next.Tags) {
		tagged := present(sec)
		tagged.Tags = next.Tags
		if err := j.allow(policy.Update, tagged); err != nil {
			return err
		}
	}
	if sec.Metadata.AccessPolicy.Equal(next.AccessPolicy) {
		return nil
	}
	return j.allow(policy.SetAccess, present(sec))
}

// Update changes metadata without a new version. Another algorithm re-wraps
// all of the secret's versions in the same transaction; values stay sealed.
func (s *Session) Update(ctx context.Context, name secret.Name, p secret.Patch) (secret.Info, error) {
	for range maxAttempts {
		info, err := s.update(ctx, name, p)
		if !errors.Is(err, errRetry) {
			return info, err
		}
	}
	return secret.Info{}, s.Refused(ctx, audit.Update, name, errBusy)
}

func (s *Session) update(ctx context.Context, name secret.Name, p secret.Patch) (secret.Info, error) {
	if err := s.prepare(ctx); err != nil {
		return secret.Info{}, s.Refused(ctx, audit.Update, name, err)
	}
	wraps, err := s.rewraps(ctx, name, p)
	if err != nil {
		if errors.Is(err, errRetry) {
			return secret.Info{}, err
		}
		return secret.Info{}, s.Refused(ctx, audit.Update, name, err)
	}
	var info secret.Info
	err = s.vault.change(ctx, s.entry(audit.Update, name), func(tx store.Tx, e *audit.Entry) error {
		t, err := s.active(tx)
		if err != nil {
			return err
		}
		sec, err := s.loadForUpdate(tx, t, name, p)
		if err != nil {
			return err
		}
		next := p.Apply(sec.Metadata)
		if err := next.Validate(); err != nil {
			return err
		}
		e.Detail = changed(sec.Metadata, next)
		if next.Algorithm != sec.Metadata.Algorithm {
			if wraps == nil || wraps.revision != sec.Revision || wraps.tenantKey != t.Key {
				return errRetry
			}
			if err := wraps.store(tx, t.ID, sec.ID); err != nil {
				return err
			}
		}
		if next.RotationInterval != sec.Metadata.RotationInterval {
			sec.NextRotation = next.RotationInterval.Next(sec.LastRotated)
		}
		sec.Metadata, sec.Changed = next, later(sec, s.vault.now())
		if err := reschedule(tx, t, sec, s.vault.now()); err != nil {
			return err
		}
		if err := tx.EditSecrets(t.ID).Update(sec); err != nil {
			return stale(err)
		}
		info, err = describe(tx, t, sec)
		return err
	})
	return settled(info, err)
}

// loadForUpdate decides by what the patch touches: a patch of the access
// policy alone is exempt from the policy's own lists.
func (s *Session) loadForUpdate(r store.Reader, t *store.Tenant, name secret.Name, p secret.Patch) (*store.Secret, error) {
	action := policy.Update
	if only := (secret.Patch{AccessPolicy: p.AccessPolicy}); p.AccessPolicy != nil && equalPatch(p, only) {
		action = policy.SetAccess
	}
	j, err := s.ruler(r, t)
	if err != nil {
		return nil, err
	}
	sec, err := j.load(r, t, action, name)
	if err != nil {
		return nil, err
	}
	if !sec.Deletion.IsZero() {
		return nil, secret.ErrDeleted
	}
	return sec, j.allowPatch(sec, p.Apply(sec.Metadata))
}

func equalPatch(p, q secret.Patch) bool {
	return p.Description == q.Description && p.Tags == nil && q.Tags == nil && p.Algorithm == q.Algorithm &&
		p.RotationRequired == q.RotationRequired && p.RotationInterval == q.RotationInterval && p.AccessPolicy == q.AccessPolicy
}

// changed names the fields that differ, for the audit log.
func changed(a, b secret.Metadata) string {
	out := ""
	add := func(field string, same bool) {
		if !same {
			out += " " + field
		}
	}
	add("description", a.Description == b.Description)
	add("tags", maps.Equal(a.Tags, b.Tags))
	add("rotationRequired", a.RotationRequired == b.RotationRequired)
	add("accessPolicy", a.AccessPolicy.Equal(b.AccessPolicy))
	if a.RotationInterval != b.RotationInterval {
		out += fmt.Sprintf(" rotationInterval %s -> %s", a.RotationInterval, b.RotationInterval)
	}
	if a.Algorithm != b.Algorithm {
		out += fmt.Sprintf(" algorithm %s -> %s", a.Algorithm, b.Algorithm)
	}
	if out == "" {
		return "nothing"
	}
	return changedDetail + out
}

// stale asks for another attempt where a row has changed.
func stale(err error) error {
	if errors.Is(err, store.ErrStale) || errors.Is(err, store.ErrAbsent) {
		return errRetry
	}
	return err
}

// rewrapped are a secret's versions under another algorithm.
type rewrapped struct {
	revision  int64  // of the secret they were read with
	tenantKey uint32 // that wraps them now
	versions  []*store.Version
	old       [][]byte // the envelopes they replace
}

func (w *rewrapped) store(tx store.Tx, t secret.TenantID, id secret.ID) error {
	for i, v := range w.versions {
		if err := tx.EditSecrets(t).Rewrap(id, v, w.old[i]); err != nil {
			return stale(err)
		}
	}
	return nil
}

// rewraps prepares the envelopes that a change of algorithm needs, outside of
// any write transaction; nil if the patch does not change it. It decides
// nothing: the transaction does.
func (s *Session) rewraps(ctx context.Context, name secret.Name, p secret.Patch) (*rewrapped, error) {
	if p.Algorithm == nil {
		return nil, nil
	}
	alg, err := secret.ParseAlgorithm(string(*p.Algorithm))
	if err != nil {
		return nil, err
	}
	var w *rewrapped
	var needKEM *store.Tenant
	err = s.vault.store.View(ctx, func(r store.Reader) error {
		w, needKEM = nil, nil
		t, err := s.active(r)
		if err != nil {
			return nil // the transaction says so, and records it
		}
		sec, err := s.loadForUpdate(r, t, name, p)
		if err != nil || sec.Metadata.Algorithm == alg {
			return nil
		}
		to, err := s.vault.key(r, t.ID, t.Key, alg)
		if errors.Is(err, errNoKEM) {
			needKEM = t
			return nil
		}
		if err != nil {
			return err
		}
		defer to.release()
		w = &rewrapped{revision: sec.Revision, tenantKey: t.Key}
		return w.fill(s.vault, r, t.ID, sec.ID, alg, to)
	})
	if err == nil && needKEM != nil {
		if err = s.vault.addKEM(ctx, needKEM.ID, needKEM.Key); err == nil {
			err = errRetry
		}
	}
	return w, err
}

func (w *rewrapped) fill(v *Vault, r store.Reader, t secret.TenantID, id secret.ID, alg secret.Algorithm, to *heldKey) error {
	for after := secret.Version(0); ; {
		rows, err := r.Secrets(t).Versions(id, after, secret.MaxVersions)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, row := range rows {
			after = row.Number
			if err := w.add(v, r, t, id, row, alg, to); err != nil {
				return err
			}
		}
	}
}

func (w *rewrapped) add(v *Vault, r store.Reader, t secret.TenantID, id secret.ID, row *store.Version, alg secret.Algorithm, to *heldKey) error {
	from, err := v.key(r, t, row.Key, row.Algorithm)
	if err != nil {
		return err
	}
	defer from.release()
	env, err := envelope.Rewrap(from.kek, to.kek, envelope.Binding{Tenant: t, Secret: id, Version: row.ID}, alg, row.Envelope)
	if err != nil {
		return err
	}
	w.old = append(w.old, row.Envelope)
	next := *row
	next.Envelope, next.Algorithm, next.Key = env, alg, to.kek.Number
	w.versions = append(w.versions, &next)
	return nil
}

// Move puts a staging label on a version.
type Move struct {
	Label secret.Label
	To    secret.Version  // 0 takes the label off
	From  *secret.Version // if set, where the label must be now; 0 for nowhere
}

// MoveLabel moves a staging label. When AWSCURRENT moves, AWSPREVIOUS is left
// where it was. AWSCURRENT cannot be taken off.
func (s *Session) MoveLabel(ctx context.Context, name secret.Name, m Move) (secret.Info, error) {
	var info secret.Info
	label, err := secret.ParseLabel(string(m.Label))
	if err != nil {
		return info, s.Refused(ctx, audit.Label, name, err)
	}
	m.Label = label
	err = s.edit(ctx, audit.Label, name, func(tx store.Tx, t *store.Tenant, e *audit.Entry) error {
		sec, err := s.load(tx, t, policy.Label, name)
		if err != nil {
			return err
		}
		if !sec.Deletion.IsZero() {
			return secret.ErrDeleted
		}
		e.Detail = labelDetail + string(m.Label)
		if err := checkMove(tx, t, sec, m); err != nil {
			return err
		}
		from := sec.Labels[m.Label]
		e.OldVersion, e.NewVersion = versionText(from), versionText(m.To)
		applyMove(sec, m)
		if from == 0 && labelsUsed(sec) > secret.MaxLabels {
			return errLabels
		}
		sec.Changed = later(sec, s.vault.now())
		if err := tx.EditSecrets(t.ID).Update(sec); err != nil {
			return stale(err)
		}
		info, err = describe(tx, t, sec)
		return err
	})
	return settled(info, err)
}

var errLabels = secret.Limited("stage", fmt.Sprintf("at most %d labels a secret", secret.MaxLabels))

// labelsUsed counts a secret's labels. Room for AWSPREVIOUS is always kept: the
// next write needs it.
func labelsUsed(sec *store.Secret) int {
	n := len(sec.Labels)
	if _, ok := sec.Labels[secret.Previous]; !ok {
		n++
	}
	return n
}

func checkMove(r store.Reader, t *store.Tenant, sec *store.Secret, m Move) error {
	from := sec.Labels[m.Label]
	if m.From != nil && *m.From != from {
		return secret.Conflict("the label is on another version than expected")
	}
	if m.To == 0 {
		if m.Label == secret.Current {
			return secret.Invalid("stage", "AWSCURRENT can be moved, not taken off")
		}
		return nil
	}
	_, err := r.Secrets(t.ID).Version(sec.ID, m.To)
	if errors.Is(err, store.ErrAbsent) {
		return secret.ErrNotFound
	}
	return err
}

func applyMove(sec *store.Secret, m Move) {
	sec.Labels = maps.Clone(sec.Labels)
	switch {
	case m.To == 0:
		delete(sec.Labels, m.Label)
	case m.Label == secret.Current:
		moveCurrent(sec.Labels, m.To)
	default:
		sec.Labels[m.Label] = m.To
	}
}

func versionText(v secret.Version) string {
	if v == 0 {
		return ""
	}
	return v.String()
}

// Delete schedules a secret for deletion: until the recovery window ends its
// values cannot be read and it can be restored; then it is purged. Deleting it
// again sets the window anew.
func (s *Session) Delete(ctx context.Context, name secret.Name, window time.Duration) (secret.Info, error) {
	var info secret.Info
	if window < secret.MinRecovery || window > secret.MaxRecovery {
		return info, s.Refused(ctx, audit.Delete, name, secret.Limited("recoveryDays", "7 to 30 days"))
	}
	err := s.edit(ctx, audit.Delete, name, func(tx store.Tx, t *store.Tenant, e *audit.Entry) error {
		sec, err := s.load(tx, t, policy.Delete, name)
		if err != nil {
			return err
		}
		sec.Deletion = s.vault.now().Add(window)
		sec.Changed = later(sec, s.vault.now())
		e.Detail = "until " + sec.Deletion.Format(time.RFC3339)
		if err := tx.EditSecrets(t.ID).Update(sec); err != nil {
			return stale(err)
		}
		info, err = describe(tx, t, sec)
		return err
	})
	return settled(info, err)
}

// Restore ends a secret's scheduled deletion.
func (s *Session) Restore(ctx context.Context, name secret.Name) (secret.Info, error) {
	var info secret.Info
	err := s.edit(ctx, audit.Restore, name, func(tx store.Tx, t *store.Tenant, _ *audit.Entry) error {
		sec, err := s.load(tx, t, policy.Restore, name)
		if err != nil {
			return err
		}
		if sec.Deletion.IsZero() {
			return secret.Conflict("the secret is not scheduled for deletion")
		}
		sec.Deletion, sec.Changed = time.Time{}, later(sec, s.vault.now())
		if err := tx.EditSecrets(t.ID).Update(sec); err != nil {
			return stale(err)
		}
		info, err = describe(tx, t, sec)
		return err
	})
	return settled(info, err)
}

// Purge destroys a secret and its envelopes at once, in the store's files
// too. The name can be used again, by another secret.
func (s *Session) Purge(ctx context.Context, name secret.Name) error {
	err := s.edit(ctx, audit.Purge, name, func(tx store.Tx, t *store.Tenant, _ *audit.Entry) error {
		sec, err := s.load(tx, t, policy.Purge, name)
		if err != nil {
			return err
		}
		return errors.Join(dropRotation(tx, t.ID, sec.ID), stale(tx.EditSecrets(t.ID).Purge(sec.ID)))
	})
	if err != nil {
		return err
	}
	s.vault.expireKnown()
	return s.vault.answer(s.vault.store.Scrub(ctx))
}
