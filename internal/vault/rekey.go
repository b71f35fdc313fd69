package vault

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"fastness/internal/audit"
	"fastness/internal/dump"
	"fastness/internal/envelope"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

// Rekeyer makes rows of one deployment rows of another: every key that the root
// key wraps is wrapped by the other's. What those keys seal stays as it is, since
// no seal names the deployment. Not safe for concurrent use.
type Rekeyer struct {
	from *roots
	to   *envelope.Root
	id   [16]byte // the other deployment's
	now  time.Time
	what string // is restored

	metas   map[string][]byte
	begun   bool
	origin  string // of the old log
	note    string // its last checkpoint; empty if it has none
	size    int64  // its entries
	pending int64
	logged  bool // the entry of the restore has been added
}

// NewRekeyer opens the root key of the rows' deployment, and derives that of the
// other from master, for a deployment id: the zero id is one that is drawn now.
// what tells in the log what is restored.
func NewRekeyer(deployment string, check []byte, oldMaster, oldPrevious, master *secretbuf.Buffer, id [16]byte, what string, now time.Time) (*Rekeyer, error) {
	from, err := openRootsOf(deployment, check, oldMaster, oldPrevious)
	if err != nil {
		return nil, err
	}
	k := &Rekeyer{from: from, id: id, what: what, now: now.UTC().Truncate(time.Millisecond), metas: make(map[string][]byte), origin: "fastness/" + deployment}
	if id == [16]byte{} {
		rand.Read(k.id[:])
	}
	if k.to, err = envelope.NewRoot(master, k.id); err != nil {
		from.destroy()
		return nil, err
	}
	return k, nil
}

// Close wipes the keys.
func (k *Rekeyer) Close() {
	k.from.destroy()
	k.to.Destroy()
}

// Row passes a row on as the other deployment's. The log goes on under the other
// deployment's name and new keys: checkpoints stay behind, and the first entry
// that is new holds the last one of them.
func (k *Rekeyer) Row(r *dump.Row, emit func(*dump.Row) error) error {
	switch {
	case r.Meta != nil:
		k.metas[r.Meta.Key] = r.Meta.Data
		return nil
	case r.Checkpoint != nil:
		if r.Checkpoint.Note != nil {
			k.note = string(r.Checkpoint.Note)
		}
		return nil
	}
	if err := k.begin(emit); err != nil {
		return err
	}
	switch {
	case r.Key != nil:
		return k.key(r.Key, emit)
	case r.Archive != nil:
		k.size = r.Archive.Size
	case r.Batch != nil:
		k.size += int64(len(r.Batch.Records))
	case r.Pending != nil:
		k.pending++
	case r.Tile != nil, r.Tree != nil:
		if err := k.log(emit); err != nil {
			return err
		}
	}
	return emit(r)
}

// begin passes on the deployment's own values, if the rows are those of one.
func (k *Rekeyer) begin(emit func(*dump.Row) error) error {
	if k.begun || len(k.metas) == 0 {
		return nil
	}
	k.begun = true
	keys, err := k.logKeys()
	if err != nil {
		return err
	}
	var metas []dump.Meta // in the order of their keys
	if archive := k.metas[store.MetaArchive]; archive != nil {
		metas = append(metas, dump.Meta{Key: store.MetaArchive, Data: archive})
	}
	metas = append(metas, dump.Meta{Key: metaDeployment, Data: k.id[:]}, dump.Meta{Key: metaLogKeys, Data: keys})
	if own := k.metas[metaOwnKey]; own != nil {
		row, err := k.rewrap(secret.TenantID{}, &store.TenantKey{Number: ownKeyNumber, KEK: own})
		if err != nil {
			return fmt.Errorf("the deployment's own key: %w", err)
		}
		metas = append(metas, dump.Meta{Key: metaOwnKey, Data: row.KEK})
	}
	metas = append(metas, dump.Meta{Key: metaRoots, Data: checkOf(k.to)})
	for i := range metas {
		if err := emit(&dump.Row{Meta: &metas[i]}); err != nil {
			return err
		}
	}
	return nil
}

// logKeys makes the keys of the log under its new name.
func (k *Rekeyer) logKeys() ([]byte, error) {
	sealed := sealedSeeds{Generation: 1}
	ed, ml := purposes(1)
	var seeds [2]*secretbuf.Key
	defer func() {
		for _, s := range seeds {
			if s != nil {
				s.Destroy()
			}
		}
	}()
	for i, p := range []struct {
		purpose string
		blob    *[]byte
	}{{ed, &sealed.Ed25519}, {ml, &sealed.MLDSA44}} {
		seed := make([]byte, secretbuf.KeySize)
		rand.Read(seed)
		blob, err := k.to.SealLogSeed(p.purpose, seed)
		seeds[i] = secretbuf.NewKey(seed)
		secretbuf.Wipe(seed)
		if err != nil {
			return nil, err
		}
		*p.blob = blob
	}
	origin := "fastness/" + hex.EncodeToString(k.id[:])
	signer, err := audit.NewSigner(origin, seeds[0], seeds[1])
	if err != nil {
		return nil, err
	}
	set := audit.KeySet{Origin: origin, Ranges: []audit.KeyRange{{Keys: signer.Keys()}}}
	text, err := set.MarshalText()
	if err != nil {
		return nil, err
	}
	return json.Marshal(storedKeys{Keys: string(text), Now: sealed})
}

func (k *Rekeyer) key(r *dump.Key, emit func(*dump.Row) error) error {
	row, err := k.rewrap(secret.TenantID(r.Tenant), r.TenantKey)
	if err != nil {
		return fmt.Errorf("key %d of a tenant: %w", r.Number, err)
	}
	return emit(&dump.Row{Key: &dump.Key{Tenant: r.Tenant, TenantKey: row}})
}

// rewrap wraps a key by the other root key.
func (k *Rekeyer) rewrap(t secret.TenantID, row *store.TenantKey) (*store.TenantKey, error) {
	kek, err := k.from.unwrap(t, row)
	if err != nil {
		return nil, err
	}
	defer kek.Destroy()
	out := &store.TenantKey{Number: row.Number, KEMPublic: row.KEMPublic, Created: row.Created}
	if out.KEK, err = k.to.WrapKEK(t, row.Number, kek.Key); err == nil && kek.KEMSeed != nil {
		out.KEMSeed, err = k.to.WrapKEMSeed(t, row.Number, kek.KEMSeed)
	}
	return out, err
}

// log adds the entry of the restore behind all that the old log has.
func (k *Rekeyer) log(emit func(*dump.Row) error) error {
	if k.logged {
		return nil
	}
	k.logged = true
	record, err := k.Entry("")
	if err != nil {
		return err
	}
	return emit(&dump.Row{Pending: &dump.Pending{Number: k.size + 1 + k.pending, Records: []audit.Record{record}}})
}

// Entry is the log's entry of the restore; of a tenant, or with no name of the
// deployment.
func (k *Rekeyer) Entry(t secret.TenantName) (audit.Record, error) {
	detail := k.what + "\nlog: " + k.origin
	if t == "" {
		detail = fmt.Sprintf("%s, %d entries\nlast checkpoint:\n%s", detail, k.size, k.note)
	}
	return audit.NewRecord(audit.Entry{
		Timestamp: k.now, Action: audit.BackupRestore, TenantID: t, UserID: audit.System, Result: audit.Success,
		CorrelationID: secret.NewUUID(), Detail: detail,
	})
}
