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
	"fastness/internal/schedule"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

// Put is a new version of a secret.
type Put struct {
	// Value is 1 to secret.MaxValue bytes. It stays the caller's.
	Value *secretbuf.Buffer
	Kind  secret.Kind
	// Token makes the write idempotent: the same token with the same value is
	// the same version, with another value a conflict. Empty for none.
	Token secret.VersionID
	// Patch sets metadata in the same transaction.
	Patch secret.Patch
	// IfAbsent refuses a name that exists.
	IfAbsent bool
}

// Written tells what a write made.
type Written struct {
	Name         secret.Name
	Version      secret.Version
	VersionID    secret.VersionID
	Labels       []secret.Label
	Created      bool // the secret, not just the version
	NextRotation time.Time
}

// Put creates a secret, or adds a version, which takes the label AWSCURRENT.
func (s *Session) Put(ctx context.Context, name secret.Name, p Put) (Written, error) {
	return s.write(ctx, name, p, false)
}

// Rotate adds a version to a secret that exists. The audit entry names the
// version it takes the place of.
func (s *Session) Rotate(ctx context.Context, name secret.Name, p Put) (Written, error) {
	return s.write(ctx, name, p, true)
}

// write prepares a version from a snapshot, seals it outside of any
// transaction, and commits it if the snapshot still holds; otherwise it
// prepares again.
func (s *Session) write(ctx context.Context, name secret.Name, p Put, rotate bool) (Written, error) {
	if err := checkPut(name, p); err != nil {
		return Written{}, s.Refused(ctx, writeAction(rotate, nil), name, err)
	}
	for range maxAttempts {
		w, err := s.attempt(ctx, name, p, rotate)
		if !errors.Is(err, errRetry) {
			return w, err
		}
	}
	return Written{}, s.Refused(ctx, writeAction(rotate, nil), name, errBusy)
}

func checkPut(name secret.Name, p Put) error {
	if _, err := secret.ParseName(string(name)); err != nil {
		return err
	}
	if p.Token != "" {
		if _, err := secret.ParseVersionID(string(p.Token)); err != nil {
			return err
		}
	}
	if n := p.Value.Len(); n < 1 || n > secret.MaxValue {
		return secret.Limited("value", fmt.Sprintf("1 to %d bytes", secret.MaxValue))
	}
	return nil
}

func (s *Session) attempt(ctx context.Context, name secret.Name, p Put, rotate bool) (Written, error) {
	d, err := s.draft(ctx, name, p, rotate)
	defer d.release()
	e := s.entry(writeAction(rotate, d.old), name)
	if err != nil {
		if errors.Is(err, errRetry) {
			return Written{}, err
		}
		return Written{}, s.vault.conclude(ctx, e, err)
	}
	if d.twin != nil {
		w, err := d.repeat(p)
		e.Version = w.Version.String()
		return w, s.vault.conclude(ctx, e, err)
	}
	if err := d.seal(p); err != nil {
		return Written{}, s.vault.conclude(ctx, e, err)
	}
	return s.commit(ctx, e, d)
}

func writeAction(rotate bool, old *store.Secret) audit.Action {
	switch {
	case rotate:
		return audit.Rotate
	case old == nil:
		return audit.Create
	}
	return audit.Update
}

// draft is a version in preparation.
type draft struct {
	session *Session
	tenant  *store.Tenant
	old     *store.Secret  // as in the snapshot; nil if the name is free
	twin    *store.Version // the version that has the request token already
	key     *heldKey       // that seals the version, or sealed the twin
	meta    secret.Metadata
	secret  secret.ID
	version *store.Version
}

func (d *draft) release() {
	if d != nil {
		d.key.release()
	}
}

// draft reads what a write starts from, and decides whether it may be.
func (s *Session) draft(ctx context.Context, name secret.Name, p Put, rotate bool) (*draft, error) {
	d := &draft{session: s}
	needKEM := false
	err := s.vault.store.View(ctx, func(r store.Reader) error {
		d.key.release() // of a run that failed
		*d = draft{session: s}
		var err error
		if d.tenant, err = s.active(r); err != nil {
			return err
		}
		if err := d.load(r, name, p, rotate); err != nil || d.twin != nil {
			return err
		}
		if d.meta.Algorithm != secret.HybridQuantum {
			d.key, err = s.vault.key(r, d.tenant.ID, d.tenant.Key)
			return err
		}
		var ok bool
		d.key, ok, err = s.vault.hybridKey(r, d.tenant.ID, d.tenant.Key)
		needKEM = err == nil && !ok
		return err
	})
	if needKEM {
		if err := s.vault.addKEM(ctx, d.tenant.ID, d.tenant.Key); err != nil {
			return d, err
		}
		return d, errRetry
	}
	return d, err
}

