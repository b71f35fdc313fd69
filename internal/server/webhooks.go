package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"fastness/internal/notify"
)

// webhookCollector reads the figures of deliveries when somebody asks for them.
type webhookCollector struct{ worker *notify.Worker }

// The figures of deliveries: of this node, which is one of several that delivers.
var (
	webhookDeliveries = prometheus.NewDesc("fastness_webhook_deliveries_total", "Deliveries to webhooks by result: ok or failed.", []string{"result"}, nil)
	webhooksFailing   = describe("webhooks_failing", "Webhooks whose last delivery failed.")
	webhookBacklog    = describe("webhook_backlog_entries", "Entries of tenants' logs that their webhooks have not been told of yet.")
)

// Describe lists the figures.
func (c *webhookCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{webhookDeliveries, webhooksFailing, webhookBacklog} {
		ch <- d
	}
}

// Collect asks the worker.
func (c *webhookCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.worker.Stats()
	ch <- prometheus.MustNewConstMetric(webhookDeliveries, prometheus.CounterValue, float64(s.Delivered), "ok")
	ch <- prometheus.MustNewConstMetric(webhookDeliveries, prometheus.CounterValue, float64(s.Failed), "failed")
	ch <- prometheus.MustNewConstMetric(webhooksFailing, prometheus.GaugeValue, float64(s.Failing))
	ch <- prometheus.MustNewConstMetric(webhookBacklog, prometheus.GaugeValue, float64(s.Backlog))
}
