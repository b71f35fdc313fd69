package vault_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// accessKey makes a tenant and returns its administrator's access key.
func accessKey(t *testing.T, f *fastnesstest.Fixture, tenant secret.TenantName) *vault.NewTenant {
	t.Helper()
	made := must(f.Operator().CreateTenant(ctx, tenant, ""))(t)
	t.Cleanup(made.Release)
	return made
}

func TestAuthenticateAccessKey(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	made := accessKey(t, f, "acme")
	origin := vault.Origin{Address: "192.0.2.1", CorrelationID: "c"}
	calls := 0
	right := func(open vault.SecretHalf) error {
		calls++
		half, err := open()
		if err != nil {
			return err
		}
		defer half.Release()
		if !secretbuf.Equal(half, made.SecretAccessKey) {
			t.Error("opened another secret half")
		}
		return nil
	}
	for range 2 {
		c := must(f.AuthenticateAccessKey(ctx, origin, made.AccessKeyID, right))(t)
		if c.Tenant() != "acme" || c.Account() != made.Account || c.Principal() != "admin" || c.IsOperator() {
			t.Errorf("another caller: %s of %s", c.Principal(), c.Tenant())
		}
	}
	wrong := func(vault.SecretHalf) error { calls++; return secret.ErrUnauthenticated }
	want(t, errOf(f.AuthenticateAccessKey(ctx, origin, made.AccessKeyID, wrong)), secret.ErrUnauthenticated)
	if calls != 3 {
		t.Errorf("%d calls of verify", calls)
	}
	broken := func(vault.SecretHalf) error { return errors.New("broken") }
	want(t, errOf(f.AuthenticateAccessKey(ctx, origin, made.AccessKeyID, broken)), secret.ErrInternal)

	none := func(vault.SecretHalf) error { t.Error("asked to verify"); return nil }
	want(t, errOf(f.AuthenticateAccessKey(ctx, origin, "FSKAAAAAAAAAAAAAAAAA", none)), secret.ErrUnauthenticated)
	token := must(f.Session(local(f), "acme").Credentials().Create(ctx, vault.TokenSpec{Principal: "p", Grants: []policy.Grant{{Role: policy.Reader}}}))(t)
	token.Token.Release()
	want(t, errOf(f.AuthenticateAccessKey(ctx, origin, token.ID, none)), secret.ErrUnauthenticated)
	check(t, f.Session(local(f), "acme").Credentials().Revoke(ctx, made.AccessKeyID))
	want(t, errOf(f.AuthenticateAccessKey(ctx, origin, made.AccessKeyID, none)), secret.ErrUnauthenticated)
	if e := last(t, f, ""); e.Action != audit.Login || e.Result != audit.AccessDenied || e.IPAddress != "192.0.2.1" {
		t.Errorf("the refusal left %+v", e)
	}
}

// TestGuard: a guard is asked by every method that works on one secret, and only
// once everything else allows.
func TestGuard(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	versions(t, f.Tenant(t, "acme"), "s", 1)
	refuse := vault.Guard(func(sec *store.Secret) error {
		if sec.Name != "s" {
			t.Errorf("asked about %q", sec.Name)
		}
		return secret.ErrMFARequired
	})
	for _, m := range methods {
		if !m.secret || m.name == "CreateBare" {
			continue
		}
		guarded := func(s *vault.Session, name secret.Name) error { return m.callOn(t, s.Guarded(refuse), name) }
		if err := guarded(f.Session(caller(t, f, "acme", policy.Admin), ""), "s"); !errors.Is(err, secret.ErrMFARequired) {
			t.Errorf("%s: %v", m.name, err)
		}
		if err := guarded(f.Session(caller(t, f, "acme", policy.Reader, "x*"), ""), "s"); errors.Is(err, secret.ErrMFARequired) {
			t.Errorf("%s asked the guard before the grants", m.name)
		}
	}
	wantValue(t, f.Tenant(t, "acme"), "s", store.Selector{}, "1")
}

