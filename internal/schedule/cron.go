package schedule

import (
	"math/bits"
	"time"
)

// Years that an expression may name, as AWS has them.
const (
	firstYear = 1970
	lastYear  = 2199
)

// cron opens a window at every minute that all of its fields match.
//
// No library reads AWS's form: the well-kept ones count days of the week from
// 0 and not from 1, take a sixth field for seconds, and join the two day fields
// by "or" where AWS demands that one of them is '?'.
type cron struct {
	minutes, hours, months set
	years                  years
	days                   dayRule
	between                time.Duration // least time between two openings
}

// set is a set of small numbers.
type set uint64

func (s set) has(n int) bool { return s>>n&1 != 0 }
func (s set) first() int     { return bits.TrailingZeros64(uint64(s)) }
func (s set) last() int      { return 63 - bits.LeadingZeros64(uint64(s)) }
func (s set) size() int      { return bits.OnesCount64(uint64(s)) }

// years is a set of years; the zero value holds all.
type years map[int]bool

func (y years) has(year int) bool { return len(y) == 0 || y[year] }

func (c *cron) latest() time.Duration {
	return time.Duration(c.hours.last())*time.Hour + time.Duration(c.minutes.last())*time.Minute
}

func (c *cron) first() time.Duration {
	return time.Duration(c.hours.first())*time.Hour + time.Duration(c.minutes.first())*time.Minute
}

func (c *cron) hourly() bool       { return c.hours.size()*c.minutes.size() > 1 }
func (c *cron) gap() time.Duration { return c.between }

// next goes from day to day, and over months and years without a match at once.
func (c *cron) next(t time.Time) time.Time {
	for year := max(t.Year(), firstYear); year <= lastYear; year++ {
		if !c.years.has(year) {
			continue
		}
		for number := time.January; number <= time.December; number++ {
			if !c.months.has(int(number)) {
				continue
			}
			if opens := c.inMonth(monthOf(year, number), t); !opens.IsZero() {
				return opens
			}
		}
	}
	return time.Time{}
}

// inMonth returns the first opening in a month that matches, after t.
func (c *cron) inMonth(m month, t time.Time) time.Time {
	first := 1
	if t.After(m.start) {
		first += int(t.Sub(m.start) / day)
	}
	for d := first; d <= m.length; d++ {
		if !c.days.match(m, d) {
			continue
		}
		if opens := c.within(m.start.Add(time.Duration(d-1)*day), t); !opens.IsZero() {
			return opens
		}
	}
	return time.Time{}
}

// within returns the first opening on a date that matches, after t.
func (c *cron) within(date, t time.Time) time.Time {
	for hour := range hoursOfDay {
		if !c.hours.has(hour) {
			continue
		}
		for minute := range 60 {
			opens := date.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
			if c.minutes.has(minute) && opens.After(t) {
				return opens
			}
		}
	}
	return time.Time{}
}

// leastGap looks at the openings of one day, and across midnight if there are
// two days in a row. It is the longest gap there is, 24 hours, for openings
// that are further apart.
func (c *cron) leastGap() time.Duration {
	least := day
	date := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	before := date.Add(c.first())
	for opens := c.within(date, before); !opens.IsZero(); opens = c.within(date, before) {
		least = min(least, opens.Sub(before))
		before = opens
	}
	if across := day - c.latest() + c.first(); across < least && c.hasNeighbours() {
		least = across
	}
	return least
}

// hasNeighbours reports whether two days in a row ever match.
func (c *cron) hasNeighbours() bool {
	for t := (time.Time{}); ; {
		opens := c.next(t)
		if opens.IsZero() {
			return false
		}
		morrow := opens.Truncate(day).Add(day)
		if c.next(morrow.Add(-1)).Truncate(day).Equal(morrow) {
			return true
		}
		t = morrow
	}
}
