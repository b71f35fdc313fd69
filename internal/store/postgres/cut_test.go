package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/store/postgres"
)

// What a cut lets through.
const (
	whole      int32 = iota
	nothing          // the next message to the server is lost, with the connection
	allButWord       // the next message arrives, and its answer is lost with the connection
)

// cutter stands between a store and its server and cuts one connection when it
// is told to.
type cutter struct {
	net.Listener
	server atomic.Pointer[string] // nil: nobody answers
	cut    atomic.Int32
}

func newCutter(t *testing.T, server string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l}
	c.server.Store(&server)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.serve(conn)
		}
	}()
	return c
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	address := c.server.Load()
	if address == nil {
		return
	}
	server, err := net.Dial("tcp", *address)
	if err != nil {
		return
	}
	defer server.Close()
	var deaf atomic.Bool // towards the client
	go func() {
		defer client.Close()
		b := make([]byte, 1<<16)
		for {
			n, err := server.Read(b)
			if err != nil || deaf.Load() {
				return
			}
			client.Write(b[:n])
		}
	}()
	b := make([]byte, 1<<16)
	for {
		n, err := client.Read(b)
		if err != nil {
			return
		}
		switch c.cut.Swap(whole) {
		case nothing:
			return
		case allButWord:
			deaf.Store(true)
		}
		if _, err := server.Write(b[:n]); err != nil {
			return
		}
		if deaf.Load() {
			io.Copy(io.Discard, client) // until the client's side is closed too
			return
		}
	}
}

// openCut opens a store behind a cutter, with one connection that has seen
// every statement of the tests.
func openCut(t *testing.T) (*postgres.Store, *cutter) {
	t.Helper()
	u, err := url.Parse(freshURL(t, "sslmode=disable", "pool_max_conns=1"))
	if err != nil {
		t.Fatal(err)
	}
	return openCutAt(t, u)
}