func TestPutLabels(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	want(t, errOf(put(t, s, "s", "0", vault.Put{IfPresent: true})), secret.ErrNotFound)
	first := must(put(t, s, "s", "1", vault.Put{Labels: []secret.Label{"blue"}}))(t)
	equal(t, "labels of the first", first.Labels, []secret.Label{secret.Current, "blue"})
	pending := must(put(t, s, "s", "2", vault.Put{Labels: []secret.Label{secret.Pending, "blue"}, IfPresent: true}))(t)
	equal(t, "labels of a pending one", pending.Labels, []secret.Label{secret.Pending, "blue"})
	wantValue(t, s, "s", store.Selector{}, "1")
	third := must(put(t, s, "s", "3", vault.Put{Labels: []secret.Label{secret.Current}}))(t)
	equal(t, "labels of the third", third.Labels, []secret.Label{secret.Current})
	wantValue(t, s, "s", store.Selector{Label: secret.Previous}, "1")
	wantValue(t, s, "s", store.Selector{Label: secret.Pending}, "2")
	var many []secret.Label
	for i := range secret.MaxLabels {
		many = append(many, secret.Label(fmt.Sprint("l", i)))
	}
	want(t, errOf(put(t, s, "s", "4", vault.Put{Labels: many})), secret.ErrLimit)
	wantValue(t, s, "s", store.Selector{}, "3")
}

// TestChangedRises: the time of a change is later than that of the one before,
// however little time has passed.
func TestChangedRises(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "s", 1)
	before := must(s.Describe(ctx, "s"))(t).Changed
	for i, change := range []func() error{
		func() error { return errOf(put(t, s, "s", "2", vault.Put{})) },
		func() error { return errOf(s.Update(ctx, "s", secret.Patch{Description: ptr("d")})) },
		func() error { return errOf(s.MoveLabel(ctx, "s", vault.Move{Label: "l", To: 1})) },
		func() error { return errOf(s.Delete(ctx, "s", secret.MinRecovery)) },
		func() error { return errOf(s.Restore(ctx, "s")) },
	} {
		check(t, change())
		now := must(s.Describe(ctx, "s"))(t).Changed
		if !now.After(before) {
			t.Errorf("change %d: %v after %v", i, now, before)
		}
		before = now
	}
}

func TestAmend(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	w := must(put(t, s, "s", "1", vault.Put{
		Patch: secret.Patch{Tags: map[string]string{"a": "1"}}, Amend: func(a *secret.AWS) { a.KMSKeyID = "k" },
	}))(t)
	amend := func(change func(*secret.Metadata, *secret.AWS) error) (vault.Detail, error) {
		return s.Amend(ctx, "s", vault.Amendment{Audit: audit.Update, Action: policy.Update, Change: change})
	}
	d := must(amend(func(m *secret.Metadata, a *secret.AWS) error {
		m.Tags["b"], m.Description, m.Algorithm, m.RotationRequired = "2", "d", secret.HybridQuantum, true
		a.Policy = "{}"
		return nil
	}))(t)
	if d.ID != w.ID || d.AWS.KMSKeyID != "k" || d.AWS.Policy != "{}" || d.Metadata.Description != "d" ||
		d.Metadata.Algorithm != secret.AES256GCM || d.Metadata.RotationRequired || len(d.Metadata.Tags) != 2 {
		t.Errorf("amended to %+v", d)
	}
	if e := last(t, f, "acme"); e.Action != audit.Update || e.Detail != "changed description tags" {
		t.Errorf("entry %+v", e)
	}
	want(t, errOf(amend(func(m *secret.Metadata, _ *secret.AWS) error {
		m.Tags["c"] = "3"
		return secret.ErrInvalid.With(errors.New("no"))
	})), secret.ErrInvalid)
	want(t, errOf(amend(func(m *secret.Metadata, _ *secret.AWS) error { m.Tags[""] = "x"; return nil })), secret.ErrLimit)
	if diff := cmp.Diff(d, must(s.Detail(ctx, "s"))(t)); diff != "" {
		t.Errorf("a refused amendment left (-before +after):\n%s", diff)
	}
	check(t, errOf(s.Delete(ctx, "s", secret.MinRecovery)))
	want(t, errOf(amend(func(*secret.Metadata, *secret.AWS) error { return nil })), secret.ErrDeleted)
	check(t, errOf(s.Amend(ctx, "s", vault.Amendment{Audit: audit.Update, Action: policy.Update, Deleted: true,
		Change: func(*secret.Metadata, *secret.AWS) error { return nil }})))
}

