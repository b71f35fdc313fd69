package vault

import (
	"cmp"
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
	// Make makes a value of kind text where Value is nil. It is called once the
	// caller is known to be allowed, and not for a Token that is known already.
	Make func(secret.Name) (*secretbuf.Buffer, error)
	// Token makes the write idempotent: the same token with the same value is
	// the same version, with another value a conflict. Empty for none.
	Token secret.VersionID
	// Patch sets metadata in the same transaction.
	Patch secret.Patch
	// IfAbsent refuses a name that exists.
	IfAbsent bool
	// IfPresent refuses a name that does not exist.
	IfPresent bool
	// Labels go to the new version; nil is AWSCURRENT alone. The first version of
	// a secret gets AWSCURRENT in any case.
	Labels []secret.Label
	// Amend, if set, changes what the AWS protocol keeps of the secret, in the
	// same transaction. It may be called more than once.
	Amend func(*secret.AWS)

	// within, if set, runs in the transaction that adds a version to a secret, and
	// may change the row. Without it a secret's next rotation is counted from now.
	within func(store.Tx, *store.Tenant, *store.Secret, *audit.Entry) error
}

// Written tells what a write made.
type Written struct {
	ID           secret.ID
	Name         secret.Name
	Version      secret.Version
	VersionID    secret.VersionID
	Labels       []secret.Label
	Created      bool      // the secret, not just the version
	Made         time.Time // when the version came to be
	NextRotation time.Time
}

// ErrRotates is returned by Rotate for a Put without a value to a secret that
// rotates by itself: ask for a rotation instead. Nothing is recorded.
var ErrRotates = errors.New("the secret rotates by itself")

// Put creates a secret, or adds a version, which takes the label AWSCURRENT.
func (s *Session) Put(ctx context.Context, name secret.Name, p Put) (Written, error) {
	return s.write(ctx, name, p, false)
}

// Rotate adds a version to a secret that exists. The audit entry names the
// version it takes the place of.
func (s *Session) Rotate(ctx context.Context, name secret.Name, p Put) (Written, error) {
	return s.write(ctx, name, p, true)
}

// write decides from a snapshot and seals outside of any transaction. The
// transaction decides again and numbers the version, so that writers of one
// secret do not undo each other's work; it begins anew only if what the seal
// is bound to has changed.
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
	if p.Value == nil && p.Make != nil {
		return nil
	}
	return checkValue(p.Value)
}

func checkValue(v *secretbuf.Buffer) error {
	if n := v.Len(); n < 1 || n > secret.MaxValue {
		return secret.Limited("value", fmt.Sprintf("1 to %d bytes", secret.MaxValue))
	}
	return nil
}

func (s *Session) attempt(ctx context.Context, name secret.Name, p Put, rotate bool) (Written, error) {
	d, err := s.draft(ctx, name, p, rotate)
	defer d.release()
	e := s.entry(writeAction(rotate, d.old), name)
	if err != nil {
		if errors.Is(err, errRetry) || errors.Is(err, ErrRotates) {
			return Written{}, err
		}
		return Written{}, s.vault.conclude(ctx, e, err)
	}
	if d.twin != nil {
		w, err := d.repeat(p)
		e.Version = versionText(d.twin.Number)
		return settled(w, s.vault.conclude(ctx, e, err))
	}
	if p.Value == nil {
		made, err := p.make(name)
		if err != nil {
			return Written{}, s.vault.conclude(ctx, e, err)
		}
		defer made.Release()
		p.Value, p.Kind = made, secret.Text
	}
	if err := d.seal(p); err != nil {
		return Written{}, s.vault.conclude(ctx, e, err)
	}
	return s.commit(ctx, e, d, p)
}

