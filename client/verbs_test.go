package client_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fastness"
	"fastness/client"
	"fastness/internal/server"
	"fastness/internal/teststore"
)

// secrets are the verbs that the library's session and the client's share.
type secrets interface {
	Put(context.Context, client.Name, client.Put) (client.Written, error)
	Get(context.Context, client.Name, client.Selector) (*client.Reading, error)
	Describe(context.Context, client.Name) (client.Info, error)
	List(context.Context, client.ListQuery) (client.Page[client.Info], error)
	Versions(context.Context, client.Name, int, string) (client.Page[client.VersionInfo], error)
	Update(context.Context, client.Name, client.Patch) (client.Info, error)
	MoveLabel(context.Context, client.Name, client.Move) (client.Info, error)
	Delete(context.Context, client.Name, time.Duration) (client.Info, error)
	Restore(context.Context, client.Name) (client.Info, error)
	Purge(context.Context, client.Name) error
	Rotate(context.Context, client.Name, client.Put) (client.Written, error)
	Tenant(context.Context) (client.TenantInfo, error)
}

var (
	_ secrets = (*client.Session)(nil)
	_ secrets = (*fastness.Session)(nil)
)

// open starts a server on a fresh vault and returns both faces of one tenant's
// operator.
func open(t *testing.T) (*fastness.Vault, *fastness.Caller, *client.Client) {
	t.Helper()
	v, caller, _, c := openWith(t, nil)
	return v, caller, c
}

