// Package vault is the service: tenants, secrets, versions, labels, access and
// the audit log, each change and its audit entry in one transaction. Every
// front, the library and the rotation worker go through it.
//
// The key idea is the Session: it is bound to one tenant and one caller, and
// is the only handle to data, so that no method can be told another tenant. A
// Session for a tenant that does not exist, or is not the caller's, is one in
// which nothing is ever found: it takes the same way to the same answer.
//
// The package guarantees that nothing is answered before its audit entry is
// durable, that no value leaves in anything but a secretbuf.Buffer, and that
// an error tells the caller no more than a *secret.Error says. Start with
// Session in session.go, then read.go and write.go.
package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

// Anchor is a place outside the deployment to which every checkpoint is sent,
// so that whoever holds the database and the root key cannot rewrite the log
// unnoticed. Publish returns when the checkpoint is safe there. It is called by
// one goroutine at a time, and again with a later checkpoint after a failure.
type Anchor interface {
	Publish(ctx context.Context, checkpoint []byte) error
}

// Config says how a Vault is opened.
type Config struct {
	// Store holds the rows. The Vault closes it.
	Store store.Store
	// Master is the root key's material, at least 64 characters. It is only
	// borrowed during Open.
	Master *secretbuf.Buffer
	// PreviousMaster is the old material while the root key changes; nil otherwise.
	PreviousMaster *secretbuf.Buffer
	// Region appears in ARNs and in what CreateTenant returns; default us-east-1.
	Region string
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Logger receives what only the operator may know; default slog.Default.
	Logger *slog.Logger
	// Anchor receives every checkpoint; nil for none.
	Anchor Anchor
	// KeyCache bounds how many unwrapped tenant keys are kept; default 4,096.
	KeyCache int
	// Node names this process among those that share the store; default random.
	Node string
	// Quotas bind every tenant, beside its own; the tighter holds.
	Quotas secret.Quotas
	// LoopbackIssuers lets tenants trust issuers of tokens on this very machine,
	// and there without TLS: for development and tests.
	LoopbackIssuers bool
	// RelyingParty is as whom the deployment meets security keys; without origins
	// it knows none.
	RelyingParty identity.RelyingParty
	// NoBackground stops the Vault from sequencing, signing checkpoints and
	// purging by itself; for commands that open the store for one action.
	NoBackground bool
}

func (c Config) withDefaults() Config {
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.KeyCache <= 0 {
		c.KeyCache = 4096
	}
	if c.Node == "" {
		c.Node = secret.NewUUID()
	}
	return c
}

// Vault is an open secrets manager. Safe for concurrent use.
type Vault struct {
	store    store.Store
	log      *slog.Logger
	now      func() time.Time
	region   string
	roots    roots
	keys     *keyCache
	callers  known[[32]byte, *store.Identity]
	tenants  known[secret.TenantName, *store.Tenant]
	versions known[versionKey, knownVersion]
	rules    rulesCache
	compiled compiledCallers
	journal  journal
	ceiling  secret.Quotas // of every tenant
	limits   known[secret.TenantID, secret.Quotas]
	// paces are quotas for the rate of requests, on a store with other nodes: a
	// change that another one made may count a second later.
	paces     known[secret.TenantID, secret.Quotas]
	quotasSet atomic.Uint64 // how often this node has changed some
	rates     rates
	portions  shares // of rates
	refusals  refusals
	attempts  attempts
	refused   refusalCounts
	issuers   *identity.TokenVerifier
	webauthn  *identity.WebAuthn // nil without a relying party
	hashers   chan struct{}      // who hashes a password puts one in
	sweep     sweep
	asked     chan struct{} // holds one word for the rotation worker
	feeds     feeds
	streams   streams
	cancel    context.CancelFunc
	tasks     sync.WaitGroup
	closing   sync.Once
	closed    atomic.Bool
}

// Open proves the root key right, prepares a fresh store, and starts the
// background work. A wrong root key is refused before anything is written.
func Open(ctx context.Context, c Config) (*Vault, error) {
	c = c.withDefaults()
	if err := c.Quotas.Validate(); err != nil {
		return nil, fmt.Errorf("quotas of every tenant: %w", err)
	}
	v := &Vault{store: c.Store, log: c.Logger, region: c.Region, ceiling: c.Quotas, asked: make(chan struct{}, 1)}
	// What is told of a moment is the same before and after it was stored.
	v.now = func() time.Time { return c.Now().UTC().Truncate(time.Millisecond) }
	v.openKnown()
	if err := v.open(ctx, c); err != nil {
		return nil, err
	}
	background, cancel := context.WithCancel(context.Background())
	v.cancel = cancel
	if !c.NoBackground {
		v.start(func() { v.runJournal(background) })
		v.start(func() { v.runJanitor(background) })
		if v.shares() {
			v.start(func() { v.runShares(background) })
		}
	}
	return v, nil
}

// open takes the keys of roots, tenants and the log into memory.
func (v *Vault) open(ctx context.Context, c Config) error {
	v.keys = newKeyCache(c.KeyCache, keyLifetime, v.now)
	if err := v.openIdentity(c); err != nil {
		return err
	}
	if err := v.openRoots(ctx, c.Master, c.PreviousMaster); err != nil {
		return err
	}
	if err := v.openJournal(ctx, c.Node, c.Anchor); err != nil {
		v.roots.destroy()
		return err
	}
	v.refusals.init(v)
	v.attempts.init(c.Now)
	v.rates.init(c.Now)
	v.portions.now = c.Now
	v.rates.share = v.portions.of
	return nil
}

