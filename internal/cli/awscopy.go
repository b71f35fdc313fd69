package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"

	"fastness/client"
	"fastness/internal/schedule"
	"fastness/internal/secret"
)

// What became of a secret that was to be copied.
const (
	copyCreated   = "created"
	copyUpdated   = "updated"
	copyUnchanged = "unchanged"
	copySkipped   = "skipped"
	copyFailed    = "failed"
)

// What is done about a name that is taken by a secret of the tenant's own.
const (
	conflictFail   = "fail"
	conflictSkip   = "skip"
	conflictUpdate = "update"
)

// copied is what became of one secret.
type copied struct {
	Name     string `json:"name"`
	Source   string `json:"source"`
	Outcome  string `json:"outcome"`
	Versions int    `json:"versions"`          // stored now, or to be stored
	Rotation string `json:"rotation,omitzero"` // the source's schedule, which need not be one of ours
	Reason   string `json:"reason,omitzero"`
}

// awsCopy copies secrets of a source into a tenant. There is no state but what is
// in the tenant: a version that is there, by its id, is not read again, so that
// the same copy, run again, goes on where it stopped and then keeps both in step.
type awsCopy struct {
	source     *awsSource
	target     *client.Session
	prefix     string
	conflict   string
	deprecated bool // versions without labels too
	dryRun     bool
}

// twin is the secret in the tenant that one of the source's goes to.
type twin struct {
	exists bool
	info   client.Info
	number map[client.VersionID]client.Version
}

// one copies a secret. A fault of that secret alone is its outcome, not an error.
func (c *awsCopy) one(ctx context.Context, s awsSecret) (copied, error) {
	done := copied{Name: c.prefix + s.name, Source: s.arn, Rotation: s.schedule()}
	err := c.copy(ctx, s, &done)
	if own(err) {
		done.Outcome, done.Reason, err = copyFailed, err.Error(), nil
	}
	return done, err
}

// own reports whether an error is of one secret, so that others may do better.
func own(err error) bool {
	for _, is := range []error{secret.ErrInvalid, secret.ErrLimit, secret.ErrExists, secret.ErrConflict, secret.ErrDeleted,
		secret.ErrAccessDenied, secret.ErrMFARequired, secret.ErrNotFound, secret.ErrDecryption} {
		if errors.Is(err, is) {
			return true
		}
	}
	var refused *awsError
	return errors.As(err, &refused) && !refused.stranger()
}

func (c *awsCopy) copy(ctx context.Context, s awsSecret, done *copied) error {
	name, err := secret.ParseNativeName(done.Name)
	if err != nil {
		return err
	}
	versions, err := c.source.versions(ctx, s.arn)
	if err != nil {
		return err
	}
	t, err := c.find(ctx, name)
	if err != nil {
		return err
	}
	if done.Outcome, done.Reason = c.obstacle(versions, t); done.Outcome != "" {
		return nil
	}
	changes, err := c.bring(ctx, name, s, versions, &t, done)
	switch {
	case err != nil:
		return err
	case !t.exists:
		done.Outcome = copyCreated
	case changes:
		done.Outcome = copyUpdated
	default:
		done.Outcome = copyUnchanged
	}
	return nil
}

// find looks for the secret in the tenant, and which versions it has.
func (c *awsCopy) find(ctx context.Context, name client.Name) (twin, error) {
	t := twin{number: map[client.VersionID]client.Version{}}
	info, err := c.target.Describe(ctx, name)
	if errors.Is(err, secret.ErrNotFound) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	t.exists, t.info = true, info
	next := func(cursor string) (client.Page[client.VersionInfo], error) {
		return c.target.Versions(ctx, name, secret.MaxPage, cursor)
	}
	for v, err := range client.Each(next) {
		if err != nil {
			return t, err
		}
		t.number[v.ID] = v.Version
	}
	return t, nil
}

// obstacle says what becomes of a secret that is not copied, and why; nothing if
// it is.
func (c *awsCopy) obstacle(versions []awsVersion, t twin) (outcome, why string) {
	isCurrent := func(v awsVersion) bool { return slices.Contains(v.labels, secret.Current) }
	isTwins := func(v awsVersion) bool { return v.id == t.info.VersionID }
	conflict := copyFailed
	if c.conflict == conflictSkip {
		conflict = copySkipped
	}
	switch {
	case !slices.ContainsFunc(versions, isCurrent):
		return copySkipped, "no version of it has AWSCURRENT"
	case t.exists && !t.info.Deletion.IsZero():
		return conflict, "the tenant has it in its recovery window; restore or purge that first"
	case t.exists && c.conflict != conflictUpdate && !slices.ContainsFunc(versions, isTwins):
		return conflict, "the tenant has a secret of that name whose current version is not from there"
	}
	return "", ""
}

