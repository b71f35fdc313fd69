package main_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// loadSecrets is how many secrets of a tenant all clients work on.
	loadSecrets = 4
	// loadTokens is how many tokens readers share while others revoke them.
	loadTokens = 6
	// loadLabel is what clients move by compare-and-set.
	loadLabel = "blue"
	// loadPause is about how long a client waits between two requests.
	loadPause = 30 * time.Millisecond
	// loadTries is how often a write whose outcome is not known is sent again.
	loadTries = 4
)

var loadTenants = []string{"shop", "depot"}

// nodesLoad is clients of a cluster, with what they were told.
type nodesLoad struct {
	cluster *cluster
	http    *http.Client
	admins  map[string]string // token by tenant
	started time.Time
	stop    chan struct{}
	clients sync.WaitGroup
	tokens  [loadTokens]atomic.Pointer[loadToken]
	serial  atomic.Int64

	mu    sync.Mutex // guards the rest
	ops   []*op
	reads []tokenRead
	told  []told
	wrong []error
}

// opKind is what an op did.
type opKind string

const (
	opPut  opKind = "put"
	opGet  opKind = "get"
	opMove opKind = "move"
	opAt   opKind = "label" // where the label is
)

// op is something that a client did to a secret, as the history tells of it.
type op struct {
	kind         opKind
	tenant, name string
	agent        string // names the op in the log
	call, ret    int64  // since the start; ret is 0 for never
	id           string // of the version that was put or read; its number for labels
	from         string // of a move: where the label was
}

// told is an answer of which the log must have the entry.
type told struct {
	tenant, correlation, agent string
}

// loadToken is a token that is used until some time after it was revoked.
type loadToken struct {
	tenant, ID, Token string
	revoked           atomic.Int64 // when that was acknowledged; 0 if it was not
}

// tokenRead is a read that was allowed.
type tokenRead struct {
	token *loadToken
	call  int64
}

func newNodesLoad(t *testing.T, c *cluster, clients int) *nodesLoad {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	t.Cleanup(transport.CloseIdleConnections)
	l := &nodesLoad{cluster: c, http: &http.Client{Transport: transport, Timeout: patience}, admins: map[string]string{}, stop: make(chan struct{}), started: time.Now()}
	operator := &api{base: c.nodes[0].base, token: c.operator}
	for _, tenant := range loadTenants {
		var made struct{ Token string }
		if err := operator.do(t, http.StatusCreated, http.MethodPost, "/api/v1/tenants", map[string]string{"tenant": tenant}).decode(&made); err != nil {
			t.Fatal(err)
		}
		l.admins[tenant] = made.Token
		for n := range loadSecrets {
			l.prepare(t, tenant, fmt.Sprint("secret-", n))
		}
	}
	for i := range l.tokens {
		made, err := l.newToken(loadTenants[i%len(loadTenants)])
		if err != nil {
			t.Fatal(err)
		}
		l.tokens[i].Store(made)
	}
	return l
}

// prepare makes a secret whose first version has the label.
func (l *nodesLoad) prepare(t *testing.T, tenant, name string) {
	t.Helper()
	o := &op{kind: opPut, tenant: tenant, name: name}
	l.do(o, func() bool { return l.put(o) })
	admin := &api{base: l.cluster.nodes[0].base, token: l.admins[tenant]}
	admin.do(t, http.StatusOK, http.MethodPut, stagePath(tenant, name), map[string]string{"version": "1"})
	if err := errors.Join(l.wrong...); err != nil {
		t.Fatal(err)
	}
}

func stagePath(tenant, name string) string {
	return secretPath(tenant, name) + "/stages/" + loadLabel
}

func (l *nodesLoad) now() int64 { return int64(time.Since(l.started)) + 1 }

// run starts the clients.
func (l *nodesLoad) run(clients int) {
	for range clients {
		l.clients.Go(func() {
			for !l.pause(loadPause) {
				l.one()
			}
		})
	}
}

