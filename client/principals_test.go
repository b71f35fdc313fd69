package client_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fastness/client"
)

// TestPrincipals goes round all verbs for principals and their credentials.
func TestPrincipals(t *testing.T) {
	_, _, c := open(t)
	ctx := t.Context()
	made, err := c.Operator().CreateTenant(ctx, "shop", "")
	if err != nil {
		t.Fatal(err)
	}
	made.Release()
	s := c.Session("shop")
	ps := s.Principals()
	const name = "spiffe://shop/web"
	spec := client.PrincipalSpec{Name: name, Grants: []client.Grant{{Role: client.Reader, Patterns: []string{"a*"}}}, Service: "web", Environment: "prod"}
	info, err := ps.Create(ctx, spec)
	want := client.PrincipalInfo{Name: name, Grants: spec.Grants, Service: "web", Environment: "prod", Created: info.Created}
	if diff := cmp.Diff(info, want); diff != "" || err != nil {
		t.Errorf("made: %v\n%s", err, diff)
	}
	if _, err := ps.Create(ctx, spec); !errors.Is(err, client.ErrExists) {
		t.Errorf("again: %v", err)
	}
	if p, err := ps.Create(ctx, client.PrincipalSpec{Name: "alice", Kind: client.Person, Subject: "idp 1"}); err != nil || p.Kind != client.Person || p.Subject != "idp 1" {
		t.Errorf("a person: %+v, %v", p, err)
	}
	token, err := s.Credentials().Create(ctx, client.TokenSpec{Principal: name})
	if err != nil || token.Service != "web" || len(token.Grants) != 1 {
		t.Fatalf("token %+v, %v", token, err)
	}
	token.Token.Release()
	next, err := s.Credentials().Rotate(ctx, token.ID, time.Hour)
	if err != nil || next.ID == token.ID || next.Principal != name || next.Token.Len() == 0 {
		t.Fatalf("next %+v, %v", next, err)
	}
	next.Token.Release()
	key, err := s.Credentials().CreateAccessKey(ctx, client.TokenSpec{Principal: name, TTL: time.Hour})
	if err != nil || key.Secret.Len() != 40 || key.Kind == token.Kind {
		t.Fatalf("key %+v, %v", key, err)
	}
	key.Secret.Release()
	other, err := s.Credentials().RotateAccessKey(ctx, key.ID, 0)
	if err != nil || other.Secret.Len() != 40 {
		t.Fatalf("other key %+v, %v", other, err)
	}
	other.Secret.Release()
	list, err := s.Credentials().List(ctx, client.CredentialQuery{Kind: &key.Kind, Principal: name})
	if err != nil || len(list.Items) != 2 {
		t.Errorf("keys %+v, %v", list.Items, err)
	}
	if err := s.Credentials().RevokeAccessKey(ctx, token.ID); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("revoking a token as an access key: %v", err)
	}
	if err := s.Credentials().RevokeAccessKey(ctx, other.ID); err != nil {
		t.Error(err)
	}
	if _, err := s.Credentials().Rotate(ctx, token.ID, time.Second); !errors.Is(err, client.ErrInvalid) {
		t.Errorf("an overlap of a second: %v", err)
	}

	service, none := "shop", client.Environment("")
	info, err = ps.Update(ctx, name, client.PrincipalPatch{Grants: []client.Grant{}, Service: &service, Environment: &none})
	want.Grants, want.Service, want.Environment, want.Credentials = nil, "shop", "", 2
	if diff := cmp.Diff(info, want, cmpopts.IgnoreFields(client.PrincipalInfo{}, "LastUsed")); diff != "" || err != nil {
		t.Errorf("updated: %v\n%s", err, diff)
	}
	for _, step := range []struct {
		do       func() (client.PrincipalInfo, error)
		disabled bool
	}{
		{func() (client.PrincipalInfo, error) { return ps.Disable(ctx, name) }, true},
		{func() (client.PrincipalInfo, error) { return ps.Get(ctx, name) }, true},
		{func() (client.PrincipalInfo, error) { return ps.Enable(ctx, name) }, false},
	} {
		if info, err := step.do(); err != nil || info.Disabled.IsZero() == step.disabled {
			t.Errorf("%+v, %v", info, err)
		}
	}
	page, err := ps.List(ctx, 2, "")
	if err != nil || len(page.Items) != 2 || page.Next == "" {
		t.Errorf("principals %+v, %v", page, err)
	}
	if err := ps.Delete(ctx, name); err != nil {
		t.Error(err)
	}
	if _, err := ps.Get(ctx, name); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	if _, err := ps.Get(ctx, ".."); !errors.Is(err, client.ErrInvalid) {
		t.Errorf("a name that no path carries: %v", err)
	}

	ops := c.Operator().Principals()
	if info, err := ops.Create(ctx, client.PrincipalSpec{Name: "bob"}); err != nil || info.Kind.String() != "operator" {
		t.Errorf("operator %+v, %v", info, err)
	}
	if err := ops.Delete(ctx, "bob"); err != nil {
		t.Error(err)
	}
}
