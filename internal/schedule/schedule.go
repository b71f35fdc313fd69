// Package schedule knows when a secret is to be rotated next: after a fixed
// interval, or in the windows that a rate or cron expression opens, in the
// form that AWS Secrets Manager publishes.
//
// Everything is pure: a time goes in, a time comes out, both in UTC. The place
// of a secret within a window is derived from its identity, so that it is told
// in advance and a thousand tenants with one schedule do not rotate in one
// second. Start with Interval and Parse.
package schedule

import "time"

// Interval is one of the fixed rotation intervals, in its written form.
type Interval string

// The intervals. Default is what a secret gets that names none.
const (
	Every7d   Interval = "7d"
	Every30d  Interval = "30d"
	Every90d  Interval = "90d"
	Every180d Interval = "180d"
	Every365d Interval = "365d"
	Default            = Every90d
)

const day = 24 * time.Hour

var days = map[Interval]int{Every7d: 7, Every30d: 30, Every90d: 90, Every180d: 180, Every365d: 365}

// Valid reports whether i is one of the intervals.
func (i Interval) Valid() bool { return days[i] != 0 }

// Next returns when a secret that was last rotated at t is due, in UTC. A day
// is 24 hours. An invalid interval returns the zero time.
func (i Interval) Next(t time.Time) time.Time {
	n, ok := days[i]
	if !ok {
		return time.Time{}
	}
	return t.UTC().Add(time.Duration(n) * day)
}