func TestCreateBare(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	w := must(s.CreateBare(ctx, "s", vault.Bare{Patch: secret.Patch{Description: ptr("d")}, Amend: func(a *secret.AWS) { a.Type = "t" }}))(t)
	d := must(s.Detail(ctx, "s"))(t)
	if !w.Created || w.Version != 0 || d.ID != w.ID || d.Metadata.Description != "d" || d.AWS.Type != "t" || len(d.IDs) != 0 {
		t.Errorf("%+v, %+v", w, d)
	}
	want(t, errOf(get(s, "s", store.Selector{})), secret.ErrNotFound)
	want(t, errOf(s.CreateBare(ctx, "s", vault.Bare{})), secret.ErrExists)
	want(t, errOf(s.CreateBare(ctx, "no name", vault.Bare{})), secret.ErrInvalid)
	want(t, errOf(s.CreateBare(ctx, "t", vault.Bare{Patch: secret.Patch{Tags: map[string]string{"": ""}}})), secret.ErrLimit)
	must(put(t, s, "s", "1", vault.Put{IfPresent: true, Labels: []secret.Label{secret.Pending}}))(t)
	wantValue(t, s, "s", store.Selector{}, "1")
	check(t, errOf(s.Delete(ctx, "s", secret.MinRecovery)))
	want(t, errOf(s.CreateBare(ctx, "s", vault.Bare{})), secret.ErrDeleted)
}

func TestRestage(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	one := must(put(t, s, "s", "1", vault.Put{}))(t).VersionID
	two := must(put(t, s, "s", "2", vault.Put{}))(t).VersionID
	three := must(put(t, s, "s", "3", vault.Put{Labels: []secret.Label{secret.Pending}}))(t).VersionID
	place := func(err error) secret.VersionID {
		t.Helper()
		var at *vault.LabelPlace
		if !errors.Is(err, secret.ErrConflict) || !errors.As(err, &at) {
			t.Fatalf("no place: %v", err)
		}
		return at.ID
	}
	restage := func(l secret.Label, from, to secret.VersionID) error {
		return errOf(s.Restage(ctx, "s", vault.Restage{Label: l, From: from, To: to}))
	}
	if got := place(restage(secret.Current, "", one)); got != two {
		t.Errorf("AWSCURRENT is on %s", got)
	}
	if got := place(restage(secret.Current, one, three)); got != two {
		t.Errorf("AWSCURRENT is on %s", got)
	}
	if got := place(restage("blue", one, two)); got != "" {
		t.Errorf("no label is on %s", got)
	}
	want(t, restage(secret.Current, two, ""), secret.ErrInvalid)
	want(t, restage(secret.Current, two, secret.NewVersionID()), secret.ErrNotFound)
	want(t, restage("blue", secret.NewVersionID(), one), secret.ErrNotFound)
	check(t, restage("blue", "", one))
	check(t, restage("blue", "", one)) // again
	check(t, restage("blue", one, ""))
	check(t, restage(secret.Current, two, three))
	d := must(s.Detail(ctx, "s"))(t)
	if diff := cmp.Diff(map[secret.Label]secret.Version{secret.Current: 3, secret.Previous: 2, secret.Pending: 3}, d.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	check(t, errOf(s.Delete(ctx, "s", secret.MinRecovery)))
	want(t, restage("blue", "", one), secret.ErrDeleted)
}

func TestGetMany(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "a", 1)
	versions(t, s, "b", 2)
	versions(t, s, "d", 1)
	check(t, errOf(s.Delete(ctx, "d", secret.MinRecovery)))
	deny := func(*store.Secret) error { return secret.ErrAccessDenied }
	for range 2 { // the second finds nothing new to note
		got := must(s.GetMany(ctx, []vault.Wanted{{Name: "a"}, {Name: "none"}, {Name: "b"}, {Name: "d"}, {Name: "a", Guard: deny}}))(t)
		for i, text := range []string{"1", "", "2", "", ""} {
			if text == "" {
				continue
			}
			if got[i].Err != nil || string(got[i].Reading.Value.Bytes()) != text {
				t.Errorf("%d: %v", i, got[i].Err)
			}
			got[i].Reading.Value.Release()
		}
		want(t, got[1].Err, secret.ErrNotFound)
		want(t, got[3].Err, secret.ErrDeleted)
		want(t, got[4].Err, secret.ErrAccessDenied)
		var results []audit.Result
		all := entries(t, f, "acme", audit.Filter{Action: audit.Read})
		for _, e := range all[len(all)-5:] {
			results = append(results, e.Result)
		}
		equal(t, "results", results, []audit.Result{audit.Success, audit.NotFound, audit.Success, audit.Failed, audit.AccessDenied})
	}
	if d := must(s.Detail(ctx, "b"))(t); d.LastRead.IsZero() {
		t.Error("a read left no day")
	}
	if d := must(s.Detail(ctx, "d"))(t); !d.LastRead.IsZero() {
		t.Error("a refused read left a day")
	}
}

