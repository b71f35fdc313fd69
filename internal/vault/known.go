package vault

import (
	"sync"
	"time"

	"fastness/internal/secret"
	"fastness/internal/store"
)

const (
	// maxKnown bounds how many rows of a kind are kept: some hundred bytes each.
	maxKnown = 4096
	// knownLifetime bounds how long rows that nobody asks for stay in memory.
	knownLifetime = time.Minute
)

// known keeps rows as they were read lately: who asks, for which tenant, within
// which quotas, and small versions, which are ciphertext; nothing secret. A row counts only while
// the store's epoch is the one it was read under, so that a change that was
// acknowledged is seen by the next request; whether the rows allow anything is
// decided anew each time. A store without epochs has nothing kept.
//
// The rows are shared: nobody may change them. Safe for concurrent use.
type known[K comparable, V any] struct {
	epoch func(K) uint64 // nil: keep nothing
	now   func() time.Time

	mu   sync.Mutex // guards rows, briefly
	rows map[K]knownRow[V]
}

type knownRow[V any] struct {
	epoch   uint64
	expires time.Time
	row     V
}

// knownVersion is what a read finds.
type knownVersion struct {
	secret  *store.Secret
	version *store.Version
}

// versionKey names what a read asks for.
type versionKey struct {
	tenant    secret.TenantID
	name      secret.Name
	selector  store.Selector
	principal string
}

// maxKnownValue is the largest value whose version is kept: with maxKnown, this
// bounds what is kept to some twenty megabytes.
const maxKnownValue = 4 << 10

// openKnown prepares what is kept.
func (v *Vault) openKnown() {
	v.callers.init(v.now)
	v.tenants.init(v.now)
	v.versions.init(v.now)
	v.limits.init(v.now)
	v.rules.init(v.now)
	v.paces.init(v.now)
	// By the clock of the machine: of a moment, not of what happens in it.
	v.paces.epoch = func(secret.TenantID) uint64 { return uint64(time.Now().Unix()) + v.quotasSet.Load()<<40 }
	if e, ok := v.store.(store.Epochs); ok {
		v.callers.epoch = func([32]byte) uint64 { return e.IdentityEpoch() }
		v.tenants.epoch = func(secret.TenantName) uint64 { return e.IdentityEpoch() }
		v.limits.epoch = func(secret.TenantID) uint64 { return e.IdentityEpoch() }
		v.rules.epoch = e.IdentityEpoch
		v.versions.epoch = func(k versionKey) uint64 { return e.SecretsEpoch(k.tenant) }
	}
}

// expireKnown drops what can no longer count.
func (v *Vault) expireKnown() {
	v.callers.expire()
	v.tenants.expire()
	v.versions.expire()
	v.limits.expire()
	v.paces.expire()
	v.rules.expire()
	v.compiled.expire()
}

func (k *known[K, V]) init(now func() time.Time) {
	k.now, k.rows = now, make(map[K]knownRow[V])
}

// look returns the row that is kept under key, or reads it.
func (k *known[K, V]) look(key K, read func() (V, error)) (V, error) {
	if k.epoch == nil {
		return read()
	}
	epoch := k.epoch(key) // before the row is read
	if row, ok := k.get(key); ok {
		return row, nil
	}
	row, err := read()
	if err == nil {
		k.put(key, epoch, row)
	}
	return row, err
}

// get returns the row that is kept under key.
func (k *known[K, V]) get(key K) (row V, ok bool) {
	if k.epoch == nil {
		return row, false
	}
	epoch, now := k.epoch(key), k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	r, ok := k.rows[key]
	if !ok || r.epoch != epoch || now.After(r.expires) {
		return row, false
	}
	return r.row, true
}

// put keeps a row that was read after the epoch was.
func (k *known[K, V]) put(key K, epoch uint64, row V) {
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.rows) >= maxKnown {
		k.makeRoomLocked(now)
	}
	k.rows[key] = knownRow[V]{epoch, now.Add(knownLifetime), row}
}

// expire drops the rows that can no longer count.
func (k *known[K, V]) expire() {
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dropLocked(now)
}

func (k *known[K, V]) dropLocked(now time.Time) {
	for key, row := range k.rows {
		if row.epoch != k.epoch(key) || now.After(row.expires) {
			delete(k.rows, key)
		}
	}
}

// makeRoomLocked drops what no longer counts; if all of it does, half: which,
// the map's order decides.
func (k *known[K, V]) makeRoomLocked(now time.Time) {
	k.dropLocked(now)
	for key := range k.rows {
		if len(k.rows) < maxKnown/2 {
			return
		}
		delete(k.rows, key)
	}
}
