package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fastness/client"
	"fastness/internal/secret"
	"fastness/internal/wire"
)

// script is a server of events that answers each request with the next of its
// scenes, and keeps their queries.
type script struct {
	mu      sync.Mutex
	queries []string
	scenes  []func(http.ResponseWriter, *http.Request)
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.queries = append(s.queries, r.URL.RawQuery)
	scene := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	if len(s.scenes) > 0 {
		scene, s.scenes = s.scenes[0], s.scenes[1:]
	}
	s.mu.Unlock()
	scene(w, r)
}

func (s *script) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.queries)
}

// streams is a scene that says this and ends.
func streams(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, text)
	}
}

// event is a message of one event.
func event(id uint64, typ client.EventType, name client.Name) string {
	var b strings.Builder
	e := wire.EventOf("shop", secret.Event{ID: id, Type: typ, Name: name, Version: 1, Time: time.Unix(1, 0)})
	fmt.Fprintf(&b, `id: %d`+"\n"+`data: {"specversion":"1.0","id":"%d","source":%q,"type":%q,"subject":%q,"time":"2026-01-02T03:04:05Z",`+
		`"datacontenttype":"application/json","data":{"name":%q,"version":"1","stages":["AWSCURRENT"]}}`+"\n\n",
		id, id, e.Source, e.Type, e.Subject, e.Data.Name)
	return b.String()
}

func refusal(e *secret.Error) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { refuse(w, e) }
}

// TestWatch goes on where it was through whatever breaks a stream, and begins anew
// where that cannot be.
func TestWatch(t *testing.T) {
	enough := errors.New("enough")
	s := &script{scenes: []func(http.ResponseWriter, *http.Request){
		streams("retry: 2000\n:\nid: 5\n\n" + event(7, client.EventRotated, "db") + ":\nid: 9\n\n"),
		refusal(secret.ErrUnavailable),
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		streams(event(12, client.EventUpdated, "db") + "id: 13\ndata: half of a mess"),
		refusal(secret.TooMany("too many", time.Second)),
		refusal(secret.ErrGone),
		streams(":\nid: 20\n\n" + event(21, client.EventPurged, "db")),
	}}
	server := serve(t, s.ServeHTTP)
	c, pauses := dial(t, server, nil)
	var got []string
	err := c.Session("").Watch(t.Context(), client.EventQuery{After: -1, Prefix: "d", Types: []client.EventType{client.EventRotated, client.EventPurged}}, func(e client.Event) error {
		got = append(got, fmt.Sprintf("%s %d %s", e.Type, e.ID, e.Name))
		if e.ID == 21 {
			return enough
		}
		return nil
	})
	if err != enough {
		t.Errorf("ended with %v", err)
	}
	if want := []string{"sync 0 ", "fastness.secret.rotated 7 db", "fastness.secret.updated 12 db", "sync 0 ", "fastness.secret.purged 21 db"}; !slices.Equal(got, want) {
		t.Errorf("told of %q, want %q", got, want)
	}
	const types = "prefix=d&type=fastness.secret.rotated%2Cfastness.secret.purged"
	want := []string{types, "after=9&" + types, "after=9&" + types, "after=9&" + types, "after=12&" + types, "after=12&" + types, types}
	if asked := s.asked(); !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	for _, p := range *pauses {
		if p <= 0 || p > 40*time.Second {
			t.Errorf("a pause of %v", p)
		}
	}
}

// TestWatchGivesUp: where waiting does not help, and when its context ends.
func TestWatchGivesUp(t *testing.T) {
	for _, e := range []*secret.Error{secret.ErrUnauthenticated, secret.ErrAccessDenied, secret.ErrNotFound, secret.ErrSuspended, secret.ErrInvalid} {
		c, pauses := dial(t, serve(t, refusal(e)), nil)
		err := c.Session("").Watch(t.Context(), client.EventQuery{After: -1}, func(client.Event) error { return nil })
		if !errors.Is(err, e) || len(*pauses) > 0 {
			t.Errorf("%s: %v after %d pauses", e.Code, err, len(*pauses))
		}
	}
	c, _ := dial(t, serve(t, (&script{scenes: []func(http.ResponseWriter, *http.Request){streams(":\n\n")}}).ServeHTTP), nil)
	ctx, cancel := context.WithCancel(t.Context())
	if err := c.Session("").Watch(ctx, client.EventQuery{After: -1}, func(client.Event) error { cancel(); return nil }); err != nil {
		t.Errorf("ended by its context: %v", err)
	}
}

