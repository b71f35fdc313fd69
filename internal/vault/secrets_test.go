package vault_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fastness/fastnesstest"
	"fastness/internal/policy"
	"fastness/internal/schedule"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// TestVersions stores three versions and reads them by number, by id, by label
// and by any two of these.
func TestVersions(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	var ids []secret.VersionID
	for i, text := range []string{"one", "two", "three"} {
		w := must(put(t, s, "db", text, vault.Put{}))(t)
		if w.Version != secret.Version(i+1) || w.Created != (i == 0) || w.Name != "db" {
			t.Errorf("write %d: %+v", i, w)
		}
		equal(t, "labels", w.Labels, []secret.Label{secret.Current})
		ids = append(ids, w.VersionID)
	}
	wantValue(t, s, "db", store.Selector{}, "three")
	wantValue(t, s, "db", store.Selector{Number: 1}, "one")
	wantValue(t, s, "db", store.Selector{ID: ids[1]}, "two")
	wantValue(t, s, "db", store.Selector{Label: secret.Current}, "three")
	wantValue(t, s, "db", store.Selector{Label: secret.Previous}, "two")
	wantValue(t, s, "db", store.Selector{Number: 2, ID: ids[1], Label: secret.Previous}, "two")

	for _, sel := range []store.Selector{
		{Number: 4}, {ID: secret.NewVersionID()}, {Label: secret.Pending}, {Label: "none"},
		{Number: 1, ID: ids[1]}, {Number: 1, Label: secret.Current}, {ID: ids[0], Label: secret.Previous},
	} {
		_, err := get(s, "db", sel)
		want(t, err, secret.ErrNotFound)
	}
}

// TestReading checks all that a read tells besides the value.
func TestReading(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	raw := []byte{0, 0xff, 0xfe, '\n', 0}
	b := secretbuf.Take(bytes.Clone(raw))
	defer b.Release()
	w := must(s.Put(ctx, "bin", vault.Put{Value: b, Kind: secret.Binary}))(t)
	if b.Len() != len(raw) {
		t.Error("Put has released its caller's value")
	}
	check(t, errOf(s.MoveLabel(ctx, "bin", vault.Move{Label: "blue", To: 1})))
	f.Clock.Advance(time.Hour)
	r := must(s.Get(ctx, "bin", store.Selector{}))(t)
	defer r.Value.Release()
	if !bytes.Equal(r.Value.Bytes(), raw) {
		t.Errorf("value %x", r.Value.Bytes())
	}
	r2 := *r
	r2.Value = nil
	if r2.ID == (secret.ID{}) || r2.ID != w.ID {
		t.Errorf("id %v, and %v when written", r2.ID, w.ID)
	}
	r2.ID = secret.ID{}
	wantR := vault.Reading{Name: "bin", Version: 1, VersionID: w.VersionID, Kind: secret.Binary,
		Labels: []secret.Label{secret.Current, "blue"}, Created: f.Clock.Now().Add(-time.Hour)}
	if diff := cmp.Diff(wantR, r2); diff != "" {
		t.Error(diff)
	}
}

func errOf[T any](_ T, err error) error { return err }

func TestValueSizes(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	for _, n := range []int{1, 31, 4096, secret.MaxValue} {
		text := strings.Repeat("x", n)
		must(put(t, s, "size", text, vault.Put{}))(t)
		wantValue(t, s, "size", store.Selector{}, text)
	}
	for _, b := range []*secretbuf.Buffer{nil, secretbuf.New(0), secretbuf.New(secret.MaxValue + 1)} {
		_, err := s.Put(ctx, "size", vault.Put{Value: b})
		wantText(t, err, secret.ErrLimit, "value: limit: 1 to 65536 bytes")
	}
}

