// Package fastnesstest helps to test programs that use Fastness: a vault in a
// temporary folder, a clock that stands still, and callers, in one line each.
//
// Everything it makes is stopped and removed when the test ends. Nil options
// are defaults.
package fastnesstest

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"fastness"
	"fastness/internal/teststore"
)

// MasterKey returns the root key's material that vaults of this package are
// made with. It is known to everybody: for tests only.
func MasterKey() *fastness.Value {
	return fastness.NewValue([]byte("fastnesstest-root-key-material-known-to-everybody-0123456789abcdef"))
}

// Clock is a clock that moves only when told. Safe for concurrent use.
type Clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

// NewClock returns a clock at noon of 2026-01-02 in UTC.
func NewClock() *Clock {
	return &Clock{now: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)}
}

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Options say how a Fixture is made. The zero value is a fresh store in a
// temporary folder under a clock of its own.
type Options struct {
	Dir      string          // default: a temporary folder
	Clock    *Clock          // default: NewClock
	Master   *fastness.Value // default: MasterKey
	Previous *fastness.Value // the old root key while it changes
	Anchor   fastness.Anchor
	Quotas   fastness.Quotas // of every tenant
	// RelyingParty is as whom security keys are met; by default none are.
	RelyingParty fastness.RelyingParty
}

// Fixture is an open vault for a test. Its background work is off: a test
// that needs a checkpoint asks for one.
type Fixture struct {
	*fastness.Vault
	Clock *Clock
	Dir   string
	Log   *Log // what the vault logged

	closed bool
}

// Log collects log lines. Safe for concurrent use.
type Log struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

// Write adds to the log.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// Bytes returns all that was logged.
func (l *Log) Bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}

// Open opens a vault and closes it when the test ends.
func Open(tb testing.TB, o *Options) *Fixture {
	tb.Helper()
	f, err := TryOpen(tb, o)
	if err != nil {
		tb.Fatalf("opening vault: %v", err)
	}
	return f
}

// TryOpen is Open for a test that expects an error.
func TryOpen(tb testing.TB, o *Options) (*Fixture, error) {
	tb.Helper()
	if o == nil {
		o = &Options{}
	}
	f := &Fixture{Dir: o.Dir, Clock: o.Clock, Log: &Log{}}
	if f.Dir == "" {
		f.Dir = tb.TempDir()
	}
	if f.Clock == nil {
		f.Clock = NewClock()
	}
	master := o.Master
	if master == nil {
		master = MasterKey()
	}
	defer master.Release()
	defer o.Previous.Release()
	logger := slog.New(slog.NewJSONHandler(f.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	place, err := teststore.At(f.Dir)
	if err != nil {
		return nil, err
	}
	v, err := fastness.Open(context.Background(), fastness.Config{
		Dir: place.Dir, Store: place.URL, MasterKey: master, PreviousMasterKey: o.Previous, Logger: logger,
		Now: f.Clock.Now, Anchor: o.Anchor, LoopbackIssuers: true, RelyingParty: o.RelyingParty, Quotas: o.Quotas, NoBackground: true,
	})
	if err != nil {
		return nil, err
	}
	f.Vault = v
	tb.Cleanup(func() {
		if !f.closed {
			f.Close(tb)
		}
	})
	return f, nil
}

// Close closes the vault before the test ends, say to open its folder again.
func (f *Fixture) Close(tb testing.TB) {
	tb.Helper()
	f.closed = true
	if err := f.Vault.Close(); err != nil {
		tb.Errorf("closing vault: %v", err)
	}
}

// Operator returns the deployment's handle for the test itself.
func (f *Fixture) Operator() *fastness.Operator {
	return f.Vault.Operator(f.local())
}

func (f *Fixture) local() *fastness.Caller {
	return f.Local(fastness.Origin{Address: "127.0.0.1", UserAgent: "fastnesstest", CorrelationID: "test"})
}

// Tenant makes a tenant if it is not there, and returns a session of the
// operator in it.
func (f *Fixture) Tenant(tb testing.TB, name fastness.TenantName) *fastness.Session {
	tb.Helper()
	ctx := context.Background()
	if _, err := f.Operator().Tenant(ctx, name); err != nil {
		made, err := f.Operator().CreateTenant(ctx, name, "")
		if err != nil {
			tb.Fatalf("creating tenant %s: %v", name, err)
		}
		made.Release()
	}
	return f.Session(f.local(), name)
}

// Caller makes a token in a tenant, which is made if it is not there, and
// returns its authenticated caller. Without grants it is an administrator.
func (f *Fixture) Caller(tb testing.TB, tenant fastness.TenantName, spec fastness.TokenSpec) *fastness.Caller {
	tb.Helper()
	if spec.Principal == "" {
		spec.Principal = "tester"
	}
	if spec.Grants == nil {
		spec.Grants = []fastness.Grant{{Role: fastness.Admin}}
	}
	ctx := context.Background()
	token, err := f.Tenant(tb, tenant).Credentials().Create(ctx, spec)
	if err != nil {
		tb.Fatalf("creating a token in %s: %v", tenant, err)
	}
	defer token.Token.Release()
	origin := fastness.Origin{Address: "192.0.2.1", UserAgent: "fastnesstest", CorrelationID: "test"}
	c, err := f.Authenticate(ctx, origin, token.Token.Bytes())
	if err != nil {
		tb.Fatalf("authenticating: %v", err)
	}
	return c
}

// Put stores a value as the session's caller.
func Put(tb testing.TB, s *fastness.Session, name fastness.Name, value string) fastness.Written {
	tb.Helper()
	v := fastness.NewValue([]byte(value))
	defer v.Release()
	w, err := s.Put(context.Background(), name, fastness.Put{Value: v})
	if err != nil {
		tb.Fatalf("putting %s: %v", name, err)
	}
	return w
}

// Get reads a value as the session's caller. It is a string for the test to
// compare; a program must not make one.
func Get(tb testing.TB, s *fastness.Session, name fastness.Name, sel fastness.Selector) string {
	tb.Helper()
	r, err := s.Get(context.Background(), name, sel)
	if err != nil {
		tb.Fatalf("getting %s: %v", name, err)
	}
	defer r.Value.Release()
	return string(r.Value.Bytes())
}
