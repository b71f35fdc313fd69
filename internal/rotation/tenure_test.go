package rotation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"fastness"
	"fastness/fastnesstest"
	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// slowly has a worker rotate the secret "app" by a webhook, whose step setSecret
// is set, and returns how to end the worker.
func slowly(t *testing.T, v *vault.Vault, set func(ctx context.Context)) (stop func()) {
	t.Helper()
	s := v.Session(v.Local(vault.Origin{}), "acme")
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil && bytes.Contains(body, []byte("setSecret")) {
			set(r.Context())
		}
	}))
	t.Cleanup(receiver.Close)
	fastnesstest.Put(t, s, "hook/key", signingKey)
	fastnesstest.Put(t, s, "app", "old")
	config := fmt.Sprintf(`{"url":%q,"signingKey":"hook/key","timeoutSeconds":30}`, receiver.URL)
	if _, err := s.SetRotation(t.Context(), "app", vault.RotationPolicy{Rotator: "webhook", Config: json.RawMessage(config), Uses: []secret.Name{"hook/key"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AskRotation(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		rotation.NewWorker(v, rotation.Network{PrivateWebhooks: true}, slog.New(slog.DiscardHandler), nil).Run(ctx)
	})
	stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// A step may take longer than the lease: it is renewed, and no other worker
// gets it before the worker has stopped.
func TestLeaseOutlivesSlowSteps(t *testing.T) {
	v, rows := newNode(t)
	begun, ended := make(chan struct{}), make(chan struct{})
	stop := slowly(t, v, func(ctx context.Context) {
		close(begun)
		select {
		case <-ctx.Done():
		case <-time.After(vault.RotationLease + time.Second):
		}
		close(ended)
	})
	<-begun
	for {
		select {
		case <-ended:
			stop()
			s := v.Session(v.Local(vault.Origin{}), "acme")
			if fastnesstest.Get(t, s, "app", fastness.Selector{}) == "old" {
				t.Error("the slow step was cut off")
			}
			return
		case <-time.After(200 * time.Millisecond):
		}
		if err := acquire(t, rows); !errors.Is(err, store.ErrFenced) {
			t.Fatalf("another worker took the lease during a step: %v", err)
		}
	}
}

// A worker that has lost its lease stops in the middle of a step, and writes
// nothing.
func TestLostLeaseEndsSteps(t *testing.T) {
	v, rows := newNode(t)
	cut := make(chan struct{})
	slowly(t, v, func(ctx context.Context) {
		err := rows.Update(context.Background(), func(tx store.Tx) error {
			_, err := tx.Leases().Acquire("rotation", "another", time.Now().Add(time.Hour), time.Minute)
			return err
		})
		if err != nil {
			t.Error(err)
		}
		select {
		case <-ctx.Done():
			close(cut)
		case <-time.After(vault.RotationLease):
		}
	})
	select {
	case <-cut:
	case <-time.After(2 * vault.RotationLease):
		t.Fatal("the step of a worker without a lease goes on")
	}
	s := v.Session(v.Local(vault.Origin{}), "acme")
	r, err := s.Rotation(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	var record rotation.Record
	if err := json.Unmarshal(r.Journal, &record); err != nil || record.State != rotation.StatePending || record.Attempts != 0 {
		t.Errorf("%+v, %v: the worker that was cut off has written", record, err)
	}
}