func TestDescribe(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Session(f.Caller(t, "acme", vault.TokenSpec{Environment: secret.Prod}), "")
	created := f.Clock.Now()
	w := must(put(t, s, "db", "v1", vault.Put{Kind: secret.Binary, Patch: secret.Patch{
		Description: ptr("the database"), Tags: map[string]string{"team": "core"},
		RotationRequired: ptr(true), RotationInterval: ptr(schedule.Every30d),
		AccessPolicy: &secret.AccessPolicy{AllowedEnvironments: []secret.Environment{secret.Prod}},
	}}))(t)
	info := must(s.Describe(ctx, "db"))(t)
	wantInfo := secret.Info{
		Name: "db", ID: info.ID, Kind: secret.Binary, Version: 1, VersionID: w.VersionID,
		Metadata: secret.Metadata{Description: "the database", Tags: map[string]string{"team": "core"}, Algorithm: secret.AES256GCM,
			RotationRequired: true, RotationInterval: schedule.Every30d,
			AccessPolicy: secret.AccessPolicy{AllowedEnvironments: []secret.Environment{secret.Prod}}},
		Labels:  map[secret.Label]secret.Version{secret.Current: 1},
		Created: created, Changed: created, LastRotated: created, NextRotation: created.Add(30 * 24 * time.Hour),
	}
	if diff := cmp.Diff(wantInfo, info); diff != "" {
		t.Error(diff)
	}
	if info.ID == (secret.ID{}) {
		t.Error("no id")
	}
	want(t, errOf(s.Describe(ctx, "other")), secret.ErrNotFound)
}

// TestDefaults: what a secret gets that names nothing.
func TestDefaults(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	made := must(f.Operator().CreateTenant(ctx, "quantum", secret.HybridQuantum))(t)
	made.Release()
	s := f.Tenant(t, "quantum")
	must(put(t, s, "a", "v", vault.Put{}))(t)
	m := must(s.Describe(ctx, "a"))(t).Metadata
	if diff := cmp.Diff(secret.Metadata{Algorithm: secret.HybridQuantum, RotationInterval: schedule.Every90d}, m); diff != "" {
		t.Error(diff)
	}
	wantValue(t, s, "a", store.Selector{}, "v")
}

// TestUpdate changes metadata field by field, without a new version.
func TestUpdate(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	w := must(put(t, s, "db", "v1", vault.Put{}))(t)
	before := must(s.Describe(ctx, "db"))(t)
	f.Clock.Advance(time.Hour)
	patch := secret.Patch{Description: ptr("d"), Tags: map[string]string{"a": "b"}, RotationRequired: ptr(true),
		AccessPolicy: &secret.AccessPolicy{AllowedServices: []string{"web"}}}
	s = f.Session(f.Caller(t, "acme", vault.TokenSpec{Service: "web"}), "")
	after := must(s.Update(ctx, "db", patch))(t)
	wantInfo := before
	wantInfo.Metadata = patch.Apply(before.Metadata)
	wantInfo.Changed = f.Clock.Now()
	if diff := cmp.Diff(wantInfo, after); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(after, must(s.Describe(ctx, "db"))(t)); diff != "" {
		t.Errorf("described otherwise: %s", diff)
	}
	after = must(s.Update(ctx, "db", secret.Patch{Tags: map[string]string{}}))(t)
	if after.VersionID != w.VersionID || after.Metadata.Description != "d" || len(after.Metadata.Tags) != 0 {
		t.Errorf("after tags were taken off: %+v", after)
	}
	want(t, errOf(s.Update(ctx, "none", patch)), secret.ErrNotFound)
}

// TestPutWithMetadata: a patch with a new version, and what it may not hold.
func TestPutWithMetadata(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	must(put(t, s, "db", "v1", vault.Put{Patch: secret.Patch{Description: ptr("one"), Algorithm: ptr(secret.HybridQuantum)}}))(t)
	must(put(t, s, "db", "v2", vault.Put{Patch: secret.Patch{Description: ptr("two")}}))(t)
	if m := must(s.Describe(ctx, "db"))(t).Metadata; m.Description != "two" || m.Algorithm != secret.HybridQuantum {
		t.Errorf("metadata %+v", m)
	}
	_, err := put(t, s, "db", "v3", vault.Put{Patch: secret.Patch{Algorithm: ptr(secret.AES256GCM)}})
	wantText(t, err, secret.ErrConflict, "a new version cannot change the algorithm; update the secret first")
	_, err = put(t, s, "db", "v3", vault.Put{Patch: secret.Patch{Description: ptr("\x00")}})
	want(t, err, secret.ErrInvalid)
	_, err = put(t, s, "db", "v3", vault.Put{IfAbsent: true})
	want(t, err, secret.ErrExists)
	wantValue(t, s, "db", store.Selector{}, "v2")
}

