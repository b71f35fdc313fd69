package notify_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fastness"
	"fastness/fastnesstest"
	"fastness/internal/notify"
	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/testservers"
	"fastness/internal/teststore"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

var ctx = context.Background()

// receiver takes deliveries, and refuses with a status while it is told to.
type receiver struct {
	mu     sync.Mutex
	status int
	got    []delivery
}

type delivery struct {
	header http.Header
	body   []byte
	event  wire.Event
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	d := delivery{header: request.Header, body: body}
	json.Unmarshal(body, &d.event)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status != 0 {
		w.WriteHeader(r.status)
		return
	}
	r.got = append(r.got, d)
}

func (r *receiver) answer(status int) { r.mu.Lock(); r.status = status; r.mu.Unlock() }

// told is what has arrived since it was last asked.
func (r *receiver) told() (texts []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.got {
		texts = append(texts, d.event.Type+" "+d.event.Subject)
	}
	r.got = nil
	return texts
}

// house is a vault with a worker and a receiver.
type house struct {
	*fastnesstest.Fixture
	*receiver
	worker *notify.Worker
	s      *fastness.Session
	hook   vault.NewWebhook
}

func newHouse(t *testing.T, n rotation.Network, spec vault.WebhookSpec) *house {
	t.Helper()
	f := fastnesstest.Open(t, nil)
	h := &house{Fixture: f, receiver: &receiver{}, s: f.Tenant(t, "acme")}
	h.worker = notify.NewWorker(f.Vault, n, slog.New(slog.NewJSONHandler(f.Log, nil)), f.Clock.Now)
	server := httptest.NewServer(h.receiver)
	t.Cleanup(server.Close)
	spec.URL = server.URL
	{
		var err error
		if h.hook, err = h.s.Webhooks().Create(ctx, spec); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.hook.SigningSecret.Release)
	}
	return h
}

var private = rotation.Network{PrivateWebhooks: true}

// place gives entries their places in the log.
func (h *house) place(t *testing.T) {
	t.Helper()
	if _, err := h.Audit(h.Local(vault.Origin{}), "").List(ctx, vault.AuditQuery{Limit: 1}); err != nil {
		t.Fatal(err)
	}
}

