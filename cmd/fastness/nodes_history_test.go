package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"fastness/internal/audit"
)

// check holds what the clients were told against what is there now.
func (l *nodesLoad) check(t *testing.T, keys audit.KeySet, since []byte) {
	t.Helper()
	if err := errors.Join(l.wrong...); err != nil {
		t.Errorf("under load:\n%v", err)
	}
	l.checkTokens(t)
	done := l.checkLogs(t, keys, since)
	l.checkVersions(t)
	l.checkHistory(t, done)
}

// checkTokens expects that nobody has read by a token from when its revocation
// was acknowledged.
func (l *nodesLoad) checkTokens(t *testing.T) {
	t.Helper()
	tokens := map[*loadToken]bool{}
	for _, r := range l.reads {
		tokens[r.token] = true
		if at := r.token.revoked.Load(); at != 0 && r.call > at {
			t.Errorf("token %s of %s has read %v after its revocation", r.token.ID, r.token.tenant, time.Duration(r.call-at))
		}
	}
	t.Logf("%d reads by %d tokens", len(l.reads), len(tokens))
}

// checkLogs verifies the deployment's log and each tenant's, finds the entry of
// every answer, and returns which ops have happened by their agents.
func (l *nodesLoad) checkLogs(t *testing.T, keys audit.KeySet, since []byte) (done map[string]bool) {
	t.Helper()
	done = map[string]bool{}
	l.export(t, l.cluster.operator, "/api/v1/audit/export", keys, since)
	for _, tenant := range loadTenants {
		entries := l.export(t, l.admins[tenant], tenantPath(tenant)+"/audit/export", keys, nil)
		byID := map[string][]audit.Entry{}
		for _, e := range entries {
			byID[e.CorrelationID] = append(byID[e.CorrelationID], e)
			if e.Result == audit.Success {
				done[e.UserAgent] = true
			}
		}
		for _, a := range l.told {
			if a.tenant != tenant {
				continue
			}
			if found := byID[a.correlation]; len(found) != 1 || found[0].UserAgent != a.agent {
				t.Errorf("answer %s of %s to %s has the entries %+v", a.correlation, tenant, a.agent, found)
			}
		}
	}
	return done
}

// export takes a log home as an outsider does, verifies it, and returns its entries.
func (l *nodesLoad) export(t *testing.T, token, path string, keys audit.KeySet, since []byte) (entries []audit.Entry) {
	t.Helper()
	a := &api{base: l.cluster.nodes[1].base, token: token}
	bundle := a.do(t, http.StatusOK, http.MethodPost, path, map[string]string{"nonce": "after the faults"}).body
	if _, err := audit.Verify(bytes.NewReader(bundle), keys, audit.Options{Since: since, Nonce: "after the faults"}); err != nil {
		t.Fatalf("the log does not verify: %v", err)
	}
	for line := range bytes.Lines(bundle) {
		if !bytes.HasPrefix(line, []byte(`{"index":`)) {
			continue
		}
		var e audit.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

// checkVersions expects every acknowledged write among the versions that are there.
func (l *nodesLoad) checkVersions(t *testing.T) {
	t.Helper()
	there := map[string]bool{}
	for _, tenant := range loadTenants {
		a := &api{base: l.cluster.nodes[2].base, token: l.admins[tenant]}
		for n := range loadSecrets {
			listed, _, err := a.versions(tenant, fmt.Sprint("secret-", n))
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range listed {
				there[v.VersionID] = true
			}
		}
	}
	for _, o := range l.ops {
		if o.kind == opPut && o.ret != 0 && !there[o.id] {
			t.Errorf("version id %s of %s/%s was acknowledged, and is lost", o.id, o.tenant, o.name)
		}
	}
}

// step is an op on a register: if from is not empty the register holds it, and
// if to is not empty it holds that afterwards.
type step struct{ from, to string }

// register is the sequential specification of what clients work on: a secret's
// current version, and where its label is.
func register(initial string) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return initial },
		Step: func(state, input, _ any) (bool, any) {
			s := input.(step)
			if s.from != "" && s.from != state {
				return false, state
			}
			if s.to != "" {
				state = s.to
			}
			return true, state
		},
	}
}

// checkHistory expects of each secret's current version and label that they are
// linearizable: there is one order of all that was done, each at a moment
// between its request and its answer, in which everybody saw what was done last
// before. What had no answer, and by the log has happened, may have done so at
// any later time.
func (l *nodesLoad) checkHistory(t *testing.T, done map[string]bool) {
	t.Helper()
	current, labels := map[string][]porcupine.Operation{}, map[string][]porcupine.Operation{}
	for _, o := range l.ops {
		p := porcupine.Operation{Call: o.call, Return: o.ret}
		if o.ret == 0 {
			if !done[o.agent] {
				continue
			}
			p.Return = math.MaxInt64
		}
		of := current
		switch o.kind {
		case opPut:
			p.Input = step{to: o.id}
		case opGet:
			p.Input = step{from: o.id}
		case opMove:
			of, p.Input = labels, step{from: o.from, to: o.id}
		case opAt:
			of, p.Input = labels, step{from: o.id}
		}
		key := o.tenant + "/" + o.name
		of[key] = append(of[key], p)
	}
	linearizable(t, "current version", register(""), current)
	linearizable(t, "label", register("1"), labels)
}

// historyTimeout bounds looking for an order, which may take for ever.
const historyTimeout = time.Minute

func linearizable(t *testing.T, what string, m porcupine.Model, histories map[string][]porcupine.Operation) {
	t.Helper()
	for key, ops := range histories {
		if got := porcupine.CheckOperationsTimeout(m, ops, historyTimeout); got != porcupine.Ok {
			t.Errorf("%s of %s: %d operations are %s", what, key, len(ops), got)
		}
	}
}
