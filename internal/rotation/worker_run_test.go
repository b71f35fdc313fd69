package rotation_test

import (
	"bytes"
	"context"
	"encoding/json"
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
	"fastness/internal/teststore"
	"fastness/internal/vault"
)

// newNode opens a vault over a store of its own, as a server does.
func newNode(t *testing.T) (*vault.Vault, store.Store) {
	t.Helper()
	rows := teststore.Open(t)
	master := fastnesstest.MasterKey()
	defer master.Release()
	v, err := vault.Open(t.Context(), vault.Config{Store: rows, Master: master, Node: "one", NoBackground: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	made, err := v.Operator(v.Local(vault.Origin{})).CreateTenant(t.Context(), "acme", "")
	if err != nil {
		t.Fatal(err)
	}
	made.Release()
	return v, rows
}

// acquire tries to take the worker's lease as another node.
func acquire(t *testing.T, rows store.Store) error {
	t.Helper()
	return rows.Update(context.Background(), func(tx store.Tx) error {
		_, err := tx.Leases().Acquire("rotation", "another", time.Now(), time.Minute)
		return err
	})
}

// A worker that runs does what is asked for, and gives its lease up at the end.
func TestWorkerRuns(t *testing.T) {
	v, rows := newNode(t)
	s := v.Session(v.Local(vault.Origin{}), "acme")
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { rotation.NewWorker(v, rotation.Network{}, nil, nil).Run(ctx) })
	defer running.Wait()
	defer stop()
	fastnesstest.Put(t, s, "app/password", "old")
	if _, err := s.SetRotation(ctx, "app/password", vault.RotationPolicy{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AskRotation(ctx, "app/password"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); fastnesstest.Get(t, s, "app/password", fastness.Selector{}) == "old"; {
		if time.Now().After(deadline) {
			t.Fatal("nobody rotated it")
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	running.Wait()
	if err := acquire(t, rows); err != nil {
		t.Errorf("the lease of a worker that has stopped: %v", err)
	}
}

// A worker that has nothing to do writes nothing.
func TestWorkerIdles(t *testing.T) {
	v, rows := newNode(t)
	before, err := rows.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := rotation.NewWorker(v, rotation.Network{}, nil, nil).Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := rows.Stats(t.Context())
	if err != nil || after.GroupCommits != before.GroupCommits {
		t.Errorf("%d commits, %v", after.GroupCommits-before.GroupCommits, err)
	}
	if err := acquire(t, rows); err != nil {
		t.Errorf("an idle worker holds the lease: %v", err)
	}
}

// A stop lets a rotation in hand end: the webhook is slow, but no version waits
// under AWSPENDING for the next start.
func TestWorkerEndsWhatIsInHand(t *testing.T) {
	v, _ := newNode(t)
	s := v.Session(v.Local(vault.Origin{}), "acme")
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil && bytes.Contains(body, []byte("setSecret")) {
			stop()
			select { // slowly, so that the worker takes notice
			case <-r.Context().Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}))
	defer receiver.Close()
	fastnesstest.Put(t, s, "hook/key", signingKey)
	fastnesstest.Put(t, s, "app", "old")
	config := fmt.Sprintf(`{"url":%q,"signingKey":"hook/key"}`, receiver.URL)
	if _, err := s.SetRotation(ctx, "app", vault.RotationPolicy{Rotator: "webhook", Config: json.RawMessage(config), Uses: []secret.Name{"hook/key"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AskRotation(ctx, "app"); err != nil {
		t.Fatal(err)
	}
	rotation.NewWorker(v, rotation.Network{PrivateWebhooks: true}, nil, nil).Run(ctx)
	if fastnesstest.Get(t, s, "app", fastness.Selector{}) == "old" {
		t.Error("the rotation in hand was cut off")
	}
}
