package vault_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// signIn authenticates an access key id with the secret of a key.
func signIn(f *fastnesstest.Fixture, id string, key *vault.NewAccessKey) (*vault.Caller, error) {
	return f.AuthenticateAccessKey(ctx, elsewhere(), id, func(open vault.SecretHalf) error {
		half, err := open()
		if err != nil {
			return err
		}
		defer half.Release()
		if !bytes.Equal(half.Bytes(), key.Secret.Bytes()) {
			return secret.ErrUnauthenticated
		}
		return nil
	})
}

func TestAccessKeys(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 1)
	spec := vault.TokenSpec{Principal: "web", Grants: []policy.Grant{{Role: policy.Reader, Patterns: []string{"db"}}}, Service: "web", TTL: 10 * aDay}
	key := must(s.Credentials().CreateAccessKey(ctx, spec))(t)
	defer key.Secret.Release()
	if key.Kind != store.AccessKey || !strings.HasPrefix(key.ID, "FSKA") || len(key.ID) != 20 || key.Secret.Len() != 40 || !key.Expires.Equal(f.Clock.Now().Add(10*aDay)) {
		t.Errorf("key %+v", key.TokenInfo)
	}
	for range 2 { // read from the store, then among those known
		c := must(signIn(f, key.ID, key))(t)
		if c.Principal() != "web" || c.Tenant() != "acme" || c.IsOperator() || c.CorrelationID() != "c1" {
			t.Errorf("caller %+v", c)
		}
		wantValue(t, f.Session(c, ""), "db", store.Selector{}, "1")
	}
	listed := must(s.Credentials().List(ctx, vault.CredentialQuery{Kind: ptr(store.AccessKey), Principal: "web"}))(t).Items
	if len(listed) != 1 || listed[0].ID != key.ID || listed[0].LastUsed.IsZero() || listed[0].Service != "web" {
		t.Errorf("listed %+v", listed)
	}
	want(t, errOf(f.Operator().Credentials().CreateAccessKey(ctx, vault.TokenSpec{Principal: "o"})), secret.ErrInvalid)

	// Another tenant's key of its own is let in there.
	other := must(f.Tenant(t, "beta").Credentials().CreateAccessKey(ctx, spec))(t)
	defer other.Secret.Release()
	if c := must(signIn(f, other.ID, other))(t); c.Tenant() != "beta" {
		t.Errorf("caller %+v", c)
	}
	f.Close(t)
	f = fastnesstest.Open(t, &fastnesstest.Options{Dir: f.Dir, Clock: f.Clock})
	must(signIn(f, key.ID, key))(t)
	f.Clock.Advance(10 * aDay)
	want(t, errOf(signIn(f, key.ID, key)), secret.ErrUnauthenticated)
}

// TestBadAccessKeys: every way for a key not to be good has one answer and one
// entry; only of a live one is the secret half told.
func TestBadAccessKeys(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	creds := f.Tenant(t, "acme").Credentials()
	spec := vault.TokenSpec{Principal: "web", Grants: reader}
	key := func(c *vault.Credentials) *vault.NewAccessKey {
		k := must(c.CreateAccessKey(ctx, spec))(t)
		t.Cleanup(k.Secret.Release)
		return k
	}
	good, revoked, disabled, gone := key(creds), key(creds), key(f.Tenant(t, "beta").Credentials()), key(f.Tenant(t, "erased").Credentials())
	check(t, creds.RevokeAccessKey(ctx, revoked.ID))
	must(f.Tenant(t, "beta").Principals().Disable(ctx, "web"))(t)
	check(t, f.Operator().Erase(ctx, "erased"))
	tok := issued(t, creds, spec)
	for what, id := range map[string]string{
		"unknown": "FSKAAAAAAAAAAAAAAAAA", "none": "", "no id": "' OR 1=1", "a token's id": tok.ID, "revoked": revoked.ID,
		"of a disabled principal": disabled.ID, "of an erased tenant": gone.ID, "lower case": "fska" + good.ID[4:],
	} {
		o := elsewhere()
		o.CorrelationID = what
		c, err := f.AuthenticateAccessKey(ctx, o, id, func(vault.SecretHalf) error {
			t.Errorf("%s: verified", what)
			return nil
		})
		if c != nil || !sameAs(err, secret.ErrUnauthenticated) {
			t.Errorf("%s: %v, %v", what, c, err)
		}
		if e := last(t, f, ""); e.CorrelationID != what || e.Action != audit.Login || e.Result != audit.AccessDenied {
			t.Errorf("%s left %+v", what, e)
		}
	}
	_, err := signIn(f, good.ID, revoked) // another's secret
	if !sameAs(err, secret.ErrUnauthenticated) {
		t.Errorf("signed with another secret: %v", err)
	}
	must(signIn(f, good.ID, good))(t)
}

