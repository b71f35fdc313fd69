package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fastness/internal/audit"
)

// TestKill ends the server without warning, fifty times, each time while it
// serves 64 clients that write and read, and looks for what they were told:
// every acknowledged write is there and whole, and the log verifies and has an
// entry for every answer.
func TestKill(t *testing.T) { killLoop(t, 50) }

const (
	killWriters = 40
	killReaders = 24
	// killShared is how many secrets of a round all writers write to.
	killShared = 4
	killTenant = "shop"
)

func killLoop(t *testing.T, rounds int) {
	k := newKiller(t)
	for n := range rounds {
		k.start(t)
		if n == 0 {
			k.trust(t)
		}
		k.settle(t)
		k.round = n
		k.load(t)
	}
	k.start(t)
	k.settle(t)
	k.checkAll(t)
	k.checkLog(t)
	t.Logf("%d kills; %d writes acknowledged, %d without an answer; %d answers and %d entries", rounds, k.acknowledged, k.unanswered, len(k.told), k.entries)
	k.server.stop(t)
}

// killer is the clients of all rounds, with what they remember.
type killer struct {
	dir, operator string
	args          []string // of the server, further ones
	server        *server
	api           *api // as the tenant's administrator
	round         int

	keys  audit.KeySet // from before the first kill
	since []byte       // a checkpoint from then

	writes []*write            // of the last round, then known to be there
	done   map[string][]*write // by name: every write that must be there
	told   []promise

	readable atomic.Pointer[[]*write] // what readers choose from

	acknowledged, unanswered, entries int
}

// write is one version that a client asked to store. Its request token becomes
// the version's id, and its value follows from the token.
type write struct {
	name, token string
	answered    bool
	version     string // as answered
}

// promise is an answer with what the log must hold of it.
type promise struct {
	correlation   string
	actions       []audit.Action
	name, version string
	result        audit.Result
}

// valueOf makes a value out of a request token: mostly a line, now and then
// many pages.
func valueOf(token string) string {
	var last int
	fmt.Sscanf(token[len(token)-3:], "%d", &last)
	size := 1
	switch last % 16 {
	case 14:
		size = 200
	case 15:
		size = 1400
	}
	return strings.Repeat(token+"\n", size)
}

func newKiller(t *testing.T) *killer {
	k := &killer{dir: t.TempDir(), done: map[string][]*write{}}
	k.operator = makeOperator(t, k.dir)
	return k
}

// start starts the server, and the first time makes the tenant.
func (k *killer) start(t *testing.T) {
	t.Helper()
	k.server = startServer(t, k.dir, k.args...)
	transport := &http.Transport{MaxIdleConnsPerHost: killWriters + killReaders}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: patience}
	if k.api == nil {
		operator := &api{base: k.server.address, token: k.operator}
		var made struct{ Token string }
		ans := operator.do(t, http.StatusCreated, http.MethodPost, "/api/v1/tenants", map[string]string{"tenant": killTenant})
		if err := ans.decode(&made); err != nil {
			t.Fatal(err)
		}
		k.api = &api{token: made.Token}
	}
	k.api.base, k.api.client = k.server.address, client
}

// trust takes the log's keys and a checkpoint home.
func (k *killer) trust(t *testing.T) {
	t.Helper()
	operator := &api{base: k.server.address, token: k.operator}
	ks, err := audit.ParseKeySet(operator.do(t, http.StatusOK, http.MethodGet, "/api/v1/audit/keys", nil).body)
	if err != nil {
		t.Fatal(err)
	}
	k.keys = ks
	k.since = operator.do(t, http.StatusOK, http.MethodPost, "/api/v1/audit/checkpoint", nil).body
}

// load runs all clients for a moment and kills the server under them.
func (k *killer) load(t *testing.T) {
	t.Helper()
	var all sync.WaitGroup
	workers := make([]worker, killWriters+killReaders)
	for i := range workers {
		w := &workers[i]
		w.killer, w.number = k, i
		all.Go(func() {
			if i < killWriters {
				w.write()
			} else {
				w.read()
			}
		})
	}
	time.Sleep(150*time.Millisecond + rand.N(100*time.Millisecond))
	k.server.kill()
	all.Wait()
	for i := range workers {
		k.told = append(k.told, workers[i].told...)
		k.writes = append(k.writes, workers[i].writes...)
		if err := workers[i].wrong; err != nil {
			t.Errorf("client %d of round %d: %v", i, k.round, err)
		}
	}
}

// worker is one client in one round.
type worker struct {
	*killer
	number int
	writes []*write
	told   []promise
	wrong  error // an answer that no kill explains
}