// bring stores what is missing, then puts labels and metadata as the source has
// them. It reports whether that changed anything.
func (c *awsCopy) bring(ctx context.Context, name client.Name, s awsSecret, versions []awsVersion, t *twin, done *copied) (changes bool, err error) {
	missing := slices.DeleteFunc(slices.Clone(versions), func(v awsVersion) bool {
		return t.number[v.id] != 0 || len(v.labels) == 0 && !c.deprecated
	})
	patch := s.patch(t.info.Metadata)
	if c.dryRun {
		done.Versions = len(missing)
		return len(missing) > 0 || !patch.IsZero() || len(moves(versions, *t)) > 0, nil
	}
	created := !t.exists
	for i, v := range missing {
		put := client.Put{Token: v.id, Labels: v.labels, IfAbsent: created && i == 0}
		if put.IfAbsent {
			put.Patch, patch = patch, client.Patch{}
		}
		w, err := c.store(ctx, name, s.arn, put)
		if err != nil {
			return changes, err
		}
		changes, t.number[v.id] = true, w.Version
		done.Versions++
	}
	labelled, err := c.label(ctx, name, versions, *t)
	if err != nil || patch.IsZero() {
		return changes || labelled, err
	}
	_, err = c.target.Update(ctx, name, patch)
	return true, err
}

// store copies one version.
func (c *awsCopy) store(ctx context.Context, name client.Name, arn string, put client.Put) (client.Written, error) {
	value, kind, err := c.source.value(ctx, arn, put.Token)
	if err != nil {
		return client.Written{}, err
	}
	defer value.Release()
	put.Value, put.Kind = value, kind
	return c.target.Put(ctx, name, put)
}

// label puts the labels where the source has them.
func (c *awsCopy) label(ctx context.Context, name client.Name, versions []awsVersion, t twin) (moved bool, err error) {
	for range 2 * secret.MaxLabels { // more than it takes, unless somebody else moves them too
		if t.info, err = c.target.Describe(ctx, name); err != nil {
			return moved, err
		}
		left := moves(versions, t)
		if len(left) == 0 {
			return moved, nil
		}
		// One at a time: AWSPREVIOUS follows AWSCURRENT by itself.
		if _, err := c.target.MoveLabel(ctx, name, left[0]); err != nil {
			return moved, err
		}
		moved = true
	}
	return moved, secret.Conflict("somebody else moves its labels")
}

// moves are the labels that are elsewhere than in the source.
// Those of the tenant's own versions, which the source does not know, stay.
func moves(versions []awsVersion, t twin) (out []client.Move) {
	want := map[client.Label]client.Version{}
	theirs := map[client.Version]bool{}
	for _, v := range versions {
		if n := t.number[v.id]; n != 0 {
			theirs[n] = true
			for _, l := range v.labels {
				want[l] = n
			}
		}
	}
	for _, l := range slices.Sorted(maps.Keys(want)) { // AWSCURRENT stands before AWSPREVIOUS
		if from := t.info.Labels[l]; from != want[l] {
			out = append(out, client.Move{Label: l, To: want[l], From: &from})
		}
	}
	for _, l := range slices.Sorted(maps.Keys(t.info.Labels)) {
		if from := t.info.Labels[l]; want[l] == 0 && theirs[from] && l != secret.Current {
			out = append(out, client.Move{Label: l, From: &from})
		}
	}
	return out
}

// patch is what of the metadata differs from the source's.
func (s awsSecret) patch(have client.Metadata) (p client.Patch) {
	if s.description != have.Description {
		p.Description = &s.description
	}
	if !maps.Equal(s.tags, have.Tags) {
		p.Tags = s.tags
	}
	if required := s.rotation != nil; required != have.RotationRequired {
		p.RotationRequired = &required
	}
	if i := s.interval(); i != "" && i != have.RotationInterval {
		p.RotationInterval = &i
	}
	return p
}

// interval is the longest of ours that is no longer than the source's; empty if
// that does not count days.
func (s awsSecret) interval() client.Interval {
	days := s.days()
	for _, i := range []struct {
		days int64
		is   client.Interval
	}{{365, schedule.Every365d}, {180, schedule.Every180d}, {90, schedule.Every90d}, {30, schedule.Every30d}, {1, schedule.Every7d}} {
		if days >= i.days {
			return i.is
		}
	}
	return ""
}

// schedule is the source's own word for when the secret rotates.
func (s awsSecret) schedule() string {
	if s.rotation == nil {
		return ""
	}
	if n := s.rotation.AutomaticallyAfterDays; n != nil {
		return fmt.Sprintf("rate(%d days)", *n)
	}
	return aws.ToString(s.rotation.ScheduleExpression)
}

// days is how often a secret rotates, if its rules count days; else 0.
func (s awsSecret) days() int64 {
	if s.rotation == nil {
		return 0
	}
	if n := s.rotation.AutomaticallyAfterDays; n != nil {
		return *n
	}
	var days int64
	if _, err := fmt.Sscanf(aws.ToString(s.rotation.ScheduleExpression), "rate(%d day", &days); err != nil {
		return 0
	}
	return days
}
