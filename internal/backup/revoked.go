package backup

import (
	"errors"
	"fmt"
	"time"

	"fastness/internal/audit"
	"fastness/internal/dump"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// Choice says what a restore does with credentials of which no later log tells
// whether they were revoked since the backup.
type Choice string

// The choices. Without one a later log decides, and where none is at hand
// credentials are kept, and Restored.Unknown tells so.
const (
	// Keep lets them live as they were.
	Keep Choice = "keep"
	// Revoke ends every token and access key, and passwords of local accounts.
	Revoke Choice = "revoke"
)

var (
	// ErrChoice is a restore by a log that does not tell all, without a choice.
	ErrChoice = errors.New("say whether to keep or to revoke all credentials of the backup")
	// ErrShortLog is a log that ends before the backup was made.
	ErrShortLog = errors.New("the log ends before the backup was made: export it again")
)

// snapshotSlack is by how much the clocks of those who logged, and the moment
// of a backup's snapshot, may be away from the time that the backup tells.
const snapshotSlack = time.Minute

// principalKey names a principal; operators have no tenant.
type principalKey struct {
	tenant secret.TenantName
	name   string
}

// revoked is what a log says about who was shut out. Times are those of the last
// entry that says so.
type revoked struct {
	credentials map[string]time.Time // by id
	principals  map[principalKey]time.Time
	passwords   map[principalKey]time.Time // changed or removed
	suspended   map[secret.TenantName]bool
	unknown     time.Time // the last entry whose principal was redacted; zero: none
	until       time.Time // the last entry of all
}

func newRevoked() revoked {
	return revoked{make(map[string]time.Time), make(map[principalKey]time.Time), make(map[principalKey]time.Time),
		make(map[secret.TenantName]bool), time.Time{}, time.Time{}}
}

// add takes note of an entry, which succeeded.
func (r *revoked) add(e audit.Entry) {
	if e.Timestamp.After(r.until) {
		r.until = e.Timestamp
	}
	if id := vault.EndedBy(e); id != "" {
		r.credentials[id] = e.Timestamp
	}
	who := principalKey{e.TenantID, e.Target}
	switch e.Action {
	case audit.TenantSuspend, audit.TenantResume:
		r.suspended[e.TenantID] = e.Action == audit.TenantSuspend
	case audit.PrincipalEnable:
		delete(r.principals, who) // of a redacted one nothing is known, and nothing is let in
	case audit.PrincipalDisable, audit.PrincipalDelete:
		r.note(r.principals, e, who)
	case audit.PasswordSet, audit.PasswordRemove:
		r.note(r.passwords, e, who)
	}
}

func (r *revoked) note(in map[principalKey]time.Time, e audit.Entry, who principalKey) {
	if e.Redacted {
		r.unknown = e.Timestamp
		return
	}
	in[who] = e.Timestamp
}

// heed is how a restore does without what was revoked since a backup.
type heed struct {
	choice Choice
	made   time.Time // when the backup was
	now    time.Time
}

// check refuses a log that does not say enough. Without a choice it must tell of
// everybody who was shut out.
func (h heed) check(e *Erased) error {
	if h.choice == "" && e.unknown.After(h.made.Add(-snapshotSlack)) {
		return fmt.Errorf("an entry of %s tells of somebody who was shut out, but not whom, since it was redacted: %w", e.unknown.Format(time.RFC3339), ErrChoice)
	}
	return nil
}

// state returns the state that a tenant is restored with.
func (w *withoutErased) state(t *store.Tenant) store.TenantState {
	if w.suspended[t.Name] && t.State == store.Active {
		return store.Suspended
	}
	return t.State
}

// principal returns the row of a principal, disabled if it was disabled or
// deleted since. One that was made anew since is not that one.
func (w *withoutErased) principal(r *dump.Row) *dump.Row {
	at, gone := w.principals[principalKey{w.tenant, r.Principal.Name}]
	if !gone || !r.Principal.Disabled.IsZero() || r.Principal.Created.After(at) {
		return r
	}
	w.revoked++
	p := *r.Principal.Principal
	p.Disabled = at
	return &dump.Row{Principal: &dump.Principal{Tenant: r.Principal.Tenant, Principal: &p}}
}

// credential returns the row of a credential, revoked if it was revoked or
// replaced since, or if its principal was shut out. Sessions end in any case: who
// had one can log in again.
func (w *withoutErased) credential(r *dump.Row) *dump.Row {
	c := *r.Credential.Credential
	at, ended := w.credentials[c.ID]
	if gone, ok := w.principals[principalKey{w.tenant, c.Principal}]; ok && !ended && !c.Created.After(gone) {
		at, ended = gone, true
	}
	if !ended && (w.heed.choice == Revoke || c.Source != "") {
		at, ended = w.heed.now, true
	}
	if !ended || !c.Revoked.IsZero() {
		return r
	}
	w.revoked++
	c.Revoked = at
	return &dump.Row{Credential: &dump.Credential{Tenant: r.Credential.Tenant, Hash: r.Credential.Hash, Credential: &c}}
}

// password reports whether a document is a password that no longer counts.
func (w *withoutErased) password(d *store.Document) bool {
	name, is := vault.PasswordOf(d)
	changed, ok := w.passwords[principalKey{w.tenant, name}]
	return is && (w.heed.choice == Revoke || ok && changed.After(w.heed.made.Add(-snapshotSlack)))
}
