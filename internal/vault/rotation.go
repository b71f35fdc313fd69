package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/schedule"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

const (
	// rotationKind is the kind of the documents that hold Rotations, with the
	// secret's id for theirs.
	rotationKind = "rotation"
	// MaxUses is how many other secrets a rotation may look up.
	MaxUses = 10
	// OverdueAfter is how long a secret may be due before somebody should look.
	OverdueAfter = time.Hour
)

// When the worker looks at secrets that rotate by themselves, but not now: it
// never gets there. All others have no such time at all.
var (
	workPaused = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	workStuck  = time.Date(9999, 1, 2, 0, 0, 0, 0, time.UTC)
)

// RotationPolicy is how a secret is rotated by itself.
type RotationPolicy struct {
	Rotator  string          `json:"rotator"`           // empty: the name decides
	Config   json.RawMessage `json:"config,omitempty"`  // of the rotator; it was checked
	Schedule string          `json:"schedule,omitzero"` // empty: the secret's interval
	Duration string          `json:"duration,omitzero"`
	// Uses are the secrets that the rotator may look up. Whoever set the policy
	// could read them.
	Uses   []secret.Name `json:"uses,omitempty"`
	Paused bool          `json:"paused,omitzero"`
	// RetireAfter is the longest that an old credential stays valid on the target
	// after a rotation, if the rotator can revoke it: until every principal that
	// had read it has read a newer version. Empty: for as long as the target has it.
	RetireAfter string `json:"retireAfter,omitzero"`

	// Check, if set, is given the secret's current value once the caller of
	// SetRotation is known to be allowed; nil if there is none. Its error refuses
	// the policy. It returns the secrets, by name or ARN, that the rotator will
	// look up besides Uses.
	Check func(current *secretbuf.Buffer) (uses []string, err error) `json:"-"`
	// Amend, if set, changes what the AWS protocol keeps of the secret, in the
	// same transaction. Its error refuses the policy. It may be called more than once.
	Amend func(*secret.AWS) error `json:"-"`
}

// Rotation is a secret's policy with the journal of its rotations. The
// journal's records are the worker's: nobody else knows what is in them.
type Rotation struct {
	Name    secret.Name       `json:"name"`
	Policy  RotationPolicy    `json:"policy"`
	Active  bool              `json:"active,omitzero"` // Journal is of a rotation that is not over
	Asked   bool              `json:"asked,omitzero"`  // somebody wants one now
	Stuck   bool              `json:"stuck,omitzero"`  // the one under way is given up until somebody asks
	Token   secret.VersionID  `json:"token,omitzero"`  // that the next pending version is to have; empty for one made then
	Journal json.RawMessage   `json:"journal,omitempty"`
	History []json.RawMessage `json:"history,omitempty"` // of those that are over, newest first
	// Retiring is the old credential that the last rotation left, until it is
	// revoked; nil if it is not to be.
	Retiring *Retirement `json:"retiring,omitempty"`

	LastRotated  time.Time `json:"-"`
	NextRotation time.Time `json:"-"` // when it is due by its policy
	Overdue      bool      `json:"-"` // it has been due for more than OverdueAfter
}

// errNoRotation is a secret that does not rotate by itself.
var errNoRotation = &secret.Error{Code: secret.ErrNotFound.Code, Detail: "the secret does not rotate by itself; set a rotation first"}

// SetRotation has a secret rotate by itself, or changes how. A schedule that is
// one of the intervals becomes the secret's. Whether rotations are paused, and
// one that is under way, stay as they are. The rotator's config is the caller's
// to check.
func (s *Session) SetRotation(ctx context.Context, name secret.Name, p RotationPolicy) (Rotation, error) {
	uses, err := s.checkCurrent(ctx, name, p.Check)
	for _, ref := range uses {
		p.Uses = append(slices.Clip(p.Uses), nameIn(ref))
	}
	slices.Sort(p.Uses)
	p.Uses = slices.Compact(p.Uses)
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return Rotation{}, s.Refused(ctx, audit.Update, name, err)
	}
	return s.editRotation(ctx, audit.Update, policy.Update, name, rotationSet, func(tx store.Tx, t *store.Tenant, sec *store.Secret, d *rotationRow) error {
		for _, used := range p.Uses {
			other, err := s.load(tx, t, policy.Read, used)
			if err != nil || !other.Deletion.IsZero() {
				return secret.Invalid("uses", "names of secrets that the caller may read")
			}
		}
		quotas, err := s.vault.quotas(tx, t.ID)
		if err != nil {
			return err
		}
		if err := p.checkSchedule(quotas.RotationGap()); err != nil {
			return err
		}
		aws := sec.AWS.Clone()
		if p.Amend != nil {
			if err := p.Amend(&aws); err != nil {
				return err
			}
		}
		sec.AWS = aws
		next := p
		if interval := schedule.Interval(p.Schedule); interval.Valid() {
			sec.Metadata.RotationInterval, next.Schedule = interval, ""
		}
		next.Paused, next.Check, next.Amend = d.Policy.Paused || p.Paused, nil, nil
		if next.RetireAfter == "" {
			d.Retiring = nil
		}
		d.Name, d.Policy = name, next
		return nil
	})
}

