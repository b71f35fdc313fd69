package vault

import (
	"context"
	"encoding/hex"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"fastness/internal/secret"
	"fastness/internal/store"
)

// Nodes that share a store share the rates of tenants too. Once a second each one
// that had requests of tenants with a rate writes how many, in one document for all
// of them, and reads what the others wrote: half of a tenant's rate is split evenly
// among the nodes that it asks, the other half by how much it asks each. A request
// costs no write, and waits for none.
//
// A node that a tenant has not asked lately gives out what would be its part if it
// were one more, so that a tenant that asks one node has its whole rate. In the
// second until the others have heard of it, several together can give out more than
// the rate, at most each its own burst.

// demandKind is the document in which a node says what its tenants ask for; its id
// is the node's.
const demandKind = "demand"

const (
	sharePeriod = time.Second
	// shareLife is how long what a node has said counts. It is measured on the
	// reader's clock, from when the document last changed: clocks of nodes differ.
	shareLife = 3 * sharePeriod
	// demandLife is when a document of a node that is gone may be dropped.
	demandLife = time.Minute
	// maxDemands bounds how many tenants a document tells of, those asking last.
	maxDemands = 500
)

// demands are requests of the last period, by tenant in hexadecimal.
type demands map[string]int64

func demandKey(t secret.TenantID) string { return hex.EncodeToString(t[:]) }

// heard is what another node said.
type heard struct {
	revision int64
	at       time.Time
	demands  demands
}

// shares knows which part of its tenants' rates this node may give out: all of
// them where it is alone. Safe for concurrent use.
type shares struct {
	now func() time.Time

	mu     sync.Mutex // guards the rest, briefly
	own    demands    // as it was written last
	others map[string]*heard
}

// part is how much of a tenant's rate is this node's.
func (s *shares) part(t secret.TenantID) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.others) == 0 {
		return 1
	}
	key := demandKey(t)
	mine, nodes := s.own[key], 1
	sum := mine
	for _, o := range s.others {
		if n := o.demands[key]; n > 0 && s.now().Sub(o.at) <= shareLife {
			nodes++
			sum += n
		}
	}
	even := 1 / float64(nodes)
	if mine == 0 {
		return even
	}
	return even/2 + float64(mine)/float64(sum)/2
}

// of is a share for rates. Whoever may ask at all may ask once.
func (s *shares) of(t secret.TenantID, q secret.Quotas) (perSecond rate.Limit, burst int) {
	part := s.part(t)
	return rate.Limit(part * float64(q.RequestRate)), max(int(part*float64(q.Burst())), 1)
}

// hears takes over what all nodes have written; own is what this one did.
func (s *shares) hears(node string, own demands, rows []*store.Document, said []demands) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.others
	s.own, s.others = own, map[string]*heard{}
	for i, d := range rows {
		if d.ID == node {
			continue
		}
		h := before[d.ID]
		if h == nil || h.revision != d.Revision {
			h = &heard{d.Revision, s.now(), said[i]}
		}
		s.others[d.ID] = h // also if it no longer counts, so as not to take it for new
	}
}

// demand takes how many requests tenants with a rate have sent since the last call.
func (r *rates) demand() demands {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := demands{}
	for e := r.buckets.order.Front(); e != nil && len(asked) < maxDemands; e = e.Next() {
		entry := e.Value.(*recentEntry[secret.TenantID, bucket])
		if entry.value.asked == 0 {
			break // those before it asked later
		}
		asked[demandKey(entry.key)], entry.value.asked = entry.value.asked, 0
	}
	return asked
}

// ShareRates leases this node's part of its tenants' rates for the coming second.
// An open Vault does so every second where it shares its store; one that is alone
// has all of them, and nothing is done.
func (v *Vault) ShareRates(ctx context.Context) error {
	if !v.shares() {
		return nil
	}
	own := v.rates.demand()
	if len(own) > 0 {
		err := v.store.Update(ctx, func(tx store.Tx) error { return v.putDemand(tx, own) })
		if err != nil {
			return v.answer(err)
		}
	}
	var rows []*store.Document
	var said []demands
	err := v.store.View(ctx, func(r store.Reader) (err error) {
		rows, said, err = documents[demands](r, secret.TenantID{}, demandKind, "", time.Time{})
		return err
	})
	if err != nil {
		return v.answer(err)
	}
	v.portions.hears(v.journal.node, own, rows, said)
	return nil
}

func (v *Vault) putDemand(tx store.Tx, own demands) error {
	d, err := tx.Documents().Document(secret.TenantID{}, demandKind, v.journal.node)
	if errors.Is(err, store.ErrAbsent) {
		d, err = &store.Document{Kind: demandKind, ID: v.journal.node}, nil
	}
	if err != nil {
		return err
	}
	d.Expires = v.now().Add(demandLife)
	return v.putDocument(tx, d, own)
}

func (v *Vault) runShares(ctx context.Context) {
	tick := time.NewTicker(sharePeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// While the store is away, what was leased last goes on.
			if err := v.ShareRates(ctx); err != nil && ctx.Err() == nil {
				v.log.DebugContext(ctx, "sharing the rates of tenants", "error", err, "cause", secret.Of(err).Cause)
			}
		}
	}
}
