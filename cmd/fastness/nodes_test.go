package main_test

import (
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"fastness/internal/audit"
)

// TestNodesUnderFaults has clients work on three nodes while these and their
// database fail, one way after the other, and expects that nothing of what was
// acknowledged is undone or lost: see check.
func TestNodesUnderFaults(t *testing.T) {
	nodesUnderFaults(t, 12, 0, []fault{
		pauseNode(0), // which keeps the log
		killNode(1), cutNode(2, linkCut), {"database restarted", restartDatabase}, {"database failed over", failOver},
	})
}

// nodesUnderFaults lets faults happen one by one under the load of some
// clients, for at least some time.
func nodesUnderFaults(t *testing.T, clients int, atLeast time.Duration, faults []fault) {
	c := startCluster(t)
	l := newNodesLoad(t, c, clients)
	operator := &api{base: c.nodes[0].base, token: c.operator}
	keys, err := audit.ParseKeySet(operator.do(t, http.StatusOK, http.MethodGet, "/api/v1/audit/keys", nil).body)
	if err != nil {
		t.Fatal(err)
	}
	since := operator.do(t, http.StatusOK, http.MethodPost, "/api/v1/audit/checkpoint", nil).body
	l.run(clients)
	between := max(atLeast/time.Duration(len(faults)+1), time.Second)
	for _, f := range faults {
		began := time.Now()
		time.Sleep(between / 2)
		happens := time.Now()
		f.do(t, c)
		t.Logf("%s: %v", f.name, time.Since(happens).Round(time.Millisecond))
		if rest := between - time.Since(began); rest > 0 {
			time.Sleep(rest)
		}
	}
	l.end()
	t.Logf("%d clients for %v: %s", clients, time.Since(l.started).Round(time.Second), l.summary())
	l.check(t, keys, since)
}

// TestHistoryKnowsFaults: what check looks for, it would see.
func TestHistoryKnowsFaults(t *testing.T) {
	during := func(call, ret int64, from, to string) porcupine.Operation {
		return porcupine.Operation{Call: call, Return: ret, Input: step{from, to}}
	}
	for name, c := range map[string]struct {
		history []porcupine.Operation
		want    porcupine.CheckResult
	}{
		"reads in order":          {[]porcupine.Operation{during(1, 2, "", "a"), during(3, 6, "", "b"), during(4, 5, "a", ""), during(7, 8, "b", "")}, porcupine.Ok},
		"a write without outcome": {[]porcupine.Operation{during(1, math.MaxInt64, "", "a"), during(2, 3, "", "b"), during(4, 5, "b", ""), during(6, 7, "a", "")}, porcupine.Ok},
		"a lost write":            {[]porcupine.Operation{during(1, 2, "", "a"), during(3, 4, "", "b"), during(5, 6, "a", "")}, porcupine.Illegal},
		"a read that went back":   {[]porcupine.Operation{during(1, 2, "", "a"), during(3, 9, "", "b"), during(4, 5, "b", ""), during(6, 7, "a", "")}, porcupine.Illegal},
		"a lost move":             {[]porcupine.Operation{during(1, 2, "", "a"), during(3, 6, "a", "b"), during(4, 5, "a", "c")}, porcupine.Illegal},
	} {
		if got := porcupine.CheckOperationsTimeout(register(""), c.history, historyTimeout); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
