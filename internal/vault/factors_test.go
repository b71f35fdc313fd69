package vault_test

import (
	"encoding/base32"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/pquerna/otp/totp"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// people is a tenant whose people log in by a provider.
type people struct {
	*fastnesstest.Fixture
	t   testing.TB
	idp *idp
}

func newPeople(t testing.TB, o *fastnesstest.Options) *people {
	p := &people{Fixture: fastnesstest.Open(t, o), t: t}
	p.idp = newIDP(t, p.Fixture)
	must(p.Tenant(t, "acme").Issuers().Put(ctx, p.issuer(), nil))(t)
	return p
}

func (p *people) issuer() identity.Issuer {
	i := p.idp.issuer(identity.Binding{
		Match: map[string][]string{"email_verified": {"true"}}, Principal: "{email}", Kind: "person", Create: true,
		Grants: []identity.BoundGrant{{Role: "admin"}},
	})
	i.Name, i.ClientID, i.Session = "corp", "fastness", 8*time.Hour
	return i
}

// login logs a person in.
func (p *people) login(name string) *vault.Caller {
	p.t.Helper()
	c, _ := exchange(p.t, p.Fixture, "acme", p.idToken(name))
	return c
}

func (p *people) idToken(name string) []byte {
	return p.idp.token(map[string]any{"sub": "sub-" + name, "email": name + "@acme.example", "email_verified": true})
}

// again authenticates a session's token anew, as the next request does.
func (p *people) again(made *vault.NewSession) *vault.Caller {
	p.t.Helper()
	return must(p.Authenticate(ctx, outside, made.Token.Bytes()))(p.t)
}

// authenticator makes one-time codes.
type authenticator struct {
	t    testing.TB
	f    *fastnesstest.Fixture
	id   string
	seed string // in base32
}

// enrol begins to enrol an authenticator.
func enrol(t testing.TB, f *fastnesstest.Fixture, c *vault.Caller, name string) *authenticator {
	t.Helper()
	made := must(f.Factors(c).EnrolTOTP(ctx, name))(t)
	defer made.URI.Release()
	u, err := url.Parse(string(made.URI.Bytes()))
	check(t, err)
	return &authenticator{t, f, made.ID, u.Query().Get("secret")}
}

// code is the one of so many steps from now.
func (a *authenticator) code(steps int) []byte {
	a.t.Helper()
	code, err := totp.GenerateCode(a.seed, a.f.Clock.Now().Add(time.Duration(steps)*30*time.Second))
	check(a.t, err)
	return []byte(code)
}

// enrolled enrols an authenticator and returns the recovery codes, too.
func enrolled(t testing.TB, f *fastnesstest.Fixture, c *vault.Caller) (*authenticator, []string) {
	t.Helper()
	a := enrol(t, f, c, "phone")
	codes := must(f.Factors(c).Confirm(ctx, a.id, a.code(0)))(t)
	defer codes.Release()
	return a, strings.Fields(string(codes.Bytes()))
}

// TestStepUp: requiresMFA end to end: refused, then a code, then allowed, until
// the window has passed.
func TestStepUp(t *testing.T) {
	p := newPeople(t, nil)
	op := p.Tenant(t, "acme")
	fastnesstest.Put(t, op, "app/db", "v")
	must(op.Update(ctx, "app/db", secret.Patch{AccessPolicy: &secret.AccessPolicy{RequiresMFA: true}}))(t)
	c, made := exchange(t, p.Fixture, "acme", p.idToken("alice"))
	update := func(c *vault.Caller) error {
		return errOf(p.Session(c, "").Update(ctx, "app/db", secret.Patch{Description: ptr("d")}))
	}
	wantValue(t, p.Session(c, ""), "app/db", store.Selector{}, "v")
	want(t, update(c), secret.ErrMFARequired)
	a, codes := enrolled(t, p.Fixture, c)
	if len(codes) != 10 {
		t.Errorf("%d recovery codes", len(codes))
	}
	check(t, update(p.again(made))) // the enrolment itself shows the factor
	p.Clock.Advance(5*time.Minute + time.Millisecond)
	want(t, update(p.again(made)), secret.ErrMFARequired)

	until := must(p.Factors(c).Verify(ctx, a.code(0)))(t)
	if !until.Equal(p.Clock.Now().Add(5 * time.Minute)) {
		t.Errorf("until %v", until)
	}
	if e := last(t, p.Fixture, "acme"); e.Action != audit.FactorVerify || e.Detail != "totp "+a.id || e.UserID != "alice@acme.example" {
		t.Errorf("entry %+v", e)
	}
	check(t, update(p.again(made)))
	state := must(p.Factors(c).List(ctx))(t)
	if !state.Fresh.Equal(until) || len(state.Factors) != 2 || state.Locked {
		t.Errorf("state %+v", state)
	}
	// Another session of the same person is not stepped up by it.
	other := p.login("alice")
	want(t, update(other), secret.ErrMFARequired)
}

// TestCodeOnce: a code works once, in whatever session, and no older one after it.
func TestCodeOnce(t *testing.T) {
	p := newPeople(t, nil)
	c := p.login("alice")
	a, codes := enrolled(t, p.Fixture, c)
	const text = "code: the code is wrong, too old, or was used before"
	other := p.login("alice")
	wantText(t, errOf(p.Factors(other).Verify(ctx, a.code(0))), secret.ErrAccessDenied, text) // it confirmed the enrolment
	wantText(t, errOf(p.Factors(other).Verify(ctx, a.code(-1))), secret.ErrAccessDenied, text)
	must(p.Factors(other).Verify(ctx, a.code(1)))(t)
	wantText(t, errOf(p.Factors(c).Verify(ctx, a.code(1))), secret.ErrAccessDenied, text)
	p.Clock.Advance(time.Minute)
	must(p.Factors(c).Verify(ctx, a.code(0)))(t)

	must(p.Factors(c).Verify(ctx, []byte(codes[4])))(t)
	if e := last(t, p.Fixture, "acme"); e.Detail != "recovery recovery" {
		t.Errorf("entry %+v", e)
	}
	wantText(t, errOf(p.Factors(c).Verify(ctx, []byte(codes[4]))), secret.ErrAccessDenied, text)
	must(p.Factors(c).Verify(ctx, []byte(strings.ToUpper(codes[5]))))(t)
	for _, info := range must(p.Factors(c).List(ctx))(t).Factors {
		if info.Type == vault.RecoveryFactor && info.Left != 8 {
			t.Errorf("%d recovery codes left", info.Left)
		}
	}
}

// TestCodeAtOnce: of many who give one code at the same time, one is let.
func TestCodeAtOnce(t *testing.T) {
	p := newPeople(t, nil)
	c := p.login("alice")
	a, _ := enrolled(t, p.Fixture, c)
	p.Clock.Advance(time.Minute)
	code := a.code(0)
	results := make(chan error, 4)
	for range cap(results) {
		go func() { results <- errOf(p.Factors(c).Verify(ctx, code)) }()
	}
	let := 0
	for range cap(results) {
		if err := <-results; err == nil {
			let++
		} else if !sameAs(err, secret.ErrAccessDenied) && secret.Of(err).Field != "code" && secret.Of(err).Code != secret.ErrTooMany.Code {
			t.Errorf("error %v", err)
		}
	}
	if let != 1 {
		t.Errorf("%d were let", let)
	}
}

// TestGuesses: after some wrong codes one has to wait, and is told how long; a
// right one does not get through meanwhile.
func TestGuesses(t *testing.T) {
	p := newPeople(t, nil)
	c := p.login("alice")
	a, _ := enrolled(t, p.Fixture, c)
	p.Clock.Advance(time.Minute)
	var err error
	tries := 0
	for ; tries < 30; tries++ {
		if err = errOf(p.Factors(c).Verify(ctx, []byte("000000"))); secret.Of(err).Code == secret.ErrTooMany.Code {
			break
		}
		if secret.Of(err).Field != "code" {
			t.Fatal(err)
		}
	}
	if tries < 5 || tries > 6 || secret.Of(err).RetryAfter <= 0 {
		t.Errorf("after %d tries: %v, retry after %v", tries, err, secret.Of(err).RetryAfter)
	}
	want(t, errOf(p.Factors(c).Verify(ctx, a.code(0))), secret.ErrTooMany)
	p.Clock.Advance(16 * time.Minute)
	must(p.Factors(c).Verify(ctx, a.code(0)))(t)
}

// TestEnrolAnother: beside a factor that is there, another is added only by who
// has just given it; and so is one removed, and are codes made anew.
func TestEnrolAnother(t *testing.T) {
	p := newPeople(t, nil)
	c := p.login("alice")
	a, codes := enrolled(t, p.Fixture, c)
	thief := p.login("alice") // who has stolen a session, and no factor
	f := p.Factors(thief)
	want(t, errOf(f.EnrolTOTP(ctx, "mine")), secret.ErrMFARequired)
	want(t, errOf(f.Recover(ctx)), secret.ErrMFARequired)
	want(t, f.Remove(ctx, a.id), secret.ErrMFARequired)
	p.Clock.Advance(time.Minute)
	must(f.Verify(ctx, a.code(0)))(t)
	second := enrol(t, p.Fixture, thief, "tablet")
	if more := must(f.Confirm(ctx, second.id, second.code(0)))(t); more != nil {
		t.Error("the recovery codes were made anew")
	}
	p.Clock.Advance(time.Minute)
	must(f.Verify(ctx, second.code(0)))(t)
	fresh := must(f.Recover(ctx))(t)
	defer fresh.Release()
	want(t, errOf(f.Verify(ctx, []byte(codes[0]))), secret.ErrAccessDenied)
	must(f.Verify(ctx, []byte(strings.Fields(string(fresh.Bytes()))[0])))(t)

	check(t, f.Remove(ctx, a.id))
	want(t, f.Remove(ctx, a.id), secret.ErrNotFound)
	p.Clock.Advance(time.Minute)
	want(t, errOf(f.Verify(ctx, a.code(0))), secret.ErrAccessDenied)
	check(t, f.Remove(ctx, second.id))
	if e := last(t, p.Fixture, "acme"); !strings.HasSuffix(e.Detail, ", the last one") {
		t.Errorf("entry %+v", e)
	}
	if state := must(f.List(ctx))(t); len(state.Factors) != 0 || !state.Fresh.IsZero() {
		t.Errorf("afterwards %+v", state)
	}
}

// TestEnrolmentEnds: an authenticator counts when its first code was given, within
// ten minutes, and only then.
func TestEnrolmentEnds(t *testing.T) {
	p := newPeople(t, nil)
	c := p.login("alice")
	f := p.Factors(c)
	a := enrol(t, p.Fixture, c, "phone")
	want(t, errOf(f.Verify(ctx, a.code(0))), secret.ErrAccessDenied)
	wantText(t, errOf(f.Confirm(ctx, a.id, []byte("12345"))), secret.ErrInvalid, "code: six digits")
	want(t, errOf(f.Confirm(ctx, a.id, a.code(7))), secret.ErrAccessDenied)
	if state := must(f.List(ctx))(t); len(state.Factors) != 0 {
		t.Errorf("listed already: %+v", state)
	}
	bob := p.login("bob")
	want(t, errOf(p.Factors(bob).Confirm(ctx, a.id, a.code(0))), secret.ErrNotFound)
	p.Clock.Advance(10 * time.Minute)
	want(t, errOf(f.Confirm(ctx, a.id, a.code(0))), secret.ErrNotFound)
	a = enrol(t, p.Fixture, c, "")
	must(f.Confirm(ctx, a.id, a.code(0)))(t)
	want(t, errOf(f.Confirm(ctx, a.id, a.code(1))), secret.ErrConflict)
	check(t, p.ExpireDocuments(ctx))
	for i := range 9 {
		enrol(t, p.Fixture, c, "more")
		if i == 7 {
			break
		}
	}
	wantText(t, errOf(f.EnrolTOTP(ctx, "more")), secret.ErrLimit, "factors: limit: at most 10")
	wantText(t, errOf(p.Factors(bob).EnrolTOTP(ctx, strings.Repeat("x", 65))), secret.ErrLimit, "name: limit: at most 64 bytes")
	wantText(t, errOf(p.Factors(bob).EnrolTOTP(ctx, "a\x1b[2Jb")), secret.ErrInvalid, "name: only printable characters are allowed")
}

// TestFirstFactor: a session that was stolen a while ago cannot enrol a factor for
// somebody who has none.
func TestFirstFactor(t *testing.T) {
	p := newPeople(t, nil)
	c := p.login("alice")
	p.Clock.Advance(15*time.Minute + time.Millisecond)
	wantText(t, errOf(p.Factors(c).EnrolTOTP(ctx, "")), secret.ErrAccessDenied, "the first factor is enrolled right after a login; log in again")
	token := must(p.Tenant(t, "acme").Credentials().Create(ctx, vault.TokenSpec{Principal: "alice@acme.example", Grants: []policy.Grant{{Role: policy.Reader}}}))(t)
	defer token.Token.Release()
	byHand := must(p.Authenticate(ctx, outside, token.Token.Bytes()))(t)
	want(t, errOf(p.Factors(byHand).EnrolTOTP(ctx, "")), secret.ErrAccessDenied)
	enrolled(t, p.Fixture, p.login("alice"))
}

// TestFactorsOfServices: they have none; nor has who has no credential.
func TestFactorsOfServices(t *testing.T) {
	p := newPeople(t, nil)
	for _, c := range []*vault.Caller{caller(t, p.Fixture, "acme", policy.Admin), local(p.Fixture)} {
		want(t, errOf(p.Factors(c).EnrolTOTP(ctx, "")), secret.ErrAccessDenied)
		want(t, errOf(p.Factors(c).Verify(ctx, []byte("123456"))), secret.ErrAccessDenied)
		want(t, errOf(p.Factors(c).List(ctx)), secret.ErrAccessDenied)
	}
}

// TestOperatorsFactor: operators have them too; what is theirs is sealed under a
// key of the deployment, which follows a change of the root key.
func TestOperatorsFactor(t *testing.T) {
	clock := fastnesstest.NewClock()
	dir := t.TempDir()
	f := fastnesstest.Open(t, &fastnesstest.Options{Dir: dir, Clock: clock})
	s := f.Tenant(t, "acme")
	fastnesstest.Put(t, s, "app/db", "v")
	must(s.Update(ctx, "app/db", secret.Patch{AccessPolicy: &secret.AccessPolicy{RequiresMFA: true}}))(t)
	token := must(f.Operator().Credentials().Create(ctx, vault.TokenSpec{Principal: "root"}))(t)
	defer token.Token.Release()
	operator := func() *vault.Caller { return must(f.Authenticate(ctx, outside, token.Token.Bytes()))(t) }
	update := func() error {
		return errOf(f.Session(operator(), "acme").Update(ctx, "app/db", secret.Patch{Description: ptr("d")}))
	}
	want(t, update(), secret.ErrMFARequired)
	a, _ := enrolled(t, f, operator())
	check(t, update())
	clock.Advance(time.Hour)
	want(t, update(), secret.ErrMFARequired)
	must(f.Factors(operator()).Verify(ctx, a.code(0)))(t)
	if e := last(t, f, ""); e.Action != audit.FactorVerify || e.UserID != "root" || e.TenantID != "" {
		t.Errorf("entry %+v", e)
	}
	check(t, update())

	f.Close(t)
	next := secret.NewUUID() + secret.NewUUID()
	f = fastnesstest.Open(t, &fastnesstest.Options{Dir: dir, Clock: clock, Master: value(t, next), Previous: fastnesstest.MasterKey()})
	a.f = f
	must(f.Operator().RotateRoot(ctx, nil))(t)
	f.Close(t)
	f = fastnesstest.Open(t, &fastnesstest.Options{Dir: dir, Clock: clock, Master: value(t, next)})
	a.f = f
	clock.Advance(time.Hour)
	must(f.Factors(operator()).Verify(ctx, a.code(0)))(t)
	if infos := must(f.Operator().Principals().Factors(ctx, "root"))(t); len(infos) != 2 {
		t.Errorf("factors %+v", infos)
	}
	check(t, f.Operator().Principals().RemoveFactor(ctx, "root", a.id))
	clock.Advance(time.Minute)
	want(t, errOf(f.Factors(operator()).Verify(ctx, a.code(0))), secret.ErrAccessDenied)
	stranger := f.Operator()
	want(t, errOf(stranger.Principals().Factors(ctx, "nobody")), secret.ErrNotFound)
	want(t, errOf(f.Vault.Operator(caller(t, f, "acme", policy.Admin)).Principals().Factors(ctx, "root")), secret.ErrAccessDenied)
	want(t, f.Vault.Operator(caller(t, f, "acme", policy.Admin)).Principals().RemoveFactor(ctx, "root", a.id), secret.ErrAccessDenied)
}

// TestFactorsFollowTheKey: what is sealed under a tenant's key is sealed under the
// next one.
func TestFactorsFollowTheKey(t *testing.T) {
	p := newPeople(t, nil)
	c := p.login("alice")
	a, _ := enrolled(t, p.Fixture, c)
	must(p.Tenant(t, "acme").RotateKey(ctx, nil))(t)
	p.Clock.Advance(time.Minute)
	must(p.Factors(c).Verify(ctx, a.code(0)))(t)
}

// TestFactorsOf: an administrator sees what factors people have and can remove
// one, and nobody else can; the person is then let do nothing more by it.
func TestFactorsOf(t *testing.T) {
	p := newPeople(t, nil)
	op := p.Tenant(t, "acme")
	c, made := exchange(t, p.Fixture, "acme", p.idToken("alice"))
	a, _ := enrolled(t, p.Fixture, c)
	const alice = "alice@acme.example"
	infos := must(op.Principals().Factors(ctx, alice))(t)
	if len(infos) != 2 || infos[0].ID != a.id || infos[0].Name != "phone" || infos[0].Type != vault.TOTPFactor {
		t.Errorf("factors %+v", infos)
	}
	for _, role := range []policy.Role{policy.Writer, policy.Auditor} {
		s := p.Session(caller(t, p.Fixture, "acme", role), "")
		want(t, errOf(s.Principals().Factors(ctx, alice)), secret.ErrAccessDenied)
		want(t, s.Principals().RemoveFactor(ctx, alice, a.id), secret.ErrAccessDenied)
	}
	stranger := p.Session(caller(t, p.Fixture, "other", policy.Admin), "acme")
	want(t, errOf(stranger.Principals().Factors(ctx, alice)), secret.ErrNotFound)
	want(t, stranger.Principals().RemoveFactor(ctx, alice, a.id), secret.ErrNotFound)
	want(t, errOf(op.Principals().Factors(ctx, "nobody")), secret.ErrNotFound)
	want(t, op.Principals().RemoveFactor(ctx, alice, "fct_none"), secret.ErrNotFound)
	check(t, op.Principals().RemoveFactor(ctx, alice, a.id))
	if e := last(t, p.Fixture, "acme"); e.Action != audit.FactorRemove || e.Target != alice || !strings.Contains(e.Detail, a.id) {
		t.Errorf("entry %+v", e)
	}
	if state := must(p.Factors(p.again(made)).List(ctx))(t); len(state.Factors) != 0 || !state.Fresh.IsZero() {
		t.Errorf("afterwards %+v", state)
	}
	p.Clock.Advance(time.Minute)
	want(t, errOf(p.Factors(c).Verify(ctx, a.code(0))), secret.ErrAccessDenied)
}

// TestSecretsStayIn: neither seed nor code is found in log or entries.
func TestSecretsStayIn(t *testing.T) {
	p := newPeople(t, nil)
	jwt := p.idToken("alice")
	c, made := exchange(t, p.Fixture, "acme", jwt)
	a, codes := enrolled(t, p.Fixture, c)
	p.Clock.Advance(time.Minute)
	code := a.code(0)
	must(p.Factors(c).Verify(ctx, code))(t)
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(a.seed)
	check(t, err)
	var all strings.Builder
	all.Write(p.Log.Bytes())
	for _, tenant := range []secret.TenantName{"acme", ""} {
		for _, e := range entries(t, p.Fixture, tenant, audit.Filter{}) {
			text, err := e.MarshalJSON()
			check(t, err)
			all.Write(text)
		}
	}
	for what, s := range map[string]string{
		"seed": string(seed), "seed in base32": a.seed, "code": `"` + string(code) + `"`, "recovery code": codes[0], "token": string(made.Token.Bytes()),
		"JWT": string(jwt), "signature": string(jwt[strings.LastIndexByte(string(jwt), '.')+1:]),
	} {
		if strings.Contains(all.String(), s) {
			t.Errorf("the %s is found", what)
		}
	}
}

// device is a security key.
type device struct {
	t             testing.TB
	rp            virtualwebauthn.RelyingParty
	authenticator virtualwebauthn.Authenticator
	key           virtualwebauthn.Credential
}

func newDevice(t testing.TB) *device {
	const whole = 77 // bytes of a COSE key with both coordinates; the library cuts leading zeros
	d := &device{t: t, rp: virtualwebauthn.RelyingParty{ID: "acme.example", Origin: "https://secrets.acme.example"}, authenticator: virtualwebauthn.NewAuthenticator()}
	for d.key = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2); len(d.key.Key.AttestationData()) != whole; {
		d.key = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	}
	return d
}

