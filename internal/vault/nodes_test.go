package vault_test

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"fastness/fastnesstest"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/testservers"
	"fastness/internal/teststore"
	"fastness/internal/vault"
)

// TestOnPostgres runs the tests of several nodes again, with several.
func TestOnPostgres(t *testing.T) { onPostgres(t, "-test.run=OnNodes$") }

// onPostgres runs tests of this package again, with every vault in PostgreSQL.
func onPostgres(t *testing.T, which string) {
	t.Helper()
	s := testservers.StartPostgres(t, testservers.Options{Args: []string{"-c", "log_statement=none", "-c", "log_min_duration_statement=-1"}})
	cmd := exec.Command(os.Args[0], which, "-test.timeout=15m")
	cmd.Env = append(os.Environ(), teststore.Variable+"="+s.URL())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// nodes opens two nodes over one store: see TestOnPostgres. The embedded store is
// one node's, which then is both.
func nodes(t *testing.T) (a, b *fastnesstest.Fixture) {
	t.Helper()
	a = fastnesstest.Open(t, nil)
	if !teststore.Shared() {
		return a, a
	}
	return a, fastnesstest.Open(t, &fastnesstest.Options{Dir: a.Dir, Clock: a.Clock})
}

// atOnce has both nodes do something some times at once, and counts the successes.
func atOnce(t *testing.T, a, b *fastnesstest.Fixture, times int, do func(f *fastnesstest.Fixture, n int) error, allowed ...*secret.Error) (done int) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range 2 * times {
		wg.Go(func() {
			<-start
			err := do([]*fastnesstest.Fixture{a, b}[i%2], i)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				done++
				return
			}
			for _, e := range allowed {
				if secret.Of(err).Code == e.Code {
					return
				}
			}
			t.Errorf("error %s", describe(err))
		})
	}
	close(start)
	wg.Wait()
	return done
}

// TestOnceOnNodes: what counts once does so on whichever node it is shown.
func TestOnceOnNodes(t *testing.T) {
	a, b := nodes(t)
	p := newIDP(t, a)
	admin := a.Tenant(t, "acme")
	must(admin.Issuers().Put(ctx, p.issuer(), nil))(t)
	login := func(f *fastnesstest.Fixture, jwt []byte) error {
		made, err := f.ExchangeToken(ctx, outside, "acme", "", jwt)
		if err == nil {
			made.Token.Release()
		}
		return err
	}
	// Tokens of one new principal, on both nodes: all come in.
	tokens := make([][]byte, 8)
	for i := range tokens {
		tokens[i] = p.token(nil)
	}
	if n := atOnce(t, a, b, 4, func(f *fastnesstest.Fixture, i int) error { return login(f, tokens[i]) }); n != 8 {
		t.Errorf("%d of 8 came in", n)
	}
	jwt := p.token(nil)
	n := atOnce(t, a, b, 4, func(f *fastnesstest.Fixture, _ int) error { return login(f, jwt) }, secret.ErrUnauthenticated, secret.ErrTooMany)
	if n != 1 {
		t.Errorf("%d came in by one token", n)
	}

	person := &people{Fixture: a, t: t, idp: p}
	must(admin.Issuers().Put(ctx, person.issuer(), nil))(t)
	c := person.login("alice")
	phone, codes := enrolled(t, a, c)
	a.Clock.Advance(time.Minute)
	for _, code := range [][]byte{phone.code(0), []byte(codes[3])} {
		n = atOnce(t, a, b, 2, func(f *fastnesstest.Fixture, _ int) error { return errOf(f.Factors(c).Verify(ctx, code)) },
			secret.ErrAccessDenied, secret.ErrTooMany)
		if n != 1 {
			t.Errorf("a code was taken %d times", n)
		}
		a.Clock.Advance(time.Hour)
		c = person.login("alice")
	}
}

// TestTrustEndsOnNodes: while an issuer is removed on one node, people come in on
// the other; afterwards none of them is.
func TestTrustEndsOnNodes(t *testing.T) {
	a, b := nodes(t)
	p := newIDP(t, a)
	admin := a.Tenant(t, "acme")
	for round := range 5 {
		must(admin.Issuers().Put(ctx, p.issuer(), nil))(t)
		var mu sync.Mutex
		var sessions []*vault.NewSession
		tokens := make([][]byte, 12)
		for i := range tokens {
			tokens[i] = p.token(map[string]any{"jti": fmt.Sprint(round, i)})
		}
		atOnce(t, b, b, 6, func(f *fastnesstest.Fixture, i int) error {
			if i == 5 {
				return admin.Issuers().Delete(ctx, "ci")
			}
			made, err := f.ExchangeToken(ctx, outside, "acme", "", tokens[i])
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				sessions = append(sessions, made)
			}
			return err
		}, secret.ErrUnauthenticated, secret.ErrTooMany)
		a.Clock.Advance(time.Minute) // to not be slowed
		for _, made := range sessions {
			want(t, errOf(b.Authenticate(ctx, elsewhere(), made.Token.Bytes())), secret.ErrUnauthenticated)
			made.Token.Release()
		}
	}
}

// TestPasswordEndsOnNodes: the same for a password that is taken away.
func TestPasswordEndsOnNodes(t *testing.T) {
	a, b := nodes(t)
	principals := localPerson(t, a, "alice")
	for range 3 {
		check(t, principals.SetPassword(ctx, "alice", []byte(rightPassword)))
		var mu sync.Mutex
		var sessions []*vault.NewSession
		atOnce(t, b, b, 2, func(f *fastnesstest.Fixture, i int) error {
			if i == 2 {
				return principals.RemovePassword(ctx, "alice")
			}
			made, err := logIn(f, "alice", rightPassword)
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				sessions = append(sessions, made)
			}
			return err
		}, secret.ErrUnauthenticated, secret.ErrTooMany)
		for _, made := range sessions {
			want(t, errOf(b.Authenticate(ctx, elsewhere(), made.Token.Bytes())), secret.ErrUnauthenticated)
			made.Token.Release()
		}
		a.Clock.Advance(time.Hour)
	}
}

// TestAccessOnNodes: a principal that one node disables the next request to another
// refuses, and so with grants and policies.
func TestAccessOnNodes(t *testing.T) {
	a, b := nodes(t)
	op := a.Tenant(t, "acme")
	must(put(t, op, "app/db", "v", vault.Put{}))(t)
	web := issued(t, op.Credentials(), vault.TokenSpec{Principal: "web", Grants: []policy.Grant{{Role: policy.Reader}}})
	read := func() error { return errOf(get(session(t, b, web), "app/db", store.Selector{})) }
	for range 3 {
		check(t, read())
		enact(t, op, "freeze", `forbid(principal, action == Action::"read", resource);`)
		want(t, read(), secret.ErrAccessDenied)
		check(t, op.Policies().Delete(ctx, "freeze", nil))
		check(t, read())
		must(op.Principals().Disable(ctx, "web"))(t)
		want(t, errOf(b.Authenticate(ctx, elsewhere(), web.Token.Bytes())), secret.ErrUnauthenticated)
		must(op.Principals().Enable(ctx, "web"))(t)
	}
}