// TestRotateCredentials: a new one takes the place of the old, which ends when
// the overlap has passed.
func TestRotateCredentials(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "db", 1)
	creds := s.Credentials()
	old := issued(t, creds, vault.TokenSpec{Principal: "web", Grants: reader, Service: "web", Environment: secret.Dev, TTL: 30 * aDay})
	f.Clock.Advance(20 * aDay)
	next := must(creds.Rotate(ctx, old.ID, time.Hour))(t)
	defer next.Token.Release()
	if next.ID == old.ID || next.Principal != "web" || next.Service != "web" || next.Environment != secret.Dev ||
		len(next.Grants) != 1 || !next.Expires.Equal(f.Clock.Now().Add(30*aDay)) || !next.Created.Equal(f.Clock.Now()) {
		t.Errorf("next %+v", next.TokenInfo)
	}
	if e := lastOf(t, f, "acme", audit.TokenRotate); e.Target != "web" ||
		e.Detail != "token "+next.ID+" in the place of "+old.ID+", grants reader, until "+next.Expires.Format(time.RFC3339) {
		t.Errorf("left %+v", e)
	}
	if !enters(t, f, old) || !enters(t, f, next) {
		t.Error("one of the two is not let in during the overlap")
	}
	f.Clock.Advance(time.Hour)
	if enters(t, f, old) || !enters(t, f, next) {
		t.Error("after the overlap the wrong one is let in")
	}
	third := must(creds.Rotate(ctx, next.ID, 0))(t)
	defer third.Token.Release()
	if enters(t, f, next) || !enters(t, f, third) {
		t.Error("without an overlap the wrong one is let in")
	}
	wantValue(t, session(t, f, third), "db", store.Selector{}, "1")

	// An overlap does not lengthen a life, and has a limit.
	short := issued(t, creds, vault.TokenSpec{Principal: "web", Grants: reader, TTL: time.Hour})
	must(creds.Rotate(ctx, short.ID, vault.MaxOverlap))(t).Token.Release()
	f.Clock.Advance(time.Hour)
	if enters(t, f, short) {
		t.Error("an overlap has lengthened a life")
	}
	for _, overlap := range []time.Duration{-1, vault.MaxOverlap + 1} {
		wantText(t, errOf(creds.Rotate(ctx, third.ID, overlap)), secret.ErrLimit, "overlap: limit: 0 to 30 days")
	}
	wantText(t, errOf(creds.Rotate(ctx, old.ID, 0)), secret.ErrConflict, "the credential has ended")

	key := must(creds.CreateAccessKey(ctx, vault.TokenSpec{Principal: "web", Grants: reader}))(t)
	defer key.Secret.Release()
	other := must(creds.RotateAccessKey(ctx, key.ID, aDay))(t)
	defer other.Secret.Release()
	must(signIn(f, key.ID, key))(t)
	must(signIn(f, other.ID, other))(t)
	want(t, errOf(signIn(f, other.ID, key)), secret.ErrUnauthenticated)
	f.Clock.Advance(aDay)
	want(t, errOf(signIn(f, key.ID, key)), secret.ErrUnauthenticated)
	must(signIn(f, other.ID, other))(t)

	// What is no token is no token's business, and nobody rotates another's.
	want(t, errOf(creds.Rotate(ctx, other.ID, 0)), secret.ErrNotFound)
	want(t, errOf(creds.RotateAccessKey(ctx, third.ID, 0)), secret.ErrNotFound)
	want(t, creds.RevokeAccessKey(ctx, third.ID), secret.ErrNotFound)
	beta := f.Tenant(t, "beta").Credentials()
	want(t, errOf(beta.Rotate(ctx, third.ID, 0)), secret.ErrNotFound)
	want(t, errOf(beta.RotateAccessKey(ctx, other.ID, 0)), secret.ErrNotFound)
	want(t, beta.RevokeAccessKey(ctx, other.ID), secret.ErrNotFound)
	op := issued(t, f.Operator().Credentials(), vault.TokenSpec{Principal: "op"})
	opNext := must(f.Operator().Credentials().Rotate(ctx, op.ID, 0))(t)
	defer opNext.Token.Release()
	if enters(t, f, op) || !enters(t, f, opNext) {
		t.Error("an operator's token was not rotated")
	}
}

// TestRotateInTurns: of two who rotate one token at once without an overlap,
// one gets a new one.
func TestRotateInTurns(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	creds := f.Tenant(t, "acme").Credentials()
	old := issued(t, creds, vault.TokenSpec{Principal: "web", Grants: reader})
	var mu sync.Mutex
	var made int
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			next, err := creds.Rotate(ctx, old.ID, 0)
			if err != nil {
				want(t, err, secret.ErrConflict)
				return
			}
			next.Token.Release()
			mu.Lock()
			made++
			mu.Unlock()
		})
	}
	wg.Wait()
	if made != 1 {
		t.Errorf("%d new tokens", made)
	}
}

// TestAccessKeysUnderNewKey: keys work while the tenant's key is rotated, and
// after the old one is gone.
func TestAccessKeysUnderNewKey(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	key := must(s.Credentials().CreateAccessKey(ctx, vault.TokenSpec{Principal: "web", Grants: reader}))(t)
	defer key.Secret.Release()
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := signIn(f, key.ID, key); err != nil {
					t.Errorf("refused meanwhile: %s", describe(err))
					return
				}
			}
		})
	}
	for range 5 {
		must(s.RotateKey(ctx, nil))(t)
		late := must(s.Credentials().CreateAccessKey(ctx, vault.TokenSpec{Principal: "web", Grants: reader}))(t)
		must(signIn(f, late.ID, late))(t)
		late.Secret.Release()
	}
	close(done)
	wg.Wait()
}
