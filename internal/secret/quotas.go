package secret

import (
	"fmt"
	"iter"
	"time"
)

// Quotas are hard limits of what a tenant may have and ask for. A zero is no
// limit. The JSON is that of the API and of the store.
type Quotas struct {
	Secrets      int64 `json:"secrets,omitzero"`      // those scheduled for deletion included
	Versions     int64 `json:"versions,omitzero"`     // of all secrets together
	Bytes        int64 `json:"bytes,omitzero"`        // of versions as they are stored, sealed
	Principals   int64 `json:"principals,omitzero"`   // disabled ones included
	RequestRate  int64 `json:"requestRate,omitzero"`  // requests a second, of all its callers together
	RequestBurst int64 `json:"requestBurst,omitzero"` // requests at once after a pause; as many as a second's if zero
	// RotationsPerDay is how often a day a secret's schedule may open a window;
	// DefaultRotationsPerDay if zero.
	RotationsPerDay int64 `json:"rotationsPerDay,omitzero"`
}

// Use is how much a tenant has of what quotas limit.
type Use struct {
	Secrets    int64 `json:"secrets"`
	Versions   int64 `json:"versions"`
	Bytes      int64 `json:"bytes"`
	Principals int64 `json:"principals"`
}

// Plus returns the sum of two uses.
func (u Use) Plus(v Use) Use {
	return Use{u.Secrets + v.Secrets, u.Versions + v.Versions, u.Bytes + v.Bytes, u.Principals + v.Principals}
}

// Allow decides whether a tenant may go from one use to another: an ErrQuota if
// something grows and is then over its quota. What shrinks, or stays, may be
// over it: a quota that was lowered takes nothing away.
func (q Quotas) Allow(before, after Use) error {
	for _, each := range []struct {
		quota                string
		limit, before, after int64
	}{
		{"secrets", q.Secrets, before.Secrets, after.Secrets},
		{"versions", q.Versions, before.Versions, after.Versions},
		{"bytes", q.Bytes, before.Bytes, after.Bytes},
		{"principals", q.Principals, before.Principals, after.Principals},
	} {
		if each.limit > 0 && each.after > each.limit && each.after > each.before {
			return Exceeded(each.quota, each.limit, each.before, each.after-each.before)
		}
	}
	return nil
}

// Bounds of quotas themselves.
const (
	MaxQuota       = 1 << 53 // what every reader of JSON takes for the same number
	MaxRequestRate = 1_000_000
	// MaxRotationsPerDay is what a schedule may at the utmost be allowed.
	MaxRotationsPerDay     = 24
	DefaultRotationsPerDay = 6 // every 4 hours, AWS's rule
	// maxBurst is in seconds of the rate: what a pause can save up.
	maxBurst = 60
)

// All walks the quotas by name, in the order in which they are shown.
func (q *Quotas) All() iter.Seq2[string, *int64] {
	all := []struct {
		name  string
		quota *int64
	}{
		{"secrets", &q.Secrets}, {"versions", &q.Versions}, {"bytes", &q.Bytes}, {"principals", &q.Principals},
		{"requestRate", &q.RequestRate}, {"requestBurst", &q.RequestBurst},
		{"rotationsPerDay", &q.RotationsPerDay},
	}
	return func(yield func(string, *int64) bool) {
		for _, each := range all {
			if !yield(each.name, each.quota) {
				return
			}
		}
	}
}

// Validate returns an ErrLimit or ErrInvalid that names the field at fault.
func (q Quotas) Validate() error {
	for name, v := range q.All() {
		if *v < 0 || *v > MaxQuota {
			return Limited(name, fmt.Sprintf("1 to %d, or 0 for no limit", int64(MaxQuota)))
		}
	}
	switch {
	case q.RotationsPerDay > MaxRotationsPerDay:
		return Limited("rotationsPerDay", fmt.Sprintf("1 to %d, or 0 for %d", MaxRotationsPerDay, DefaultRotationsPerDay))
	case q.RequestRate > MaxRequestRate:
		return Limited("requestRate", fmt.Sprintf("1 to %d a second, or 0 for no limit", MaxRequestRate))
	case q.RequestBurst > 0 && q.RequestRate == 0:
		return Invalid("requestBurst", "only beside a requestRate")
	case q.RequestBurst > maxBurst*q.RequestRate:
		return Limited("requestBurst", fmt.Sprintf("at most %d seconds of the requestRate", maxBurst))
	}
	return nil
}

// Within returns the quotas that hold under a parent's: of each, the tighter.
func (q Quotas) Within(parent Quotas) Quotas {
	return Quotas{
		Secrets:      tighter(q.Secrets, parent.Secrets),
		Versions:     tighter(q.Versions, parent.Versions),
		Bytes:        tighter(q.Bytes, parent.Bytes),
		Principals:   tighter(q.Principals, parent.Principals),
		RequestRate:  tighter(q.RequestRate, parent.RequestRate),
		RequestBurst: tighter(q.Burst(), parent.Burst()),

		RotationsPerDay: tighter(q.RotationsPerDay, parent.RotationsPerDay),
	}
}

func tighter(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// Burst is how many requests may come at once; 0 where none are counted.
func (q Quotas) Burst() int64 {
	if q.RequestBurst == 0 {
		return q.RequestRate
	}
	return q.RequestBurst
}

// RotationGap is the least time from one window of a schedule to the next.
func (q Quotas) RotationGap() time.Duration {
	if q.RotationsPerDay == 0 {
		return 24 * time.Hour / DefaultRotationsPerDay
	}
	return 24 * time.Hour / time.Duration(q.RotationsPerDay)
}
