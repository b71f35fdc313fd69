package vault

import (
	"context"
	"time"

	"fastness/internal/store"
)

// RotationStats are figures of all secrets that rotate by themselves.
type RotationStats struct {
	Due     int64 // that the worker is to look at now
	Overdue int64 // due for more than OverdueAfter, stuck ones too, paused ones not
	Stuck   int64
	Oldest  time.Time // since when the oldest overdue one is due; zero if there is none
}

// longestRetry is at least how long a rotation waits that has failed.
const longestRetry = time.Hour

// RotationStats returns figures for the metrics: by an index, of what is due,
// fails or is stuck, however many others there are.
func (v *Vault) RotationStats(ctx context.Context) (RotationStats, error) {
	var s RotationStats
	now := v.now()
	began, ever := time.UnixMilli(0), workStuck
	err := v.store.View(ctx, func(r store.Reader) (err error) {
		if s.Due, _, err = r.Tenants().WorkLoad(began, now, ever); err != nil {
			return err
		}
		if s.Stuck, _, err = r.Tenants().WorkLoad(workPaused, workStuck, ever); err != nil {
			return err
		}
		failing, since, err := r.Tenants().WorkLoad(began, now.Add(longestRetry), now.Add(-OverdueAfter))
		if err != nil {
			return err
		}
		stuck, stuckSince, err := r.Tenants().WorkLoad(workPaused, workStuck, now.Add(-OverdueAfter))
		s.Overdue, s.Oldest = failing+stuck, since
		if since.IsZero() || !stuckSince.IsZero() && stuckSince.Before(since) {
			s.Oldest = stuckSince
		}
		return err
	})
	return settled(s, v.answer(err))
}