// write stores versions until the server is gone: of secrets of its own, and
// of those that all write to.
func (w *worker) write() {
	for n := 0; ; n++ {
		name := fmt.Sprintf("round-%d/writer-%d/%d", w.round, w.number, n/8)
		if n%8 == 7 {
			name = fmt.Sprintf("round-%d/shared-%d", w.round, rand.N(killShared))
		}
		wr := &write{name: name, token: fmt.Sprintf("round-%06d-writer-%04d-write-%08d", w.round, w.number, n)}
		switch told, err := w.put(wr); {
		case told == nil: // unanswered, so it may be there or not
			w.writes = append(w.writes, wr)
			return
		case err != nil:
			w.wrong = err
			return
		default:
			w.told = append(w.told, *told)
			if wr.answered {
				w.writes = append(w.writes, wr)
			}
		}
	}
}

// put sends a write. It returns nil without an error if there was no answer.
func (k *killer) put(wr *write) (*promise, error) {
	ans, err := k.api.send(http.MethodPut, valuePath(killTenant, wr.name),
		map[string]string{"value": valueOf(wr.token), "requestToken": wr.token})
	if err != nil {
		return nil, nil
	}
	p := &promise{correlation: ans.correlation, name: wr.name, result: audit.Success,
		actions: []audit.Action{audit.Create, audit.Update}}
	switch ans.status {
	case http.StatusOK, http.StatusCreated:
		wr.answered = true
	case http.StatusConflict:
		// Too many at once for one secret.
		p.result = audit.Failed
		return p, nil
	default:
		return p, fmt.Errorf("write of %s: %w", wr.name, ans.expect(http.StatusOK))
	}
	var v version
	if ans.decode(&v) != nil {
		return p, nil // cut short: acknowledged by its status
	}
	wr.version, p.version = v.Version, v.Version
	if v.VersionID != wr.token {
		return p, fmt.Errorf("write %s became version id %s", wr.token, v.VersionID)
	}
	return p, nil
}

// read reads what is known to be there, and what is not, until the server is
// gone.
func (w *worker) read() {
	for n := 0; ; n++ {
		var p *promise
		if known := w.readable.Load(); known != nil && len(*known) > 0 && n%8 != 7 {
			wr := (*known)[rand.N(len(*known))]
			p, w.wrong = w.get(wr)
		} else {
			p, w.wrong = w.getNothing(fmt.Sprintf("round-%d/nothing-%d", w.round, n))
		}
		if p == nil || w.wrong != nil {
			return
		}
		w.told = append(w.told, *p)
	}
}

// get reads a version by its id and compares it with what was written.
func (k *killer) get(wr *write) (*promise, error) {
	ans, err := k.api.send(http.MethodGet, valuePath(killTenant, wr.name)+"?versionId="+wr.token, nil)
	if err != nil {
		return nil, nil
	}
	p := &promise{correlation: ans.correlation, actions: []audit.Action{audit.Read}, name: wr.name, result: audit.Success, version: wr.version}
	if err := ans.expect(http.StatusOK); err != nil {
		return p, fmt.Errorf("read of %s, version id %s: %w", wr.name, wr.token, err)
	}
	var v version
	if ans.decode(&v) != nil {
		return p, nil
	}
	if v.Value != valueOf(wr.token) || v.VersionID != wr.token || v.Version != wr.version && wr.version != "" {
		return p, fmt.Errorf("read of %s, version id %s: got version %s, id %s, a value of %d bytes instead of %d",
			wr.name, wr.token, v.Version, v.VersionID, len(v.Value), len(valueOf(wr.token)))
	}
	wr.seen(v.Version)
	return p, nil
}

// seen notes the number of a version whose acknowledgement was cut short.
func (wr *write) seen(number string) {
	if wr.version == "" {
		wr.version = number
	}
}

func (k *killer) getNothing(name string) (*promise, error) {
	ans, err := k.api.send(http.MethodGet, valuePath(killTenant, name), nil)
	if err != nil {
		return nil, nil
	}
	return &promise{correlation: ans.correlation, actions: []audit.Action{audit.Read}, name: name, result: audit.NotFound},
		ans.expect(http.StatusNotFound)
}

// settle looks at what the last round left: it sends the writes again that had
// no answer, under the same token, and then expects all of them to be there.
func (k *killer) settle(t *testing.T) {
	t.Helper()
	for _, wr := range k.writes {
		if wr.answered {
			k.acknowledged++
			continue
		}
		k.unanswered++
		for !wr.answered {
			p, err := k.put(wr)
			if err != nil || p == nil {
				t.Fatalf("sending write %s again: answer %v, error %v", wr.token, p, err)
			}
			k.told = append(k.told, *p)
		}
	}
	names := map[string][]*write{}
	for _, wr := range k.writes {
		names[wr.name] = append(names[wr.name], wr)
		k.done[wr.name] = names[wr.name]
	}
	k.check(t, names)
	if len(k.writes) > 0 {
		known := slices.Clone(k.writes)
		k.readable.Store(&known)
	}
	k.writes = nil
}

func (k *killer) checkAll(t *testing.T) {
	t.Helper()
	k.check(t, k.done)
}