func (p Put) make(name secret.Name) (*secretbuf.Buffer, error) {
	v, err := p.Make(name)
	if err == nil {
		err = checkValue(v)
	}
	if err != nil {
		v.Release()
		return nil, err
	}
	return v, nil
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
	name    secret.Name
	rotate  bool
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
	d := &draft{}
	needKEM := false
	err := s.vault.store.View(ctx, func(r store.Reader) error {
		d.release() // of a run that failed
		*d, needKEM = draft{session: s, name: name, rotate: rotate}, false
		if err := d.load(r, p); err != nil {
			return err
		}
		number, alg := d.tenant.Key, d.meta.Algorithm
		if d.twin != nil {
			number, alg = d.twin.Key, d.twin.Algorithm
		}
		var err error
		d.key, err = s.vault.key(r, d.tenant.ID, number, alg)
		needKEM = d.twin == nil && errors.Is(err, errNoKEM)
		return err
	})
	if needKEM {
		if err = s.vault.addKEM(ctx, d.tenant.ID, d.tenant.Key); err == nil {
			err = errRetry
		}
	}
	return d, err
}

// load fills the draft from the rows, and decides whether it may be.
func (d *draft) load(r store.Reader, p Put) (err error) {
	if d.tenant, err = d.session.active(r); err != nil {
		return err
	}
	j, err := d.session.ruler(r, d.tenant)
	if err != nil {
		return err
	}
	action := policy.Update
	if d.rotate {
		action = policy.Rotate
	}
	if err := j.allow(action, unseen(d.name)); err != nil {
		return err // as in Session.load
	}
	sec, err := r.Secrets(d.tenant.ID).Secret(d.name)
	switch {
	case errors.Is(err, store.ErrAbsent):
		return d.loadNew(j, p, action)
	case err != nil:
		return err
	}
	d.old, d.secret, d.meta = sec, sec.ID, p.Patch.Apply(sec.Metadata)
	if err := j.allow(action, present(sec)); err != nil {
		return err
	}
	if err := d.session.pass(sec); err != nil {
		return err
	}
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
	if d.rotate && p.Value == nil {
		if err := d.mayMake(r); err != nil {
			return err
		}
	}
	if d.meta.Algorithm != sec.Metadata.Algorithm {
		return secret.Conflict("a new version cannot change the algorithm; update the secret first")
	}
	if err := j.allowPatch(sec, d.meta); err != nil {
		return err
	}
	return d.meta.Validate()
}

// mayMake refuses to make a value for a secret whose rotator does.
func (d *draft) mayMake(r store.Reader) error {
	_, err := r.Documents().Document(d.tenant.ID, rotationKind, d.secret.String())
	if errors.Is(err, store.ErrAbsent) {
		return nil
	}
	if err == nil {
		err = ErrRotates
	}
	return err
}

func (d *draft) loadNew(j ruler, p Put, action policy.Action) error {
	if d.rotate || p.IfPresent {
		return cmp.Or(j.allow(action, absent(d.name, nil)), error(secret.ErrNotFound))
	}
	d.secret = secret.NewID()
	d.meta = p.Patch.Apply(secret.Metadata{Algorithm: d.tenant.Algorithm, RotationInterval: schedule.Default})
	if err := j.allow(policy.Create, absent(d.name, d.meta.Tags)); err != nil {
		return err
	}
	return d.meta.Validate()
}

// loadTwin looks for a version that was written under the same token.
func (d *draft) loadTwin(r store.Reader, token secret.VersionID) error {
	_, v, err := r.Secrets(d.tenant.ID).Find(d.old.Name, store.Selector{ID: token}, d.session.caller.principal)
	if errors.Is(err, store.ErrAbsent) {
		return nil
	}
	d.twin = v
	return err
}