// TestAccessPolicy: changing an access policy is an administrator's, in
// whatever call it comes, and is exempt from its own lists.
func TestAccessPolicy(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	op := f.Tenant(t, "acme")
	must(put(t, op, "db", "v", vault.Put{}))(t)
	writer := f.Session(caller(t, f, "acme", policy.Writer), "")
	admin := f.Session(caller(t, f, "acme", policy.Admin), "")
	nobody := secret.Patch{AccessPolicy: &secret.AccessPolicy{AllowedServices: []string{}}}

	want(t, errOf(writer.Update(ctx, "db", nobody)), secret.ErrAccessDenied)
	_, err := put(t, writer, "db", "v2", vault.Put{Patch: nobody})
	want(t, err, secret.ErrAccessDenied)
	must(admin.Update(ctx, "db", nobody))(t)
	for who, s := range map[string]*vault.Session{"writer": writer, "admin": admin, "operator": op} {
		if _, err := get(s, "db", store.Selector{}); err == nil {
			t.Errorf("%s reads what nobody may", who)
		}
		want(t, errOf(s.Update(ctx, "db", secret.Patch{Description: ptr("x")})), secret.ErrAccessDenied)
	}
	// An access policy that comes with more is no way around the lists.
	mixed := secret.Patch{AccessPolicy: &secret.AccessPolicy{}, Description: ptr("x")}
	want(t, errOf(admin.Update(ctx, "db", mixed)), secret.ErrAccessDenied)
	must(admin.Update(ctx, "db", secret.Patch{AccessPolicy: &secret.AccessPolicy{}}))(t)
	wantValue(t, writer, "db", store.Selector{}, "v")

	must(admin.Update(ctx, "db", secret.Patch{AccessPolicy: &secret.AccessPolicy{RequiresMFA: true}}))(t)
	wantValue(t, writer, "db", store.Selector{}, "v")
	_, err = put(t, writer, "db", "v2", vault.Put{})
	want(t, err, secret.ErrMFARequired)
	want(t, errOf(admin.Update(ctx, "db", secret.Patch{AccessPolicy: &secret.AccessPolicy{}})), secret.ErrMFARequired)
	must(op.Update(ctx, "db", secret.Patch{AccessPolicy: &secret.AccessPolicy{}}))(t)
}

// TestServiceReads: the lists of an access policy against a caller's attributes.
func TestServiceReads(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	op := f.Tenant(t, "acme")
	must(put(t, op, "db", "v", vault.Put{Patch: secret.Patch{AccessPolicy: &secret.AccessPolicy{
		AllowedServices: []string{"web"}, AllowedEnvironments: []secret.Environment{secret.Prod}}}}))(t)
	for i, tt := range []struct {
		service string
		env     secret.Environment
		ok      bool
	}{{"web", secret.Prod, true}, {"web", secret.Dev, false}, {"job", secret.Prod, false}, {"web", "", false}, {"", "", false}} {
		c := f.Caller(t, "acme", vault.TokenSpec{Principal: fmt.Sprint("svc", i), Grants: []policy.Grant{{Role: policy.Reader}},
			Service: tt.service, Environment: tt.env})
		_, err := get(f.Session(c, ""), "db", store.Selector{})
		if tt.ok != (err == nil) {
			t.Errorf("%q in %q: %v", tt.service, tt.env, err)
		}
		if !tt.ok {
			want(t, err, secret.ErrAccessDenied)
		}
	}
}

// TestLastRead: the day of the last read, written once a day.
func TestLastRead(t *testing.T) {
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	must(put(t, s, "db", "v", vault.Put{}))(t)
	if info := must(s.Describe(ctx, "db"))(t); !info.LastRead.IsZero() {
		t.Errorf("read on %v before any read", info.LastRead)
	}
	for day := range 3 {
		for range 2 {
			wantValue(t, s, "db", store.Selector{}, "v")
		}
		wantDay := time.Date(2026, 1, 2+day, 0, 0, 0, 0, time.UTC)
		if info := must(s.Describe(ctx, "db"))(t); !info.LastRead.Equal(wantDay) {
			t.Errorf("last read %v, want %v", info.LastRead, wantDay)
		}
		if v := must(s.Versions(ctx, "db", 0, ""))(t); !v.Items[0].LastRead.Equal(wantDay) {
			t.Errorf("version last read %v, want %v", v.Items[0].LastRead, wantDay)
		}
		f.Clock.Advance(24 * time.Hour)
	}
}
