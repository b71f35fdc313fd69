package schedule

import "time"

// dayRule says which days of a month match: by the day of the month or by the
// day of the week, whichever field is not '?'.
type dayRule struct {
	monthDays   set  // 1 to 31
	lastDay     bool // L
	lastWorkday bool // LW
	workdays    set  // nW: the workday nearest to the nth

	weekDays set    // 0 is Sunday, as in package time
	lastWeek set    // nL: the last such day of the month
	nth      [6]set // n#k: the kth such day of the month
}

// month is what the rules need to know of a month.
type month struct {
	start  time.Time
	length int
}

func monthOf(year int, m time.Month) month {
	start := time.Date(year, m, 1, 0, 0, 0, 0, time.UTC)
	return month{start, start.AddDate(0, 1, -1).Day()}
}

// weekday returns the day of the week of a day of the month.
func (m month) weekday(d int) time.Weekday {
	return (m.start.Weekday() + time.Weekday(d-1)) % 7
}

// workday returns the workday nearest to a day within the month.
func (m month) workday(d int) int {
	switch m.weekday(d) {
	case time.Saturday:
		if d == 1 {
			return 3
		}
		return d - 1
	case time.Sunday:
		if d == m.length {
			return d - 2
		}
		return d + 1
	}
	return d
}

// match reports whether a day of a month matches.
func (r *dayRule) match(m month, d int) bool {
	weekday := int(m.weekday(d))
	return r.monthDays.has(d) || r.lastDay && d == m.length || r.lastWorkday && d == m.workday(m.length) || r.nearest(m, d) ||
		r.weekDays.has(weekday) || d > m.length-7 && r.lastWeek.has(weekday) || r.nth[(d+6)/7].has(weekday)
}

// nearest reports whether d is the workday nearest to a day that the rule
// names. Of days that a month does not have there is none.
func (r *dayRule) nearest(m month, d int) bool {
	for n := max(1, d-2); n <= min(d+2, m.length); n++ {
		if r.workdays.has(n) && m.workday(n) == d {
			return true
		}
	}
	return false
}
