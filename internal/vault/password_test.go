package vault_test

import (
	"strings"
	"testing"
	"time"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

const rightPassword, wrongPassword = "correct horse battery", "wrong horse battery"

// localPerson makes a person with grants of its own, and a password.
func localPerson(t testing.TB, f *fastnesstest.Fixture, name string) *vault.Principals {
	t.Helper()
	p := f.Tenant(t, "acme").Principals()
	must(p.Create(ctx, vault.PrincipalSpec{Name: name, Kind: store.Person, Grants: []policy.Grant{{Role: policy.Reader}}}))(t)
	check(t, p.SetPassword(ctx, name, []byte(rightPassword)))
	return p
}

// logIn logs a person in by a password.
func logIn(f *fastnesstest.Fixture, name, password string) (*vault.NewSession, error) {
	return f.LoginPassword(ctx, outside, "acme", name, []byte(password))
}

func TestLoginPassword(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	people := localPerson(t, f, "alice")
	if e := last(t, f, "acme"); e.Action != audit.PasswordSet || e.Target != "alice" || e.Detail != "none before; 0 sessions ended" {
		t.Errorf("entry %+v", e)
	}
	made := must(logIn(f, "alice", rightPassword))(t)
	defer made.Token.Release()
	c := must(f.Authenticate(ctx, outside, made.Token.Bytes()))(t)
	if c.Principal() != "alice" || !made.Expires.Equal(f.Clock.Now().Add(8*time.Hour)) {
		t.Errorf("made %+v", made)
	}
	if e := last(t, f, "acme"); e.Action != audit.Login || e.UserID != "alice" || !strings.HasPrefix(e.Detail, "a password; session "+made.ID) {
		t.Errorf("entry %+v", e)
	}

	// A new password ends what the old one gave, and is the only one that works.
	check(t, people.SetPassword(ctx, "alice", []byte("another horse battery")))
	if e := last(t, f, "acme"); e.Detail != "in the place of another; 1 sessions ended" {
		t.Errorf("entry %+v", e)
	}
	want(t, errOf(f.Authenticate(ctx, outside, made.Token.Bytes())), secret.ErrUnauthenticated)
	_, err := logIn(f, "alice", rightPassword)
	if e := refusedLogin(t, f, "acme", err, "the password is wrong, or there is none"); e.Target != "alice" || e.UserID != "" {
		t.Errorf("entry %+v", e)
	}
	must(logIn(f, "alice", "another horse battery"))(t).Token.Release()
	check(t, people.RemovePassword(ctx, "alice"))
	_, err = logIn(f, "alice", "another horse battery")
	refusedLogin(t, f, "acme", err, "the password is wrong, or there is none")
	want(t, people.RemovePassword(ctx, "alice"), secret.ErrNotFound)
}

// TestLoginPasswordRefuses: whatever is wrong, the answer is the same.
func TestLoginPasswordRefuses(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	people := localPerson(t, f, "alice")
	must(people.Create(ctx, vault.PrincipalSpec{Name: "web", Grants: []policy.Grant{{Role: policy.Reader}}}))(t)
	const none = "the password is wrong, or there is none"
	for name, tc := range map[string]struct {
		tenant    secret.TenantName
		principal string
		reason    string
		log       secret.TenantName
	}{
		"nobody":         {"acme", "bob", none, "acme"},
		"a service":      {"acme", "web", none, "acme"},
		"in capitals":    {"acme", "Alice", none, "acme"},
		"no tenant":      {"none", "alice", none, ""},
		"no name":        {"acme", "", "the name is no principal's", ""},
		"no name's form": {"acme", "alice\n", "the name is no principal's", ""},
	} {
		_, err := f.LoginPassword(ctx, outside, tc.tenant, tc.principal, []byte(rightPassword))
		t.Run(name, func(t *testing.T) { refusedLogin(t, f, tc.log, err, tc.reason) })
		f.Clock.Advance(time.Millisecond)
	}
	must(people.Disable(ctx, "alice"))(t)
	_, err := logIn(f, "alice", rightPassword)
	refusedLogin(t, f, "acme", err, "the principal is disabled")
	must(people.Enable(ctx, "alice"))(t)
	must(logIn(f, "alice", rightPassword))(t).Token.Release()
	must(f.Operator().Suspend(ctx, "acme"))(t)
	want(t, errOf(logIn(f, "alice", rightPassword)), secret.ErrUnauthenticated)
}

// TestPasswordGuesses: somebody who guesses has to wait, and a right password does
// not get through meanwhile; another person is not kept out from elsewhere.
func TestPasswordGuesses(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	localPerson(t, f, "alice")
	tries := 0
	for ; tries < 10; tries++ {
		if err := errOf(logIn(f, "alice", wrongPassword)); secret.Of(err).Code == secret.ErrTooMany.Code {
			break
		}
	}
	if tries != 6 {
		t.Errorf("slowed after %d guesses", tries)
	}
	err := errOf(logIn(f, "alice", rightPassword))
	if want(t, err, secret.ErrTooMany); secret.Of(err).RetryAfter <= 0 {
		t.Errorf("retry after %v", secret.Of(err).RetryAfter)
	}
	f.Clock.Advance(time.Minute)
	must(logIn(f, "alice", rightPassword))(t).Token.Release()
}

// TestChangePassword: by the person, who knows the old one; other sessions end.
func TestChangePassword(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	localPerson(t, f, "alice")
	one, two := must(logIn(f, "alice", rightPassword))(t), must(logIn(f, "alice", rightPassword))(t)
	defer one.Token.Release()
	defer two.Token.Release()
	c := must(f.Authenticate(ctx, outside, one.Token.Bytes()))(t)
	next := []byte("another horse battery")
	wantText(t, f.ChangePassword(ctx, c, []byte(wrongPassword), next), secret.ErrAccessDenied, "oldPassword: it is wrong, or there is none")
	wantText(t, f.ChangePassword(ctx, c, []byte(rightPassword), []byte("short")), secret.ErrLimit, "password: limit: 12 to 256 bytes")
	check(t, f.ChangePassword(ctx, c, []byte(rightPassword), next))
	if e := last(t, f, "acme"); e.Action != audit.PasswordSet || e.UserID != "alice" || e.Detail != "by the person; 1 other sessions ended" {
		t.Errorf("entry %+v", e)
	}
	must(f.Authenticate(ctx, outside, one.Token.Bytes()))(t)
	want(t, errOf(f.Authenticate(ctx, outside, two.Token.Bytes())), secret.ErrUnauthenticated)
	must(logIn(f, "alice", string(next)))(t).Token.Release()
	want(t, f.ChangePassword(ctx, caller(t, f, "acme", policy.Admin), next, next), secret.ErrInvalid)
}

// TestWhoSetsPasswords: administrators of the tenant, for people.
func TestWhoSetsPasswords(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	people := localPerson(t, f, "alice")
	must(people.Create(ctx, vault.PrincipalSpec{Name: "web", Grants: []policy.Grant{{Role: policy.Reader}}}))(t)
	password := []byte(rightPassword)
	wantText(t, people.SetPassword(ctx, "web", password), secret.ErrInvalid, "principal: only a person has a password")
	want(t, people.SetPassword(ctx, "nobody", password), secret.ErrNotFound)
	wantText(t, people.SetPassword(ctx, "alice", []byte("eleven char")), secret.ErrLimit, "password: limit: 12 to 256 bytes")
	want(t, f.Operator().Principals().SetPassword(ctx, "alice", password), secret.ErrNotFound)
	for _, c := range []*vault.Caller{caller(t, f, "acme", policy.Writer), caller(t, f, "acme", policy.Auditor)} {
		want(t, f.Session(c, "").Principals().SetPassword(ctx, "alice", password), secret.ErrAccessDenied)
		want(t, f.Session(c, "").Principals().RemovePassword(ctx, "alice"), secret.ErrAccessDenied)
	}
	stranger := f.Session(caller(t, f, "other", policy.Admin), "acme").Principals()
	want(t, stranger.SetPassword(ctx, "alice", password), secret.ErrNotFound)
	want(t, stranger.RemovePassword(ctx, "alice"), secret.ErrNotFound)
}

// TestPasswordIsNotInherited: who is made under the name of somebody who was
// deleted has neither password nor factors.
func TestPasswordIsNotInherited(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	people := localPerson(t, f, "alice")
	made := must(logIn(f, "alice", rightPassword))(t)
	defer made.Token.Release()
	enrolled(t, f, must(f.Authenticate(ctx, outside, made.Token.Bytes()))(t))
	check(t, people.Delete(ctx, "alice"))
	must(people.Create(ctx, vault.PrincipalSpec{Name: "alice", Kind: store.Person, Grants: []policy.Grant{{Role: policy.Reader}}}))(t)
	if infos := must(people.Factors(ctx, "alice"))(t); len(infos) != 0 {
		t.Errorf("factors %+v", infos)
	}
	want(t, errOf(logIn(f, "alice", rightPassword)), secret.ErrUnauthenticated)
}

// TestProviderAndPassword: a provider's word on a name does not make it the person
// who has a password; nor the person whom another provider calls otherwise.
func TestProviderAndPassword(t *testing.T) {
	p := newPeople(t, nil)
	people := localPerson(t, p.Fixture, "alice@acme.example")
	refusedLogin(t, p.Fixture, "acme", errOf(p.ExchangeToken(ctx, outside, "acme", "", p.idToken("alice"))), "the person has a password; name its subject to let it in by the provider")
	must(people.Update(ctx, "alice@acme.example", vault.PrincipalPatch{Subject: ptr("corp sub-alice")}))(t)
	p.login("alice")
	thief := p.idp.token(map[string]any{"sub": "sub-thief", "email": "alice@acme.example", "email_verified": true})
	refusedLogin(t, p.Fixture, "acme", errOf(p.ExchangeToken(ctx, outside, "acme", "", thief)), "the provider calls the person otherwise")
	unverified := p.idp.token(map[string]any{"sub": "sub-x", "email": "x@acme.example", "email_verified": false})
	refusedLogin(t, p.Fixture, "acme", errOf(p.ExchangeToken(ctx, outside, "acme", "", unverified)), "no binding matches the claims")

	// Whom an administrator made without a subject is claimed once, at the first login.
	must(people.Create(ctx, vault.PrincipalSpec{Name: "bob@acme.example", Kind: store.Person, Grants: []policy.Grant{{Role: policy.Reader}}}))(t)
	p.login("bob")
	if e := last(t, p.Fixture, "acme"); !strings.HasPrefix(e.Detail, "noted the provider's subject; ") {
		t.Errorf("entry %+v", e)
	}
	thief = p.idp.token(map[string]any{"sub": "sub-thief", "email": "bob@acme.example", "email_verified": true})
	refusedLogin(t, p.Fixture, "acme", errOf(p.ExchangeToken(ctx, outside, "acme", "", thief)), "the provider calls the person otherwise")
}
