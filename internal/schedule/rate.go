package schedule

import (
	"strconv"
	"strings"
	"time"
)

// rate opens a window some hours or days after the last rotation: those in
// hours on the hour, those in days at midnight.
type rate struct{ every time.Duration }

func parseRate(body string) (opener, error) {
	number, unit, _ := strings.Cut(body, " ")
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 || number[0] == '0' || number[0] == '+' {
		return nil, badSchedule("rate() takes a whole number of hours or days, such as rate(30 days)")
	}
	every := time.Duration(n)
	switch unit {
	case "hour", "hours":
		every *= time.Hour
	case "day", "days":
		every *= day
	default:
		return nil, badSchedule("rate() takes hours or days")
	}
	if every > maxRateDays*day {
		return nil, badSchedule("at most %d days", maxRateDays)
	}
	// Hours that make up days stay hours: whoever wrote them did not ask for midnight.
	if strings.HasPrefix(unit, "hour") {
		return rate{every}, nil
	}
	return dayRate{rate{every}}, nil
}

func (r rate) next(t time.Time) time.Time {
	return t.Truncate(time.Hour).Add(r.every)
}
func (r rate) gap() time.Duration  { return r.every }
func (rate) hourly() bool          { return true }
func (rate) latest() time.Duration { return day - time.Hour }

// dayRate is a rate in days.
type dayRate struct{ rate }

func (r dayRate) next(t time.Time) time.Time { return t.Truncate(day).Add(r.every) }
func (dayRate) hourly() bool                 { return false }
func (dayRate) latest() time.Duration        { return 0 }
