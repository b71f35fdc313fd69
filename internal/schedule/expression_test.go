package schedule_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"fastness/internal/schedule"
)

// minGap is the least time between windows in these tests: AWS's.
const minGap = 4 * time.Hour

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

func parse(t *testing.T, expression, duration string) schedule.Schedule {
	t.Helper()
	s, err := schedule.Parse(expression, duration, minGap)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return s
}

// Windows as AWS describes them, among them the examples of its guide.
func TestWindows(t *testing.T) {
	for _, c := range []struct {
		expression, duration string
		from, opens, closes  string
	}{
		{"rate(4 hours)", "", "2026-01-01 05:20", "2026-01-01 09:00", "2026-01-01 10:00"},
		{"rate(12 hours)", "3h", "2026-12-31 22:59", "2027-01-01 10:00", "2027-01-01 13:00"},
		{"rate(1 day)", "", "2026-01-01 05:20", "2026-01-02 00:00", "2026-01-03 00:00"},
		{"rate(10 days)", "2h", "2028-02-20 23:59", "2028-03-01 00:00", "2028-03-01 02:00"},
		{"rate(365 days)", "", "2027-03-01 12:00", "2028-02-29 00:00", "2028-03-01 00:00"},

		{"cron(0 8 * * ? *)", "", "2026-01-01 08:00", "2026-01-02 08:00", "2026-01-03 00:00"},
		{"cron(0 10 * * ? *)", "3h", "2026-12-31 11:00", "2027-01-01 10:00", "2027-01-01 13:00"},
		{"cron(0 4/12 * * ? *)", "", "2026-01-01 04:00", "2026-01-01 16:00", "2026-01-01 17:00"},
		{"cron(0 4/12 * * ? *)", "", "2026-01-01 16:00", "2026-01-02 04:00", "2026-01-02 05:00"},
		{"cron(0 18 ? * MON-FRI *)", "", "2026-11-20 18:00", "2026-11-23 18:00", "2026-11-24 00:00"},
		{"cron(0 18 ? * 2-6 *)", "", "2026-11-20 18:00", "2026-11-23 18:00", "2026-11-24 00:00"},
		{"cron(0 0 1,15 * ? *)", "", "2026-02-15 00:00", "2026-03-01 00:00", "2026-03-02 00:00"},
		{"cron(0 10 31 * ? *)", "", "2026-01-31 10:00", "2026-03-31 10:00", "2026-04-01 00:00"},
		{"cron(0 10 L * ? *)", "", "2028-02-01 00:00", "2028-02-29 10:00", "2028-03-01 00:00"},
		{"cron(0 10 L * ? *)", "", "2100-02-01 00:00", "2100-02-28 10:00", "2100-03-01 00:00"},
		{"cron(0 0 29 2 ? *)", "", "2028-02-29 00:00", "2032-02-29 00:00", "2032-03-01 00:00"},
		{"cron(0 0 29 2 ? *)", "", "2096-03-01 00:00", "2104-02-29 00:00", "2104-03-01 00:00"}, // 2100 is no leap year
		{"cron(0 1 1 */3 ? *)", "", "2026-11-01 00:00", "2027-01-01 01:00", "2027-01-02 00:00"},
		{"cron(0 1 1 JAN,JUL ? *)", "", "2026-02-01 00:00", "2026-07-01 01:00", "2026-07-02 00:00"},
		{"cron(0 16 ? * FRIL *)", "", "2026-01-01 00:00", "2026-01-30 16:00", "2026-01-31 00:00"},
		{"cron(0 16 ? * 5L *)", "", "2026-01-01 00:00", "2026-01-29 16:00", "2026-01-30 00:00"}, // 5 is Thursday
		{"cron(0 16 ? * L *)", "", "2026-01-01 00:00", "2026-01-03 16:00", "2026-01-04 00:00"},
		{"cron(0 10 ? * TUE#1 *)", "", "2026-01-01 00:00", "2026-01-06 10:00", "2026-01-07 00:00"},
		{"cron(0 10 ? * SUN#5 *)", "", "2026-01-01 00:00", "2026-03-29 10:00", "2026-03-30 00:00"},
		{"cron(0 10 3W * ? *)", "", "2026-01-01 00:00", "2026-01-02 10:00", "2026-01-03 00:00"},  // the 3rd is a Saturday
		{"cron(0 10 1W * ? *)", "", "2026-07-31 00:00", "2026-08-03 10:00", "2026-08-04 00:00"},  // never in the month before
		{"cron(0 10 31W * ? *)", "", "2026-05-01 00:00", "2026-05-29 10:00", "2026-05-30 00:00"}, // nor in the one after
		{"cron(0 10 LW * ? *)", "", "2026-05-01 00:00", "2026-05-29 10:00", "2026-05-30 00:00"},
		{"cron(30 2 ? * sun 2027-2028)", "2h", "2026-11-23 00:00", "2027-01-03 02:30", "2027-01-03 04:30"},
	} {
		s := parse(t, c.expression, c.duration)
		opens, closes := s.Window(at(c.from))
		if !opens.Equal(at(c.opens)) || !closes.Equal(at(c.closes)) {
			t.Errorf("%s %s after %s: %v to %v, want %s to %s", c.expression, c.duration, c.from, opens, closes, c.opens, c.closes)
		}
		if s.String() != c.expression {
			t.Errorf("%s prints as %s", c.expression, s)
		}
	}
}