// load fills the draft from the secret's rows.
func (d *draft) load(r store.Reader, name secret.Name, p Put, rotate bool) error {
	sec, err := r.Secrets(d.tenant.ID).Secret(name)
	switch {
	case errors.Is(err, store.ErrAbsent):
		return d.loadNew(name, p, rotate)
	case err != nil:
		return err
	}
	s, action := d.session, policy.Update
	if rotate {
		action = policy.Rotate
	}
	if err := s.allow(action, name, sec.Metadata.AccessPolicy); err != nil {
		return err
	}
	d.old, d.secret, d.meta = sec, sec.ID, p.Patch.Apply(sec.Metadata)
	switch {
	case !sec.Deletion.IsZero():
		return secret.ErrDeleted
	case p.Token != "":
		if err := d.loadTwin(r, p.Token); err != nil || d.twin != nil {
			return err
		}
	}
	if p.IfAbsent {
		return secret.ErrExists
	}
	if d.meta.Algorithm != sec.Metadata.Algorithm {
		return secret.Conflict("a new version cannot change the algorithm; update the secret first")
	}
	if err := s.allowPatch(sec, d.meta); err != nil {
		return err
	}
	return d.meta.Validate()
}

func (d *draft) loadNew(name secret.Name, p Put, rotate bool) error {
	s, action := d.session, policy.Create
	if rotate {
		action = policy.Rotate
	}
	if err := s.allow(action, name, secret.AccessPolicy{}); err != nil {
		return err
	}
	if rotate {
		return secret.ErrNotFound
	}
	d.secret = secret.NewID()
	d.meta = p.Patch.Apply(secret.Metadata{Algorithm: d.tenant.Algorithm, RotationInterval: schedule.Default})
	return d.meta.Validate()
}

// loadTwin looks for a version that was written under the same token.
func (d *draft) loadTwin(r store.Reader, token secret.VersionID) error {
	_, v, err := r.Secrets(d.tenant.ID).Find(d.old.Name, store.Selector{ID: token}, d.session.caller.principal)
	if errors.Is(err, store.ErrAbsent) {
		return nil
	}
	if err != nil {
		return err
	}
	d.twin = v
	d.key, err = d.session.vault.key(r, d.tenant.ID, v.Key)
	return err
}

// repeat answers a write whose token is known: the stored version is opened,
// and compared in constant time.
func (d *draft) repeat(p Put) (Written, error) {
	f := found{tenant: d.tenant, secret: d.old, version: d.twin, key: d.key}
	stored, err := f.open()
	if err != nil {
		return Written{}, err
	}
	defer stored.Release()
	if !secretbuf.Equal(stored, p.Value) || d.twin.Kind != p.Kind {
		return Written{}, secret.Conflict("the request token was used with another value")
	}
	return writtenOf(d.old, d.twin), nil
}

func writtenOf(sec *store.Secret, v *store.Version) Written {
	return Written{
		Name: sec.Name, Version: v.Number, VersionID: v.ID,
		Labels: labelsOf(sec, v.Number), NextRotation: sec.NextRotation,
	}
}

// seal makes the version's envelope.
func (d *draft) seal(p Put) error {
	id := p.Token
	if id == "" {
		id = secret.NewVersionID()
	}
	b := envelope.Binding{Tenant: d.tenant.ID, Secret: d.secret, Version: id}
	sealed, err := envelope.Seal(d.key.kek, b, d.meta.Algorithm, p.Value.Bytes())
	if err != nil {
		return err
	}
	d.version = &store.Version{
		ID: id, Kind: p.Kind, Algorithm: d.meta.Algorithm, Key: d.tenant.Key,
		Envelope: sealed.Envelope, Ciphertext: sealed.Ciphertext,
	}
	return nil
}

