package schedule_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fastness/internal/schedule"
)

// model matches one minute against a schedule as a reader of the documents
// would: by asking every item of every field, one by one.
type model struct {
	minutes, hours, months []int
	monthDays              []string // empty when the field is '?'
	weekDays               []string
	years                  []int
}

func (m model) String() string {
	days, weekDays := "?", "?"
	if len(m.monthDays) > 0 {
		days = strings.Join(m.monthDays, ",")
	} else {
		weekDays = strings.Join(m.weekDays, ",")
	}
	return fmt.Sprintf("cron(%s %s %s %s %s %s)", numbers(m.minutes), numbers(m.hours), days, numbers(m.months), weekDays, numbers(m.years))
}

func numbers(n []int) string {
	if len(n) == 0 {
		return "*"
	}
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(n), " ", ","), "[]")
}

func (m model) matches(t time.Time) bool {
	return in(m.minutes, t.Minute()) && in(m.hours, t.Hour()) && in(m.months, int(t.Month())) && in(m.years, t.Year()) &&
		(slices.ContainsFunc(m.monthDays, func(s string) bool { return monthDayMatches(s, t) }) ||
			slices.ContainsFunc(m.weekDays, func(s string) bool { return weekDayMatches(s, t) }))
}

func in(n []int, x int) bool { return len(n) == 0 || slices.Contains(n, x) }

func monthDayMatches(item string, t time.Time) bool {
	last := time.Date(t.Year(), t.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
	n := 0
	switch {
	case item == "L":
		return t.Day() == last
	case item == "LW":
		n = last
	case strings.HasSuffix(item, "W"):
		fmt.Sscanf(item, "%dW", &n)
	default:
		fmt.Sscanf(item, "%d", &n)
		return t.Day() == n
	}
	if n > last {
		return false
	}
	for _, distance := range []int{0, -1, 1, -2, 2} { // the nearest first
		d := time.Date(t.Year(), t.Month(), n+distance, 0, 0, 0, 0, time.UTC)
		if d.Month() == t.Month() && d.Weekday() != time.Saturday && d.Weekday() != time.Sunday {
			return t.Day() == d.Day()
		}
	}
	return false
}

func weekDayMatches(item string, t time.Time) bool {
	var weekday, k int
	switch {
	case strings.HasSuffix(item, "L"):
		fmt.Sscanf(item, "%dL", &weekday)
		return int(t.Weekday())+1 == weekday && t.AddDate(0, 0, 7).Month() != t.Month()
	case strings.Contains(item, "#"):
		fmt.Sscanf(item, "%d#%d", &weekday, &k)
		return int(t.Weekday())+1 == weekday && t.AddDate(0, 0, -7*(k-1)).Month() == t.Month() && t.AddDate(0, 0, -7*k).Month() != t.Month()
	}
	fmt.Sscanf(item, "%d", &weekday)
	return int(t.Weekday())+1 == weekday
}

func drawModel(t *rapid.T) model {
	some := func(label string, least, most, count int) []int {
		n := rapid.SliceOfNDistinct(rapid.IntRange(least, most), 1, count, rapid.ID).Draw(t, label)
		slices.Sort(n)
		return n
	}
	m := model{minutes: some("minutes", 0, 59, 2), hours: some("hours", 0, 23, 3)}
	if rapid.Bool().Draw(t, "months?") {
		m.months = some("months", 1, 12, 4)
	}
	if rapid.Bool().Draw(t, "years?") {
		m.years = some("years", 2023, 2033, 6)
	}
	if rapid.Bool().Draw(t, "by month day") {
		day := rapid.OneOf(rapid.Just("L"), rapid.Just("LW"),
			rapid.Map(rapid.IntRange(1, 31), func(n int) string { return fmt.Sprint(n) }),
			rapid.Map(rapid.IntRange(1, 31), func(n int) string { return fmt.Sprintf("%dW", n) }))
		m.monthDays = rapid.SliceOfN(day, 1, 3).Draw(t, "monthDays")
	} else {
		n := rapid.IntRange(1, 7)
		day := rapid.OneOf(
			rapid.Map(n, func(n int) string { return fmt.Sprint(n) }),
			rapid.Map(n, func(n int) string { return fmt.Sprintf("%dL", n) }),
			rapid.Map(n, func(n int) string { return fmt.Sprintf("%d#%d", n, n%5+1) }))
		m.weekDays = rapid.SliceOfN(day, 1, 3).Draw(t, "weekDays")
	}
	return m
}

// instants lie near leap days, month ends and year ends.
func drawInstant(t *rapid.T) time.Time {
	edge := rapid.SampledFrom([]string{
		"2024-02-28 23:00", "2024-02-29 12:00", "2028-02-29 00:00", "2026-02-28 23:59", "2027-12-31 23:59", "2028-01-01 00:00",
		"2026-03-31 23:59", "2026-04-30 00:00", "2026-11-23 12:00",
	}).Draw(t, "edge")
	return at(edge).Add(time.Duration(rapid.IntRange(-3600*48, 3600*48).Draw(t, "seconds")) * time.Second)
}

// Window finds the minute that a scan over all minutes of 40 days finds, or
// none within them when the scan finds none.
func TestWindowAgainstMinuteScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, from := drawModel(t), drawInstant(t)
		s, err := schedule.Parse(m.String(), "", time.Minute)
		if err != nil {
			if strings.Contains(err.Error(), "ever comes") {
				return // such as February 30th
			}
			t.Fatalf("%s: %v", m, err)
		}
		end := from.AddDate(0, 0, 40)
		var want time.Time
		for minute := from.Truncate(time.Minute).Add(time.Minute); minute.Before(end); minute = minute.Add(time.Minute) {
			if m.matches(minute) {
				want = minute
				break
			}
		}
		got, _ := s.Window(from)
		if !got.Before(end) {
			got = time.Time{}
		}
		if !got.Equal(want) {
			t.Fatalf("%s after %v: %v, want %v", m, from, got, want)
		}
	})
}

