package vault_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// TestSessionCount: sessions have room of their own, a service's end before the
// last of it, and those that have ended make room.
func TestSessionCount(t *testing.T) {
	f := open(t)
	localPerson(t, f.Fixture, "alice")
	op := f.Session(local(f.Fixture), "acme")
	ca := newTestCA(t, f.Fixture)
	must(op.Authorities().Put(ctx, ca.authority(), nil))(t)
	exchange := func() error {
		made, err := f.ExchangeCertificate(ctx, outside, "acme", ca.issue(time.Hour, "web.acme.example"))
		if err == nil {
			made.Token.Release()
		}
		return err
	}
	check(t, exchange()) // makes the principal web
	spec := vault.TokenSpec{Principal: "made", Grants: []policy.Grant{{Role: policy.Reader}}}
	issued(t, op.Credentials(), spec)

	made := 0
	sessions := func(n int, ends time.Time) {
		edit(t, f.store, func(tx store.Tx) error {
			acme, err := tenantID(tx, "acme")
			for range n {
				made++
				c := &store.Credential{ID: fmt.Sprintf("tok_%d", made), Tenant: acme, Principal: "web", Source: "exchange:cert:mesh",
					Created: f.Clock.Now(), Expires: ends}
				binary.BigEndian.PutUint32(c.Hash[:], uint32(made))
				err = errors.Join(err, tx.EditCredentials().Create(c))
			}
			return err
		})
	}
	soon, later := f.Clock.Now().Add(5*time.Minute), f.Clock.Now().Add(time.Hour)
	count := func() int {
		return int(rows(t, f.store, func(r store.Reader) (int64, error) {
			acme, err := tenantID(r, "acme")
			if err != nil {
				return 0, err
			}
			return r.Credentials().Count(acme)
		}))
	}
	sessions(3, soon)
	sessions(secret.MaxSessions-count(), later)

	// Pipelines have filled it up. They wait; people and administrators go on.
	err := exchange()
	wantText(t, err, secret.ErrTooMany, "sessions: the tenant has 10000 credentials, with which nobody else can log in; try again in 60 s")
	if e := secret.Of(err); e.Usage == nil || *e.Usage != (secret.Usage{Limit: secret.MaxSessions, Used: secret.MaxSessions}) || e.RetryAfter != time.Minute {
		t.Errorf("error %+v", e)
	}
	if e := last(t, f.Fixture, "acme"); e.Action != audit.Login || e.Result == audit.Success || e.Target != "web" {
		t.Errorf("entry %+v", e)
	}
	issued(t, op.Credentials(), spec)
	if n := must(f.Stats(ctx))(t).Refused["sessions"]; n != 1 {
		t.Errorf("%d refusals are counted", n)
	}
	must(logIn(f.Fixture, "alice", rightPassword))(t).Token.Release()

	// Three have ended, and two others came: one service comes in, and not another.
	f.Clock.Advance(6 * time.Minute)
	check(t, exchange())
	want(t, exchange(), secret.ErrTooMany)
	sessions(secret.SessionsForPeople, later)
	want(t, errOf(logIn(f.Fixture, "alice", rightPassword)), secret.ErrTooMany)

	// The principal goes with all of them.
	f.Clock.Advance(time.Hour)
	check(t, exchange())
	check(t, f.ExpireSessions(ctx))
	if n := count(); n > 10 {
		t.Errorf("%d credentials are left of those that have ended", n)
	}
	sessions(2000, f.Clock.Now().Add(time.Hour))
	check(t, op.Principals().Delete(ctx, "web"))
	if n := count(); n > 10 {
		t.Errorf("%d credentials are left", n)
	}
}