// commit stores a sealed draft if what it started from still holds.
func (s *Session) commit(ctx context.Context, e audit.Entry, d *draft) (Written, error) {
	var w Written
	err := s.vault.change(ctx, e, func(tx store.Tx, e *audit.Entry) error {
		t, err := s.active(tx)
		if err != nil {
			return err
		}
		if t.ID != d.tenant.ID || t.Key != d.tenant.Key {
			return errRetry
		}
		sec, err := d.store(tx, e)
		if errors.Is(err, store.ErrStale) || errors.Is(err, store.ErrTaken) || errors.Is(err, store.ErrAbsent) {
			return errRetry
		}
		if err != nil {
			return err
		}
		w = writtenOf(sec, d.version)
		w.Created = d.old == nil
		return nil
	})
	if err != nil {
		return Written{}, err
	}
	return w, nil
}

// store writes the version and moves the labels.
func (d *draft) store(tx store.Tx, e *audit.Entry) (*store.Secret, error) {
	now := d.session.vault.now()
	sec := d.next(now, secret.Name(e.SecretName))
	v := *d.version
	v.Number, v.Created = sec.Last, now
	d.version = &v
	e.Version, e.NewVersion = v.Number.String(), v.Number.String()
	edit := tx.EditSecrets(d.tenant.ID)
	if d.old == nil {
		return sec, errors.Join(edit.Create(sec), edit.AddVersion(sec.ID, &v))
	}
	if n := d.old.Labels[secret.Current]; n != 0 {
		e.OldVersion = n.String()
	}
	if err := edit.AddVersion(sec.ID, &v); err != nil {
		return nil, err
	}
	if err := prune(tx, d.tenant.ID, sec, now); err != nil {
		return nil, err
	}
	return sec, edit.Update(sec)
}

// next is the secret's row with the new version current.
func (d *draft) next(now time.Time, name secret.Name) *store.Secret {
	sec := &store.Secret{ID: d.secret, Name: name, Created: now}
	if d.old != nil {
		row := *d.old
		sec = &row
	}
	sec.Metadata = d.meta
	sec.Labels = maps.Clone(sec.Labels)
	if sec.Labels == nil {
		sec.Labels = map[secret.Label]secret.Version{}
	}
	sec.Last++
	sec.Versions++
	moveCurrent(sec.Labels, sec.Last)
	sec.Changed, sec.LastRotated = now, now
	sec.NextRotation = d.meta.RotationInterval.Next(now)
	return sec
}

// moveCurrent moves AWSCURRENT, which leaves AWSPREVIOUS where it was.
func moveCurrent(labels map[secret.Label]secret.Version, to secret.Version) {
	if from := labels[secret.Current]; from != 0 && from != to {
		labels[secret.Previous] = from
	}
	labels[secret.Current] = to
}

// prune deletes the oldest unlabelled versions over the limit that are old
// enough. It looks at no more rows than labels can protect, and one.
func prune(tx store.Tx, t secret.TenantID, sec *store.Secret, now time.Time) error {
	excess := sec.Versions - secret.MaxVersions
	if excess <= 0 {
		return nil
	}
	oldest, err := tx.Secrets(t).Versions(sec.ID, 0, secret.MaxLabels+1)
	if err != nil {
		return err
	}
	for _, v := range oldest {
		if excess == 0 || now.Sub(v.Created) < secret.PruneAge {
			return nil
		}
		if len(labelsOf(sec, v.Number)) > 0 {
			continue
		}
		if err := tx.EditSecrets(t).DeleteVersion(sec.ID, v.Number); err != nil {
			return err
		}
		sec.Versions--
		excess--
	}
	return nil
}

// RefuseRotation records that a rotation was refused before there was a value,
// and returns err; a caller that may not rotate the secret, or not know of it,
// gets that answer instead.
func (s *Session) RefuseRotation(ctx context.Context, name secret.Name, err error) error {
	viewed := s.vault.store.View(ctx, func(r store.Reader) error {
		t, err := s.active(r)
		if err != nil {
			return err
		}
		_, err = s.load(r, t, policy.Rotate, name)
		return err
	})
	if viewed != nil {
		err = viewed
	}
	return s.vault.conclude(ctx, s.entry(audit.Rotate, name), err)
}
