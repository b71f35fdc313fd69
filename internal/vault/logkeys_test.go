package vault_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// TestEmbeddedRotateLogKeys: old and new checkpoints verify, each with the keys of its
// size, and the old seeds are gone.
func TestEmbeddedRotateLogKeys(t *testing.T) {
	m := open(t)
	f := m.Fixture
	s := f.Tenant(t, "acme")
	a := f.Audit(local(f), "")
	var checkpoints [][]byte
	seeds := func() [][]byte {
		row := rows(t, m.store, func(r store.Reader) ([]byte, error) { return r.Meta("log.keys") })
		var stored struct {
			Now struct{ Ed25519, Mldsa44 []byte }
		}
		check(t, json.Unmarshal(row, &stored))
		return [][]byte{stored.Now.Ed25519, stored.Now.Mldsa44}
	}
	for i := range 3 {
		versions(t, s, "db", 5)
		checkpoints = append(checkpoints, must(a.Checkpoint(ctx))(t))
		old := seeds()
		before := must(a.Keys(ctx))(t)
		set := must(a.RotateKeys(ctx))(t)
		if len(set.Ranges) != i+2 || fmt.Sprint(before.Ranges[i].Keys) == fmt.Sprint(set.Ranges[i+1].Keys) {
			t.Errorf("keys %+v", set.Ranges)
		}
		checkpoints = append(checkpoints, must(a.Latest(ctx))(t), must(a.Checkpoint(ctx))(t))
		for _, seed := range old {
			encoded := must(json.Marshal(seed))(t)
			if left := holding(t, f.Dir, seed, encoded[1:len(encoded)-1]); len(left) > 0 {
				t.Errorf("old seeds are still in %d files", len(left))
			}
		}
	}
	keys := must(a.Keys(ctx))(t)
	for _, c := range checkpoints {
		check(t, errOf(audit.OpenCheckpoint(c, keys)))
	}
	for _, since := range checkpoints {
		verify(t, f, export(t, a, vault.ExportOptions{}), audit.Options{Since: since})
		verify(t, f, export(t, f.Audit(local(f), "acme"), vault.ExportOptions{Since: since}), audit.Options{Since: since})
	}
	wantFault(t, errOf(audit.OpenCheckpoint(checkpoints[len(checkpoints)-1], audit.KeySet{Origin: keys.Origin,
		Ranges: []audit.KeyRange{{Keys: keys.Ranges[0].Keys}}})), audit.MissingEd25519)
	f.Close(t)
	f = fastnesstest.Open(t, &fastnesstest.Options{Dir: f.Dir, Clock: f.Clock})
	verify(t, f, export(t, f.Audit(local(f), ""), vault.ExportOptions{}), audit.Options{Since: checkpoints[0]})

	want(t, errOf(f.Audit(local(f), "acme").RotateKeys(ctx)), secret.ErrInvalid)
	want(t, errOf(f.Audit(caller(t, f, "acme", policy.Admin), "").RotateKeys(ctx)), secret.ErrAccessDenied)
}

// TestEmbeddedRotateLogKeysDeaths kills a change of the log's keys at each of its
// writes: the log goes on, and the change with the keys that were announced.
func TestEmbeddedRotateLogKeysDeaths(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	versions(t, f.Tenant(t, "acme"), "db", 5)
	old := must(f.Audit(local(f), "").Checkpoint(ctx))(t)
	f.Close(t)
	whole := func(m *mortal) {
		t.Helper()
		for _, tenant := range []secret.TenantName{"", "acme"} {
			verify(t, m.Fixture, export(t, m.Audit(local(m.Fixture), tenant), vault.ExportOptions{Since: old}), audit.Options{Since: old})
		}
	}
	eachDeath(t, func() string { return copyDir(t, f.Dir) },
		func(dir string) *mortal { return openMortal(t, dir, f.Clock, fastnesstest.MasterKey(), nil) },
		func(m *mortal) error { return errOf(m.Audit(local(m.Fixture), "").RotateKeys(ctx)) },
		func(m *mortal) {
			whole(m)
			must(m.Audit(local(m.Fixture), "").RotateKeys(ctx))(t)
			whole(m)
			verify(t, m.Fixture, export(t, m.Audit(local(m.Fixture), ""), vault.ExportOptions{}), audit.Options{Since: must(m.Audit(local(m.Fixture), "").Latest(ctx))(t)})
		})
}