// What breaks a rule is an Error that names the field and the rule.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ expression, duration, want string }{
		{"", "", "schedule: rate(N hours)"},
		{"30d", "", "schedule: rate(N hours)"},
		{"rate(1 day", "", "schedule: rate(N hours)"},
		{"rate 1 day)", "", "schedule: rate(N hours)"},
		{"Rate(1 day)", "", "schedule: rate(N hours)"},
		{" rate(1 day)", "", "schedule: rate(N hours)"},
		{"rate()", "", "schedule: rate() takes a whole number"},
		{"rate(0 days)", "", "schedule: rate() takes a whole number"},
		{"rate(-1 days)", "", "schedule: rate() takes a whole number"},
		{"rate(+5 days)", "", "schedule: rate() takes a whole number"},
		{"rate(1.5 days)", "", "schedule: rate() takes a whole number"},
		{"rate(99999999999999999999 days)", "", "schedule: rate() takes a whole number"},
		{"rate(5 minutes)", "", "schedule: rate() takes hours or days"},
		{"rate(5  days)", "", "schedule: rate() takes hours or days"},
		{"rate(1000 days)", "", "schedule: at most 999 days"},
		{"rate(23977 hours)", "", "schedule: at most 999 days"},
		{"rate(3 hours)", "", "schedule: windows open at most every 4h"},
		{"rate(1 hour)", "", "schedule: windows open at most every 4h"},

		{"cron(0 8 * * ?)", "", "schedule: cron() takes six fields"},
		{"cron(0 0 8 * * ? *)", "", "schedule: cron() takes six fields"},
		{"cron(0 8 * * * *)", "", "schedule: one of day of month and day of week"},
		{"cron(0 8 ? * ? *)", "", "schedule: one of day of month and day of week"},
		{"cron(0 8 1 * MON *)", "", "schedule: one of day of month and day of week"},
		{"cron(60 8 * * ? *)", "", "schedule: minutes: numbers are 0 to 59"},
		{"cron(0 24 * * ? *)", "", "schedule: hours: numbers are 0 to 23"},
		{"cron(0 ? * * ? *)", "", "schedule: hours: numbers are 0 to 23"},
		{"cron(0 8 0 * ? *)", "", "schedule: day of month: numbers are 1 to 31"},
		{"cron(0 8 32 * ? *)", "", "schedule: day of month: numbers are 1 to 31"},
		{"cron(0 8 W * ? *)", "", "schedule: day of month: numbers are 1 to 31"},
		{"cron(0 8 1#2 * ? *)", "", "schedule: day of month: numbers are 1 to 31"},
		{"cron(0 8 1, * ? *)", "", "schedule: day of month: numbers are 1 to 31"},
		{"cron(0 8 * 13 ? *)", "", "schedule: month: numbers are 1 to 12"},
		{"cron(0 8 * L ? *)", "", "schedule: month: numbers are 1 to 12"},
		{"cron(0 8 ? * 0 *)", "", "schedule: day of week: numbers are 1 to 7"},
		{"cron(0 8 ? * 8 *)", "", "schedule: day of week: numbers are 1 to 7"},
		{"cron(0 8 ? * MON#6 *)", "", "schedule: week of the month: numbers are 1 to 5"},
		{"cron(0 8 ? * 3W *)", "", "schedule: day of week: numbers are 1 to 7"},
		{"cron(0 8 ? * FRI-MON *)", "", "schedule: day of week: a range goes upwards"},
		{"cron(0 8 * * ? 1969)", "", "schedule: year: numbers are 1970 to 2199"},
		{"cron(0 8 * * ? 2200)", "", "schedule: year: numbers are 1970 to 2199"},
		{"cron(0 */0 * * ? *)", "", "schedule: increment of hours: numbers are 1 to 23"},
		{"cron(0 /6 * * ? *)", "", "schedule: hours: numbers are 0 to 23"},
		{"cron(0 8 30 2 ? *)", "", "schedule: no such day ever comes"},
		{"cron(0 8 31 4,6,9,11 ? *)", "", "schedule: no such day ever comes"},
		{"cron(0 8 29 2 ? 2027)", "", "schedule: no such day ever comes"},
		{"cron(* 8 * * ? *)", "", "schedule: windows open at most every 4h"},
		{"cron(0 */3 * * ? *)", "", "schedule: windows open at most every 4h"},
		{"cron(0 0,5,22 * * ? *)", "", "schedule: windows open at most every 4h"}, // 22:00 and, the day after, 00:00
		{"cron(0 8 1" + strings.Repeat(",1", 200) + " * ? *)", "", "schedule: at most 256 characters"},

		{"rate(1 day)", "0h", "duration: 1h to 24h"},
		{"rate(1 day)", "25h", "duration: 1h to 24h"},
		{"rate(1 day)", "3", "duration: 1h to 24h"},
		{"rate(1 day)", "3m", "duration: 1h to 24h"},
		{"rate(1 day)", "-3h", "duration: 1h to 24h"},
		{"rate(1 day)", "003h", "duration: 1h to 24h"},
		{"rate(4 hours)", "5h", "duration: the window reaches into the next one"},
		{"cron(0 0,6 * * ? *)", "7h", "duration: the window reaches into the next one"},
		{"cron(0 22 * * ? *)", "3h", "duration: the window reaches into the next UTC day"},
		{"cron(30 22 * * ? *)", "2h", "duration: the window reaches into the next UTC day"},
	} {
		_, err := schedule.Parse(c.expression, c.duration, minGap)
		var typed *schedule.Error
		if !errors.As(err, &typed) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %q", c.expression, c.duration, err, c.want)
		}
	}
}