// openWith is open for a vault that is not quite as others; it also returns where
// the server is.
func openWith(t *testing.T, change func(*fastness.Config)) (*fastness.Vault, *fastness.Caller, client.Config, *client.Client) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	key := fastness.NewValue([]byte(strings.Repeat("0123456789abcdef", 4)))
	defer key.Release()
	place := teststore.New(t)
	config := fastness.Config{Dir: place.Dir, Store: place.URL, MasterKey: key, Logger: log}
	if change != nil {
		change(&config)
	}
	v, err := fastness.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	caller := v.Local(fastness.Origin{CorrelationID: "test"})
	operator, err := v.Operator(caller).InitToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer operator.Token.Release()
	s, err := server.Listen(server.Config{Vault: v, Listen: "127.0.0.1:0", Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve()
	t.Cleanup(func() { s.Close() })
	c, err := client.New(client.Config{Address: s.URL(), Token: operator.Token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return v, caller, client.Config{Address: s.URL()}, c
}

// story does something of everything and writes down what came back.
func story(ctx context.Context, s secrets) (lines []string) {
	say := func(what string, err error, facts ...string) {
		line := what + ": " + strings.Join(facts, " ")
		if err != nil {
			code := "?"
			for name, sentinel := range map[string]error{
				"not found": client.ErrNotFound, "exists": client.ErrExists, "conflict": client.ErrConflict, "deleted": client.ErrDeleted,
				"invalid": client.ErrInvalid, "limit": client.ErrLimit, "no generator": client.ErrNoGenerator,
			} {
				if errors.Is(err, sentinel) {
					code = name
				}
			}
			line = what + ": " + code + ": " + err.Error()
			if code == "limit" {
				line = what + ": limit" // each front words its own
			}
		}
		lines = append(lines, line)
	}
	put := func(name client.Name, value string, p client.Put) {
		p.Value = client.NewValue([]byte(value))
		defer p.Value.Release()
		w, err := s.Put(ctx, name, p)
		created := "added"
		if w.Created {
			created = "created"
		}
		say("put", err, string(w.Name), w.Version.String(), created)
	}
	get := func(name client.Name, sel client.Selector) {
		r, err := s.Get(ctx, name, sel)
		if err != nil {
			say("get", err)
			return
		}
		defer r.Value.Release()
		say("get", nil, string(r.Name), r.Version.String(), string(r.Value.Bytes()))
	}
	info := func(what string, i client.Info, err error) {
		say(what, err, string(i.Name), i.Version.String(), i.Metadata.Description, i.Metadata.Tags["k"], string(i.Metadata.Algorithm), i.Deletion.Format(time.DateOnly))
	}

	token := client.Put{Token: "0123456789abcdef0123456789abcdef"}
	put("db/password", "one", client.Put{Patch: client.Patch{Tags: map[string]string{"k": "v"}}})
	put("db/password", "two", token)
	put("db/password", "two", token)
	put("db/password", "other", token)
	put("db/password", "three", client.Put{IfAbsent: true})
	put("other", "\x00\xff", client.Put{Kind: client.Binary, IfAbsent: true})
	get("db/password", client.Selector{})
	get("db/password", client.Selector{Number: 1})
	get("db/password", client.Selector{Label: client.Previous})
	get("db/password", client.Selector{ID: token.Token})
	get("db/password", client.Selector{Number: 9})
	get("gone", client.Selector{})
	page, err := s.List(ctx, client.ListQuery{Limit: 1})
	say("list", err, string(page.Items[0].Name))
	page, err = s.List(ctx, client.ListQuery{Limit: 1, Cursor: page.Next})
	say("list", err, string(page.Items[0].Name), page.Next)
	_, err = s.List(ctx, client.ListQuery{Limit: 501})
	say("list", err)
	description, hybrid := "new", client.HybridQuantum
	i, err := s.Update(ctx, "db/password", client.Patch{Description: &description, Algorithm: &hybrid, Tags: map[string]string{}})
	info("update", i, err)
	nowhere := client.Version(0)
	i, err = s.MoveLabel(ctx, "db/password", client.Move{Label: "canary", To: 1, From: &nowhere})
	info("move", i, err)
	i, err = s.MoveLabel(ctx, "db/password", client.Move{Label: "canary", To: 2, From: &nowhere})
	info("move", i, err)
	i, err = s.MoveLabel(ctx, "db/password", client.Move{Label: "canary"})
	info("move", i, err)
	i, err = s.Describe(ctx, "db/password")
	info("describe", i, err)
	versions, err := s.Versions(ctx, "db/password", 0, "")
	for _, v := range versions.Items {
		say("version", err, v.Version.String(), string(v.Algorithm))
	}
	w, err := s.Rotate(ctx, "db/password", client.Put{Value: client.NewValue([]byte("given"))})
	say("rotate", err, string(w.Name), w.Version.String())
	_, err = s.Rotate(ctx, "gone", client.Put{Value: client.NewValue([]byte("given"))})
	say("rotate", err)
	i, err = s.Delete(ctx, "db/password", 7*24*time.Hour)
	info("delete", i, err)
	get("db/password", client.Selector{})
	_, err = s.Delete(ctx, "db/password", 24*time.Hour)
	say("delete", err)
	i, err = s.Restore(ctx, "db/password")
	info("restore", i, err)
	_, err = s.Restore(ctx, "db/password")
	say("restore", err)
	say("purge", s.Purge(ctx, "db/password"))
	say("purge", s.Purge(ctx, "db/password"))
	return lines
}

// TestSameVerbsSameAnswers tells one story through the library and through a
// server, each in a tenant of its own.
func TestSameVerbsSameAnswers(t *testing.T) {
	v, caller, c := open(t)
	for _, tenant := range []client.TenantName{"library", "server"} {
		made, err := c.Operator().CreateTenant(t.Context(), tenant, "")
		if err != nil {
			t.Fatal(err)
		}
		made.Release()
	}
	want := story(t.Context(), v.Session(caller, "library"))
	got := story(t.Context(), c.Session("server"))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-library +server):\n%s", diff)
	}
	if len(want) < 30 || strings.Contains(strings.Join(want, "\n"), ": ?: ") {
		t.Errorf("the story is not whole:\n%s", strings.Join(want, "\n"))
	}
}

func TestAdministration(t *testing.T) {
	_, _, c := open(t)
	ctx := t.Context()
	o := c.Operator()
	made, err := o.CreateTenant(ctx, "shop", client.HybridQuantum)
	if err != nil {
		t.Fatal(err)
	}
	if made.Token.Len() == 0 || made.SecretAccessKey.Len() != 40 || made.Name != "shop" {
		t.Errorf("made %+v", made)
	}
	made.Release()
	if _, err := o.CreateTenant(ctx, "shop", ""); !errors.Is(err, client.ErrExists) {
		t.Errorf("again: %v", err)
	}
	info, err := o.Suspend(ctx, "shop")
	if err != nil || info.State.String() != "suspended" || info.Algorithm != client.HybridQuantum {
		t.Errorf("suspended: %+v, %v", info, err)
	}
	s := c.Session("shop")
	if _, err := o.SetQuotas(ctx, "shop", client.Quotas{Secrets: 7, RequestRate: 5}, nil); err != nil {
		t.Error(err)
	}
	if q, err := s.Quotas(ctx); err != nil || q.Effective() != (client.Quotas{Secrets: 7, RequestRate: 5, RequestBurst: 5}) || q.Use.Principals != 1 {
		t.Errorf("quotas: %+v, %v", q, err)
	}
	if _, err := s.Describe(ctx, "a"); !errors.Is(err, client.ErrSuspended) {
		t.Errorf("a suspended tenant: %v", err)
	}
	if info, err = o.Resume(ctx, "shop"); err != nil || info.State.String() != "active" {
		t.Errorf("resumed: %+v, %v", info, err)
	}

	token, err := s.Credentials().Create(ctx, client.TokenSpec{
		Principal: "ci", Grants: []client.Grant{{Role: client.Reader, Patterns: []string{"a*"}}}, Service: "web", Environment: "prod", TTL: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	token.Token.Release()
	if until := time.Until(token.Expires); until > time.Hour || until < 50*time.Minute {
		t.Errorf("expires in %v", until)
	}
	list, err := s.Credentials().List(ctx, client.CredentialQuery{})
	if err != nil || len(list.Items) != 3 {
		t.Fatalf("credentials %+v, %v", list, err)
	}
	if err := s.Credentials().Revoke(ctx, token.ID); err != nil {
		t.Error(err)
	}
	if err := s.Credentials().Revoke(ctx, "tok_aaaaaaaaaaaaaaaa"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("revoking nothing: %v", err)
	}
	if n, rewrapped, err := s.RotateKey(ctx); err != nil || n != 2 || rewrapped != 0 {
		t.Errorf("key %d, %d re-wrapped, %v", n, rewrapped, err)
	}
	page, err := o.Tenants(ctx, 1, "")
	if err != nil || len(page.Items) != 1 {
		t.Errorf("tenants %+v, %v", page, err)
	}
	if err := o.Erase(ctx, "shop"); err != nil {
		t.Error(err)
	}
	if info, err := o.Tenant(ctx, "shop"); err == nil && info.State.String() != "erased" {
		t.Errorf("erased: %+v", info)
	}
}

func TestAuditOverHTTP(t *testing.T) {
	_, _, c := open(t)
	ctx := t.Context()
	made, err := c.Operator().CreateTenant(ctx, "shop", "")
	if err != nil {
		t.Fatal(err)
	}
	made.Release()
	log := c.Session("shop").Audit()
	if _, err := c.Session("shop").Describe(ctx, "gone"); !errors.Is(err, client.ErrNotFound) {
		t.Fatal(err)
	}
	page, err := log.List(ctx, client.AuditQuery{Newest: true, Limit: 1})
	if err != nil || len(page.Items) != 1 || page.Items[0].SecretName != "gone" || page.Next == "" {
		t.Fatalf("entries %+v, %v", page, err)
	}
	keys, err := log.Keys(ctx)
	if err != nil {
		t.Fatal(err)
	}
	note, err := log.Checkpoint(ctx)
	if err != nil || !strings.HasPrefix(string(note), keys.Origin) {
		t.Errorf("checkpoint %q, %v", note, err)
	}
	if latest, err := log.Latest(ctx); err != nil || !strings.HasPrefix(string(latest), keys.Origin) {
		t.Errorf("latest %q, %v", latest, err)
	}
	var bundle strings.Builder
	if err := log.Export(ctx, &bundle, client.ExportOptions{Nonce: "n", Since: note}); err != nil || !strings.Contains(bundle.String(), `"nonce":"n"`) {
		t.Errorf("bundle %.100q, %v", bundle.String(), err)
	}
	if err := log.Export(ctx, io.Discard, client.ExportOptions{Since: []byte("x")}); !errors.Is(err, client.ErrInvalid) {
		t.Errorf("an export since nonsense: %v", err)
	}
	if n, err := log.Redact(ctx, client.RedactQuery{Secret: "gone"}); err != nil || n != 1 {
		t.Errorf("redacted %d, %v", n, err)
	}

	tail, cancel := context.WithCancel(ctx)
	defer cancel()
	enough := errors.New("enough")
	seen := 0
	err = c.Operator().Audit().Tail(tail, 0, func(e client.Entry) error {
		if seen++; e.Index != int64(seen) {
			t.Errorf("entry %d comes as number %d", e.Index, seen)
		}
		if seen == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("tail ends with %v", err)
	}
	err = log.Tail(tail, -1, func(client.Entry) error { cancel(); return nil })
	if err != nil {
		t.Errorf("a tail that was called off: %v", err)
	}
}