// pause waits for about some time, and reports whether the load is to end.
func (l *nodesLoad) pause(about time.Duration) bool {
	select {
	case <-l.stop:
		return true
	case <-time.After(about/2 + rand.N(about)):
		return false
	}
}

func (l *nodesLoad) end() {
	close(l.stop)
	l.clients.Wait()
}

// one does one thing of what clients do.
func (l *nodesLoad) one() {
	o := &op{tenant: loadTenants[rand.N(len(loadTenants))], name: fmt.Sprint("secret-", rand.N(loadSecrets))}
	switch n := rand.N(100); {
	case n < 40:
		o.kind = opGet
		l.do(o, func() bool { return l.get(o, "", &o.id) })
	case n < 55:
		l.readByToken()
	case n < 75:
		o.kind = opPut
		l.do(o, func() bool { return l.put(o) })
	case n < 95:
		l.move(o)
	default:
		l.revoke()
	}
}

// do runs an op and keeps it, unless it is known to have done nothing.
func (l *nodesLoad) do(o *op, f func() (keep bool)) {
	o.agent = fmt.Sprintf("op-%d", l.serial.Add(1))
	o.call = l.now()
	if !f() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ops = append(l.ops, o)
}

func (l *nodesLoad) complain(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Errorf(format, args...))
}

// send asks any node. It returns nil if there was no answer, or one that tells
// nothing: the service was not available.
func (l *nodesLoad) send(tenant, token, agent, method, path string, body any) *answer {
	a := &api{base: l.cluster.nodes[rand.N(clusterNodes)].base, token: token, agent: agent, client: l.http}
	ans, err := a.send(method, path, body)
	switch {
	case err != nil || ans.cut != nil:
		return nil
	case ans.status == http.StatusServiceUnavailable:
		if ans.header.Get("Retry-After") == "" {
			l.complain("%s %s: 503 without Retry-After: %s", method, path, ans.body)
		}
		return nil
	}
	if ans.status == http.StatusUnauthorized || ans.status == http.StatusTooManyRequests {
		return ans // of nobody that is known
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, told{tenant, ans.correlation, agent})
	return ans
}

// put stores a value under a request token. While the outcome is unknown it is
// sent again under the same token.
func (l *nodesLoad) put(o *op) (keep bool) {
	o.id = fmt.Sprintf("%s-%s-%s-%032d", o.tenant, o.name, o.agent, 0)
	body := map[string]string{"value": o.id, "requestToken": o.id}
	for try := range loadTries {
		ans := l.send(o.tenant, l.admins[o.tenant], o.agent, http.MethodPut, valuePath(o.tenant, o.name), body)
		switch {
		case ans == nil:
			if l.pause(10 * loadPause) {
				return true
			}
		case ans.status == http.StatusConflict: // too many at once, of this try at least
			return try > 0
		case ans.status == http.StatusOK, ans.status == http.StatusCreated:
			o.ret = l.now()
			return true
		default:
			l.complain("put: %d %s", ans.status, ans.body)
			return true
		}
	}
	return true
}

// get reads a value and returns the id of its version, or with a label the
// version's number.
func (l *nodesLoad) get(o *op, query string, what *string) (keep bool) {
	ans := l.send(o.tenant, l.admins[o.tenant], o.agent, http.MethodGet, valuePath(o.tenant, o.name)+query, nil)
	if ans == nil {
		return false
	}
	var v version
	if err := errors.Join(ans.expect(http.StatusOK), ans.decode(&v)); err != nil {
		l.complain("get: %w", err)
		return false
	}
	if v.Value != v.VersionID {
		l.complain("version id %s of %s/%s has the value %q", v.VersionID, o.tenant, o.name, v.Value)
	}
	if *what, o.ret = v.VersionID, l.now(); query != "" {
		*what = v.Version
	}
	return true
}