// check expects of each secret exactly the versions that were written, all
// readable and the last of them current.
func (k *killer) check(t *testing.T, names map[string][]*write) {
	t.Helper()
	work := make(chan string)
	var mu sync.Mutex // guards told and errs
	var errs []error
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for name := range work {
				told, err := k.checkSecret(name, names[name])
				mu.Lock()
				k.told = append(k.told, told...)
				if err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", name, err))
				}
				mu.Unlock()
			}
		})
	}
	for name := range names {
		work <- name
	}
	close(work)
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("after kill %d:\n%v", k.round+1, err)
	}
}

func (k *killer) checkSecret(name string, writes []*write) (told []promise, err error) {
	expected := map[string]*write{}
	for _, wr := range writes {
		expected[wr.token] = wr
	}
	listed, told, err := k.versions(name)
	if err != nil {
		return told, err
	}
	for i, v := range listed {
		wr := expected[v.VersionID]
		if wr == nil {
			return told, fmt.Errorf("version %s, id %s, is listed, and was not written or is listed twice", v.Version, v.VersionID)
		}
		delete(expected, v.VersionID)
		wr.seen(v.Version)
		p, err := k.get(wr)
		if err != nil || p == nil {
			return told, fmt.Errorf("reading version %s: answer %v, error %v", v.Version, p, err)
		}
		told = append(told, *p)
		if current := slices.Contains(v.Stages, "AWSCURRENT"); current != (i == len(listed)-1) {
			return told, fmt.Errorf("version %s, number %d of %d, has the labels %q", v.Version, i+1, len(listed), v.Stages)
		}
	}
	if len(expected) > 0 {
		return told, fmt.Errorf("%d acknowledged writes are lost: %v", len(expected), expected)
	}
	return told, nil
}

// versions lists the versions of a secret by number.
func (k *killer) versions(name string) (all []version, told []promise, err error) {
	return k.api.versions(killTenant, name)
}

func (a *api) versions(tenant, name string) (all []version, told []promise, err error) {
	for cursor := ""; ; {
		ans, err := a.send(http.MethodGet, secretPath(tenant, name)+"/versions?limit=500"+cursor, nil)
		if err != nil {
			return all, told, err
		}
		told = append(told, promise{correlation: ans.correlation, actions: []audit.Action{audit.Describe}, name: name, result: audit.Success})
		var page struct {
			Items      []version
			NextCursor string
		}
		if err := errors.Join(ans.expect(http.StatusOK), ans.decode(&page)); err != nil {
			return all, told, err
		}
		all = append(all, page.Items...)
		if page.NextCursor == "" {
			return all, told, nil
		}
		cursor = "&cursor=" + page.NextCursor
	}
}

// checkLog verifies the whole log as an outsider does, and finds an entry for
// every answer and for every version in it.
func (k *killer) checkLog(t *testing.T) {
	t.Helper()
	operator := &api{base: k.server.address, token: k.operator}
	bundle := operator.do(t, http.StatusOK, http.MethodPost, "/api/v1/audit/export", map[string]string{"nonce": "after the kills"}).body
	report, err := audit.Verify(bytes.NewReader(bundle), k.keys, audit.Options{Since: k.since, Nonce: "after the kills"})
	if err != nil {
		t.Fatalf("the log does not verify: %v", err)
	}
	k.entries = int(report.Entries)
	byID, made := k.index(t, bundle)
	for _, p := range k.told {
		if err := p.kept(byID[p.correlation]); err != nil {
			t.Errorf("answer %s: %v", p.correlation, err)
		}
	}
	for _, writes := range k.done {
		for _, wr := range writes {
			if n := made[wr.name+" "+wr.version]; n != 1 {
				t.Errorf("%d entries instead of one for version %s of %s", n, wr.version, wr.name)
			}
		}
	}
}

// index reads a bundle's entries: by correlation id, and how often each
// version was made.
func (k *killer) index(t *testing.T, bundle []byte) (byID map[string][]audit.Entry, made map[string]int) {
	t.Helper()
	byID, made = map[string][]audit.Entry{}, map[string]int{}
	for line := range bytes.Lines(bundle) {
		if !bytes.HasPrefix(line, []byte(`{"index":`)) {
			continue
		}
		var e audit.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		byID[e.CorrelationID] = append(byID[e.CorrelationID], e)
		if e.Result == audit.Success && e.NewVersion != "" {
			made[e.SecretName+" "+e.NewVersion]++
		}
	}
	return byID, made
}

// kept expects exactly one entry, which says what was answered.
func (p promise) kept(entries []audit.Entry) error {
	if len(entries) != 1 {
		return fmt.Errorf("%d entries instead of one", len(entries))
	}
	e := entries[0]
	if !slices.Contains(p.actions, e.Action) || e.SecretName != p.name || e.Result != p.result || string(e.TenantID) != killTenant ||
		p.version != "" && e.Version != p.version {
		return fmt.Errorf("its entry is %+v, want %+v", e, p)
	}
	return nil
}
