package server

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A readiness answer is good for readyFor, so that probes, which anybody may
// send, cannot load the store; one probe waits at most readyTimeout for it.
const (
	readyFor     = time.Second
	readyTimeout = 3 * time.Second
)

// readiness answers /readyz from a cached probe.
type readiness struct {
	check    func(context.Context) error
	stopping context.Context
	low      *atomic.Bool // whether the store's disk fills up; nil where nobody looks

	mu  sync.Mutex // guards the rest; held while probing, so that one probe serves all who wait
	at  time.Time
	err error
}

func (p *readiness) probe() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) >= readyFor {
		// Not the request's context: the result is for all who wait.
		ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
		defer cancel()
		p.err = p.check(ctx)
		p.at = time.Now()
	}
	return p.err
}

// ServeHTTP answers 200 when requests can be served, otherwise 503; also when
// the server is about to stop, so that a balancer sends nothing more.
func (p *readiness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !allowGet(w, r) {
		return
	}
	if p.stopping.Err() != nil {
		respond(w, http.StatusServiceUnavailable, `{"status":"stopping"}`)
		return
	}
	if p.probe() != nil {
		respond(w, http.StatusServiceUnavailable, `{"status":"unavailable"}`)
		return
	}
	if p.low != nil && p.low.Load() {
		respond(w, http.StatusOK, `{"status":"ready","disk":"low"}`)
		return
	}
	respond(w, http.StatusOK, `{"status":"ready"}`)
}

// serveHealth answers that the process is alive, and nothing else.
func serveHealth(w http.ResponseWriter, r *http.Request) {
	if allowGet(w, r) {
		respond(w, http.StatusOK, `{"status":"alive"}`)
	}
}

// allowGet refuses other methods than GET and HEAD.
func allowGet(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
	return false
}

func respond(w http.ResponseWriter, status int, body string) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write([]byte(body + "\n"))
}