func TestDetails(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	for _, n := range []secret.Name{"c", "a", "e", "b", "d"} {
		versions(t, s, n, 1)
		f.Clock.Advance(time.Minute)
	}
	check(t, errOf(s.Update(ctx, "a", secret.Patch{Description: ptr("x")})))
	check(t, errOf(s.Delete(ctx, "e", secret.MinRecovery)))
	wantValue(t, s, "b", store.Selector{}, "1")
	list := func(q vault.DetailQuery) (names []secret.Name) {
		t.Helper()
		for {
			page := must(s.Details(ctx, q))(t)
			for _, d := range page.Items {
				names = append(names, d.Name)
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				return names
			}
		}
	}
	for _, limit := range []int{0, 1, 2, 4} {
		for _, test := range []struct {
			q    vault.DetailQuery
			want []secret.Name
		}{
			{vault.DetailQuery{}, []secret.Name{"a", "b", "c", "d"}},
			{vault.DetailQuery{Descending: true}, []secret.Name{"d", "c", "b", "a"}},
			{vault.DetailQuery{Deleted: true}, []secret.Name{"a", "b", "c", "d", "e"}},
			{vault.DetailQuery{Order: vault.ByCreated}, []secret.Name{"c", "a", "b", "d"}},
			{vault.DetailQuery{Order: vault.ByCreated, Descending: true, Deleted: true}, []secret.Name{"d", "b", "e", "a", "c"}},
			{vault.DetailQuery{Order: vault.ByChanged}, []secret.Name{"c", "b", "d", "a"}},
			{vault.DetailQuery{Order: vault.ByRead}, []secret.Name{"a", "c", "d", "b"}},
			{vault.DetailQuery{Match: func(sec *store.Secret) bool { return sec.Name > "b" }, Key: "k"}, []secret.Name{"c", "d"}},
		} {
			test.q.Limit = limit
			if got := list(test.q); !slices.Equal(got, test.want) {
				t.Errorf("%+v: %v, want %v", test.q, got, test.want)
			}
		}
	}
	page := must(s.Details(ctx, vault.DetailQuery{Limit: 1}))(t)
	for _, q := range []vault.DetailQuery{{Limit: 1, Deleted: true}, {Limit: 1, Key: "x"}, {Limit: 1, Order: vault.ByRead}} {
		q.Cursor = page.Next
		want(t, errOf(s.Details(ctx, q)), secret.ErrInvalid)
	}
	want(t, errOf(f.Tenant(t, "beta").Details(ctx, vault.DetailQuery{Limit: 1, Cursor: page.Next})), secret.ErrInvalid)
	want(t, errOf(s.Details(ctx, vault.DetailQuery{Limit: secret.MaxPage + 1})), secret.ErrLimit)
	reader := f.Session(caller(t, f, "acme", policy.Reader, "b*"), "")
	if page := must(reader.Details(ctx, vault.DetailQuery{}))(t); len(page.Items) != 1 || page.Items[0].Name != "b" {
		t.Errorf("a reader of b* sees %+v", page.Items)
	}
}

