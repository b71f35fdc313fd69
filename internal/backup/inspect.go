package backup

import (
	"fmt"

	"fastness/internal/dump"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// inspection proves a store whole.
type inspection struct {
	master, previous *secretbuf.Buffer
	vault            *vault.Vault // whose root key it is, instead of them; nil otherwise
	progress         func()
	counters         bool // compare the store's counters with its rows
	// Of one tenant alone, whose store need not tell the deployment.
	tenant     secret.TenantName
	deployment string
	check      []byte
	found      vault.Inspection
}

// run reads all of the store, and returns the digest of its rows.
func (i *inspection) run(r store.Reader) (*dump.Digest, error) {
	check, err := i.inspector()
	if err != nil {
		return nil, err
	}
	defer check.Close()
	var digest dump.Digest
	counted := counting{reader: r, compare: i.counters}
	err = i.rows(r, func(row *dump.Row) error {
		i.progress()
		if _, err := digest.Add(row); err != nil {
			return err
		}
		if err := counted.row(row); err != nil {
			return err
		}
		return check.Row(row)
	})
	if err == nil {
		err = counted.end()
	}
	if err != nil {
		return nil, err
	}
	i.found, err = check.End()
	return &digest, err
}

func (i *inspection) inspector() (*vault.Inspector, error) {
	if i.vault != nil {
		return i.vault.NewInspector(), nil
	}
	if i.tenant == "" {
		return vault.NewInspector(i.master, i.previous), nil
	}
	return vault.NewTenantInspector(i.deployment, i.check, i.master, i.previous)
}

func (i *inspection) rows(r store.Reader, yield func(*dump.Row) error) error {
	if i.tenant == "" {
		return dump.Read(r, yield)
	}
	return dump.ReadTenant(r, i.tenant, yield)
}

// counting counts what each tenant has.
type counting struct {
	reader  store.Reader
	compare bool
	begun   bool            // there was a row
	owner   secret.TenantID // the zero one stands for the deployment
	now     counters
}

// counters are those that a store keeps of an owner.
type counters struct {
	store.Usage
	principals, credentials int64
}

// row counts a row in. Behind the last row of an owner its counters are compared.
func (c *counting) row(r *dump.Row) error {
	switch {
	case r.Tenant != nil:
		if c.begun {
			if err := c.end(); err != nil {
				return err
			}
		}
		c.owner, c.now = secret.TenantID(r.Tenant.ID), counters{}
	case r.Secret != nil:
		c.now.Secrets++
	case r.Version != nil:
		c.now.Versions++
		c.now.Bytes += int64(len(r.Version.Envelope) + len(r.Version.Ciphertext))
	case r.Principal != nil:
		c.now.principals++
	case r.Credential != nil:
		c.now.credentials++
	}
	c.begun = true
	return nil
}

func (c *counting) end() error {
	if !c.compare {
		return nil
	}
	var kept counters
	var err error
	if !c.owner.IsZero() {
		if kept.Usage, err = c.reader.Secrets(c.owner).Usage(); err != nil {
			return err
		}
	}
	if kept.principals, err = c.reader.Principals().Count(c.owner); err != nil {
		return err
	}
	if kept.credentials, err = c.reader.Credentials().Count(c.owner); err != nil {
		return err
	}
	if kept != c.now {
		return fmt.Errorf("%w: the counters of tenant %s are %v, and its rows are %v", ErrDifferent, c.owner, kept, c.now)
	}
	return nil
}