// repeat answers a write whose token is known: the stored version is opened,
// and compared in constant time. A value that was to be made is the stored one.
func (d *draft) repeat(p Put) (Written, error) {
	if p.Value == nil {
		return writtenOf(d.old, d.twin), nil
	}
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
		ID: sec.ID, Name: sec.Name, Version: v.Number, VersionID: v.ID,
		Labels: labelsOf(sec, v.Number), Made: v.Created, NextRotation: sec.NextRotation,
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

// commit decides again within the transaction, and stores the sealed version.
func (s *Session) commit(ctx context.Context, e audit.Entry, d *draft, p Put) (Written, error) {
	var w Written
	err := s.vault.change(ctx, e, func(tx store.Tx, e *audit.Entry) error {
		now := &draft{session: s, name: d.name, rotate: d.rotate}
		err := now.load(tx, p)
		if err == nil {
			err = now.adopt(d)
		}
		if err != nil {
			return err
		}
		e.Action = writeAction(d.rotate, now.old)
		sec, err := now.store(tx, e, p)
		if errors.Is(err, store.ErrStale) || errors.Is(err, store.ErrTaken) || errors.Is(err, store.ErrAbsent) {
			return errRetry
		}
		if err != nil {
			return err
		}
		w = writtenOf(sec, now.version)
		w.Created = now.old == nil
		return nil
	})
	return settled(w, err)
}

// adopt takes over the version that d has sealed, if the seal fits what the
// transaction has found.
func (d *draft) adopt(sealed *draft) error {
	if d.old == nil && sealed.old == nil {
		d.secret = sealed.secret // drawn at random each time
	}
	if d.twin != nil || d.tenant.ID != sealed.tenant.ID || d.tenant.Key != sealed.tenant.Key ||
		d.secret != sealed.secret || d.meta.Algorithm != sealed.meta.Algorithm {
		return errRetry
	}
	v := *sealed.version
	d.version = &v
	return nil
}

// store writes the version and moves the labels.
func (d *draft) store(tx store.Tx, e *audit.Entry, p Put) (*store.Secret, error) {
	now := d.session.vault.now()
	sec, err := d.next(now, p)
	if err != nil {
		return nil, err
	}
	v := d.version
	v.Number, v.Created = sec.Last, now
	e.Version, e.NewVersion, e.Detail = v.Number.String(), v.Number.String(), labelsIn(labelsOf(sec, v.Number))
	edit := tx.EditSecrets(d.tenant.ID)
	if d.old == nil {
		sec.Created = e.Timestamp // no later: an event is of the secret that was there at its time
		return sec, errors.Join(edit.Create(sec), edit.AddVersion(sec.ID, v))
	}
	e.OldVersion = versionText(d.old.Labels[secret.Current])
	if err := edit.AddVersion(sec.ID, v); err != nil {
		return nil, err
	}
	if err := prune(tx, d.tenant.ID, sec, now); err != nil {
		return nil, err
	}
	if p.within != nil {
		err = p.within(tx, d.tenant, sec, e)
	} else {
		err = reschedule(tx, d.tenant, sec, now)
	}
	if err != nil {
		return nil, err
	}
	return sec, edit.Update(sec)
}

// next is the secret's row with the new version and its labels.
func (d *draft) next(now time.Time, p Put) (*store.Secret, error) {
	sec := &store.Secret{ID: d.secret, Name: d.name, Created: now}
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
	if err := p.label(sec); err != nil {
		return nil, err
	}
	if p.Amend != nil {
		sec.AWS = sec.AWS.Clone()
		p.Amend(&sec.AWS)
	}
	sec.Changed, sec.LastRotated = later(sec, now), now
	sec.NextRotation = d.meta.RotationInterval.Next(now)
	return sec, nil
}

// label puts the new version's labels on it.
func (p Put) label(sec *store.Secret) error {
	before := labelsUsed(sec)
	if p.Labels == nil || sec.Labels[secret.Current] == 0 {
		moveCurrent(sec.Labels, sec.Last)
	}
	for _, l := range p.Labels {
		if l == secret.Current {
			moveCurrent(sec.Labels, sec.Last)
			continue
		}
		sec.Labels[l] = sec.Last
	}
	if used := labelsUsed(sec); used > before && used > secret.MaxLabels {
		return errLabels
	}
	return nil
}

// later is the time of a change of a secret: now, but later than the change
// before it, also within a millisecond and when the clock goes back.
func later(sec *store.Secret, now time.Time) time.Time {
	if next := sec.Changed.Add(time.Millisecond); now.Before(next) {
		return next
	}
	return now
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
