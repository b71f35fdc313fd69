package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"fastness/internal/secret"
)

// StateRetired is passed by a finished rotation whose old credential was then
// revoked on the target.
const StateRetired State = "retired"

// retire revokes the credential that the last rotation has replaced, if nobody
// holds it any more, or nobody may.
func (r *run) retire(ctx context.Context) error {
	ready, err := r.taken.Retirable(ctx)
	switch {
	case errors.Is(err, secret.ErrNotFound):
		return r.taken.DropRetirement(ctx)
	case err != nil:
		return err
	case !ready:
		return r.taken.Postpone(ctx, time.Time{})
	}
	defer r.releaseJob()
	err = r.revoke(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		return r.retired(ctx)
	}
	failure := asOf(Record{Class: ClassOf(err), Detail: detailOf(err)})
	again, serr := r.taken.RetireFailed(ctx, failure)
	var cause error
	if e, ok := asError(err); ok {
		cause = e.Cause
	}
	r.log.Log(ctx, slog.LevelWarn, "revoking the old credential failed", "class", string(ClassOf(err)), "detail", detailOf(err), "nextAttempt", again, "cause", cause)
	return serr
}

// revoke has the target accept the old credential no more.
func (r *run) revoke(ctx context.Context) (err error) {
	if r.rotator, err = r.parse(); err != nil {
		return err
	}
	retirer, ok := r.rotator.(Retirer)
	if !ok {
		return misconfigured("retireAfter", "the rotator cannot revoke a credential")
	}
	r.job = &Job{SecretID: string(r.taken.Name), Lookup: r.taken.Lookup, Confirm: r.held.renew}
	if r.job.Current, err = r.taken.Open(ctx, r.taken.CurrentAt); err != nil {
		return err
	}
	if r.job.Previous, err = r.taken.Open(ctx, r.taken.Retiring.Old); err != nil {
		return err
	}
	if err := r.held.ensure(ctx); err != nil {
		return err
	}
	return retirer.Retire(ctx, r.job)
}

// retired notes in the record of the last rotation that its old credential was
// revoked.
func (r *run) retired(ctx context.Context) error {
	var record Record
	if len(r.taken.History) > 0 {
		if err := json.Unmarshal(r.taken.History[0], &record); err != nil {
			return err
		}
	}
	record.Passed = append(record.Passed, Passed{StateRetired, r.worker.now().UTC()})
	r.log.InfoContext(ctx, "rotation retired")
	return r.taken.Retired(ctx, record)
}