// checkCurrent opens the secret's current value for check. What it finds out
// about the caller, the transaction decides again.
func (s *Session) checkCurrent(ctx context.Context, name secret.Name, check func(*secretbuf.Buffer) ([]string, error)) ([]string, error) {
	if check == nil {
		return nil, nil
	}
	var f found
	err := s.vault.store.View(ctx, func(r store.Reader) (err error) {
		f.key.release() // of a run that failed
		f = found{}
		if f.tenant, err = s.active(r); err != nil {
			return err
		}
		if _, err = s.load(r, f.tenant, policy.Update, name); err != nil {
			return err
		}
		f.secret, f.version, err = r.Secrets(f.tenant.ID).Find(name, store.Selector{}, s.caller.principal)
		if errors.Is(err, store.ErrAbsent) {
			return nil
		}
		if err != nil {
			return err
		}
		f.key, err = s.vault.key(r, f.tenant.ID, f.version.Key, f.version.Algorithm)
		return err
	})
	defer f.key.release()
	if err != nil {
		return nil, s.vault.answer(err)
	}
	if f.version == nil {
		return check(nil)
	}
	value, err := f.open()
	if err != nil {
		return nil, err
	}
	defer value.Release()
	return check(value)
}

func (p RotationPolicy) check() error {
	if len(p.Uses) > MaxUses {
		return secret.Limited("uses", fmt.Sprintf("at most %d secrets", MaxUses))
	}
	if _, err := p.retireAfter(); err != nil {
		return err
	}
	if !p.windows() && p.Duration != "" {
		return secret.Invalid("duration", "it belongs to a schedule with windows")
	}
	return p.checkSchedule(0)
}

// windows reports whether the schedule is an expression that opens windows.
func (p RotationPolicy) windows() bool {
	return p.Schedule != "" && !schedule.Interval(p.Schedule).Valid()
}

// checkSchedule checks an expression, and that its windows open no closer than
// the gap, which is the tenant's.
func (p RotationPolicy) checkSchedule(gap time.Duration) error {
	if !p.windows() {
		return nil
	}
	_, err := schedule.Parse(p.Schedule, p.Duration, gap)
	var broken *schedule.Error
	if errors.As(err, &broken) {
		return secret.Invalid(broken.Field, broken.Rule)
	}
	return err
}

// Rotation tells how a secret rotates by itself; secret.ErrNotFound if it does not.
func (s *Session) Rotation(ctx context.Context, name secret.Name) (Rotation, error) {
	var found Rotation
	err := s.look(ctx, audit.Describe, name, func(r store.Reader, t *store.Tenant) error {
		sec, err := s.load(r, t, policy.Describe, name)
		if err != nil {
			return err
		}
		d, err := readRotation(r, t.ID, sec.ID)
		if errors.Is(err, store.ErrAbsent) {
			return errNoRotation
		}
		if err == nil {
			found = d.told(sec, s.vault.now())
		}
		return err
	})
	return settled(found, err)
}

// told is the rotation with what its secret says.
func (d *rotationRow) told(sec *store.Secret, now time.Time) Rotation {
	r := d.Rotation
	r.Name, r.LastRotated, r.NextRotation = sec.Name, sec.LastRotated, sec.NextRotation
	r.Overdue = !r.Policy.Paused && now.Sub(sec.NextRotation) > OverdueAfter
	return r
}

// AskRotation has a secret rotate now, or a rotation that waits go on now. One
// that is stuck is repaired: it ends with the credential that works. The
// worker does it, soon after the answer.
func (s *Session) AskRotation(ctx context.Context, name secret.Name) (Rotation, error) {
	return s.AskRotationAs(ctx, name, "")
}

