package vault

import (
	"context"
	"sync"
	"time"

	"fastness/internal/identity"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// sweep remembers in which tenants sessions were made lately, so that what is
// left of them can be dropped when they have ended: a session tells nothing once
// it is over, and a tenant has room for so many credentials. Sessions of before a
// restart are dropped after the next login, or when the room is wanted.
type sweep struct {
	mu   sync.Mutex // guards last, briefly
	last map[secret.TenantID]time.Time
}

func (s *sweep) note(t secret.TenantID, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = make(map[secret.TenantID]time.Time)
	}
	s.last[t] = now
}

// tenants returns those to sweep. One in which no session can be left is not
// among the next.
func (s *sweep) tenants(now time.Time) (all []secret.TenantID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t, last := range s.last {
		all = append(all, t)
		if now.Sub(last) > identity.MaxSession {
			delete(s.last, t)
		}
	}
	return all
}

// ExpireSessions drops the sessions that have ended, in tenants where some were
// made since the Vault was opened. An open Vault does so every minute.
func (v *Vault) ExpireSessions(ctx context.Context) error {
	for _, t := range v.sweep.tenants(v.now()) {
		for dropped := sessionsAtOnce; dropped >= sessionsAtOnce; {
			err := v.store.Update(ctx, func(tx store.Tx) (err error) {
				dropped, err = v.dropSessions(tx, t, sessionsAtOnce)
				return err
			})
			if err != nil {
				return v.answer(err)
			}
		}
	}
	return nil
}
