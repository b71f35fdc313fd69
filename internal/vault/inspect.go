package vault

import (
	"encoding/hex"
	"fmt"

	"fastness/internal/dump"
	"fastness/internal/envelope"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

// ErrBrokenLog is an audit log that does not hold.
var ErrBrokenLog = errBrokenLog

// Inspection is what an Inspector has found to hold.
type Inspection struct {
	Deployment string // its id, in hexadecimal
	Opened     int64  // sealed parts: keys, values, access keys, documents, seeds
	Entries    int64  // of the log that have a place
	Root       string // of the log's tree
	Waiting    int64  // entries that wait for their place
}

// Inspector proves that a whole store, as a stream of rows in the order of
// package dump, can be used: that the root key is the store's, that everything
// sealed opens with it, and that the log is what its records give. Nothing of
// what it opens outlives the row. Not safe for concurrent use.
type Inspector struct {
	master, previous *secretbuf.Buffer
	metas            map[string][]byte
	roots            *roots // nil until the first row behind the deployment's own values
	own              *envelope.KEK
	tenant           secret.TenantID
	keks             map[uint32]*envelope.KEK // of tenant
	log              logInspector
	alone            bool   // the rows are one tenant's
	lent             *roots // of an open vault, instead of material; nil otherwise
	found            Inspection
}

// NewInspector takes the root key's material, and the previous one's while it
// changes (nil otherwise). Both stay the caller's.
func NewInspector(master, previous *secretbuf.Buffer) *Inspector {
	return &Inspector{master: master, previous: previous, metas: make(map[string][]byte), log: newLogInspector()}
}

// NewTenantInspector inspects the rows of one tenant, which come without their
// deployment's, and without a log.
func NewTenantInspector(deployment string, check []byte, master, previous *secretbuf.Buffer) (*Inspector, error) {
	r, err := openRootsOf(deployment, check, master, previous)
	if err != nil {
		return nil, err
	}
	i := NewInspector(master, previous)
	i.roots, i.alone, i.found.Deployment = r, true, deployment
	return i, nil
}

// Close wipes the keys.
func (i *Inspector) Close() {
	i.dropKeys()
	if i.own != nil {
		i.own.Destroy()
	}
	if i.roots != nil && i.lent == nil {
		i.roots.destroy()
	}
}

func (i *Inspector) dropKeys() {
	for _, k := range i.keks {
		k.Destroy()
	}
	i.keks = nil
}

// Row inspects the next row. What does not open is secret.ErrDecryption, and
// what of the log does not hold ErrBrokenLog.
func (i *Inspector) Row(r *dump.Row) error {
	if r.Meta != nil {
		if i.roots != nil {
			return fmt.Errorf("%w: a deployment's value behind other rows", dump.ErrFormat)
		}
		i.metas[r.Meta.Key] = r.Meta.Data
		if r.Meta.Key == store.MetaArchive {
			return i.log.begin(r.Meta.Data)
		}
		return nil
	}
	if i.roots == nil {
		if err := i.begin(); err != nil {
			return err
		}
	}
	if err := i.sealed(r); err != nil {
		return fmt.Errorf("row of kind %s: %w", r.Kind(), err)
	}
	return i.log.row(r)
}

// begin proves the root key and opens what belongs to the deployment.
func (i *Inspector) begin() error {
	r, err := i.openRoots()
	if err != nil {
		return err
	}
	i.roots = r
	i.found.Deployment = hex.EncodeToString(r.id[:])
	if err := i.openOwn(); err != nil {
		return err
	}
	return i.openLogKeys()
}

func (i *Inspector) openRoots() (*roots, error) {
	if i.lent == nil {
		return openRootsOf(hex.EncodeToString(i.metas[metaDeployment]), i.metas[metaRoots], i.master, i.previous)
	}
	if string(i.metas[metaDeployment]) != string(i.lent.id[:]) {
		return nil, ErrWrongRootKey
	}
	return i.lent, i.lent.prove(i.metas[metaRoots])
}

func (i *Inspector) openOwn() (err error) {
	blob := i.metas[metaOwnKey]
	if blob == nil {
		return nil
	}
	i.own, err = i.roots.unwrap(secret.TenantID{}, &store.TenantKey{Number: ownKeyNumber, KEK: blob})
	i.found.Opened++
	return err
}

// openLogKeys opens the seeds that sign the log, and takes over the public keys.
func (i *Inspector) openLogKeys() error {
	row := i.metas[metaLogKeys]
	if row == nil {
		return nil // a deployment that has never run
	}
	set, keys, err := parseLogKeys(row)
	if err != nil {
		return fmt.Errorf("reading the log's keys: %w", err)
	}
	i.log.keys = &set
	all := []sealedSeeds{keys.Now}
	if keys.Next != nil {
		all = append(all, *keys.Next)
	}
	for _, s := range all {
		ed, ml := purposes(s.Generation)
		for purpose, blob := range map[string][]byte{ed: s.Ed25519, ml: s.MLDSA44} {
			root, err := i.roots.of(blob)
			if err != nil {
				return err
			}
			seed, err := root.OpenLogSeed(purpose, blob)
			if err != nil {
				return fmt.Errorf("opening the log's keys: %w", err)
			}
			seed.Destroy()
			i.found.Opened++
		}
	}
	return nil
}

// sealed opens what of a row is sealed.
func (i *Inspector) sealed(r *dump.Row) error {
	switch {
	case r.Tenant != nil:
		i.dropKeys()
		i.tenant, i.keks = secret.TenantID(r.Tenant.ID), make(map[uint32]*envelope.KEK)
	case r.Key != nil:
		return i.openKey(r.Key)
	case r.Version != nil:
		return i.openVersion(r.Version)
	case r.Credential != nil && r.Credential.Sealed != nil:
		c := r.Credential.Credential
		return i.open(c.Tenant, c.Key, func(k *envelope.KEK) (*secretbuf.Buffer, error) { return k.OpenAccessKey(c.Tenant, c.ID, c.Sealed) })
	case r.Document != nil && r.Document.Sealed != nil:
		d := r.Document.Document
		return i.open(d.Owner, d.Key, func(k *envelope.KEK) (*secretbuf.Buffer, error) {
			return k.OpenDocument(d.Owner, d.Kind, d.ID, d.Sealed)
		})
	}
	return nil
}

func (i *Inspector) openKey(k *dump.Key) error {
	if secret.TenantID(k.Tenant) != i.tenant || i.keks[k.Number] != nil {
		return fmt.Errorf("%w: a key that is not the tenant's before it, or is there twice", dump.ErrFormat)
	}
	kek, err := i.roots.unwrap(i.tenant, k.TenantKey)
	if err != nil {
		return err
	}
	i.keks[k.Number] = kek
	i.found.Opened++
	return nil
}

func (i *Inspector) openVersion(v *dump.Version) error {
	binding := envelope.Binding{Tenant: secret.TenantID(v.Tenant), Secret: secret.ID(v.Secret), Version: v.ID}
	return i.open(binding.Tenant, v.Key, func(k *envelope.KEK) (*secretbuf.Buffer, error) {
		return envelope.Open(k, binding, envelope.Sealed{Envelope: v.Envelope, Ciphertext: v.Ciphertext})
	})
}

// open opens something under an owner's key, and lets go of it.
func (i *Inspector) open(owner secret.TenantID, number uint32, f func(*envelope.KEK) (*secretbuf.Buffer, error)) error {
	kek := i.own
	if !owner.IsZero() {
		kek = nil
		if owner == i.tenant {
			kek = i.keks[number]
		}
	}
	if kek == nil {
		return secret.ErrDecryption.With(fmt.Errorf("there is no key %d of its owner", number))
	}
	plain, err := f(kek)
	if err != nil {
		return err
	}
	plain.Release()
	i.found.Opened++
	return nil
}

// End reports what was found, after the last row.
func (i *Inspector) End() (Inspection, error) {
	if i.alone {
		return i.found, nil
	}
	if err := i.log.end(&i.found); err != nil {
		return Inspection{}, err
	}
	return i.found, nil
}