// AskRotationAs is AskRotation with the id that the new version is to have, unless
// a rotation is under way; empty for any.
func (s *Session) AskRotationAs(ctx context.Context, name secret.Name, id secret.VersionID) (Rotation, error) {
	return s.changeRotation(ctx, name, "rotation asked for", func(r *Rotation) error {
		if r.Policy.Paused {
			return secret.Conflict("the rotation is paused; resume it first")
		}
		r.Asked = true
		if !r.Active {
			r.Token = id
		}
		return nil
	})
}

// RepairRotation is AskRotation for a rotation that is stuck, and for no other.
func (s *Session) RepairRotation(ctx context.Context, name secret.Name) (Rotation, error) {
	return s.changeRotation(ctx, name, "rotation repair asked for", func(r *Rotation) error {
		switch {
		case !r.Stuck:
			return secret.Conflict("no rotation of the secret is stuck")
		case r.Policy.Paused:
			return secret.Conflict("the rotation is paused; resume it first")
		}
		r.Asked = true
		return nil
	})
}

// RemoveRotation ends that a secret rotates by itself, and drops the journal.
// One that is under way must end first, unless it is stuck: its pending version
// then keeps its label.
func (s *Session) RemoveRotation(ctx context.Context, name secret.Name) error {
	return s.edit(ctx, audit.Update, name, func(tx store.Tx, t *store.Tenant, e *audit.Entry) error {
		e.Detail = "rotation removed"
		sec, err := s.load(tx, t, policy.Update, name)
		if err != nil {
			return err
		}
		d, err := readRotation(tx, t.ID, sec.ID)
		switch {
		case errors.Is(err, store.ErrAbsent):
			return errNoRotation
		case err != nil:
			return err
		case d.Active && !d.Stuck:
			return secret.Conflict("a rotation is under way; wait for its end")
		}
		if err := dropRotation(tx, t.ID, sec.ID); err != nil {
			return err
		}
		now := s.vault.now()
		sec.WorkAt, sec.NextRotation = time.Time{}, sec.Metadata.RotationInterval.Next(sec.LastRotated)
		sec.Changed = later(sec, now)
		return stale(tx.EditSecrets(t.ID).Update(sec))
	})
}

// PauseRotation stops a secret's rotations, one under way too, until
// ResumeRotation.
func (s *Session) PauseRotation(ctx context.Context, name secret.Name) (Rotation, error) {
	return s.changeRotation(ctx, name, "rotation paused", func(r *Rotation) error {
		r.Policy.Paused = true
		return nil
	})
}

// ResumeRotation ends PauseRotation: what was under way goes on.
func (s *Session) ResumeRotation(ctx context.Context, name secret.Name) (Rotation, error) {
	return s.changeRotation(ctx, name, "rotation resumed", func(r *Rotation) error {
		r.Policy.Paused = false
		return nil
	})
}

// changeRotation changes the rotation of a secret that has one.
func (s *Session) changeRotation(ctx context.Context, name secret.Name, detail string, f func(*Rotation) error) (Rotation, error) {
	return s.editRotation(ctx, audit.Rotate, policy.Rotate, name, detail, func(_ store.Tx, _ *store.Tenant, _ *store.Secret, d *rotationRow) error {
		if d.document.Created.IsZero() {
			return errNoRotation
		}
		return f(&d.Rotation)
	})
}

func (s *Session) editRotation(ctx context.Context, a audit.Action, may policy.Action, name secret.Name, detail string,
	f func(store.Tx, *store.Tenant, *store.Secret, *rotationRow) error) (Rotation, error) {
	var changed Rotation
	due := false // there is something to do at once
	err := s.edit(ctx, a, name, func(tx store.Tx, t *store.Tenant, e *audit.Entry) error {
		e.Detail = detail
		sec, err := s.load(tx, t, may, name)
		if err != nil {
			return err
		}
		if !sec.Deletion.IsZero() {
			return secret.ErrDeleted
		}
		d, err := readRotation(tx, t.ID, sec.ID)
		if err != nil && !errors.Is(err, store.ErrAbsent) {
			return err
		}
		if err := f(tx, t, sec, d); err != nil {
			return err
		}
		d.schedule(t, sec, s.vault.now())
		changed = d.told(sec, s.vault.now())
		sec.Changed = later(sec, s.vault.now())
		if err := d.write(tx, s.vault.now()); err != nil {
			return err
		}
		due = !sec.WorkAt.After(s.vault.now())
		return stale(tx.EditSecrets(t.ID).Update(sec))
	})
	if err == nil && due {
		s.vault.wakeWorker()
	}
	return settled(changed, err)
}