// openIdentity prepares what proves who somebody is.
func (v *Vault) openIdentity(c Config) (err error) {
	v.issuers = identity.NewTokenVerifier(c.LoopbackIssuers, v.now)
	v.hashers = make(chan struct{}, hashers)
	if len(c.RelyingParty.Origins) > 0 {
		v.webauthn, err = identity.NewWebAuthn(c.RelyingParty)
	}
	return err
}

// start runs f in a goroutine that Close waits for.
func (v *Vault) start(f func()) {
	v.tasks.Add(1)
	go func() {
		defer v.tasks.Done()
		f()
	}()
}

// Close stops the background work, gives every entry its place in the log,
// wipes the keys and closes the store. Calls still running must have ended.
// Closing it again does nothing.
func (v *Vault) Close() (err error) {
	v.closing.Do(func() { err = v.close() })
	return err
}

func (v *Vault) close() error {
	v.cancel()
	v.tasks.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := v.sequenceOwn(ctx)
	if errors.Is(err, store.ErrFenced) {
		err = nil // the node that holds the lease does it
	}
	v.closed.Store(true)
	err = errors.Join(err, v.store.Close())
	v.keys.clear()
	v.journal.destroy()
	v.roots.destroy()
	return err
}

// closeTimeout bounds the last sequencing: a store that hangs must not keep a
// process from stopping, and what is not sequenced now is at the next start.
const closeTimeout = 10 * time.Second

// Region is the region that ARNs carry.
func (v *Vault) Region() string { return v.region }

// Ready reports whether requests can be served: the store reads, and the
// audit log takes an entry. The root key was proven by Open.
func (v *Vault) Ready(ctx context.Context) error {
	err := v.store.Update(ctx, func(tx store.Tx) error {
		return tx.SetMeta(metaReady, existing(tx, metaReady), []byte(v.now().Format(time.RFC3339Nano)))
	})
	if err != nil && !errors.Is(err, store.ErrStale) { // another node has just written it
		return secret.ErrUnavailable.With(fmt.Errorf("writing to the store: %w", err))
	}
	return nil
}

// metaReady is the row that Ready writes: a probe that only read would stay
// green on a full disk.
const metaReady = "ready"

// existing is what SetMeta shall replace where nothing hangs on what it was.
func existing(r store.Reader, key string) []byte {
	b, err := r.Meta(key)
	if err != nil {
		return nil
	}
	return b
}

// Stats are figures for the metrics.
type Stats struct {
	Store    store.Stats
	Tenants  int64
	TreeSize int64             // entries with a place in the log
	Backup   time.Time         // when the newest verified backup was made on schedule; zero if none was
	Keys     int               // unwrapped tenant keys in memory
	Streams  int               // of events, that somebody follows
	Refused  map[string]uint64 // by limits, since the start; by a kind of RefusalKinds
}

// Stats returns figures for the metrics.
func (v *Vault) Stats(ctx context.Context) (Stats, error) {
	s := Stats{Keys: v.keys.len(), Streams: v.streams.len(), Refused: v.refused.read()}
	var err error
	if s.Store, err = v.store.Stats(ctx); err != nil {
		return Stats{}, v.answer(err)
	}
	err = v.store.View(ctx, func(r store.Reader) error {
		if s.Tenants, err = r.Tenants().Count(); err != nil {
			return err
		}
		if s.Backup, err = backupVerified(r); err != nil {
			return err
		}
		tree, err := r.Log().State()
		s.TreeSize = tree.Size
		return err
	})
	return settled(s, v.answer(err))
}

// answer turns what the store returned into what a caller may see. What only
// the operator may know becomes the cause.
func (v *Vault) answer(err error) error {
	var known *secret.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return plain(err, known)
	case errors.Is(err, store.ErrUnknownOutcome):
		return secret.ErrUnknownOutcome.With(err)
	case errors.Is(err, store.ErrUnavailable),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return secret.ErrUnavailable.With(err)
	case errors.Is(err, store.ErrAbsent):
		return secret.ErrNotFound
	case errors.Is(err, store.ErrTaken):
		return secret.ErrExists
	case errors.Is(err, store.ErrStale):
		return secret.ErrConflict.With(err)
	}
	return secret.ErrInternal.With(err)
}

// plain returns the error of the business within err, without what was put
// around it on the way: that is the operator's.
func plain(err error, known *secret.Error) error {
	switch {
	case err == error(known):
		return err
	case known.Cause == nil:
		return known.With(err)
	}
	return known.With(fmt.Errorf("%v: %w", err, known.Cause))
}

// day counts days since 1970-01-01, as last-read fields do.
func day(t time.Time) int32 { return int32(t.Unix() / (24 * 60 * 60)) }

// dayTime is the inverse of day; zero days are the zero time.
func dayTime(d int32) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return time.Unix(int64(d)*24*60*60, 0).UTC()
}

// result names an error in the audit log.
func result(err error) (audit.Result, string) {
	if err == nil {
		return audit.Success, ""
	}
	e := secret.Of(err)
	switch {
	case errors.Is(e, secret.ErrUnauthenticated) && e.Cause != nil: // a reason in our own words
		return audit.AccessDenied, fmt.Sprintf("%s: %v", e.Code, e.Cause)
	case errors.Is(err, errHidden), errors.Is(e, secret.ErrAccessDenied), errors.Is(e, secret.ErrMFARequired),
		errors.Is(e, secret.ErrSuspended), errors.Is(e, secret.ErrUnauthenticated), errors.Is(e, secret.ErrTooMany):
		return audit.AccessDenied, string(e.Code)
	case errors.Is(e, secret.ErrNotFound):
		return audit.NotFound, string(e.Code)
	case errors.Is(e, secret.ErrDecryption):
		return audit.DecryptionFailed, string(e.Code)
	}
	return audit.Failed, e.Error()
}