// TestPromote: the copy has all versions under its own name, and is independent.
func TestPromote(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	hybrid := secret.HybridQuantum
	must(put(t, s, "s", "1", vault.Put{Patch: secret.Patch{Algorithm: &hybrid}, Amend: func(a *secret.AWS) { a.Type = "t" }}))(t)
	check(t, errOf(s.Update(ctx, "s", secret.Patch{Algorithm: ptr(secret.AES256GCM)})))
	must(put(t, s, "s", "2", vault.Put{}))(t)
	must(s.RotateKey(ctx, nil))(t)
	d := must(s.Promote(ctx, "s", vault.Promotion{To: "copy", Change: func(from, made *secret.AWS) error {
		from.Type, made.Home = "u", "eu-west-1"
		return nil
	}}))(t)
	from := must(s.Detail(ctx, "s"))(t)
	if d.Name != "copy" || d.ID == from.ID || d.AWS.Home != "eu-west-1" || d.AWS.Type != "t" || from.AWS.Type != "u" || d.VersionID != from.VersionID {
		t.Errorf("made %+v of %+v", d, from)
	}
	must(put(t, s, "s", "3", vault.Put{}))(t)
	wantValue(t, s, "copy", store.Selector{}, "2")
	wantValue(t, s, "copy", store.Selector{Label: secret.Previous}, "1")
	check(t, s.Purge(ctx, "s"))
	wantValue(t, s, "copy", store.Selector{Number: 1}, "1")
	promote := func(name, to secret.Name) error {
		return errOf(s.Promote(ctx, name, vault.Promotion{To: to, Change: func(_, _ *secret.AWS) error { return secret.ErrConflict }}))
	}
	want(t, promote("s", "other"), secret.ErrNotFound)
	want(t, promote("copy", "copy"), secret.ErrExists)
	want(t, promote("copy", "no name"), secret.ErrInvalid)
	want(t, promote("copy", "other"), secret.ErrConflict)
	want(t, errOf(s.Describe(ctx, "other")), secret.ErrNotFound)
	check(t, errOf(s.Delete(ctx, "copy", secret.MinRecovery)))
	want(t, promote("copy", "other"), secret.ErrDeleted)
}

func TestLocate(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	versions(t, s, "b", 1)
	versions(t, s, "c", 1)
	locate := func(s *vault.Session, pick func(*store.Secret) bool) secret.Name {
		t.Helper()
		return must(s.Locate(ctx, []secret.Name{"a", "b", "c"}, pick))(t)
	}
	any := func(*store.Secret) bool { return true }
	for want, got := range map[secret.Name]secret.Name{
		"b": locate(s, any),
		"c": locate(f.Session(caller(t, f, "acme", policy.Reader, "c"), ""), any),
		"a": locate(f.Session(caller(t, f, "acme", policy.Reader, "x"), ""), any),
	} {
		if got != want {
			t.Errorf("located %s, want %s", got, want)
		}
	}
	if got := locate(s, func(sec *store.Secret) bool { return sec.Name == "c" }); got != "c" {
		t.Errorf("located %s", got)
	}
}
