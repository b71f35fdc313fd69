package vault

import (
	"sync"
	"time"

	"fastness/internal/store"
)

const (
	// maxKnown bounds how many tokens' rows are kept: some hundred bytes each.
	maxKnown = 4096
	// knownLifetime bounds how long an idle token's rows stay in memory.
	knownLifetime = time.Minute
)

// knownCallers keeps the rows of tokens that were used lately: their hash,
// grants and tenant, nothing secret. A row counts only while the store's
// identity epoch is the one it was read under, so that a revocation that was
// acknowledged is seen by the next request; whether the rows allow anything is
// decided anew each time. A store without that ability has nothing kept.
//
// The rows are shared: nobody may change them. Safe for concurrent use.
type knownCallers struct {
	store store.IdentityEpoch // nil: keep nothing
	now   func() time.Time

	mu   sync.Mutex // guards rows, briefly
	rows map[[32]byte]knownCaller
}

type knownCaller struct {
	epoch      uint64
	expires    time.Time
	credential *store.Credential
	tenant     *store.Tenant
}

func (k *knownCallers) init(s store.Store, now func() time.Time) {
	k.store, _ = s.(store.IdentityEpoch)
	k.now, k.rows = now, make(map[[32]byte]knownCaller)
}

// epoch must be read before the rows that are put under it.
func (k *knownCallers) epoch() uint64 {
	if k.store == nil {
		return 0
	}
	return k.store.IdentityEpoch()
}

func (k *knownCallers) get(hash [32]byte) (*store.Credential, *store.Tenant, bool) {
	if k.store == nil {
		return nil, nil, false
	}
	epoch, now := k.store.IdentityEpoch(), k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	row, ok := k.rows[hash]
	if !ok || row.epoch != epoch || now.After(row.expires) {
		return nil, nil, false
	}
	return row.credential, row.tenant, true
}

func (k *knownCallers) put(hash [32]byte, epoch uint64, c *store.Credential, t *store.Tenant) {
	if k.store == nil {
		return
	}
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.rows) >= maxKnown {
		k.makeRoomLocked(epoch, now)
	}
	k.rows[hash] = knownCaller{epoch, now.Add(knownLifetime), c, t}
}

// expire drops the rows that can no longer count.
func (k *knownCallers) expire() {
	epoch, now := k.epoch(), k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dropLocked(epoch, now)
}

func (k *knownCallers) dropLocked(epoch uint64, now time.Time) {
	for hash, row := range k.rows {
		if row.epoch != epoch || now.After(row.expires) {
			delete(k.rows, hash)
		}
	}
}

// makeRoomLocked drops what no longer counts; if all of it does, half: which,
// the map's order decides.
func (k *knownCallers) makeRoomLocked(epoch uint64, now time.Time) {
	k.dropLocked(epoch, now)
	for hash := range k.rows {
		if len(k.rows) < maxKnown/2 {
			return
		}
		delete(k.rows, hash)
	}
}
