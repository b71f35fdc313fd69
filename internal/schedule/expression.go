package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	maxExpression = 256 // bytes of an expression, AWS's limit
	maxRateDays   = 999 // AWS's longest rate
	hoursOfDay    = 24
	hourlyWindow  = time.Hour // of a schedule in hours that names no duration
)

// Error is an expression or a duration that breaks a rule. Field is
// "schedule" or "duration".
type Error struct{ Field, Rule string }

// Error returns the field and the rule.
func (e *Error) Error() string { return e.Field + ": " + e.Rule }

func badSchedule(format string, args ...any) error {
	return &Error{"schedule", fmt.Sprintf(format, args...)}
}

func badDuration(format string, args ...any) error {
	return &Error{"duration", fmt.Sprintf(format, args...)}
}

// Schedule opens rotation windows. The zero Schedule opens none; make one with
// Parse. It is a value and safe for concurrent use.
type Schedule struct {
	expression string
	opener     opener
	duration   time.Duration // zero: until midnight
}

// opener says when windows open.
type opener interface {
	// next returns the first opening after t, which is in UTC; zero if there is none.
	next(t time.Time) time.Time
	// gap is the least time between two openings.
	gap() time.Duration
	// hourly reports whether windows open more often than once a day.
	hourly() bool
	// latest is the latest time of day at which a window opens.
	latest() time.Duration
}

// Parse reads rate(N hours), rate(N days) or cron(…) with AWS's six fields:
// minutes, hours, day of month, month, day of week, year. Duration is how long
// windows stay open, such as "3h"; if it is empty they close after an hour for
// a schedule in hours, else at the end of the UTC day. A window may reach
// neither the next one nor, unless the rate is in hours, the next UTC day. No
// two windows may open within less than minGap. Errors are of type *Error.
func Parse(expression, duration string, minGap time.Duration) (Schedule, error) {
	if len(expression) > maxExpression {
		return Schedule{}, badSchedule("at most %d characters", maxExpression)
	}
	opener, err := parseOpener(expression)
	if err != nil {
		return Schedule{}, err
	}
	if opener.gap() < minGap {
		return Schedule{}, badSchedule("windows open at most every %v", minGap)
	}
	s := Schedule{expression: expression, opener: opener}
	if s.duration, err = windowOf(opener, duration); err != nil {
		return Schedule{}, err
	}
	return s, nil
}

func parseOpener(expression string) (opener, error) {
	inner, closed := strings.CutSuffix(expression, ")")
	kind, body, opened := strings.Cut(inner, "(")
	switch {
	case opened && closed && kind == "rate":
		return parseRate(body)
	case opened && closed && kind == "cron":
		return parseCron(body)
	}
	return nil, badSchedule("rate(N hours), rate(N days) or cron(minutes hours day-of-month month day-of-week year)")
}

// windowOf checks a duration against the schedule that it belongs to.
func windowOf(o opener, duration string) (time.Duration, error) {
	if duration == "" {
		if o.hourly() {
			return min(hourlyWindow, o.gap(), day-o.latest()), nil
		}
		return 0, nil
	}
	digits, ok := strings.CutSuffix(duration, "h")
	hours, err := strconv.ParseUint(digits, 10, 8)
	if !ok || err != nil || hours < 1 || hours > hoursOfDay || len(digits) > 2 {
		return 0, badDuration("1h to 24h")
	}
	d := time.Duration(hours) * time.Hour
	if d > o.gap() {
		return 0, badDuration("the window reaches into the next one, which may open %v later", o.gap())
	}
	if _, isRate := o.(rate); (!isRate || !o.hourly()) && o.latest()+d > day {
		return 0, badDuration("the window reaches into the next UTC day")
	}
	return d, nil
}

// IsZero reports whether s is the zero Schedule.
func (s Schedule) IsZero() bool { return s.opener == nil }

// String returns the expression as it was written.
func (s Schedule) String() string { return s.expression }

// Window returns the first window that opens after t: it is open from opens,
// inclusive, to closes, exclusive. Both are zero when no window opens any more.
func (s Schedule) Window(t time.Time) (opens, closes time.Time) {
	if s.IsZero() {
		return time.Time{}, time.Time{}
	}
	if opens = s.opener.next(t.UTC()); opens.IsZero() {
		return opens, opens
	}
	if s.duration == 0 {
		return opens, opens.Truncate(day).Add(day)
	}
	return opens, opens.Add(s.duration)
}

// Next returns when a secret that was last rotated at t is due: its place in
// the first window that opens after t, to the second. It is the zero time when
// no window opens any more.
func (s Schedule) Next(t time.Time, p Place) time.Time {
	opens, closes := s.Window(t)
	seconds := uint64(closes.Sub(opens) / time.Second)
	if seconds == 0 {
		return opens
	}
	return opens.Add(time.Duration(uint64(p)%seconds) * time.Second)
}

// Covers reports whether a window is open at t.
func (s Schedule) Covers(t time.Time) bool {
	longest := s.duration
	if longest == 0 {
		longest = day
	}
	opens, closes := s.Window(t.Add(-longest))
	for !opens.IsZero() && !opens.After(t) {
		if t.Before(closes) {
			return true
		}
		opens, closes = s.Window(opens)
	}
	return false
}

// Place is where in its windows a secret is rotated.
type Place uint64

// PlaceOf derives a place from a secret's identity, evenly over all secrets.
func PlaceOf(tenant, secret [16]byte) Place {
	sum := sha256.Sum256(append(tenant[:], secret[:]...))
	return Place(binary.BigEndian.Uint64(sum[:]))
}
