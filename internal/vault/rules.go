package vault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// The documents of a tenant's rules: one of kind settings, one of kind policy
// for each of its own policies, and one of kind policyVersion for each version
// of those that is kept.
const (
	settingsKind      = "settings"
	settingsID        = "tenant"
	policyKind        = "policy"
	policyVersionKind = "policyVersion"
)

// settingsRow is the document of kind settings.
type settingsRow struct {
	Version     int64         `json:"version,omitzero"` // how often the settings were changed
	MFAWindow   time.Duration `json:"mfaWindow,omitzero"`
	MFAForRead  bool          `json:"mfaForRead,omitzero"`
	MFAForLogin bool          `json:"mfaForLogin,omitzero"`
	// Generation is drawn anew with each change of the settings or of a policy:
	// it names the state of all rules, so that one row tells whether what was
	// compiled still holds.
	Generation string `json:"generation,omitzero"`
}

func (s settingsRow) settings() policy.Settings {
	return policy.Settings{MFAWindow: s.MFAWindow, MFAForRead: s.MFAForRead, MFAForLogin: s.MFAForLogin}
}

// policyRow is a document of kind policy, and of kind policyVersion.
type policyRow struct {
	Version int64     `json:"version"`
	Text    string    `json:"text"`
	Created time.Time `json:"created"`
	// Schema tells which schema the text was validated against.
	Schema string `json:"schema"`
}

// readSettings reads a tenant's settings with the document to put them in; none
// are the zero row.
func readSettings(r store.Reader, t secret.TenantID) (row settingsRow, d *store.Document, err error) {
	d, err = r.Documents().Document(t, settingsKind, settingsID)
	if errors.Is(err, store.ErrAbsent) {
		return row, &store.Document{Owner: t, Kind: settingsKind, ID: settingsID}, nil
	}
	if err != nil {
		return row, nil, err
	}
	row, err = decodeDocument[settingsRow](d)
	return row, d, err
}

// text parses the row's text, which was validated before it was stored: by
// another release perhaps, with another schema.
func (row policyRow) text(name string) (*policy.Text, error) {
	if row.Schema == policy.SchemaID() {
		return policy.LoadText(name, row.Text)
	}
	return policy.ParseText(name, row.Text)
}

// rulesLifetime is how long rules that nobody asks for stay in memory.
const rulesLifetime = 10 * time.Minute

// maxRulesText bounds the texts of the rules in memory, compiled from which
// they take some thirty times as much.
const maxRulesText = 4 << 20

// rulesCache keeps the compiled rules of tenants. An entry holds for the
// generation it was compiled from, for ever; and without a look at the store
// while the store's epoch is the one before that generation was read. Safe for
// concurrent use.
type rulesCache struct {
	epoch func() uint64 // nil for a store without epochs
	now   func() time.Time

	mu      sync.Mutex // guards what follows, briefly
	entries map[secret.TenantID]*rulesEntry
	size    int // of the texts
}

type rulesEntry struct {
	generation string
	set        *policy.Set
	current    bool   // as of epoch
	epoch      uint64 // of the store
	expires    time.Time
}

func (c *rulesCache) init(now func() time.Time) {
	c.now, c.entries = now, make(map[secret.TenantID]*rulesEntry)
}

// before returns the store's epoch, for a look at the store that begins now.
func (c *rulesCache) before() uint64 {
	if c.epoch == nil {
		return 0
	}
	return c.epoch()
}

// get returns the rules that hold now, if that is known.
func (c *rulesCache) get(t secret.TenantID) (*policy.Set, bool) {
	if c.epoch == nil {
		return nil, false
	}
	epoch := c.epoch()
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[t]
	if !ok || !e.current || e.epoch != epoch {
		return nil, false
	}
	e.expires = c.now().Add(rulesLifetime)
	return e.set, true
}