func (d *device) enrol(options []byte) []byte {
	d.t.Helper()
	o, err := virtualwebauthn.ParseAttestationOptions(string(options))
	check(d.t, err)
	return []byte(virtualwebauthn.CreateAttestationResponse(d.rp, d.authenticator, d.key, *o))
}

func (d *device) show(options []byte) []byte {
	d.t.Helper()
	o, err := virtualwebauthn.ParseAssertionOptions(string(options))
	check(d.t, err)
	d.key.Counter++
	return []byte(virtualwebauthn.CreateAssertionResponse(d.rp, d.authenticator, d.key, *o))
}

// TestSecurityKey: enrolled, shown, refused when it is another's or too late.
func TestSecurityKey(t *testing.T) {
	p := newPeople(t, &fastnesstest.Options{RelyingParty: identity.RelyingParty{ID: "acme.example", Origins: []string{"https://secrets.acme.example"}}})
	c := p.login("alice")
	f, d := p.Factors(c), newDevice(t)
	want(t, errOf(f.BeginShow(ctx)), secret.ErrConflict)
	answer := d.enrol(must(f.BeginKey(ctx, "yubikey"))(t))
	// The state of the ceremony is the credential's that began it.
	bob := p.Factors(p.login("bob"))
	_, _, err := bob.EndKey(ctx, answer)
	want(t, err, secret.ErrConflict)
	id, codes, err := f.EndKey(ctx, answer)
	check(t, err)
	if codes.Len() == 0 {
		t.Error("no recovery codes with the first factor")
	}
	codes.Release()
	_, _, err = f.EndKey(ctx, answer)
	want(t, err, secret.ErrConflict)

	p.Clock.Advance(time.Hour)
	until := must(f.EndShow(ctx, d.show(must(f.BeginShow(ctx))(t))))(t)
	if !until.Equal(p.Clock.Now().Add(5 * time.Minute)) {
		t.Errorf("until %v", until)
	}
	if e := last(t, p.Fixture, "acme"); e.Action != audit.FactorVerify || e.Detail != "webauthn "+id {
		t.Errorf("entry %+v", e)
	}
	// An answer works once, for its own ceremony, and for five minutes.
	answer = d.show(must(f.BeginShow(ctx))(t))
	must(f.EndShow(ctx, answer))(t)
	want(t, errOf(f.EndShow(ctx, answer)), secret.ErrConflict)
	must(f.BeginShow(ctx))(t)
	wantText(t, errOf(f.EndShow(ctx, answer)), secret.ErrAccessDenied, "response: the authenticator's answer does not verify")
	late := d.show(must(f.BeginShow(ctx))(t))
	p.Clock.Advance(5 * time.Minute)
	want(t, errOf(f.EndShow(ctx, late)), secret.ErrConflict)
	// Another device is not the enrolled one.
	other := newDevice(t)
	other.key.ID = d.key.ID
	want(t, errOf(f.EndShow(ctx, other.show(must(f.BeginShow(ctx))(t)))), secret.ErrAccessDenied)
	must(f.EndShow(ctx, d.show(must(f.BeginShow(ctx))(t))))(t)
	check(t, f.Remove(ctx, id))

	plain := newPeople(t, nil)
	wantText(t, errOf(plain.Factors(plain.login("alice")).BeginKey(ctx, "")), secret.ErrInvalid,
		"webauthn: this deployment has no relying party for security keys: set webauthn_id and webauthn_origins")
}
