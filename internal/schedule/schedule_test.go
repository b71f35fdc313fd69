package schedule_test

import (
	"testing"
	"time"
	_ "time/tzdata" // the test needs a zone, also where none are installed

	"pgregory.net/rapid"

	"fastness/internal/schedule"
)

var intervals = map[schedule.Interval]int{
	schedule.Every7d: 7, schedule.Every30d: 30, schedule.Every90d: 90, schedule.Every180d: 180, schedule.Every365d: 365,
}

func TestValid(t *testing.T) {
	for i := range intervals {
		if !i.Valid() {
			t.Errorf("%q is not valid", i)
		}
	}
	for _, i := range []schedule.Interval{"", "0d", "1d", "31d", "7D", "07d", "7d ", "1w", "90"} {
		if i.Valid() {
			t.Errorf("%q is valid", i)
		}
	}
	if schedule.Default != "90d" {
		t.Errorf("the default is %q, want 90d", schedule.Default)
	}
}

func TestNext(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		interval schedule.Interval
		from     time.Time
		want     time.Time
	}{
		{schedule.Every7d, time.Date(2026, 2, 25, 8, 30, 0, 5, time.UTC), time.Date(2026, 3, 4, 8, 30, 0, 5, time.UTC)},
		{schedule.Every30d, time.Date(2028, 2, 1, 0, 0, 0, 0, time.UTC), time.Date(2028, 3, 2, 0, 0, 0, 0, time.UTC)}, // a leap year
		{schedule.Every365d, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)},
		// Clocks there go forward in between; a day still is 24 hours.
		{schedule.Every7d, time.Date(2026, 3, 27, 12, 0, 0, 0, berlin), time.Date(2026, 4, 3, 11, 0, 0, 0, time.UTC)},
		{"31d", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Time{}},
	} {
		got := tc.interval.Next(tc.from)
		if !got.Equal(tc.want) || got.Location() != time.UTC {
			t.Errorf("%s from %v: got %v, want %v", tc.interval, tc.from, got, tc.want)
		}
	}
}

// Next is a whole number of days later, whatever the zone.
func TestNextByDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		interval := rapid.SampledFrom([]schedule.Interval{schedule.Every7d, schedule.Every30d, schedule.Every90d, schedule.Every180d, schedule.Every365d}).Draw(t, "interval")
		zone := time.FixedZone("zone", rapid.IntRange(-14*3600, 14*3600).Draw(t, "offset"))
		from := time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).In(zone)
		got := interval.Next(from)
		if want := time.Duration(intervals[interval]) * 24 * time.Hour; got.Sub(from) != want || got.Location() != time.UTC {
			t.Fatalf("from %v: got %v", from, got)
		}
	})
}
