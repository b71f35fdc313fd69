package rotation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"fastness/fastnesstest"
	"fastness/internal/secret"
	"fastness/internal/vault"
)

// The bounds of worker.go.
const (
	atOnce       = 16
	atOneTarget  = 2
	busyPatience = 2 * time.Second
)

// crowd counts the requests that receivers have in hand, and lets each wait until
// release says so.
type crowd struct {
	mu       sync.Mutex // guards the numbers
	now, max int
	release  chan struct{}
}

func (c *crowd) ServeHTTP(http.ResponseWriter, *http.Request) {
	c.mu.Lock()
	c.now++
	c.max = max(c.max, c.now)
	c.mu.Unlock()
	<-c.release
	c.mu.Lock()
	c.now--
	c.mu.Unlock()
}

// wait waits until ready says so of the requests in hand, and lets them go.
func (c *crowd) wait(t *testing.T, ready func(now int) bool) {
	defer close(c.release)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		now := c.now
		c.mu.Unlock()
		if ready(now) {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%d requests are in hand", now)
			return
		}
	}
}

// asked makes secrets that a receiver rotates, and asks for it.
func (h *house) asked(t *testing.T, url, prefix string, n int) (names []secret.Name) {
	t.Helper()
	for i := range n {
		name := secret.Name(fmt.Sprintf("%s-%d", prefix, i))
		fastnesstest.Put(t, h.s, name, "old")
		h.policy(t, name, vault.RotationPolicy{Rotator: "webhook", Config: json.RawMessage(`{"url":"` + url + `","unsigned":true,"timeoutSeconds":30}`)})
		if _, err := h.s.AskRotation(context.Background(), name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

// Of one target two secrets are rotated at once; the others wait a little.
func TestWorkerSparesTargets(t *testing.T) {
	h := newHouse(t)
	c := &crowd{release: make(chan struct{})}
	server := httptest.NewServer(c)
	defer server.Close()
	names := h.asked(t, server.URL, "hook", 5)
	go c.wait(t, func(now int) bool {
		s, err := h.Vault.RotationStats(context.Background())
		return err != nil || now > atOneTarget || now == atOneTarget && s.Due == atOneTarget // the others wait
	})
	for _, want := range []int{2, 4, 5} {
		h.once(t)
		rotated := 0
		for _, name := range names {
			if h.value(t, name, "") != "old" {
				rotated++
			}
		}
		if rotated != want || c.max != atOneTarget {
			t.Fatalf("%d are rotated, want %d; %d were at once", rotated, want, c.max)
		}
		h.Clock.Advance(busyPatience)
	}
}

// Of all targets together sixteen secrets are rotated at once.
func TestWorkerSparesItself(t *testing.T) {
	h := newHouse(t)
	c := &crowd{release: make(chan struct{})}
	var names []secret.Name
	for i := range atOnce/atOneTarget + 4 {
		server := httptest.NewServer(c)
		defer server.Close()
		names = append(names, h.asked(t, server.URL, fmt.Sprintf("hook-%d", i), atOneTarget)...)
	}
	go c.wait(t, func(now int) bool { return now >= atOnce })
	h.once(t)
	if c.max != atOnce {
		t.Errorf("%d were at once", c.max)
	}
	for _, name := range names {
		if h.value(t, name, "") == "old" {
			t.Errorf("%s is not rotated", name)
		}
	}
}
