package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fastness"
	"fastness/client"
)

// rules are the verbs about policies and settings that the library and the
// client share.
type rules interface {
	Put(context.Context, client.PolicyPut) (client.Policy, error)
	Get(context.Context, string, int64) (client.Policy, error)
	List(context.Context, int, string) (client.Page[client.PolicyInfo], error)
	Delete(context.Context, string, *int64) error
	Test(context.Context, client.PolicyTest) ([]client.Decision, error)
	Settings(context.Context) (client.Settings, error)
	UpdateSettings(context.Context, client.SettingsPatch) (client.Settings, error)
}

// review are those about who may do what.
type review interface {
	Explain(context.Context, client.ExplainQuery) ([]client.Explanation, error)
	Denial(context.Context, string) (client.Denial, error)
	Who(context.Context, client.WhoQuery) (client.Page[client.WhoInfo], error)
	Review(context.Context, client.ReviewQuery) (client.Page[client.ReviewInfo], error)
}

var (
	_ rules  = (*client.Policies)(nil)
	_ rules  = (*fastness.Policies)(nil)
	_ review = (*client.Access)(nil)
	_ review = (*fastness.Access)(nil)
)

// ruling does something of everything and writes down what came back.
func ruling(ctx context.Context, p rules, a review) (lines []string) {
	say := func(what string, err error, facts ...any) {
		line := what + ": " + fmt.Sprintf("%+v", facts)
		if err != nil {
			line = what + ": " + err.Error()
		}
		lines = append(lines, line)
	}
	text := `forbid(principal, action == Action::"read", resource) when { context has mfaAge };` + "\n" + `@id("two") forbid(principal == Person::"x", action, resource);`
	zero, one, window, yes, no := int64(0), int64(1), 20*time.Minute, true, false
	put := func(name, text string, expected *int64) {
		made, err := p.Put(ctx, client.PolicyPut{Name: name, Text: text, Expected: expected})
		say("put", err, made.Name, made.Version, made.Bytes, made.SHA256, made.Text, made.Statements, len(made.Versions), made.Created.IsZero())
	}
	put("freeze", text, &zero)
	put("freeze", text, &zero)
	put("freeze", "forbid(", nil)
	put("freeze", text+" ", &one)
	put("other", text, nil)
	for _, version := range []int64{0, 1, 9} {
		got, err := p.Get(ctx, "freeze", version)
		say("get", err, got.Version, got.Text, got.Statements, len(got.Versions))
	}
	page, err := p.List(ctx, 1, "")
	say("list", err, len(page.Items), page.Items[0].Name, page.Next != "")
	page, err = p.List(ctx, 1, page.Next)
	say("list", err, len(page.Items), page.Items[0].Name, page.Next)
	say("delete", p.Delete(ctx, "freeze", &one))
	person, age := client.Person, 30*time.Second
	decisions, err := p.Test(ctx, client.PolicyTest{
		Drafts: []client.PolicyDraft{{Name: "other"}, {Name: "draft", Text: `forbid(principal, action == Action::"update", resource);`}},
		Cases: []client.PolicyCase{
			{Principal: "eve", Kind: &person, Grants: []client.Grant{{Role: client.Writer}}, Action: "read", Secret: "a", MFAAge: &age, Address: "10.0.0.1"},
			{Principal: "eve", Kind: &person, Grants: []client.Grant{{Role: client.Writer}}, Action: "update", Secret: "a", Tags: map[string]string{}},
			{Principal: "admin", Action: "read", Secret: "a", Time: time.Unix(1, 0)},
		},
	})
	say("test", err, decisions)
	_, err = p.Test(ctx, client.PolicyTest{Cases: []client.PolicyCase{{Principal: "nobody", Action: "read", Secret: "a"}}})
	say("test", err)
	settings, err := p.UpdateSettings(ctx, client.SettingsPatch{MFAWindow: &window, MFAForRead: &yes, MFAForLogin: &no, Expected: &zero})
	say("settings", err, settings)
	_, err = p.UpdateSettings(ctx, client.SettingsPatch{Expected: &zero})
	say("settings", err)
	settings, err = p.Settings(ctx)
	say("settings", err, settings, settings.Window())

	all, err := a.Explain(ctx, client.ExplainQuery{Principal: "admin", Action: "read", Secret: "a", Address: "::1"})
	say("explain", err, len(all), all[0].Decision, len(all[0].CredentialIDs), all[0].CredentialIDs[0])
	_, err = a.Explain(ctx, client.ExplainQuery{Principal: "nobody", Action: "read", Secret: "a"})
	say("explain", err)
	_, err = a.Denial(ctx, "")
	say("denial", err)
	_, err = a.Denial(ctx, "none/such")
	say("denial", err)
	who, err := a.Who(ctx, client.WhoQuery{Secret: "a", Limit: 10})
	say("who", err, who)
	reviewed, err := a.Review(ctx, client.ReviewQuery{Limit: 10})
	for _, r := range reviewed.Items {
		say("review", err, r.Principal, r.Kind, r.Grants, r.Factors, r.Disabled.IsZero(), len(r.Credentials), r.Credentials[0].Kind, r.Credentials[0].Grants)
	}
	say("delete", p.Delete(ctx, "freeze", nil))
	say("delete", p.Delete(ctx, "freeze", nil))
	return lines
}