// move looks where the label is and moves it from there to a new version.
func (l *nodesLoad) move(o *op) {
	at := &op{kind: opAt, tenant: o.tenant, name: o.name}
	l.do(at, func() bool { return l.get(at, "?stage="+loadLabel, &at.id) })
	put := &op{kind: opPut, tenant: o.tenant, name: o.name}
	var number string
	l.do(put, func() bool {
		put.id = fmt.Sprintf("%s-%s-%s-%032d", o.tenant, o.name, put.agent, 1)
		ans := l.send(o.tenant, l.admins[o.tenant], put.agent, http.MethodPut, valuePath(o.tenant, o.name), map[string]string{"value": put.id, "requestToken": put.id})
		if ans == nil || ans.status == http.StatusConflict {
			return ans == nil
		}
		var v version
		if err := errors.Join(ans.expect(http.StatusOK), ans.decode(&v)); err != nil {
			l.complain("put: %w", err)
		}
		put.ret, number = l.now(), v.Version
		return true
	})
	if at.id == "" || number == "" {
		return
	}
	o.kind, o.from, o.id = opMove, at.id, number
	l.do(o, func() bool {
		ans := l.send(o.tenant, l.admins[o.tenant], o.agent, http.MethodPut, stagePath(o.tenant, o.name), map[string]string{"version": o.id, "expectedVersion": o.from})
		switch {
		case ans == nil:
			return true
		case ans.status == http.StatusConflict:
			return false
		case ans.status != http.StatusOK:
			l.complain("move: %d %s", ans.status, ans.body)
		}
		o.ret = l.now()
		return true
	})
}

// readByToken reads with one of the tokens that are being revoked.
func (l *nodesLoad) readByToken() {
	l.readWith(l.tokens[rand.N(loadTokens)].Load())
}

// readWith reads with a token, and keeps that it was allowed to.
func (l *nodesLoad) readWith(k *loadToken) {
	call := l.now()
	ans := l.send(k.tenant, k.Token, "reader", http.MethodGet, valuePath(k.tenant, "secret-0"), nil)
	switch {
	case ans == nil || ans.status == http.StatusUnauthorized || ans.status == http.StatusTooManyRequests:
	case ans.status == http.StatusOK:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.reads = append(l.reads, tokenRead{k, call})
	default:
		l.complain("read by token: %d %s", ans.status, ans.body)
	}
}

func (l *nodesLoad) newToken(tenant string) (*loadToken, error) {
	body := map[string]any{"principal": "reader", "grants": []map[string]string{{"role": "reader"}}}
	ans := l.send(tenant, l.admins[tenant], "admin", http.MethodPost, tenantPath(tenant)+"/tokens", body)
	if ans == nil {
		return nil, nil
	}
	k := &loadToken{tenant: tenant}
	return k, errors.Join(ans.expect(http.StatusCreated), ans.decode(k))
}

// revoke puts a new token in the place of one, revokes that, and tries it on
// until it has seen every node.
func (l *nodesLoad) revoke() {
	i := rand.N(loadTokens)
	old := l.tokens[i].Load()
	made, err := l.newToken(old.tenant)
	if err != nil {
		l.complain("making a token: %w", err)
	}
	if made == nil || !l.tokens[i].CompareAndSwap(old, made) {
		return
	}
	for {
		ans := l.send(old.tenant, l.admins[old.tenant], "admin", http.MethodDelete, tenantPath(old.tenant)+"/tokens/"+old.ID, nil)
		if ans != nil && ans.status == http.StatusNoContent {
			break
		}
		if ans != nil && ans.status != http.StatusConflict {
			l.complain("revoking: %d %s", ans.status, ans.body)
			return
		}
		if l.pause(loadPause) {
			return
		}
	}
	old.revoked.Store(l.now())
	for range 2 * clusterNodes {
		l.readWith(old)
	}
}

// summary tells how much was done.
func (l *nodesLoad) summary() string {
	kinds, open := map[opKind]int{}, 0
	for _, o := range l.ops {
		kinds[o.kind]++
		if o.ret == 0 {
			open++
		}
	}
	return strings.TrimPrefix(fmt.Sprint(kinds), "map") + fmt.Sprintf(", %d without an outcome; %d answers", open, len(l.told))
}