// rotationRow is a Rotation with the document that holds it.
type rotationRow struct {
	Rotation
	document *store.Document
}

// readRotation reads a secret's rotation; a new one with store.ErrAbsent.
func readRotation(r store.Reader, t secret.TenantID, id secret.ID) (*rotationRow, error) {
	row := &rotationRow{}
	d, err := r.Documents().Document(t, rotationKind, id.String())
	if err != nil {
		row.document = &store.Document{Owner: t, Kind: rotationKind, ID: id.String()}
		return row, err
	}
	row.document = d
	if err := json.Unmarshal(d.Data, &row.Rotation); err != nil {
		return row, fmt.Errorf("reading a rotation: %w", err)
	}
	return row, nil
}

func (d *rotationRow) write(tx store.Tx, now time.Time) (err error) {
	if d.document.Data, err = json.Marshal(d.Rotation); err != nil {
		return fmt.Errorf("writing a rotation: %w", err)
	}
	d.document.Changed = now
	if !d.document.Created.IsZero() {
		return stale(tx.EditDocuments().Update(d.document))
	}
	d.document.Created = now
	return stale(tx.EditDocuments().Create(d.document))
}

// schedule says when the secret is due, and when the worker is to look at it.
func (d *rotationRow) schedule(t *store.Tenant, sec *store.Secret, now time.Time) {
	sec.NextRotation = d.Policy.next(t.ID, sec)
	switch {
	case d.Policy.Paused:
		sec.WorkAt = workPaused
	case d.Stuck && !d.Asked:
		sec.WorkAt = workStuck
	case d.Asked || d.Active:
		sec.WorkAt = now
	default:
		sec.WorkAt = sec.NextRotation
		if d.Retiring != nil && d.Retiring.next(now).Before(sec.WorkAt) {
			sec.WorkAt = d.Retiring.next(now)
		}
	}
}

// next is when a secret is due by its policy.
func (p RotationPolicy) next(t secret.TenantID, sec *store.Secret) time.Time {
	if p.Schedule != "" {
		if s, err := schedule.Parse(p.Schedule, p.Duration, 0); err == nil { // it was checked
			return s.Next(sec.LastRotated, schedule.PlaceOf(t, sec.ID))
		}
	}
	return sec.Metadata.RotationInterval.Next(sec.LastRotated)
}

// due reports whether a secret is due now, and if not, when it is. One that
// missed its window waits for the next.
func (p RotationPolicy) due(t secret.TenantID, sec *store.Secret, now time.Time) (bool, time.Time) {
	next := p.next(t, sec)
	if p.Schedule == "" || now.Before(next) {
		return !now.Before(next), next
	}
	s, err := schedule.Parse(p.Schedule, p.Duration, 0)
	if err != nil || s.Covers(now) {
		return true, next
	}
	return false, s.Next(now, schedule.PlaceOf(t, sec.ID))
}

// reschedule follows a new version that somebody put by hand. A rotation under
// way keeps its time: the worker finds out what the version means for it.
func reschedule(tx store.Tx, t *store.Tenant, sec *store.Secret, now time.Time) error {
	if sec.WorkAt.IsZero() {
		return nil
	}
	d, err := readRotation(tx, t.ID, sec.ID)
	if err != nil {
		return err
	}
	d.schedule(t, sec, now)
	return nil
}

// dropRotation destroys the rotation of a secret that is purged.
func dropRotation(tx store.Tx, t secret.TenantID, id secret.ID) error {
	err := tx.EditDocuments().Delete(t, rotationKind, id.String())
	if errors.Is(err, store.ErrAbsent) {
		return nil
	}
	return err
}

// nameIn is the name that a reference to a secret holds: itself, or that
// within an ARN of this deployment's form.
func nameIn(ref string) secret.Name {
	if arn, ok := strings.CutPrefix(ref, "arn:aws:secretsmanager:"); ok {
		if _, name, ok := strings.Cut(arn, ":secret:"); ok && len(name) > 7 {
			return secret.Name(name[:len(name)-7]) // and six characters after a hyphen
		}
	}
	return secret.Name(ref)
}