// once delivers what there is.
func (h *house) once(t *testing.T) {
	t.Helper()
	h.place(t)
	for range 10 { // turns
		if err := h.worker.Once(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func (h *house) state(t *testing.T) vault.Webhook {
	t.Helper()
	hook, err := h.s.Webhooks().Get(ctx, h.hook.ID)
	if err != nil {
		t.Fatal(err)
	}
	return hook
}

func (h *house) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := h.told(); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// TestDeliveries: signed, in order, of what was asked for, and never a value.
func TestDeliveries(t *testing.T) {
	h := newHouse(t, private, vault.WebhookSpec{Prefix: "app/"})
	fastnesstest.Put(t, h.s, "app/db", "canary-value")
	fastnesstest.Put(t, h.s, "other", "canary-value")
	fastnesstest.Put(t, h.s, "app/db", "canary-value-2")
	h.once(t)
	first := h.got[0]
	h.expect(t, "fastness.secret.created app/db", "fastness.secret.changed app/db")
	if got := first.header.Get("Content-Type"); got != "application/cloudevents+json; charset=utf-8" || strings.Contains(string(first.body), "canary") {
		t.Errorf("%s: %s", got, first.body)
	}
	if first.event.SpecVersion != "1.0" || first.event.Source != "/api/v1/tenants/acme" || first.event.Data.VersionID == "" {
		t.Errorf("%+v", first.event)
	}
	id, at := first.header.Get("Webhook-Id"), first.header.Get("Webhook-Timestamp")
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(string(h.hook.SigningSecret.Bytes()), "whsec_"))
	if err != nil || len(key) != 32 {
		t.Fatalf("the secret stands for %d bytes: %v", len(key), err)
	}
	m := hmac.New(sha256.New, key)
	fmt.Fprintf(m, "%s.%s.%s", id, at, first.body)
	if want := "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil)); first.header.Get("Webhook-Signature") != want || id != "acme-"+first.event.ID {
		t.Errorf("signed %v, want %s", first.header, want)
	}
	if s := h.state(t); s.Delivered.IsZero() || s.Failures != 0 {
		t.Errorf("%+v", s)
	}
	h.once(t)
	h.expect(t)

	for i := range 50 {
		fastnesstest.Put(t, h.s, secret.Name(fmt.Sprintf("app/%02d", i)), "v")
	}
	h.once(t)
	if got := h.told(); len(got) != 50 || !slices.IsSorted(got) {
		t.Errorf("%d in the order %v", len(got), got)
	}
	if s := h.worker.Stats(); s.Delivered != 52 || s.Failing != 0 {
		t.Errorf("%+v", s)
	}
	if strings.Contains(string(h.Log.Bytes()), string(h.hook.SigningSecret.Bytes())) {
		t.Error("the log holds the signing secret")
	}
}

// TestNodesDeliverOnce: of two nodes one delivers, whichever has made the change;
// when its lease has run out the other goes on, once and in order.
func TestNodesDeliverOnce(t *testing.T) {
	if !teststore.Shared() {
		t.Setenv(teststore.Variable, testservers.StartPostgres(t, testservers.Options{}).URL())
	}
	h := newHouse(t, private, vault.WebhookSpec{})
	other := fastnesstest.Open(t, &fastnesstest.Options{Dir: h.Dir, Clock: h.Clock})
	second := *h
	second.Fixture, second.s = other, other.Tenant(t, "acme")
	second.worker = notify.NewWorker(other.Vault, private, slog.New(slog.NewJSONHandler(other.Log, nil)), h.Clock.Now)

	fastnesstest.Put(t, h.s, "a", "v")
	h.once(t)
	h.expect(t, "fastness.secret.created a")
	nodes, want := []*house{h, &second}, []string(nil)
	for i := range 4 {
		name := secret.Name(fmt.Sprint("b", i))
		fastnesstest.Put(t, nodes[i%2].s, name, "v")
		want = append(want, "fastness.secret.created "+string(name))
		h.place(t)
		atOnce(t, nodes)
	}
	h.expect(t, want...)

	h.Clock.Advance(vault.WebhookLease + time.Second)
	fastnesstest.Put(t, h.s, "c", "v")
	second.once(t)
	h.expect(t, "fastness.secret.created c")
	fastnesstest.Put(t, h.s, "d", "v")
	second.place(t)
	atOnce(t, nodes)
	h.expect(t, "fastness.secret.created d")
	for _, n := range nodes {
		if got := n.worker.Stats(); got.Failed != 0 {
			t.Errorf("%+v", got)
		}
	}
}

// atOnce has both workers deliver. One of them does not hold the lease.
func atOnce(t *testing.T, nodes []*house) {
	t.Helper()
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() {
			for range 10 {
				if err := n.worker.Once(ctx); err != nil && !errors.Is(err, store.ErrFenced) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestFailures: what fails waits, is tried again in order, ever later, and is given
// up after three days; by hand it is taken up again, and nothing is lost.
func TestFailures(t *testing.T) {
	h := newHouse(t, private, vault.WebhookSpec{})
	h.answer(500)
	fastnesstest.Put(t, h.s, "a", "1")
	fastnesstest.Put(t, h.s, "b", "1")
	h.once(t)
	s := h.state(t)
	if s.Failures != 1 || s.Error != "refused: the receiver answers with status 500" || !s.Next.After(h.Clock.Now()) {
		t.Errorf("%+v", s)
	}
	h.answer(0)
	h.once(t)
	h.expect(t) // not yet
	h.Clock.Advance(10 * time.Second)
	h.once(t)
	h.expect(t, "fastness.secret.created a", "fastness.secret.created b")
	if s := h.state(t); s.Failures != 0 || s.Error != "" {
		t.Errorf("%+v", s)
	}

	h.answer(404)
	fastnesstest.Put(t, h.s, "c", "1")
	for range 100 {
		h.once(t)
		h.Clock.Advance(time.Hour)
	}
	s = h.state(t)
	if !s.GivenUp || s.Failures < 50 || s.Failures > 100 {
		t.Errorf("%+v", s)
	}
	h.answer(0)
	h.once(t)
	h.expect(t)
	resume := false
	if _, err := h.s.Webhooks().Update(ctx, h.hook.ID, vault.WebhookPatch{Paused: &resume}); err != nil {
		t.Fatal(err)
	}
	h.once(t)
	h.expect(t, "fastness.secret.created c")
	h.answer(410)
	fastnesstest.Put(t, h.s, "d", "1")
	h.once(t)
	if s := h.state(t); !s.GivenUp {
		t.Errorf("after a 410: %+v", s)
	}
}

// TestPauseAndTest: a paused webhook keeps its events, and can be tested.
func TestPauseAndTest(t *testing.T) {
	h := newHouse(t, private, vault.WebhookSpec{Types: []secret.EventType{secret.EventChanged}})
	yes, no := true, false
	if _, err := h.s.Webhooks().Update(ctx, h.hook.ID, vault.WebhookPatch{Paused: &yes}); err != nil {
		t.Fatal(err)
	}
	fastnesstest.Put(t, h.s, "a", "1")
	fastnesstest.Put(t, h.s, "a", "2")
	if _, err := h.s.Webhooks().Test(ctx, h.hook.ID); err != nil {
		t.Fatal(err)
	}
	h.once(t)
	h.expect(t, "fastness.webhook.test ")
	if s := h.state(t); s.Asked {
		t.Errorf("%+v", s)
	}
	if _, err := h.s.Webhooks().Update(ctx, h.hook.ID, vault.WebhookPatch{Paused: &no}); err != nil {
		t.Fatal(err)
	}
	h.once(t)
	h.expect(t, "fastness.secret.changed a")
	if err := h.s.Webhooks().Delete(ctx, h.hook.ID); err != nil {
		t.Fatal(err)
	}
	fastnesstest.Put(t, h.s, "a", "3")
	h.once(t)
	h.expect(t)
}

// TestPrivateAddresses are not reached unless the operator allows it.
func TestPrivateAddresses(t *testing.T) {
	h := newHouse(t, rotation.Network{}, vault.WebhookSpec{})
	fastnesstest.Put(t, h.s, "a", "1")
	h.once(t)
	h.expect(t)
	if s := h.state(t); s.Failures != 1 || !strings.Contains(s.Error, "may not be reached") {
		t.Errorf("%+v", s)
	}
}

// TestErasedAndSuspended: nothing is sent of tenants that are not active.
func TestErasedAndSuspended(t *testing.T) {
	h := newHouse(t, private, vault.WebhookSpec{})
	fastnesstest.Put(t, h.s, "a", "1")
	if _, err := h.Operator().Suspend(ctx, "acme"); err != nil {
		t.Fatal(err)
	}
	h.once(t)
	h.expect(t)
	if _, err := h.Operator().Resume(ctx, "acme"); err != nil {
		t.Fatal(err)
	}
	h.once(t)
	h.expect(t, "fastness.secret.created a")
	if err := h.Operator().Erase(ctx, "acme"); err != nil {
		t.Fatal(err)
	}
	h.once(t)
	h.expect(t)
}
