//go:build bench

package main_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"fastness"
	"fastness/internal/policy"
	"fastness/internal/vault"
)

// policySecrets is how many secrets each tenant of TestBenchPolicies has, few
// enough for all of them to be kept in memory side by side.
const policySecrets = 200

// policyTargets are how much of the rate with one statement is left with more.
var policyTargets = []struct {
	statements int
	target     float64
}{{1, 0}, {100, 0.85}, {1000, 0.7}}

// policyKinds are tenants' statements: what their number is about, as tenants
// write it, and a mixture, of which an index by principals and names finds only a
// part.
var policyKinds = []struct {
	name    string
	formats []string
}{
	{"names", []string{
		`permit(principal == Service::"team-%[1]d", action in Action::"reader", resource is Secret) when { resource.name like "team-%[1]d/*" };`,
	}},
	{"mixture", []string{
		`permit(principal == Service::"team-%[1]d", action in Action::"reader", resource is Secret) when { resource.name like "team-%[1]d/*" };`,
		`forbid(principal, action in Action::"writer", resource is Secret) when { resource.hasTag("team") && resource.getTag("team") == "%[1]d" };`,
		`forbid(principal, action == Action::"read", resource is Secret) when { resource.name like "*/frozen-%[1]d" };`,
		`forbid(principal, action == Action::"read", resource is Secret) when { resource.name like "service-%[1]d/archive/*" };`,
	}},
}

// TestBenchPolicies tells what a tenant's own policies cost a read: tenants with
// one statement, 100 and 1,000, side by side on one server.
func TestBenchPolicies(t *testing.T) {
	dir := t.TempDir()
	v := openVault(t, dir)
	tokens := map[string]string{}
	for _, kind := range policyKinds {
		for _, c := range policyTargets {
			name := fmt.Sprintf("%s-%d", kind.name, c.statements)
			tokens[name] = fillGoverned(t, v, fastness.TenantName(name), kind.formats, c.statements)
		}
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	b := serveFilled(t, program, false, dir, "")
	for _, kind := range policyKinds {
		t.Run(kind.name, func(t *testing.T) { b.comparePolicies(t, kind.name, tokens) })
	}
}

// fillGoverned makes a tenant of some secrets and statements, and returns a token
// of a service that may read all of them.
func fillGoverned(t *testing.T, v *fastness.Vault, name fastness.TenantName, formats []string, statements int) (token string) {
	t.Helper()
	made, err := v.Operator(v.Local(fastness.Origin{})).CreateTenant(t.Context(), name, fastness.AES256GCM)
	if err != nil {
		t.Fatal(err)
	}
	made.Release()
	s := v.Session(v.Local(fastness.Origin{}), name)
	inParallel(t, policySecrets, func(ctx context.Context, n int) error { return putOne(ctx, s, secretName(n)) })
	const each = 50 // statements a policy, within the length of one
	for from := 0; from < statements; from += each {
		var text strings.Builder
		for n := from; n < min(from+each, statements); n++ {
			fmt.Fprintf(&text, formats[n%len(formats)]+"\n", n)
		}
		if _, err := s.Policies().Put(t.Context(), vault.PolicyPut{Name: fmt.Sprintf("p%d", from), Text: text.String()}); err != nil {
			t.Fatal(err)
		}
	}
	reader, err := s.Credentials().Create(t.Context(), vault.TokenSpec{Principal: "web", Grants: []policy.Grant{{Role: policy.Reader}}})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Token.Release()
	return string(reader.Token.Bytes())
}

func (b *benchServer) comparePolicies(t *testing.T, kind string, tokens map[string]string) {
	t.Helper()
	jobs := make([]job, len(policyTargets))
	for i, c := range policyTargets {
		tenant := fmt.Sprintf("%s-%d", kind, c.statements)
		a := &api{base: b.api.base, token: tokens[tenant], client: b.api.client}
		jobs[i] = job{Address: b.host, Connections: 64, Duration: benchDuration}
		for n := range policySecrets {
			jobs[i].Requests = append(jobs[i].Requests, a.request(http.MethodGet, valuePath(tenant, string(secretName(n))), ""))
		}
		load(t, jobs[i]) // warm
	}
	rates, costs := make([][]float64, len(jobs)), make([][]float64, len(jobs))
	turn := 0
	disturbed := quietRounds(t, b.process, nil, func() func() {
		took := make([]costly, len(jobs))
		turn++
		for i := range jobs { // each begins in turn
			k := (i + turn) % len(jobs)
			before := processTime(t, b.process)
			r := load(t, jobs[k])
			took[k] = costly{r, processTime(t, b.process) - before}
		}
		return func() {
			for i, c := range took {
				rates[i], costs[i] = append(rates[i], c.rate()), append(costs[i], c.cost())
			}
		}
	})
	for i, c := range policyTargets {
		what := fmt.Sprintf("GET value, %d statements (%s)", c.statements, kind)
		median, best := medianAndBest(rates[i])
		cost := slices.Sorted(slices.Values(costs[i]))[len(costs[i])/2]
		figure(t, true, what, fmt.Sprintf("%.0f (%.0f)/s, %v of CPU a request", median, best, time.Duration(cost).Round(100*time.Nanosecond)), "")
		if i == 0 {
			continue
		}
		ratios := make([]float64, len(rates[i]))
		for n := range ratios {
			ratios[n] = rates[i][n] / rates[0][n]
		}
		median, best = medianAndBest(ratios)
		figure(t, median >= c.target, what+": ratio to one", fmt.Sprintf("%.2f (%.2f)%s", median, best, disturbed), fmt.Sprintf(">= %.2f", c.target))
	}
}
