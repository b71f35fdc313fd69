package rotation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"fastness"
	"fastness/fastnesstest"
	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/testservers"
	"fastness/internal/teststore"
	"fastness/internal/vault"
)

// house is a vault with a worker.
type house struct {
	*fastnesstest.Fixture
	*rotation.Worker
	s *fastness.Session
}

func newHouse(t *testing.T) *house {
	t.Helper()
	f := fastnesstest.Open(t, nil)
	return &house{f, rotation.NewWorker(f.Vault, rotation.Network{PrivateWebhooks: true}, slog.New(slog.NewJSONHandler(f.Log, nil)), f.Clock.Now), f.Tenant(t, "acme")}
}

// once does what is due.
func (h *house) once(t *testing.T) {
	t.Helper()
	if err := h.Once(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func (h *house) policy(t *testing.T, name secret.Name, p vault.RotationPolicy) {
	t.Helper()
	if _, err := h.s.SetRotation(context.Background(), name, p); err != nil {
		t.Fatal(err)
	}
}

// records returns the journal: what is under way, and what is over.
func (h *house) records(t *testing.T, name secret.Name) (now *rotation.Record, past []rotation.Record) {
	t.Helper()
	r, err := h.s.Rotation(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	now, past, err = parseRecords(r)
	if err != nil {
		t.Fatal(err)
	}
	return now, past
}

// parseRecords reads a journal.
func parseRecords(r vault.Rotation) (now *rotation.Record, past []rotation.Record, err error) {
	if r.Active {
		now = &rotation.Record{}
		err = json.Unmarshal(r.Journal, now)
	}
	for _, entry := range r.History {
		var record rotation.Record
		err = errors.Join(err, json.Unmarshal(entry, &record))
		past = append(past, record)
	}
	return now, past, err
}

func (h *house) value(t *testing.T, name secret.Name, label secret.Label) string {
	t.Helper()
	return fastnesstest.Get(t, h.s, name, fastness.Selector{Label: label})
}

// A secret rotates when it is due, and not before; its labels and times tell.
func TestWorkerRotatesWhatIsDue(t *testing.T) {
	h := newHouse(t)
	fastnesstest.Put(t, h.s, "app/password", "old")
	fastnesstest.Put(t, h.s, "other/password", "untouched")
	h.policy(t, "app/password", vault.RotationPolicy{Rotator: "password", Config: json.RawMessage(`{"length":20}`)})
	h.once(t)
	if h.value(t, "app/password", "") != "old" {
		t.Fatal("it was rotated before its time")
	}
	h.Clock.Advance(90*24*time.Hour + time.Second)
	h.once(t)
	info, err := h.s.Describe(context.Background(), "app/password")
	if err != nil {
		t.Fatal(err)
	}
	if value := h.value(t, "app/password", ""); len(value) != 20 || h.value(t, "app/password", secret.Previous) != "old" {
		t.Errorf("the value has %d characters", len(value))
	}
	if len(info.Labels) != 2 || !info.LastRotated.Equal(h.Clock.Now()) || info.NextRotation.Sub(info.LastRotated) != 90*24*time.Hour {
		t.Errorf("%+v", info)
	}
	if now, past := h.records(t, "app/password"); now != nil || len(past) != 1 || past[0].State != rotation.StateFinished {
		t.Errorf("the journal is %+v, %+v", now, past)
	}
	if h.value(t, "other/password", "") != "untouched" {
		t.Error("a secret without a rotation was rotated")
	}
}

// Asking rotates now; without a rotator the name decides; paused is not at all.
func TestWorkerDoesAsAsked(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	fastnesstest.Put(t, h.s, "x-api-key", "old")
	if _, err := h.s.AskRotation(ctx, "x-api-key"); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("without a policy: %v", err)
	}
	h.policy(t, "x-api-key", vault.RotationPolicy{})
	if _, err := h.s.AskRotation(ctx, "x-api-key"); err != nil {
		t.Fatal(err)
	}
	h.once(t)
	if value := h.value(t, "x-api-key", ""); len(value) != 64 {
		t.Errorf("the value has %d characters", len(value))
	}
	if _, err := h.s.PauseRotation(ctx, "x-api-key"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.s.AskRotation(ctx, "x-api-key"); !errors.Is(err, secret.ErrConflict) {
		t.Errorf("while paused: %v", err)
	}
	h.Clock.Advance(100 * 24 * time.Hour)
	h.once(t)
	if _, past := h.records(t, "x-api-key"); len(past) != 1 {
		t.Errorf("%d rotations while paused", len(past)-1)
	}
	if _, err := h.s.ResumeRotation(ctx, "x-api-key"); err != nil {
		t.Fatal(err)
	}
	h.once(t)
	if _, past := h.records(t, "x-api-key"); len(past) != 2 {
		t.Errorf("%d rotations after all", len(past))
	}
}

// A schedule rotates within its window, at the secret's own place in it, and
// a window that was missed is waited for.
func TestWorkerKeepsWindows(t *testing.T) {
	h := newHouse(t)
	fastnesstest.Put(t, h.s, "app/password", "old")
	h.policy(t, "app/password", vault.RotationPolicy{Schedule: "cron(0 2 ? * SUN *)", Duration: "3h"})
	info, err := h.s.Describe(context.Background(), "app/password")
	if err != nil {
		t.Fatal(err)
	}
	next := info.NextRotation
	if next.Weekday() != time.Sunday || next.Hour() < 2 || next.Hour() > 4 {
		t.Fatalf("it is due at %v", next)
	}
	h.Clock.Advance(next.Sub(h.Clock.Now()) + 12*time.Hour) // nobody was there
	h.once(t)
	if h.value(t, "app/password", "") != "old" {
		t.Error("it was rotated outside of its window")
	}
	h.Clock.Advance(7*24*time.Hour - 12*time.Hour)
	h.once(t)
	if h.value(t, "app/password", "") == "old" {
		t.Error("it was not rotated in the next window")
	}
	for field, p := range map[string]vault.RotationPolicy{
		"schedule": {Schedule: "rate(1 hour)"}, "duration": {Schedule: "cron(0 2 ? * SUN *)", Duration: "25h"},
	} {
		_, err := h.s.SetRotation(context.Background(), "app/password", p)
		if e := secret.Of(err); !errors.Is(err, secret.ErrInvalid) || e.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// put stores a specimen's value and sets its policy.
func (h *house) specimen(t *testing.T, name secret.Name, s *specimen) {
	t.Helper()
	var uses []secret.Name
	fastnesstest.Put(t, h.s, name, string(s.value))
	for other, value := range s.others {
		used := secret.Name(strings.ReplaceAll(other, "arn:", ""))
		fastnesstest.Put(t, h.s, used, string(value.Bytes()))
		uses = append(uses, used)
	}
	h.policy(t, name, vault.RotationPolicy{Rotator: s.kind, Config: json.RawMessage(s.config), Uses: uses})
}

// A database is down for a while: the failure has its class and its time, the
// current version stays, and the rotation ends by itself when it is back.
func TestWorkerOutlastsTheTarget(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	p := newProxy(t, "")
	s := postgresUser(`{"tls":"disable"}`, false)(t, p)
	h.specimen(t, "db", s)
	if _, err := h.s.AskRotation(ctx, "db"); err != nil {
		t.Fatal(err)
	}
	p.to("127.0.0.1:1")
	for attempt := 1; attempt < 3; attempt++ {
		h.once(t)
		now, _ := h.records(t, "db")
		if now == nil || now.Attempts != attempt || now.Class != rotation.Unreachable || !now.NextAttempt.After(h.Clock.Now()) || h.value(t, "db", "") != string(s.value) {
			t.Fatalf("attempt %d: %+v", attempt, now)
		}
		h.once(t) // not before its time
		if again, _ := h.records(t, "db"); again.Attempts != attempt {
			t.Fatalf("attempt %d: it was tried before its time", attempt)
		}
		h.Clock.Advance(time.Hour)
	}
	p.to(testservers.Postgres(t).Address())
	h.once(t)
	if now, past := h.records(t, "db"); now != nil || len(past) != 1 || !s.logsIn([]byte(h.value(t, "db", ""))) {
		t.Errorf("%+v, %+v", now, past)
	}
}

// Nothing works any more: stuck, loudly, until somebody puts a value that does
// and repairs it.
func TestWorkerSticksAndIsRepaired(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	s := postgresUser(`{"tls":"disable"}`, false)(t, nil)
	h.specimen(t, "db", s)
	s.spoil()
	if _, err := h.s.AskRotation(ctx, "db"); err != nil {
		t.Fatal(err)
	}
	h.once(t)
	h.Clock.Advance(time.Hour)
	h.once(t)
	now, _ := h.records(t, "db")
	if now == nil || now.State != rotation.StateStuck || now.Class != rotation.Unverified || h.value(t, "db", "") != string(s.value) {
		t.Fatalf("%+v", now)
	}
	h.Clock.Advance(1000 * time.Hour)
	h.once(t)
	if _, past := h.records(t, "db"); len(past) > 0 {
		t.Fatalf("it came loose by itself: %+v", past)
	}
	repaired := with(s.value, map[string]any{"password": "spoiled"})
	fastnesstest.Put(t, h.s, "db", string(repaired))
	if _, err := h.s.AskRotation(ctx, "db"); err != nil {
		t.Fatal(err)
	}
	h.once(t)
	info, err := h.s.Describe(ctx, "db")
	if now, past := h.records(t, "db"); err != nil || now != nil || len(past) != 1 || past[0].State != rotation.StateAbandoned || info.Labels[secret.Pending] != 0 {
		t.Fatalf("%+v, %+v, %v", now, past, info.Labels)
	}
	if h.value(t, "db", "") != string(repaired) {
		t.Error("repairing changed the current value")
	}
}

// A receiver says that it has stored the pending version, and has not: that is
// told, and nothing else is asked of it.
func TestWorkerMissesPendingVersion(t *testing.T) {
	h := newHouse(t)
	s := webhookReceiver("receiver")(t, nil) // which is not told where the manager is
	s.store(func(secret.VersionID, []byte) {})
	h.specimen(t, "hooked", s)
	if _, err := h.s.AskRotation(context.Background(), "hooked"); err != nil {
		t.Fatal(err)
	}
	h.once(t)
	now, _ := h.records(t, "hooked")
	if now == nil || now.State != "" || now.Class != rotation.Refused || !strings.Contains(now.Detail, "pending version") {
		t.Errorf("%+v", now)
	}
	if h.value(t, "hooked", "") != string(s.value) || !s.logsIn(s.value) {
		t.Error("something was changed")
	}
}

// Somebody puts a version between the test of the new credential and the end of
// the rotation: that one stays the current one.
func TestWorkerYieldsToWhoPuts(t *testing.T) {
	h := newHouse(t)
	fastnesstest.Put(t, h.s, "app/password", "old")
	h.policy(t, "app/password", vault.RotationPolicy{Rotator: "password"})
	if _, err := h.s.AskRotation(context.Background(), "app/password"); err != nil {
		t.Fatal(err)
	}
	ctx := watched(context.Background(), at("after testing pending", 1, func() { fastnesstest.Put(t, h.s, "app/password", "by hand") }))
	if err := h.Once(ctx); err != nil {
		t.Fatal(err)
	}
	h.once(t)
	now, past := h.records(t, "app/password")
	if now != nil || len(past) != 1 || past[0].State != rotation.StateAbandoned || h.value(t, "app/password", "") != "by hand" {
		t.Errorf("%+v, %+v, current %q", now, past, h.value(t, "app/password", ""))
	}
}

// A rotator may look up what its policy names, which whoever set it could read.
func TestWorkerLooksUpWhatIsNamed(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	s := postgresUser(`{"tls":"disable","strategy":"alternating"}`, true)(t, nil)
	s.value = with(s.value, map[string]any{"masterarn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:master-AbCdEf"})
	h.specimen(t, "db", s)
	if _, err := h.s.AskRotation(ctx, "db"); err != nil {
		t.Fatal(err)
	}
	h.once(t)
	if _, past := h.records(t, "db"); len(past) != 1 || past[0].State != rotation.StateFinished {
		now, _ := h.records(t, "db")
		t.Fatalf("%+v, %+v", now, past)
	}
	h.policy(t, "db", vault.RotationPolicy{Rotator: s.kind, Config: json.RawMessage(s.config)})
	if _, err := h.s.AskRotation(ctx, "db"); err != nil {
		t.Fatal(err)
	}
	h.once(t)
	if now, _ := h.records(t, "db"); now == nil || now.Class != rotation.Misconfigured {
		t.Errorf("without a name in the policy: %+v", now)
	}
	narrow := h.Session(h.Caller(t, "acme", fastness.TokenSpec{Principal: "narrow", Grants: []fastness.Grant{{Role: fastness.Writer, Patterns: []string{"db"}}}}), "")
	if _, err := narrow.SetRotation(ctx, "db", vault.RotationPolicy{Rotator: "postgres", Uses: []secret.Name{"master"}}); !errors.Is(err, secret.ErrInvalid) {
		t.Errorf("a caller who may not read the master's secret lends it: %v", err)
	}
}

// Two workers that both believe they hold the lease: the one that has lost it
// writes nothing.
func TestWorkerIsFenced(t *testing.T) {
	ctx := context.Background()
	rows := teststore.Open(t)
	master := fastnesstest.MasterKey()
	defer master.Release()
	v, err := vault.Open(ctx, vault.Config{Store: rows, Master: master, Node: "one", NoBackground: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	made, err := v.Operator(v.Local(vault.Origin{})).CreateTenant(ctx, "acme", "")
	if err != nil {
		t.Fatal(err)
	}
	made.Release()
	s := v.Session(v.Local(vault.Origin{}), "acme")
	fastnesstest.Put(t, s, "app/password", "old")
	if _, err := s.SetRotation(ctx, "app/password", vault.RotationPolicy{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AskRotation(ctx, "app/password"); err != nil {
		t.Fatal(err)
	}
	lead, err := v.Lead(ctx)
	if err != nil {
		t.Fatal(err)
	}
	refs, err := lead.Work(ctx, 10)
	if err != nil || len(refs) != 1 {
		t.Fatal(refs, err)
	}
	taken, err := lead.Take(ctx, refs[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := rows.Update(ctx, func(tx store.Tx) error {
		_, err := tx.Leases().Acquire("rotation", "another", time.Now().Add(time.Hour), time.Minute)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func() error{
		"begin":    func() error { return taken.Begin(ctx, secret.NewVersionID(), fastness.NewValue([]byte("stale")), 1) },
		"save":     func() error { return taken.Save(ctx, "set", 1, time.Time{}) },
		"fail":     func() error { return taken.Fail(ctx, "set", 1, time.Time{}, errors.New("x")) },
		"finish":   func() error { return taken.Finish(ctx, taken.CurrentAt, 1) },
		"abandon":  func() error { return taken.Abandon(ctx, taken.CurrentAt, 1) },
		"postpone": func() error { return taken.Postpone(ctx, time.Time{}) },
	} {
		if err := write(); !errors.Is(err, store.ErrFenced) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r, err := s.Rotation(ctx, "app/password"); err != nil || r.Active || !r.Asked {
		t.Errorf("%+v, %v", r, err)
	}
}

// Ten times the secrets of a worker's window, over many tenants: all are done.
func TestWorkerRotatesMany(t *testing.T) {
	h := newHouse(t)
	const tenants, each = 20, 15
	var all sync.WaitGroup
	for i := range tenants {
		s := h.Tenant(t, fastness.TenantName(fmt.Sprintf("t%d", i)))
		all.Go(func() {
			for j := range each {
				name := secret.Name(fmt.Sprintf("password-%d", j))
				fastnesstest.Put(t, s, name, "old")
				if _, err := s.SetRotation(context.Background(), name, vault.RotationPolicy{Rotator: "password"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	h.Clock.Advance(91 * 24 * time.Hour)
	start := time.Now()
	h.once(t)
	t.Logf("%d rotations in %v", tenants*each, time.Since(start))
	for i := range tenants {
		s := h.Tenant(t, fastness.TenantName(fmt.Sprintf("t%d", i)))
		for j := range each {
			if fastnesstest.Get(t, s, secret.Name(fmt.Sprintf("password-%d", j)), fastness.Selector{}) == "old" {
				t.Errorf("t%d: password-%d was not rotated", i, j)
			}
		}
	}
}

// Deleted, purged and suspended meanwhile: nothing is left to do.
func TestWorkerLetsGo(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	for _, name := range []secret.Name{"deleted-password", "purged-password"} {
		fastnesstest.Put(t, h.s, name, "old")
		h.policy(t, name, vault.RotationPolicy{})
		if _, err := h.s.AskRotation(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.s.Purge(ctx, "purged-password"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.s.Delete(ctx, "deleted-password", secret.MinRecovery); err != nil {
		t.Fatal(err)
	}
	fastnesstest.Put(t, h.s, "purged-password", "another secret")
	if _, err := h.s.Rotation(ctx, "purged-password"); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("another secret of that name inherits: %v", err)
	}
	h.once(t)
	if _, err := h.s.Restore(ctx, "deleted-password"); err != nil {
		t.Fatal(err)
	}
	if value := h.value(t, "deleted-password", ""); value != "old" {
		t.Error("a deleted secret was rotated")
	}
	h.once(t)
	if value := h.value(t, "deleted-password", ""); value == "old" {
		t.Error("what was asked for is forgotten once the secret is back")
	}
	if log := string(h.Log.Bytes()); strings.Contains(log, `"level":"ERROR"`) {
		t.Error(log)
	}
}
