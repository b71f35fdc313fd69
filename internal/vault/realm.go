package vault

import (
	"context"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// realm is where principals and their credentials live: a tenant, or the
// deployment for its operators.
type realm struct {
	vault  *Vault
	caller *Caller
	// authorize decides whether the caller may do so here, and returns whose the
	// realm is: the zero id is the operators'.
	authorize func(r store.Reader, need policy.Action) (secret.TenantID, error)
	entry     func(audit.Action) audit.Entry
	name      string // in cursors
}

// realm is the session's tenant. Administration works on a suspended tenant for
// operators only.
func (s *Session) realm() realm {
	return realm{
		vault: s.vault, caller: s.caller,
		authorize: func(r store.Reader, need policy.Action) (secret.TenantID, error) {
			t, err := s.administered(r)
			if err != nil {
				return secret.TenantID{}, err
			}
			return t.ID, s.authorize(r, t, need)
		},
		entry: func(a audit.Action) audit.Entry { return s.entry(a, "") },
		name:  string(s.tenant),
	}
}

// realm is the operators'.
func (o *Operator) realm() realm {
	return realm{
		vault: o.vault, caller: o.caller,
		authorize: func(_ store.Reader, need policy.Action) (secret.TenantID, error) {
			return secret.TenantID{}, o.allow(need)
		},
		entry: func(a audit.Action) audit.Entry { return o.caller.entry(o.vault, a) },
	}
}

// change runs a change of what the realm holds.
func (r realm) change(ctx context.Context, e audit.Entry, need policy.Action,
	f func(tx store.Tx, t secret.TenantID, e *audit.Entry) error) error {
	return r.vault.change(ctx, e, func(tx store.Tx, e *audit.Entry) error {
		t, err := r.authorize(tx, need)
		if err != nil {
			return err
		}
		return f(tx, t, e)
	})
}

// look runs f over a snapshot and records the action.
func (r realm) look(ctx context.Context, e audit.Entry, need policy.Action,
	f func(r store.Reader, t secret.TenantID) error) error {
	err := r.vault.store.View(ctx, func(reader store.Reader) error {
		t, err := r.authorize(reader, need)
		if err != nil {
			return err
		}
		return f(reader, t)
	})
	return r.vault.conclude(ctx, e, err)
}

// own reports whether the caller is that principal of the realm.
func (r realm) own(t secret.TenantID, principal string) bool {
	return r.caller.credential != "" && r.caller.tenantID == t && r.caller.principal == principal
}