// of returns the rules of a generation.
func (c *rulesCache) of(t secret.TenantID, generation string) (*policy.Set, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[t]
	if !ok || e.generation != generation {
		return nil, false
	}
	e.expires = c.now().Add(rulesLifetime)
	return e.set, true
}

// has reports whether rules of the tenant are kept, whether or not they hold.
func (c *rulesCache) has(t secret.TenantID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries[t] != nil
}

// put keeps the rules of a generation.
func (c *rulesCache) put(t secret.TenantID, generation string, set *policy.Set) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(t)
	c.entries[t] = &rulesEntry{generation: generation, set: set, expires: c.now().Add(rulesLifetime)}
	c.size += set.Size()
	for other := range c.entries {
		if c.size <= maxRulesText && len(c.entries) <= maxKnown {
			return
		}
		if other != t {
			c.dropLocked(other)
		}
	}
}

// confirm notes that the generation was read from a snapshot that began after
// the epoch was read.
func (c *rulesCache) confirm(t secret.TenantID, set *policy.Set, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[t]; ok && e.set == set {
		e.current, e.epoch = true, epoch
	}
}

func (c *rulesCache) dropLocked(t secret.TenantID) {
	if e, ok := c.entries[t]; ok {
		c.size -= e.set.Size()
		delete(c.entries, t)
	}
}

// expire drops the rules that nobody asked for lately.
func (c *rulesCache) expire() {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for t, e := range c.entries {
		if now.After(e.expires) {
			c.dropLocked(t)
		}
	}
}

// rulesOf returns a tenant's rules. Within a transaction they are those that it
// sees, or that are in force while it runs.
func (v *Vault) rulesOf(r store.Reader, t *store.Tenant) (*policy.Set, error) {
	if set, ok := v.rules.get(t.ID); ok {
		return set, nil
	}
	row, _, err := readSettings(r, t.ID)
	if err != nil {
		return nil, err
	}
	if set, ok := v.rules.of(t.ID, row.Generation); ok {
		return set, nil
	}
	texts, broken, err := readTexts(r, t.ID)
	if err != nil {
		return nil, err
	}
	if len(broken) > 0 {
		return nil, fmt.Errorf("the policies %q are not valid in this release", broken)
	}
	set, err := policy.NewSet(t.Name, row.settings(), texts...)
	if err != nil {
		return nil, fmt.Errorf("compiling the policies of a tenant: %v", err)
	}
	v.rules.put(t.ID, row.Generation, set)
	return set, nil
}

// readTexts reads and parses all policies of a tenant, and names those that
// this release does not take. Without these nobody can tell what is forbidden.
func readTexts(r store.Reader, t secret.TenantID) (texts []*policy.Text, broken []string, err error) {
	for after := ""; ; {
		page, err := r.Documents().Documents(t, policyKind, "", after, secret.MaxPage)
		if err != nil {
			return nil, nil, err
		}
		for _, d := range page {
			after = d.ID
			row, err := decodeDocument[policyRow](d)
			if err != nil {
				return nil, nil, err
			}
			if text, err := row.text(d.ID); err == nil {
				texts = append(texts, text)
			} else {
				broken = append(broken, d.ID)
			}
		}
		if len(page) < secret.MaxPage {
			return texts, broken, nil
		}
	}
}

// prepare compiles the rules of the session's tenant beside the writer, if none
// are kept: within a transaction that would hold up all others.
func (s *Session) prepare(ctx context.Context) error {
	if t, ok := s.vault.tenants.get(s.tenant); ok && s.vault.rules.has(t.ID) {
		return nil
	}
	return s.vault.store.View(ctx, func(r store.Reader) error {
		t, err := s.row(r)
		var refused *secret.Error
		switch {
		case errors.As(err, &refused):
			return nil // and refused again, and recorded, in the transaction
		case err != nil:
			return err
		case s.vault.rules.has(t.ID):
			return nil
		}
		_, err = s.ruler(r, t)
		return err
	})
}