// TestEmbeddedCheckpointDeaths: a checkpoint that was stored and not signed is signed
// by the next, and no two of one size ever differ.
func TestEmbeddedCheckpointDeaths(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	versions(t, f.Tenant(t, "acme"), "db", 5)
	f.Close(t)
	eachDeath(t, func() string { return copyDir(t, f.Dir) },
		func(dir string) *mortal { return openMortal(t, dir, f.Clock, fastnesstest.MasterKey(), nil) },
		func(m *mortal) error { return errOf(m.Audit(local(m.Fixture), "").Checkpoint(ctx)) },
		func(m *mortal) {
			a := m.Audit(local(m.Fixture), "")
			c := must(a.Checkpoint(ctx))(t)
			verify(t, m.Fixture, export(t, a, vault.ExportOptions{}), audit.Options{Since: c})
			rows(t, m.store, func(r store.Reader) (any, error) {
				waiting, err := r.Log().Unsigned()
				if len(waiting) > 0 {
					t.Errorf("%d checkpoints wait for their signature", len(waiting))
				}
				return nil, err
			})
			for size := parse(t, c).Size; size > 0; {
				signed := rows(t, m.store, func(r store.Reader) (*store.Checkpoint, error) {
					signed, err := r.Log().Checkpoint(size)
					if errors.Is(err, store.ErrAbsent) {
						return &store.Checkpoint{}, nil
					}
					return signed, err
				})
				if signed.Note != nil {
					verify(t, m.Fixture, export(t, a, vault.ExportOptions{}), audit.Options{Since: signed.Note})
				}
				size = signed.Size - 1
			}
		})
}

// anchor keeps what it was sent.
type anchor struct {
	mu   sync.Mutex
	got  [][]byte
	fail error
	hang chan struct{} // if set, Publish says so on it, then waits for it or its context
}

func (a *anchor) Publish(ctx context.Context, checkpoint []byte) error {
	a.mu.Lock()
	hang, fail := a.hang, a.fail
	a.mu.Unlock()
	if hang != nil {
		hang <- struct{}{}
		select {
		case <-hang:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if fail != nil {
		return fail
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got = append(a.got, bytes.Clone(checkpoint))
	return nil
}

func (a *anchor) set(fail error, hang chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail, a.hang = fail, hang
}

func (a *anchor) sizes(tb testing.TB) (out []int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.got {
		out = append(out, parse(tb, c).Size)
	}
	return out
}

// TestAnchor gets every checkpoint, in order, once; if it fails or hangs, the
// log goes on, and it gets the next.
func TestAnchor(t *testing.T) {
	out := &anchor{}
	f := fastnesstest.Open(t, &fastnesstest.Options{Anchor: out})
	s := f.Tenant(t, "acme")
	a := f.Audit(local(f), "")
	var made []int64
	step := func(sent bool) {
		t.Helper()
		versions(t, s, "db", 1)
		size := parse(t, must(a.Checkpoint(ctx))(t)).Size
		if sent {
			made = append(made, size)
		}
	}
	step(true)
	step(true)
	out.set(errors.New("the anchor is down"), nil)
	step(false)
	if !bytes.Contains(f.Log.Bytes(), []byte("the anchor is down")) {
		t.Error("the log does not tell")
	}
	out.set(nil, nil)
	step(true)
	equal(t, "sent", out.sizes(t), made)

	hang := make(chan struct{})
	out.set(nil, hang)
	first := make(chan int64)
	go func() { first <- parse(t, must(a.Checkpoint(ctx))(t)).Size }()
	<-hang
	versions(t, s, "db", 1)
	second := parse(t, must(a.Checkpoint(ctx))(t)).Size // does not wait for the one that hangs
	verify(t, f, export(t, a, vault.ExportOptions{}), audit.Options{})
	out.set(nil, nil)
	close(hang)
	made = append(made, <-first)
	got := out.sizes(t)
	equal(t, "sent first", got[:len(made)], made)
	if got[len(made)] != second {
		t.Errorf("sent %v, want %d after %d", got, second, made[len(made)-1])
	}
	for _, c := range out.got {
		check(t, errOf(audit.OpenCheckpoint(c, must(a.Keys(ctx))(t))))
	}
	set := must(a.RotateKeys(ctx))(t)
	if sizes := out.sizes(t); sizes[len(sizes)-1] != set.Ranges[0].To {
		t.Errorf("the last checkpoint of the old keys was not sent: %v, %d", sizes, set.Ranges[0].To)
	}
}

// TestEmbeddedBackground: an open vault sequences and signs by itself, and stops.
func TestEmbeddedBackground(t *testing.T) {
	out := &anchor{}
	dir := t.TempDir()
	f := fastnesstest.Open(t, &fastnesstest.Options{Dir: dir})
	f.Tenant(t, "acme")
	f.Close(t)
	clock := &leapingClock{now: f.Clock.Now()}
	master := fastnesstest.MasterKey()
	defer master.Release()
	m := must(vault.Open(ctx, vault.Config{Store: openStore(t, dir), Master: master, Now: clock.Now, Anchor: out, Node: "embedded"}))(t)
	deadline := time.Now().Add(20 * time.Second)
	for len(out.sizes(t)) == 0 {
		if time.Now().After(deadline) {
			t.Fatal("no checkpoint")
		}
		time.Sleep(10 * time.Millisecond)
	}
	check(t, m.Close())
	check(t, m.Close())
}

// leapingClock is ten seconds later at each look.
type leapingClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *leapingClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(10 * time.Second)
	return c.now
}
