package api_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"fastness/internal/api"
	"fastness/internal/secret"
	"fastness/internal/testservers"
	"fastness/internal/teststore"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

// message is one of a stream of server-sent events.
type message struct {
	id, data, retry string
}

// events opens a stream and returns its messages; the channel ends with it.
func (s *service) events(token, query, last string) (*http.Response, <-chan message) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), "GET", s.http.URL+api.Prefix+"/tenants/acme/events"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	response, err := s.http.Client().Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { response.Body.Close() })
	out := make(chan message, 1000)
	go func() {
		defer close(out)
		var m message
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch field {
			case "id":
				m.id = value
			case "data":
				m.data = value
			case "retry":
				m.retry = value
			case "":
				out <- m
				m = message{}
			}
		}
	}()
	return response, out
}

// next returns the next message with an event in it.
func (s *service) next(from <-chan message) (message, wire.Event) {
	s.t.Helper()
	for deadline := time.After(20 * time.Second); ; {
		select {
		case m, ok := <-from:
			if !ok {
				s.t.Fatal("the stream has ended")
			}
			if m.data == "" {
				continue
			}
			var e wire.Event
			if err := json.Unmarshal([]byte(m.data), &e); err != nil {
				s.t.Fatalf("%v: %s", err, m.data)
			}
			return m, e
		case <-deadline:
			s.t.Fatal("no event comes")
		}
	}
}

func TestEvents(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	response, stream := s.events(admin, "", "")
	if got := response.Header.Get("Content-Type"); response.StatusCode != 200 || got != "text/event-stream" || response.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("events: %d %s", response.StatusCode, got)
	}
	begun := <-stream
	if begun.id == "" || begun.retry == "" || begun.data != "" {
		t.Errorf("begins with %+v", begun)
	}
	made := s.put("acme", "db/password", admin, "hunter2-canary")
	m, e := s.next(stream)
	want := wire.Event{
		SpecVersion: "1.0", ID: m.id, Source: "/api/v1/tenants/acme", Type: "fastness.secret.created", Subject: "db/password",
		Time: e.Time, DataContentType: "application/json",
		Data: wire.EventData{Name: "db/password", Version: "1", VersionID: made.VersionID, Stages: []string{"AWSCURRENT"}},
	}
	if string(must1(json.Marshal(want))(t)) != m.data || m.id == begun.id || time.Since(e.Time) > time.Minute {
		t.Errorf("told of %s, want %+v", m.data, want)
	}
	s.put("acme", "db/password", admin, "2")
	s.put("acme", "other", admin, "1")

	// Goes on where it was, by the header, which is newer than the query.
	_, again := s.events(admin, "?after=0&prefix=db/", m.id)
	if _, e := s.next(again); e.Type != "fastness.secret.changed" || e.Data.Version != "2" {
		t.Errorf("goes on with %+v", e)
	}
	_, chosen := s.events(admin, "?after=0&type=fastness.secret.created,fastness.secret.purged&name=other", "")
	if _, e := s.next(chosen); e.Subject != "other" {
		t.Errorf("chosen is %+v", e)
	}

	s.stop() // as the server does when it is about to stop
	for range stream {
	}
	for _, e := range s.entries("acme", "action=events.close") {
		if e.Result != "success" || e.UserID == "" {
			t.Errorf("the end left %+v", e)
		}
	}
	for _, m := range s.entries("acme", "") {
		if strings.Contains(m.Detail, "canary") {
			t.Errorf("an entry holds a value: %+v", m)
		}
	}
}

// TestEventsOnNodes: who follows on one node is told of changes on another, and
// goes on there where the first one has stopped.
func TestEventsOnNodes(t *testing.T) {
	if !teststore.Shared() {
		t.Setenv(teststore.Variable, testservers.StartPostgres(t, testservers.Options{}).URL())
	}
	a := newService(t)
	b := newNode(t, a.place)
	admin := a.tenant("acme")
	_, onB := b.events(admin, "", "")
	begun := <-onB
	if begun.id == "" {
		t.Fatalf("begins with %+v", begun)
	}
	a.put("acme", "db", admin, "1")
	b.put("acme", "db", admin, "2")
	a.put("acme", "db", admin, "3")
	var last message
	for _, version := range []string{"1", "2", "3"} {
		m, e := b.next(onB)
		if e.Subject != "db" || e.Data.Version != version {
			t.Fatalf("told of %+v, want version %s", e, version)
		}
		last = m
	}

	b.stop() // as a server does that is about to stop; changes go on
	for range onB {
	}
	a.put("acme", "db", admin, "4")
	b.put("acme", "db", admin, "5")
	_, onA := a.events(admin, "", last.id)
	_, all := a.events(admin, "", begun.id)
	for _, version := range []string{"4", "5"} {
		if _, e := a.next(onA); e.Data.Version != version {
			t.Fatalf("goes on with %+v, want version %s", e, version)
		}
	}
	for _, version := range []string{"1", "2", "3", "4", "5"} {
		if _, e := a.next(all); e.Data.Version != version {
			t.Fatalf("from the beginning: %+v, want version %s", e, version)
		}
	}
}

// must1 returns v, or ends the test.
func must1[T any](v T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

func TestEventsRefused(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	path := "/tenants/acme/events"
	for _, query := range []string{"?after=x", "?after=-1", "?type=fastness.secret", "?type=,", "?type=fastness.secret.created,fastness.secret.created", "?name=a%20b", "?what=1"} {
		s.refused(400, secret.ErrInvalid, "GET", path+query, admin, "")
	}
	s.refused(400, secret.ErrLimit, "GET", path+"?prefix="+strings.Repeat("p", 600), admin, "")
	s.refused(410, secret.ErrGone, "GET", path+"?after=999999999", admin, "")
	if response, _ := s.events(admin, "", "latest"); response.StatusCode != 400 {
		t.Errorf("a header that is no id: %d", response.StatusCode)
	}
	for range vault.MaxPrincipalStreams {
		_, stream := s.events(admin, "", "")
		<-stream
	}
	p := s.refused(429, secret.ErrTooMany, "GET", path, admin, "")
	if p.Field != "streams" || p.Limit == nil || *p.Limit != vault.MaxPrincipalStreams {
		t.Errorf("refused with %+v", p)
	}
}

// TestEventsOfRevoked: a token that is revoked ends what it has opened.
func TestEventsOfRevoked(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	made := must[struct{ ID, Token string }](s, 201, "POST", "/tenants/acme/tokens", admin, `{"principal":"web","grants":[{"role":"reader"}]}`)
	_, stream := s.events(made.Token, "", "")
	<-stream
	if a := s.do("DELETE", "/tenants/acme/tokens/"+made.ID, admin, ""); a.status != 204 {
		t.Fatalf("revoking: %d", a.status)
	}
	s.put("acme", "after", admin, "1")
	deadline := time.After(20 * time.Second)
	for {
		select {
		case m, ok := <-stream:
			if !ok {
				return
			}
			if m.data != "" {
				t.Errorf("told of %s", m.data)
			}
		case <-deadline:
			t.Fatal("the stream of a revoked token goes on")
		}
	}
}
