// Package notify delivers events to the webhooks of tenants.
//
// The key idea: a webhook is a position in its tenant's audit log, from which
// events are read (see vault.Session.Follow). The one node of a deployment that
// holds the lease sends them in order and moves the position behind what was
// accepted, so that each event arrives at least once. A webhook that fails is
// tried again, ever later, while its events wait in the log, and is given up
// after three days.
//
// The package guarantees that requests reach only addresses that rotation's
// webhooks may, are signed, never hold a value, and are not sent by two nodes that
// both believe to be the one. Start with Worker.
package notify

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

const (
	// pollPeriod is how often the worker looks at the logs of tenants with webhooks.
	pollPeriod = time.Second
	// renewPeriod is how often it renews its lease.
	renewPeriod = vault.WebhookLease / 4
	// maxConcurrent is how many webhooks are delivered to at once.
	maxConcurrent = 16
	// requestTimeout bounds one delivery, far below the lease.
	requestTimeout = 10 * time.Second
	// turn is how many events a webhook is sent before its position is stored and
	// others have their turn.
	turn = 20
	// maxSilent is how far a position may move without being stored because there
	// was nothing to tell.
	maxSilent = 50_000
	// firstPause and longestPause bound the pauses after failures, which double.
	firstPause   = 5 * time.Second
	longestPause = time.Hour
	// giveUp is how long a webhook may fail.
	giveUp = 72 * time.Hour
	// maxReply is how much of an answer is read, so that its connection ends well.
	maxReply = 4 << 10
)

// testType is the type of the event that Webhooks.Test sends.
const testType secret.EventType = "fastness.webhook.test"

// Stats are figures for the metrics.
type Stats struct {
	Delivered uint64
	Failed    uint64 // attempts
	Failing   int    // webhooks, as far as this node delivers
	Backlog   int64  // entries of logs that are not delivered from yet
}

// Worker delivers to the webhooks of all tenants, if this node is the one that
// does. Make one with NewWorker.
type Worker struct {
	vault  *vault.Vault
	client *http.Client
	log    *slog.Logger
	now    func() time.Time

	lead    *vault.WebhookLead // nil while another node delivers; Run's alone, as renewed
	renewed time.Time

	slots chan struct{} // one for each webhook in hand
	tasks sync.WaitGroup

	delivered, failed atomic.Uint64

	mu    sync.Mutex // guards hooks
	hooks map[string]known
}

// known is what the worker knows of a webhook.
type known struct {
	busy bool
	at   int64         // position that is looked at already, maybe beyond the stored one
	last vault.Webhook // as it was last read or stored
	head int64         // of its tenant's log
}

// NewWorker makes a worker. Nil for a logger or a clock are the default ones.
func NewWorker(v *vault.Vault, n rotation.Network, log *slog.Logger, now func() time.Time) *Worker {
	if log == nil {
		log = slog.Default()
	}
	if now == nil {
		now = time.Now
	}
	return &Worker{
		vault: v, client: n.Client(requestTimeout, nil), log: log, now: now,
		slots: make(chan struct{}, maxConcurrent), hooks: map[string]known{},
	}
}

