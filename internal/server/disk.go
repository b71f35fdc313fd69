package server

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fastness/internal/reserve"
)

// Disk says how the file system of an embedded store is looked after. The zero
// value is a store that has none.
type Disk struct {
	Dir     string // of the store
	Reserve int64  // bytes that are kept for when the disk is full; 0 for none
	Alarm   int64  // free bytes below which it is said that the disk fills up; 0 for never
}

// diskEvery is how often the disk is looked at.
const diskEvery = 5 * time.Second

// diskWatch keeps the reserve, and says when a disk fills up.
type diskWatch struct {
	Disk
	log    *slog.Logger
	low    atomic.Bool
	noRoom bool // was said
}

func (d *diskWatch) reserve() reserve.Reserve { return reserve.Reserve{Dir: d.Dir, Size: d.Reserve} }

// run looks at once, and then again and again until ctx ends.
func (d *diskWatch) run(ctx context.Context) {
	tick := time.NewTicker(diskEvery)
	defer tick.Stop()
	failed := false
	for {
		err := d.look()
		if err != nil && !failed {
			d.log.Error("looking after the disk", "error", err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look compares what is free with the alarm, and takes the reserve where there is
// room for it: one that was released comes back only above the alarm, so that
// whoever makes space is not robbed of it.
func (d *diskWatch) look() error {
	free, total, err := reserve.Space(d.Dir)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	switch low := free < d.Alarm; {
	case low && !d.low.Swap(true):
		d.log.Warn("the disk of the store fills up", "free", free, "total", total, "alarm", d.Alarm)
	case !low && d.low.Swap(false):
		d.log.Info("the disk of the store has room again", "free", free, "total", total)
	}
	above := d.Alarm
	if total < 2*d.Alarm+2*d.Reserve { // a small disk never has so much
		above = 0
	}
	err = d.reserve().Fill(above)
	if !errors.Is(err, reserve.ErrNoRoom) {
		d.noRoom = false
		return err
	}
	if !d.noRoom {
		d.noRoom = true
		d.log.Warn("the reserve is not held: the disk has no room for it", "free", free, "reserve", d.Reserve)
	}
	return nil
}

// The disk's figures.
var (
	diskFree    = describe("store_disk_free_bytes", "What is free on the file system of the embedded store.")
	diskTotal   = describe("store_disk_bytes", "Size of the file system of the embedded store.")
	diskAlarm   = describe("store_disk_alarm_bytes", "Below so many free bytes the server says that the disk fills up.")
	diskReserve = describe("store_disk_reserve_bytes", "Size of the reserve that is to be held on the disk.")
	diskHeld    = describe("store_disk_reserve_held_bytes", "How much of the reserve is held; 0 once it was released.")
)

// Describe lists the figures.
func (d *diskWatch) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range []*prometheus.Desc{diskFree, diskTotal, diskAlarm, diskReserve, diskHeld} {
		ch <- f
	}
}

// Collect looks at the disk. What it does not tell is left out.
func (d *diskWatch) Collect(ch chan<- prometheus.Metric) {
	gauge := func(f *prometheus.Desc, v int64) {
		ch <- prometheus.MustNewConstMetric(f, prometheus.GaugeValue, float64(v))
	}
	gauge(diskAlarm, d.Alarm)
	gauge(diskReserve, d.Reserve)
	if free, total, err := reserve.Space(d.Dir); err == nil {
		gauge(diskFree, free)
		gauge(diskTotal, total)
	}
	if held, err := d.reserve().Held(); err == nil {
		gauge(diskHeld, held)
	}
}