// vaultOf is a server of one value and its events.
type vaultOf struct {
	mu    sync.Mutex
	value string
	reads int
	send  chan string
	slow  chan struct{} // if set, a read waits for it after it has looked
}

func (v *vaultOf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/events") {
		flush := func(text string) { fmt.Fprint(w, text); http.NewResponseController(w).Flush() }
		flush(":\nid: 1\n\n")
		for {
			select {
			case text := <-v.send:
				flush(text)
			case <-r.Context().Done():
				return
			}
		}
	}
	v.mu.Lock()
	v.reads++
	value, slow := v.value, v.slow
	v.mu.Unlock()
	if slow != nil {
		<-slow
	}
	name := strings.TrimSuffix(r.URL.Path[strings.LastIndex(strings.TrimSuffix(r.URL.Path, "/value"), "/")+1:], "/value")
	fmt.Fprintf(w, `{"name":%q,"value":%q,"version":"1","versionId":"11111111-1111-4111-8111-111111111111","stages":["AWSCURRENT"]}`, name, value)
}

func (v *vaultOf) set(value string) { v.mu.Lock(); v.value = value; v.mu.Unlock() }

func (v *vaultOf) count() int { v.mu.Lock(); defer v.mu.Unlock(); return v.reads }

// TestCache: a value is read once until something is heard of it, and never kept
// when nothing can be heard.
func TestCache(t *testing.T) {
	v := &vaultOf{value: "one", send: make(chan string)}
	c, _ := dial(t, serve(t, v.ServeHTTP), nil)
	cache := c.Session("").Cache(client.CacheConfig{Size: 2})
	get := func(name client.Name, want string) {
		t.Helper()
		r, err := cache.Get(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Value.Release()
		if got := string(r.Value.Bytes()); got != want {
			t.Errorf("%s reads %q, want %q", name, got, want)
		}
	}
	reads := func(want int) {
		t.Helper()
		if got := v.count(); got != want {
			t.Errorf("%d reads, want %d", got, want)
		}
	}
	get("a", "one")
	get("a", "one")
	reads(2) // nobody listens

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- cache.Run(ctx) }()
	awaitKept := func(want bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); cache.Keeping() != want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the cache does not come to keep=%t", want)
			}
		}
	}
	awaitKept(true)
	get("a", "one")
	get("a", "one")
	reads(3)

	v.set("two")
	heard := cache.Changes()
	v.send <- event(2, client.EventUpdated, "a") + event(3, client.EventChanged, "b") + event(4, client.EventRotated, "a")
	for cache.Changes() < heard+2 {
		time.Sleep(time.Millisecond)
	}
	get("a", "two")
	get("a", "two")
	reads(4)

	// What was read before a change was heard of is not kept after it.
	v.mu.Lock()
	v.slow = make(chan struct{})
	v.mu.Unlock()
	done := make(chan struct{})
	go func() { defer close(done); get("c", "two") }()
	for v.count() < 5 {
		time.Sleep(time.Millisecond)
	}
	v.set("three")
	heard = cache.Changes()
	v.send <- event(5, client.EventChanged, "c")
	for cache.Changes() == heard {
		time.Sleep(time.Millisecond)
	}
	close(v.slow)
	<-done
	get("c", "three")
	get("c", "three")
	reads(6)

	get("d", "three") // of two, the oldest goes
	get("a", "three")
	reads(8)

	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	awaitKept(false)
	get("a", "three")
	reads(9)
}

// TestCacheLife: a value is kept no longer than it may be.
func TestCacheLife(t *testing.T) {
	v := &vaultOf{value: "one", send: make(chan string)}
	c, _ := dial(t, serve(t, v.ServeHTTP), nil)
	cache := c.Session("").Cache(client.CacheConfig{Life: time.Minute, Query: client.EventQuery{Prefix: "kept"}})
	now := time.Now()
	cache.SetNow(func() time.Time { return now })
	go cache.Run(t.Context())
	for !cache.Keeping() {
		time.Sleep(time.Millisecond)
	}
	read := func(name client.Name, want int) {
		t.Helper()
		r, err := cache.Get(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		r.Value.Release()
		if got := v.count(); got != want {
			t.Errorf("%d reads, want %d", got, want)
		}
	}
	read("kept", 1)
	now = now.Add(time.Minute - 1)
	read("kept", 1)
	now = now.Add(1)
	read("kept", 2)
	read("other", 3) // nothing is heard of it
	read("other", 4)
}