// Run delivers until ctx ends, and returns when nothing is in hand any more.
func (w *Worker) Run(ctx context.Context) {
	defer w.tasks.Wait()
	tick := time.NewTicker(pollPeriod)
	defer tick.Stop()
	for {
		if err := w.round(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrFenced) {
			w.log.ErrorContext(ctx, "delivering to webhooks", "error", err, "cause", secret.Of(err).Cause)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Once delivers what there is now, and waits until it is done: for tests.
func (w *Worker) Once(ctx context.Context) error {
	err := w.round(ctx)
	w.tasks.Wait()
	return err
}

// Stats returns figures for the metrics.
func (w *Worker) Stats() Stats {
	s := Stats{Delivered: w.delivered.Load(), Failed: w.failed.Load()}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range w.hooks {
		if !k.last.Failing.IsZero() {
			s.Failing++
		}
		s.Backlog += max(k.head-k.at, 0)
	}
	return s
}

// round hands out the webhooks to which there is something to say.
func (w *Worker) round(ctx context.Context) error {
	tenants, err := w.vault.WebhookTenants(ctx)
	if err != nil || len(tenants) == 0 {
		return err
	}
	if err := w.hold(ctx); err != nil {
		return err
	}
	for _, t := range tenants {
		hooks, err := w.lead.Webhooks(ctx, t)
		if err != nil {
			return err
		}
		for _, h := range hooks {
			if w.take(t, h) {
				select {
				case w.slots <- struct{}{}:
				case <-ctx.Done():
					w.release(h, h.At)
					return ctx.Err()
				}
				lead := w.lead
				w.tasks.Go(func() {
					defer func() { <-w.slots }()
					w.serve(ctx, lead, t, h)
				})
			}
		}
	}
	return nil
}

// hold takes the lease, and renews it in time.
func (w *Worker) hold(ctx context.Context) error {
	if w.lead != nil && w.now().Sub(w.renewed) < renewPeriod {
		return nil
	}
	lead, err := w.vault.LeadWebhooks(ctx)
	if err != nil {
		w.lead = nil
		return err
	}
	w.lead, w.renewed = lead, w.now()
	return nil
}

// take takes a webhook in hand, if there is something to do with it.
func (w *Worker) take(t vault.WebhookTenant, h vault.Webhook) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	k, ok := w.hooks[h.ID]
	if k.busy {
		return false
	}
	if !ok || k.at < h.At || h.WebhookSpec.URL != k.last.URL {
		k.at = h.At
	}
	k.last, k.head = h, t.Last
	waits := h.Paused || h.GivenUp || w.now().Before(h.Next)
	k.busy = h.Asked || !waits && k.at < t.Last
	w.hooks[h.ID] = k
	return k.busy
}

// release ends what take began: the webhook was looked at up to a position.
func (w *Worker) release(h vault.Webhook, at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.hooks[h.ID]
	k.busy, k.at, k.last = false, max(k.at, at), h
	w.hooks[h.ID] = k
}

// serve sends a webhook what it is to be told, and stores how that went.
func (w *Worker) serve(ctx context.Context, lead *vault.WebhookLead, t vault.WebhookTenant, h vault.Webhook) {
	before, at := h.WebhookState, h.At
	defer func() { w.release(h, at) }()
	key, err := lead.SigningKey(ctx, t, h.ID)
	if err != nil {
		w.log.ErrorContext(ctx, "opening the secret of a webhook", "webhook", h.ID, "error", err)
		return
	}
	defer key.Release()
	said := false
	if h.Asked {
		test := secret.Event{ID: uint64(h.At), Type: testType, Time: w.now()}
		said, h.Asked = true, false
		w.note(ctx, &h, w.send(ctx, h, t, test, "test-"+secret.NewUUID(), key))
	}
	if !h.Paused && !h.GivenUp && !w.now().Before(h.Next) {
		var told bool
		if told, at, err = w.tell(ctx, lead, t, &h, key); err != nil {
			w.log.ErrorContext(ctx, "reading events for a webhook", "webhook", h.ID, "error", err)
			return
		}
		said = said || told
	}
	if ctx.Err() != nil || !said && at-before.At < maxSilent {
		return
	}
	h.At = max(h.At, at)
	if err := lead.Save(ctx, t, h.ID, before, h.WebhookState); err != nil && !errors.Is(err, store.ErrFenced) {
		w.log.ErrorContext(ctx, "storing how a webhook goes", "webhook", h.ID, "error", err)
	}
}

// tell sends the next events, and returns whether there were any and up to which
// position all is done.
func (w *Worker) tell(ctx context.Context, lead *vault.WebhookLead, t vault.WebhookTenant, h *vault.Webhook, key *secretbuf.Buffer) (told bool, at int64, err error) {
	w.mu.Lock()
	h.At = max(h.At, w.hooks[h.ID].at)
	w.mu.Unlock()
	events, end, err := lead.Events(ctx, t, *h)
	if err != nil {
		return false, h.At, err
	}
	for i, e := range events {
		if i == turn {
			return true, h.At, nil
		}
		failure := w.send(ctx, *h, t, e, fmt.Sprintf("%s-%d", t.Name, e.ID), key)
		if ctx.Err() != nil {
			return told, h.At, nil // nobody knows; it is sent again
		}
		told = true
		if w.note(ctx, h, failure); failure != nil {
			return true, h.At, nil
		}
		h.At = int64(e.ID)
	}
	return told, end, nil
}

// note takes down how a delivery went.
func (w *Worker) note(ctx context.Context, h *vault.Webhook, failure error) {
	now := w.now().UTC()
	if failure == nil {
		w.delivered.Add(1)
		h.Failures, h.Failing, h.Next, h.Error, h.Delivered = 0, time.Time{}, time.Time{}, "", now
		return
	}
	w.failed.Add(1)
	if h.Failures++; h.Failing.IsZero() {
		h.Failing = now
	}
	h.Error = failure.Error()
	h.Next = now.Add(pause(h.Failures))
	if errors.Is(failure, errGone) || now.Sub(h.Failing) >= giveUp {
		h.GivenUp = true
	}
	w.log.WarnContext(ctx, "webhook failed", "webhook", h.ID, "failures", h.Failures, "reason", h.Error, "nextAttempt", h.Next, "givenUp", h.GivenUp)
}

// pause is how long to wait after so many failures: half of a bound that doubles,
// and a random part of the other half.
func pause(failures int) time.Duration {
	bound := min(firstPause<<min(failures-1, 20), longestPause)
	var random [8]byte
	rand.Read(random[:])
	return bound/2 + time.Duration(binary.LittleEndian.Uint64(random[:])%uint64(bound/2))
}

// errGone is the answer of a receiver that wants to hear no more.
var errGone = errors.New("refused: the receiver answers with status 410: it wants no more")

// send sends one event. Its error may be told to the tenant.
func (w *Worker) send(ctx context.Context, h vault.Webhook, t vault.WebhookTenant, e secret.Event, id string, key *secretbuf.Buffer) error {
	body, err := json.Marshal(wire.EventOf(t.Name, e))
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return errors.New("config: the URL is not one")
	}
	request.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	request.Header.Set("User-Agent", "fastness")
	rotation.Sign(request, key, id, w.now(), body)
	response, err := w.client.Do(request)
	if err != nil {
		return errors.New(rotation.Reason(err))
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, maxReply)) // what it says counts for nothing
	switch code := response.StatusCode; {
	case code == http.StatusGone:
		return errGone
	case code < 200 || code > 299:
		return fmt.Errorf("refused: the receiver answers with status %d", code)
	}
	return nil
}