// Hours that only seem close, because their days never follow each other, are
// allowed; and a tenant may be allowed more than the rule.
func TestGap(t *testing.T) {
	parse(t, "cron(0 0,22 ? * MON *)", "")
	parse(t, "cron(0 0,23 L * ? *)", "")
	for _, expression := range []string{"rate(1 hour)", "cron(0 * * * ? *)", "cron(*/30 * * * ? *)"} {
		if _, err := schedule.Parse(expression, "", time.Minute); err != nil {
			t.Errorf("%s: %v", expression, err)
		}
	}
}

func TestZeroSchedule(t *testing.T) {
	var s schedule.Schedule
	if !s.IsZero() || !s.Next(time.Now(), 1).IsZero() || s.Covers(time.Now()) || s.String() != "" {
		t.Error("the zero Schedule opens windows")
	}
	over := parse(t, "cron(0 8 1 1 ? 2027)", "")
	if next := over.Next(at("2027-01-01 08:00"), 1); !next.IsZero() {
		t.Errorf("after its last window comes %v", next)
	}
}

// A window covers its opening and what comes before its close.
func TestCovers(t *testing.T) {
	s := parse(t, "cron(0 2 ? * SUN *)", "3h")
	for text, want := range map[string]bool{
		"2026-11-22 01:59": false, "2026-11-22 02:00": true, "2026-11-22 04:59": true, "2026-11-22 05:00": false, "2026-11-23 03:00": false,
	} {
		if s.Covers(at(text)) != want {
			t.Errorf("covers %s: %v", text, !want)
		}
	}
	if s := parse(t, "cron(0 20 1 * ? *)", ""); !s.Covers(at("2026-12-01 23:59")) || s.Covers(at("2026-12-02 00:00")) {
		t.Error("a window without duration does not end at midnight")
	}
}

// A thousand tenants with one schedule spread over the window, each at a
// place of its own that stays.
func TestPlacesSpread(t *testing.T) {
	s := parse(t, "cron(0 2 ? * SUN *)", "1h")
	minutes := make([]int, 60)
	for i := range 3000 {
		tenant, id := [16]byte{byte(i), byte(i >> 8)}, [16]byte{1}
		place := schedule.PlaceOf(tenant, id)
		next := s.Next(at("2026-11-23 00:00"), place)
		if again := s.Next(at("2026-11-24 00:00"), place); !again.Equal(next) {
			t.Fatalf("the place moves from %v to %v", next, again)
		}
		if week := s.Next(next, place).Sub(next); week != 7*24*time.Hour {
			t.Fatalf("a week later is %v later", week)
		}
		minutes[next.Minute()]++
	}
	for m, n := range minutes { // 50 each; 5 standard deviations are 35
		if n < 15 || n > 85 {
			t.Errorf("%d of 3000 fall into minute %d", n, m)
		}
	}
	a, b := schedule.PlaceOf([16]byte{1}, [16]byte{2}), schedule.PlaceOf([16]byte{2}, [16]byte{1})
	if a == b {
		t.Error("tenant and secret are interchangeable")
	}
}
