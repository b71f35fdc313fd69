//go:build bench

package main_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"fastness"
)

// TestBenchQuotas tells what quotas cost: the same reads and writes of a tenant
// that has all of them, none near its edge, and of the tenant without any. The
// target is about the server's processor time, which other work on the machine
// disturbs less than the rate.
func TestBenchQuotas(t *testing.T) {
	dir, token := fillStore(t)
	operator := initOperator(t, dir)
	b := serveFilled(t, program, false, dir, token)
	for _, c := range []struct {
		what string
		job  job
	}{
		{"GET value", b.reads(64, benchDuration)},
		{"PUT of a version", job{Address: b.host, Connections: 64, Warmup: benchWarmup, Duration: benchDuration,
			Requests: b.requests(http.MethodPut, `{"value":"`+benchValue+`"}`)}},
	} {
		b.compareQuotas(t, c.what+", 64 connections", operator, c.job)
	}
}

func (b *benchServer) compareQuotas(t *testing.T, what, operator string, j job) {
	t.Helper()
	far := fastness.Quotas{Secrets: 1e9, Versions: 1e9, Bytes: 1e12, Principals: 1e6, RequestRate: 1e6}
	load(t, j) // warm
	var with, without, rates, costs []float64
	swap := false
	disturbed := quietRounds(t, b.process, nil, func() func() {
		var free, bound costly
		if swap = !swap; swap { // what comes later finds more versions
			free = b.under(t, operator, fastness.Quotas{}, j)
			bound = b.under(t, operator, far, j)
		} else {
			bound = b.under(t, operator, far, j)
			free = b.under(t, operator, fastness.Quotas{}, j)
		}
		return func() {
			with, without = append(with, bound.rate()), append(without, free.rate())
			rates, costs = append(rates, bound.rate()/free.rate()), append(costs, bound.cost()/free.cost())
		}
	})
	none, best := medianAndBest(without)
	figure(t, true, what+": no quota", fmt.Sprintf("%.0f (%.0f)/s", none, best), "")
	all, best := medianAndBest(with)
	figure(t, true, what+": all quotas", fmt.Sprintf("%.0f (%.0f)/s", all, best), "")
	ratio, best := medianAndBest(rates)
	figure(t, true, what+": rate, all to none", fmt.Sprintf("%.2f (%.2f)%s", ratio, best, disturbed), "")
	slices.Sort(costs)
	cost := costs[len(costs)/2]
	figure(t, cost <= 1.1, what+": CPU a request, all to none", fmt.Sprintf("%.2f (%.2f)", cost, costs[0]), "<= 1.10")
}

// costly is a load with the processor time that it took of the server.
type costly struct {
	result
	took time.Duration
}

func (c costly) cost() float64 { return float64(c.took) / float64(c.Answers) }

// under runs a job while the tenant has quotas.
func (b *benchServer) under(t *testing.T, operator string, q fastness.Quotas, j job) costly {
	t.Helper()
	b.setQuotas(t, operator, q)
	before := processTime(t, b.process)
	r := load(t, j)
	return costly{r, processTime(t, b.process) - before}
}

// initOperator makes the operator of a store that no server has open.
func initOperator(t *testing.T, dir string) (token string) {
	t.Helper()
	v := openVault(t, dir)
	made, err := v.Operator(v.Local(fastness.Origin{})).InitToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	token = string(made.Token.Bytes())
	made.Token.Release()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	return token
}

// setQuotas replaces the quotas of the tenant shop.
func (b *benchServer) setQuotas(t *testing.T, operator string, q fastness.Quotas) {
	t.Helper()
	a := &api{base: b.api.base, token: operator, client: b.api.client}
	a.do(t, http.StatusOK, http.MethodPut, "/api/v1/tenants/shop/quotas", q)
}