// A schedule that Parse accepts keeps its promises: windows open after the
// time that was asked for, apart by the gap, without overlap, and days' windows
// end on their day.
func TestWindowsKeepApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, gap := drawModel(t), time.Duration(rapid.IntRange(1, 12).Draw(t, "gap"))*time.Hour
		duration := rapid.SampledFrom([]string{"", "1h", "3h", "8h"}).Draw(t, "duration")
		s, err := schedule.Parse(m.String(), duration, gap)
		if err != nil {
			return
		}
		last := drawInstant(t)
		place := schedule.Place(rapid.Uint64().Draw(t, "place"))
		var before, end time.Time
		for range 20 {
			opens, closes := s.Window(last)
			if opens.IsZero() {
				return
			}
			next := s.Next(last, place)
			switch {
			case !opens.After(last) || !closes.After(opens) || next.Before(opens) || !next.Before(closes) || !s.Covers(next):
				t.Fatalf("%s %s after %v: %v in %v to %v", m, duration, last, next, opens, closes)
			case !before.IsZero() && (opens.Sub(before) < gap || opens.Before(end)):
				t.Fatalf("%s %s: from %v (to %v) to %v", m, duration, before, end, opens)
			case closes.After(opens.Truncate(24*time.Hour).AddDate(0, 0, 1)):
				t.Fatalf("%s %s: %v to %v", m, duration, opens, closes)
			}
			before, end, last = opens, closes, next
		}
	})
}

// Rates open on the hour and at midnight, so many hours or days later.
func TestRatesByDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, last := rapid.IntRange(1, 999).Draw(t, "n"), drawInstant(t)
		byDay, err := schedule.Parse(fmt.Sprintf("rate(%d days)", n), "", minGap)
		if err != nil {
			t.Fatal(err)
		}
		want := time.Date(last.Year(), last.Month(), last.Day()+n, 0, 0, 0, 0, time.UTC)
		if got, closes := byDay.Window(last); !got.Equal(want) || !closes.Equal(want.AddDate(0, 0, 1)) {
			t.Fatalf("%d days after %v: %v to %v", n, last, got, closes)
		}
		byHour, err := schedule.Parse(fmt.Sprintf("rate(%d hours)", n), "1h", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		want = time.Date(last.Year(), last.Month(), last.Day(), last.Hour()+n, 0, 0, 0, time.UTC)
		if got, closes := byHour.Window(last); !got.Equal(want) || closes.Sub(got) != time.Hour {
			t.Fatalf("%d hours after %v: %v to %v", n, last, got, closes)
		}
	})
}

// Whatever is written, Parse answers with a schedule or with an Error, soon.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"rate(4 hours)", "cron(0 4/12 * * ? *)", "cron(0 10 1W,L * ? 2027)", "cron(0 8 ? * MON#1,5L *)", "cron(* * * * ? *)", "rate("} {
		f.Add(seed, "3h")
	}
	f.Fuzz(func(t *testing.T, expression, duration string) {
		s, err := schedule.Parse(expression, duration, time.Minute)
		if err != nil {
			if _, ok := err.(*schedule.Error); !ok {
				t.Fatalf("%T", err)
			}
			return
		}
		if opens, closes := s.Window(at("2026-11-23 00:00")); !opens.IsZero() && !closes.After(opens) {
			t.Fatalf("%v to %v", opens, closes)
		}
	})
}
