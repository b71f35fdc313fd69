package schedule

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is one of the six: the numbers and names that it takes.
type field struct {
	name     string
	min, max int
	names    []string // of min, min+1 …
}

var (
	minuteField   = field{"minutes", 0, 59, nil}
	hourField     = field{"hours", 0, 23, nil}
	monthDayField = field{"day of month", 1, 31, nil}
	monthField    = field{"month", 1, 12, []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}}
	weekDayField  = field{"day of week", 1, 7, []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}}
	yearField     = field{"year", firstYear, lastYear, nil}
)

// parseCron reads the six fields. Names are read in either case.
func parseCron(body string) (opener, error) {
	parts := strings.Fields(strings.ToUpper(body))
	if len(parts) != 6 {
		return nil, badSchedule("cron() takes six fields: minutes hours day-of-month month day-of-week year")
	}
	if (parts[2] == "?") == (parts[4] == "?") {
		return nil, badSchedule("one of day of month and day of week is '?', and only one")
	}
	c := &cron{}
	for i, read := range []func(string) error{
		func(s string) error { return minuteField.read(s, &c.minutes) },
		func(s string) error { return hourField.read(s, &c.hours) },
		c.days.readMonthDays,
		func(s string) error { return monthField.read(s, &c.months) },
		c.days.readWeekDays,
		c.readYears,
	} {
		if err := read(parts[i]); err != nil {
			return nil, err
		}
	}
	if c.next(time.Time{}).IsZero() {
		return nil, badSchedule("no such day ever comes")
	}
	c.between = c.leastGap()
	return c, nil
}

// read adds the numbers of a list to s.
func (f field) read(list string, s *set) error {
	return f.list(list, func(n int) { *s |= 1 << n })
}

func (c *cron) readYears(list string) error {
	if list == "*" {
		return nil
	}
	c.years = years{}
	return yearField.list(list, func(n int) { c.years[n] = true })
}

func (r *dayRule) readMonthDays(list string) error {
	if list == "?" {
		return nil
	}
	for item := range strings.SplitSeq(list, ",") {
		switch {
		case item == "L":
			r.lastDay = true
		case item == "LW":
			r.lastWorkday = true
		case strings.HasSuffix(item, "W"):
			n, err := monthDayField.number(strings.TrimSuffix(item, "W"))
			if err != nil {
				return err
			}
			r.workdays |= 1 << n
		default:
			if err := monthDayField.read(item, &r.monthDays); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *dayRule) readWeekDays(list string) error {
	if list == "?" {
		return nil
	}
	for item := range strings.SplitSeq(list, ",") {
		if err := r.readWeekDay(item); err != nil {
			return err
		}
	}
	return nil
}

// readWeekDay takes off one from each number: AWS's Sunday is 1.
func (r *dayRule) readWeekDay(item string) error {
	if item == "L" { // the last day of the week
		item = "SAT"
	}
	if weekday, ok := strings.CutSuffix(item, "L"); ok {
		n, err := weekDayField.number(weekday)
		if err == nil {
			r.lastWeek |= 1 << (n - 1)
		}
		return err
	}
	if weekday, week, ok := strings.Cut(item, "#"); ok {
		n, err := weekDayField.number(weekday)
		if err != nil {
			return err
		}
		k, err := field{"week of the month", 1, 5, nil}.number(week)
		if err == nil {
			r.nth[k] |= 1 << (n - 1)
		}
		return err
	}
	return weekDayField.list(item, func(n int) { r.weekDays |= 1 << (n - 1) })
}

// list calls add with the numbers of items separated by commas.
func (f field) list(list string, add func(int)) error {
	for item := range strings.SplitSeq(list, ",") {
		from, to, step, err := f.item(item)
		if err != nil {
			return err
		}
		for n := from; n <= to; n += step {
			add(n)
		}
	}
	return nil
}

// item reads *, a, a-b, and any of them followed by /step; a/step goes on to
// the greatest number.
func (f field) item(item string) (from, to, step int, err error) {
	numbers, increment, stepped := strings.Cut(item, "/")
	step = 1
	if stepped {
		if step, err = (field{"increment of " + f.name, 1, f.max, nil}).number(increment); err != nil {
			return 0, 0, 0, err
		}
	}
	if numbers == "*" {
		return f.min, f.max, step, nil
	}
	first, last, isRange := strings.Cut(numbers, "-")
	if from, err = f.number(first); err != nil {
		return 0, 0, 0, err
	}
	switch to = from; {
	case isRange:
		if to, err = f.number(last); err == nil && to < from {
			err = badSchedule("%s: a range goes upwards", f.name)
		}
	case stepped:
		to = f.max
	}
	return from, to, step, err
}

// number reads a number or a name.
func (f field) number(s string) (int, error) {
	if i := slices.Index(f.names, s); i >= 0 {
		return f.min + i, nil
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || int(n) < f.min || int(n) > f.max {
		return 0, badSchedule("%s: numbers are %d to %d", f.name, f.min, f.max)
	}
	return int(n), nil
}