// TestSameRulesSameAnswers tells one story through the library and through a
// server, each in a tenant of its own.
func TestSameRulesSameAnswers(t *testing.T) {
	v, caller, c := open(t)
	for _, tenant := range []client.TenantName{"library", "server"} {
		made, err := c.Operator().CreateTenant(t.Context(), tenant, "")
		if err != nil {
			t.Fatal(err)
		}
		made.Release()
	}
	want := ruling(t.Context(), v.Session(caller, "library").Policies(), v.Session(caller, "library").Access())
	got := ruling(t.Context(), c.Session("server").Policies(), c.Session("server").Access())
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-library +server):\n%s", diff)
	}
	if len(want) < 22 {
		t.Errorf("the story is not whole:\n%s", strings.Join(want, "\n"))
	}
}

// TestDenied: the error of a refused caller has the id under which a reviewer
// hears why.
func TestDenied(t *testing.T) {
	_, _, config, c := openWith(t, nil)
	ctx, s := t.Context(), shop(t, c)
	if _, err := s.Put(ctx, "db", client.Put{Value: value(t, "v")}); err != nil {
		t.Fatal(err)
	}
	token, err := s.Credentials().Create(ctx, client.TokenSpec{Principal: "ci", Grants: []client.Grant{{Role: client.Reader}}})
	if err != nil {
		t.Fatal(err)
	}
	config.Token = token.Token
	defer token.Token.Release()
	ci, err := client.New(config)
	if err != nil {
		t.Fatal(err)
	}
	defer ci.Close()
	freeze := client.PolicyPut{Name: "freeze", Text: `forbid(principal, action == Action::"read", resource);`}
	if _, err := s.Policies().Put(ctx, freeze); err != nil {
		t.Fatal(err)
	}
	var refused *client.Error
	if _, err := ci.Session("shop").Get(ctx, "db", client.Selector{}); !errors.As(err, &refused) || !errors.Is(err, client.ErrAccessDenied) {
		t.Fatal(err)
	}
	d, err := s.Access().Denial(ctx, refused.CorrelationID)
	if err != nil || d.ID != refused.CorrelationID || d.Principal != "ci" || d.CredentialID != token.ID || d.Secret != "db" ||
		d.Reason != `denied by policy "freeze"` || d.Now == nil || d.Now.Effect != client.Deny || d.Now.Statements[0].ID != "freeze" {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := ci.Session("shop").Access().Denial(ctx, refused.CorrelationID); !errors.Is(err, client.ErrAccessDenied) {
		t.Errorf("the refused one asks: %v", err)
	}
	var table strings.Builder
	if err := s.Access().ReviewTable(ctx, &table); err != nil || !strings.HasPrefix(table.String(), "principal,kind,") ||
		!strings.Contains(table.String(), "\r\nci,service,,,,,") || !strings.Contains(table.String(), token.ID+",token,,reader,") {
		t.Errorf("%s, %v", table.String(), err)
	}
	if err := ci.Session("shop").Access().ReviewTable(ctx, &table); !errors.Is(err, client.ErrAccessDenied) {
		t.Errorf("the table: %v", err)
	}
	if schema, err := s.Policies().Schema(ctx); err != nil || !strings.Contains(string(schema), "entity Secret") {
		t.Errorf("schema %.80s, %v", schema, err)
	}
	for _, name := range []string{"", "..", "A", "a/b"} {
		if _, err := s.Policies().Get(ctx, name, 0); !errors.Is(err, client.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
	odd := 90 * time.Second
	if _, err := s.Policies().UpdateSettings(ctx, client.SettingsPatch{MFAWindow: &odd}); !errors.Is(err, client.ErrInvalid) {
		t.Errorf("a window of 90 s: %v", err)
	}
}
