package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

// eventRoutes tell what happens to a tenant's secrets.
var eventRoutes = []*Route{
	{Method: get, Pattern: tenantPath + "/events", Summary: "Follow what happens to secrets, as server-sent events",
		Deadline: eventsTime, Stream: true, Action: audit.EventsOpen,
		Query: []Param{
			{"after", "integer", "go on after the event with this id; so does the header Last-Event-ID. Default: what happens from now on"},
			{"prefix", "string", "of secrets whose names begin with it"},
			{"name", "string", "of this secret"},
			{"type", "string", "events of these types, with commas between them"},
		},
		Media: mediaEvents, Response: "Event", Failures: []int{410}, handle: followEvents},
}

// retryEvents is how long a client waits before it connects again, in
// milliseconds, unless it knows better.
const retryEvents = 2000

// followEvents streams events until the client has had enough, the route's
// deadline passes, or the server stops. Each message is one CloudEvent with its
// id; a comment and the position come at least every quarter of a minute.
func followEvents(c *call) error {
	q, err := c.eventQuery()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.context())
	defer cancel()
	defer context.AfterFunc(c.api.stopping, cancel)()
	s := newStream(c, eventsType)
	begun := false
	err = c.session().Follow(ctx, q, func(n vault.News) error {
		if !begun {
			begun = true
			fmt.Fprintf(s, "retry: %d\n", retryEvents)
		}
		return writeNews(s, c.tenant, n)
	})
	return s.end(err)
}

// writeNews writes a message for each event. Without any, it writes the position,
// which is not shown to whoever listens but is where it goes on.
func writeNews(s *stream, t secret.TenantName, n vault.News) error {
	for _, e := range n.Events {
		line, err := json.Marshal(wire.EventOf(t, e))
		if err != nil {
			return err
		}
		fmt.Fprintf(s, "id: %d\ndata: %s\n\n", e.ID, line) // an error stays in the buffer for flush
	}
	if len(n.Events) == 0 {
		fmt.Fprintf(s, ":\nid: %d\n\n", n.At)
	}
	return s.flush()
}

func (c *call) eventQuery() (q vault.EventQuery, err error) {
	q = vault.EventQuery{After: -1, Prefix: c.query.Get("prefix")}
	if len(q.Prefix) > secret.MaxName {
		return q, reject(secret.Limited("prefix", fmt.Sprintf("at most %d characters", secret.MaxName)))
	}
	if c.query.Has("name") {
		if q.Name, err = secret.ParseName(c.query.Get("name")); err != nil {
			return q, reject(err)
		}
	}
	if q.Types, err = secret.ParseEventTypes("type", c.query.Get("type")); err != nil {
		return q, reject(err)
	}
	after, present, err := c.index("after")
	if err != nil {
		return q, err
	}
	if present {
		q.After = after
	}
	// A browser that connects again sends the same query, and where it was.
	if last := strings.TrimSpace(c.r.Header.Get("Last-Event-ID")); last != "" {
		if q.After, err = parseIndex(last); err != nil {
			return q, invalid("Last-Event-ID", "a whole number from 0")
		}
	}
	return q, nil
}