func openCutAt(t *testing.T, server *url.URL) (*postgres.Store, *cutter) {
	t.Helper()
	c := newCutter(t, server.Host)
	u := *server
	u.Host = c.Addr().String()
	s, err := postgres.Open(t.Context(), postgres.Config{URL: u.String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(setMeta(s, "warm", record(t, "warm")), s.Record(t.Context(), record(t, "up")), setMeta(s, "warmer")); err != nil {
		t.Fatal(err)
	}
	return s, c
}

func setMeta(s *postgres.Store, key string, records ...audit.Record) error {
	return s.Update(context.Background(), func(tx store.Tx) error {
		for _, r := range records {
			tx.Audit(r)
		}
		return tx.SetMeta(key, nil, []byte("v"))
	})
}

func record(t *testing.T, correlation string) audit.Record {
	t.Helper()
	r, err := audit.NewRecord(audit.Entry{
		Timestamp: time.Unix(1e9, 0), TenantID: "acme", Action: audit.Read, Result: audit.Success, CorrelationID: correlation,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// recorded returns the correlation ids of all records that wait.
func recorded(t *testing.T, s store.Store) (out []string) {
	t.Helper()
	err := s.View(t.Context(), func(r store.Reader) error {
		out = nil
		batches, err := r.Log().Pending(1 << 30)
		for _, b := range batches {
			for _, rec := range b.Records {
				e, err := rec.Entry()
				if err != nil {
					return err
				}
				out = append(out, e.CorrelationID)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCutCommit cuts the connection when the commit is on its way, and when
// its answer is. Either way the store finds out, and nothing is there twice.
func TestCutCommit(t *testing.T) {
	for name, cut := range map[string]int32{"question lost": nothing, "answer lost": allButWord} {
		t.Run(name, func(t *testing.T) {
			s, c := openCut(t)
			runs := 0
			err := s.Update(t.Context(), func(tx store.Tx) error {
				runs++
				tx.Audit(record(t, "cut"))
				err := tx.SetMeta("k", nil, []byte("v"))
				if runs == 1 {
					c.cut.Store(cut)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if want := map[int32]int{nothing: 2, allButWord: 1}[cut]; runs != want {
				t.Errorf("the operation ran %d times, want %d", runs, want)
			}
			if got := recorded(t, s); !slices.Equal(got, []string{"warm", "up", "cut"}) {
				t.Errorf("records are %v", got)
			}
			c.cut.Store(cut)
			if err := s.Record(t.Context(), record(t, "alone")); err != nil {
				t.Fatal(err)
			}
			if got := recorded(t, s); !slices.Equal(got, []string{"warm", "up", "cut", "alone"}) {
				t.Errorf("records are %v", got)
			}
		})
	}
}

// TestCutCommitUnknown: without a record nothing tells what became of a commit,
// and the store says so.
func TestCutCommitUnknown(t *testing.T) {
	s, c := openCut(t)
	err := s.Update(t.Context(), func(tx store.Tx) error {
		err := tx.SetMeta("k", nil, []byte("v"))
		c.cut.Store(allButWord)
		return err
	})
	if !errors.Is(err, store.ErrUnknownOutcome) {
		t.Errorf("error is %v", err)
	}
}

// TestCutBefore: what is cut before the commit is no matter of outcome.
func TestCutBefore(t *testing.T) {
	for _, cut := range []int32{nothing, allButWord} {
		s, c := openCut(t)
		ran := false
		err := s.Update(t.Context(), func(tx store.Tx) error {
			if !ran {
				c.cut.Store(cut)
			}
			ran = true
			return tx.SetMeta("k", nil, []byte("v"))
		})
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("error is %v", err)
		}
		if err := setMeta(s, "k"); err != nil {
			t.Errorf("after the cut: %v", err)
		}
	}
}

// TestOutage: without a server everything fails within the bounds, says so, and works again.
func TestOutage(t *testing.T) {
	s, c := openCut(t)
	server := c.server.Swap(nil)
	for range 2 {
		c.cut.Store(nothing)
		for what, err := range map[string]error{
			"update": setMeta(s, "gone"),
			"record": s.Record(t.Context(), record(t, "gone")),
			"view":   s.View(t.Context(), func(r store.Reader) error { _, err := r.Meta("warm"); return err }),
		} {
			if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknownOutcome) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	c.cut.Store(whole)
	c.server.Store(server)
	if err := setMeta(s, "back", record(t, "back")); err != nil {
		t.Error(err)
	}
}

// TestConcurrentNodes lets several nodes work on the same rows and the same
// log. No update is lost and every record is there once.
func TestConcurrentNodes(t *testing.T) {
	const nodes, each = 4, 25
	url := freshURL(t)
	stores := make([]*postgres.Store, nodes)
	opened := make(chan error, nodes)
	for i := range stores {
		go func() { // they make the schema together
			s, err := postgres.Open(context.Background(), postgres.Config{URL: url})
			stores[i] = s
			opened <- err
		}()
	}
	for range stores {
		if err := <-opened; err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 2*nodes)
	for i, s := range stores {
		go func() { done <- increment(s, fmt.Sprint("node", i), each) }()
		go func() { done <- sequenceSome(s, fmt.Sprint("node", i)) }()
	}
	for range 2 * nodes {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	s := stores[0]
	err := s.View(t.Context(), func(r store.Reader) error {
		n, err := r.Meta("n")
		if err == nil && len(n) != nodes*each {
			err = fmt.Errorf("%d increments, want %d", len(n), nodes*each)
		}
		state, err2 := r.Log().State()
		placed, err3 := r.Log().Batches(0, state.Size)
		pending, err4 := r.Log().Pending(1 << 30)
		if got := len(placed) + len(pending); got != nodes*each {
			t.Errorf("%d records, want %d", got, nodes*each)
		}
		return errors.Join(err, err2, err3, err4)
	})
	if err != nil {
		t.Error(err)
	}
	for _, s := range stores {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// increment makes a value longer by one, again and again.
func increment(s store.Store, node string, times int) error {
	for n := 0; n < times; {
		r, err := audit.NewRecord(audit.Entry{Timestamp: time.Unix(1e9, 0), TenantID: "acme", Action: audit.Read, Result: audit.Success, CorrelationID: fmt.Sprint(node, "-", n)})
		if err != nil {
			return err
		}
		err = s.Update(context.Background(), func(tx store.Tx) error {
			old, err := tx.Meta("n")
			if err != nil && !errors.Is(err, store.ErrAbsent) {
				return err
			}
			if err := tx.SetMeta("n", old, append(slices.Clone(old), 'x')); err != nil {
				return err
			}
			tx.Audit(r)
			return nil
		})
		if errors.Is(err, store.ErrStale) {
			continue
		}
		if err != nil {
			return err
		}
		n++
	}
	return nil
}

// sequenceSome gives what waits its place for a while, whoever else does.
func sequenceSome(s store.Store, node string) error {
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); {
		err := s.Update(context.Background(), func(tx store.Tx) error { return place(tx, node) })
		if err != nil && !errors.Is(err, store.ErrStale) && !errors.Is(err, store.ErrFenced) {
			return err
		}
	}
	return nil
}

func place(tx store.Tx, node string) error {
	if _, err := tx.Leases().Acquire("journal", node, time.Now(), 20*time.Millisecond); err != nil {
		return err
	}
	old, err := tx.Log().State()
	if err != nil {
		return err
	}
	pending, err := tx.Log().Pending(10)
	if err != nil || len(pending) == 0 {
		return err
	}
	placed := &store.Placed{Old: old, New: store.TreeState{Size: old.Size, Root: old.Root}, Heads: map[secret.TenantName]audit.Head{}}
	for _, b := range pending {
		placed.Batches = append(placed.Batches, store.PlacedBatch{Node: b.Node, Batch: b.Batch, First: placed.New.Size, Places: []byte{1}})
		placed.New.Size += int64(len(b.Records))
	}
	return tx.EditLog().Place(placed)
}

// TestCutTogether: who was on a journey that was cut hears that the store is
// unavailable, and the next one has another connection.
func TestCutTogether(t *testing.T) {
	s, c := openCut(t)
	look := func() error {
		return s.Look(t.Context(), func(r store.Reader) error {
			_, err := r.Credentials().ByHash([32]byte{})
			return err
		})
	}
	if err := look(); !errors.Is(err, store.ErrAbsent) {
		t.Fatal(err)
	}
	for _, cut := range []int32{nothing, allButWord} {
		c.cut.Store(cut)
		if err := look(); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("error is %v", err)
		}
		if err := look(); !errors.Is(err, store.ErrAbsent) {
			t.Errorf("after the cut: %v", err)
		}
	}
}
