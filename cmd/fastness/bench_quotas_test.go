//go:build bench

package main_test

import (
	"fmt"
	"net/http"
	"testing"

	"fastness"
)

// TestBenchQuotas tells what quotas cost: the same reads and writes of a tenant
// that has all of them, none near its edge, and of the tenant without any.
func TestBenchQuotas(t *testing.T) {
	dir, token := fillStore(t)
	operator := initOperator(t, dir)
	far := fastness.Quotas{Secrets: 1e9, Versions: 1e9, Bytes: 1e12, Principals: 1e6, RequestRate: 1e6}
	b := serveFilled(t, program, false, dir, token)
	for _, c := range []struct {
		what string
		job  job
	}{
		{"GET value", b.reads(64, benchDuration)},
		{"PUT of a version", job{Address: b.host, Connections: 64, Warmup: benchWarmup, Duration: benchDuration,
			Requests: b.requests(http.MethodPut, `{"value":"`+benchValue+`"}`)}},
	} {
		load(t, c.job) // warm
		var with, without, ratios []float64
		disturbed := quietRounds(t, b.process, nil, func() func() {
			b.setQuotas(t, operator, fastness.Quotas{})
			free := load(t, c.job)
			b.setQuotas(t, operator, far)
			bound := load(t, c.job)
			return func() {
				with, without, ratios = append(with, bound.rate()), append(without, free.rate()), append(ratios, bound.rate()/free.rate())
			}
		})
		m, best := medianAndBest(without)
		figure(t, true, c.what+", 64 connections: no quota", fmt.Sprintf("%.0f (%.0f)/s", m, best), "")
		m, best = medianAndBest(with)
		figure(t, true, c.what+", 64 connections: all quotas", fmt.Sprintf("%.0f (%.0f)/s", m, best), "")
		m, best = medianAndBest(ratios)
		figure(t, m >= 0.9, c.what+": all quotas to none", fmt.Sprintf("%.2f (%.2f)%s", m, best, disturbed), ">= 0.90")
	}
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
