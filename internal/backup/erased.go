package backup

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"time"

	"fastness/internal/audit"
	"fastness/internal/dump"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// Erased is what a log says was destroyed or revoked: a restore does without it.
type Erased struct {
	revoked
	tenants map[secret.TenantName]bool
	secrets map[secret.TenantName]map[secret.Name]time.Time // purged, the last time when
}

// maxBundleLine bounds a line of a bundle, which the verifier has accepted.
const maxBundleLine = 1 << 20

// ReadErased verifies an exported bundle of the log with the given keys, and
// lists what it says was erased, purged and revoked.
func ReadErased(path string, keys audit.KeySet) (*Erased, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := audit.Verify(f, keys, audit.Options{}); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	e := newErased(nil)
	in := bufio.NewScanner(f)
	in.Buffer(make([]byte, 64<<10), maxBundleLine)
	for in.Scan() {
		if !bytes.HasPrefix(in.Bytes(), []byte(`{"index":`)) {
			continue
		}
		var entry audit.Entry
		if err := json.Unmarshal(in.Bytes(), &entry); err != nil {
			return nil, err
		}
		if err := e.add(entry); err != nil {
			return nil, err
		}
	}
	return e, in.Err()
}

// newErased returns a list with what another has; nil has nothing.
func newErased(other *Erased) *Erased {
	e := &Erased{newRevoked(), make(map[secret.TenantName]bool), make(map[secret.TenantName]map[secret.Name]time.Time)}
	if other != nil {
		e.revoked = other.revoked
		maps.Copy(e.tenants, other.tenants)
		maps.Copy(e.secrets, other.secrets)
	}
	return e
}

var errRedacted = errors.New("an entry that tells of a purge has been redacted: which secret it was is not known any more")

func (e *Erased) add(entry audit.Entry) error {
	if entry.Result != audit.Success {
		return nil
	}
	e.revoked.add(entry)
	switch {
	case entry.Action == audit.TenantErase:
		e.tenants[entry.TenantID] = true
	case entry.Action == audit.Purge && entry.Redacted:
		return fmt.Errorf("entry %d: %w", entry.Index, errRedacted)
	case entry.Action == audit.Purge:
		if e.secrets[entry.TenantID] == nil {
			e.secrets[entry.TenantID] = make(map[secret.Name]time.Time)
		}
		if at, name := e.secrets[entry.TenantID], secret.Name(entry.SecretName); entry.Timestamp.After(at[name]) {
			at[name] = entry.Timestamp
		}
	}
	return nil
}

// filter returns what leaves those rows out; of nil nothing is left out.
func (e *Erased) filter(h heed) *withoutErased {
	if e == nil {
		e = new(Erased)
	}
	return &withoutErased{Erased: e, heed: h}
}

// withoutErased leaves out rows of what was destroyed, and ends what was revoked.
// The row of an erased tenant stays, so that its name is never used again, and so
// do its entries.
type withoutErased struct {
	*Erased
	heed    heed
	left    int
	revoked int
	tenant  secret.TenantName
	gone    bool // the tenant is
	purged  map[dump.ID]bool
}

// row returns the row, or nil if it is left out.
func (w *withoutErased) row(r *dump.Row) *dump.Row {
	if r.Tenant != nil {
		return w.begin(r)
	}
	switch {
	case r.Secret != nil:
		at, purged := w.secrets[w.tenant][r.Secret.Name]
		if purged = purged && !r.Secret.Created.After(at); purged {
			w.purged[r.Secret.ID] = true
			w.left++
		}
		if purged || w.gone {
			return nil
		}
	case r.Version != nil && (w.gone || w.purged[r.Version.Secret]), r.Consumer != nil && (w.gone || w.purged[r.Consumer.Secret]):
		return nil
	case r.Key != nil && w.gone, r.Principal != nil && w.gone, r.Credential != nil && w.gone, r.Document != nil && w.gone:
		return nil
	case r.Principal != nil:
		return w.principal(r)
	case r.Credential != nil:
		return w.credential(r)
	case r.Document != nil && w.password(r.Document.Document):
		return nil
	}
	return r
}

func (w *withoutErased) begin(r *dump.Row) *dump.Row {
	t := *r.Tenant.Tenant
	w.tenant, w.purged = t.Name, make(map[dump.ID]bool)
	w.gone = w.tenants[t.Name] && t.State != store.Erased
	if w.gone {
		t.State = store.Erased
		w.left++
	}
	t.State = w.state(&t)
	return &dump.Row{Tenant: &dump.Tenant{ID: r.Tenant.ID, Tenant: &t}}
}
