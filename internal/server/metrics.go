package server

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"fastness/internal/rotation"
	"fastness/internal/vault"
)

// statsTimeout bounds one scrape's look at the store.
const statsTimeout = 3 * time.Second

// metrics counts requests. Its labels are route patterns, methods, error codes
// and kinds of refusal, all from tables of ours: never a tenant, a name or a
// path.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(v *vault.Vault, w *rotation.Worker) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fastness_http_requests_total",
			Help: "Requests by route, method and result: ok, or the code of the error.",
		}, []string{"route", "method", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "fastness_http_request_seconds",
			Help: "Time to answer, by route.",
			// From a read that waits for one sync to the limit of a request.
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .25, 1, 2.5, 10},
		}, []string{"route"}),
	}
	m.registry.MustRegister(m.requests, m.seconds,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&vaultCollector{vault: v, worker: w})
	return m
}

// route returns the counter of one route. Its series for success are looked up
// once, here, so that a request does not hash labels.
func (m *metrics) route(method, route string) func(code string, took time.Duration) {
	ok := m.requests.WithLabelValues(route, method, "ok")
	seconds := m.seconds.WithLabelValues(route)
	return func(code string, took time.Duration) {
		if code == "" {
			ok.Inc()
		} else {
			m.requests.WithLabelValues(route, method, code).Inc()
		}
		seconds.Observe(took.Seconds())
	}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// vaultCollector reads the vault's figures when somebody asks for them.
type vaultCollector struct {
	vault  *vault.Vault
	worker *rotation.Worker // nil for none
}

// The vault's figures.
var (
	dataBytes = describe("store_data_bytes", "Size of the store's files or tables.")
	logBytes  = describe("store_wal_bytes", "Size of the store's write-ahead log.")
	commits   = describe("store_group_commits_total", "Durable commits, each shared by one or more operations.")
	grouped   = describe("store_grouped_operations_total", "Operations and audit records that shared those commits.")
	retries   = describe("store_retries_total", "Runs of operations that met another transaction in the database and were repeated.")
	entries   = describe("audit_entries", "Entries that have a place in the audit log's tree.")
	tenants   = describe("tenants", "Tenants that exist.")
	keys      = describe("tenant_keys_in_memory", "Tenant keys that are unwrapped in guarded memory.")
	streams   = describe("event_streams", "Streams of events that are open.")
	refused   = prometheus.NewDesc("fastness_refusals_total",
		"Refusals by limits: bad credentials (credential), those not looked at because there were too many (wait), and each quota's.", []string{"kind"}, nil)
	backedUp         = describe("backup_last_verified_timestamp_seconds", "When the newest backup was made that was verified on schedule; 0 if none was.")
	rotationsDue     = describe("rotations_due", "Secrets that the rotation worker is to look at now.")
	rotationsOverdue = describe("rotations_overdue", "Secrets whose rotation has been due for more than an hour, stuck ones included, paused ones not.")
	rotationsOldest  = describe("rotations_oldest_overdue_seconds", "For how long the oldest overdue rotation has been due; 0 if none is.")
	rotationsStuck   = describe("rotations_stuck", "Rotations that were given up until somebody repairs them.")
	rotationsInHand  = describe("rotations_in_progress", "Rotations that this node has in hand.")
	statsUp          = describe("store_up", "1 if the store answered for this scrape.")
)

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("fastness_"+name, help, nil, nil)
}

// Describe lists the figures.
func (c *vaultCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{dataBytes, logBytes, commits, grouped, retries, entries, tenants, keys, streams, refused, backedUp, statsUp,
		rotationsDue, rotationsOverdue, rotationsOldest, rotationsStuck, rotationsInHand} {
		ch <- d
	}
}

// Collect asks the vault. A store that does not answer is a figure, not an
// error: the other metrics are wanted most just then.
func (c *vaultCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), statsTimeout)
	defer cancel()
	s, err := c.vault.Stats(ctx)
	if err != nil {
		ch <- prometheus.MustNewConstMetric(statsUp, prometheus.GaugeValue, 0)
		return
	}
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	counter := func(d *prometheus.Desc, v uint64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	gauge(statsUp, 1)
	backup := 0.0
	if !s.Backup.IsZero() {
		backup = float64(s.Backup.UnixMilli()) / 1000
	}
	gauge(backedUp, backup)
	gauge(dataBytes, float64(s.Store.DataBytes))
	gauge(logBytes, float64(s.Store.LogBytes))
	counter(commits, s.Store.GroupCommits)
	counter(grouped, s.Store.GroupedOps)
	counter(retries, s.Store.Retries)
	gauge(entries, float64(s.TreeSize))
	gauge(tenants, float64(s.Tenants))
	gauge(keys, float64(s.Keys))
	gauge(streams, float64(s.Streams))
	for kind, n := range s.Refused {
		ch <- prometheus.MustNewConstMetric(refused, prometheus.CounterValue, float64(n), kind)
	}
	if r, err := c.vault.RotationStats(ctx); err == nil {
		gauge(rotationsDue, float64(r.Due))
		gauge(rotationsOverdue, float64(r.Overdue))
		gauge(rotationsStuck, float64(r.Stuck))
		oldest := time.Duration(0)
		if !r.Oldest.IsZero() {
			oldest = time.Since(r.Oldest)
		}
		gauge(rotationsOldest, oldest.Seconds())
	}
	if c.worker != nil {
		gauge(rotationsInHand, float64(c.worker.InHand()))
	}
}
