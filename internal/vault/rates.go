package vault

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// maxBuckets bounds how many tenants are counted at once: some four hundred
// bytes each. A tenant that is pushed out begins anew with a full burst.
const maxBuckets = 1 << 16

// Refusals above a tenant's rate that get an audit entry of their own. The
// others of a moment share one: who sends too much must not fill the log with
// the proof of it.
const (
	tenantRefusalRate  = 1
	tenantRefusalBurst = 10
)

// share is how much of its tenants' rates this node may give out: requests a
// second, and at once. A node that is alone gives out all of it; of several see
// shares.
type share func(t secret.TenantID, q secret.Quotas) (perSecond rate.Limit, burst int)

func whole(_ secret.TenantID, q secret.Quotas) (rate.Limit, int) {
	return rate.Limit(q.RequestRate), int(q.Burst())
}

// rates holds back tenants that send more requests than they may. It counts
// only tenants with a quota that sent something lately: the bucket of a tenant
// that has been quiet is full, as is that of one never seen. Safe for
// concurrent use.
type rates struct {
	now   func() time.Time
	share share

	mu      sync.Mutex // guards buckets and what is in them, briefly
	buckets *recent[secret.TenantID, bucket]
}

// bucket is what is known of one tenant's requests.
type bucket struct {
	requests *rate.Limiter
	entries  *rate.Limiter // of refusals that get an entry of their own
	sent     lastSecond
	asked    int64     // requests since they were last told to other nodes
	last     time.Time // when it was last looked at
}

func (r *rates) init(now func() time.Time) {
	r.now, r.share = now, whole
	r.buckets = newRecent[secret.TenantID, bucket](maxBuckets)
}

// pace counts a request, or a login, against the rate of a tenant. A refusal is
// recorded before it is returned as secret.ErrTooMany, in the entry that begin
// begins, which must be one of the tenant's.
func (v *Vault) pace(ctx context.Context, t secret.TenantID, begin func() audit.Entry) error {
	kept := &v.limits
	if v.shares() {
		kept = &v.paces
	}
	q, err := kept.look(t, func() (q secret.Quotas, err error) {
		err = v.store.Look(ctx, func(r store.Reader) error {
			q, err = v.quotas(r, t)
			return err
		})
		return q, err
	})
	if err != nil {
		return v.conclude(ctx, begin(), err)
	}
	alone, err := v.rates.take(t, q)
	if err == nil {
		return nil
	}
	v.refused.count(err)
	e := begin()
	e.Action = audit.Throttle
	e.Result, e.Error = result(err)
	if rerr := v.refusals.record(ctx, e, alone); rerr != nil {
		return secret.ErrUnavailable.With(errors.Join(rerr, err))
	}
	return err
}

// take counts a request against the tenant's quota; secret.ErrTooMany if it is
// one too many. alone tells that the refusal gets an entry of its own.
func (r *rates) take(t secret.TenantID, q secret.Quotas) (alone bool, err error) {
	if q.RequestRate == 0 {
		return false, nil
	}
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.bucketLocked(t, q, now)
	sent := b.sent.add(now)
	b.asked++
	wait := b.wait(now)
	if wait == 0 {
		return false, nil
	}
	e := secret.TooMany("the tenant sends too many requests", wait)
	e.Field, e.Usage = "requestRate", &secret.Usage{Limit: q.RequestRate, Used: sent}
	return b.entries.AllowN(now, 1), e
}

// bucketLocked returns the tenant's bucket, as its quota is now.
func (r *rates) bucketLocked(t secret.TenantID, q secret.Quotas, now time.Time) *bucket {
	perSecond, burst := r.share(t, q)
	b := r.buckets.get(t)
	if b == nil {
		return r.buckets.put(t, bucket{
			requests: rate.NewLimiter(perSecond, burst),
			entries:  rate.NewLimiter(tenantRefusalRate, tenantRefusalBurst),
			last:     now,
		})
	}
	if now.Before(b.last) { // a clock that was put back must not stop the refill
		b.requests.SetLimitAt(now, b.requests.Limit())
		b.entries.SetLimitAt(now, b.entries.Limit())
	}
	b.last = now
	if b.requests.Limit() != perSecond {
		b.requests.SetLimitAt(now, perSecond)
	}
	if b.requests.Burst() != burst {
		b.requests.SetBurstAt(now, burst)
	}
	return b
}

// wait takes a token, or tells how long it is until there is one.
func (b *bucket) wait(now time.Time) time.Duration {
	if b.requests.AllowN(now, 1) {
		return 0
	}
	missing := 1 - b.requests.TokensAt(now)
	return max(time.Duration(missing/float64(b.requests.Limit())*float64(time.Second)), 1)
}

// full reports whether nothing would change if the bucket were not there.
func (b *bucket) full(now time.Time) bool {
	return b.requests.TokensAt(now) >= float64(b.requests.Burst()) && b.entries.TokensAt(now) >= tenantRefusalBurst
}

// expire forgets tenants that have been quiet.
func (r *rates) expire() {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buckets.dropWhile(func(b *bucket) bool { return b.full(now) })
}

// lastSecond counts the events of the second that has just passed: exactly
// those of the second on the clock, and of the one before the part that still
// counts, as if they had come evenly.
type lastSecond struct {
	second      int64
	now, before int64
}

// add counts one more event, and returns how many there were.
func (l *lastSecond) add(t time.Time) int64 {
	switch second := t.Unix(); second {
	case l.second:
	case l.second + 1:
		l.second, l.now, l.before = second, 0, l.now
	default:
		l.second, l.now, l.before = second, 0, 0
	}
	l.now++
	left := int64(time.Second) - int64(t.Nanosecond())
	return l.now + l.before*left/int64(time.Second)
}
