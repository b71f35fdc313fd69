package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"fastness/client"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/server"
)

func newClient(t *testing.T, s *server.Server, token *secretbuf.Buffer) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{Address: s.URL(), Token: token, TLS: &tls.Config{InsecureSkipVerify: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// do fails the test for an error of the call that made v.
func do[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestClientTour takes every verb of the Go client to a real server, over TLS.
func TestClientTour(t *testing.T) {
	cert, key := writePair(t, t.TempDir(), 1)
	s, token := start(t, server.Config{Certificate: cert, Key: key})
	ctx := t.Context()
	operator := newClient(t, s, secretbuf.Take([]byte(token))).Operator()
	made := do[*client.NewTenant](t)(operator.CreateTenant(ctx, "acme", secret.HybridQuantum))
	defer made.Release()
	c := newClient(t, s, made.Token)
	if i := do[client.Identity](t)(c.WhoAmI(ctx)); i.Tenant != "acme" || i.Operator {
		t.Errorf("identity: %+v", i)
	}
	tourSecrets(t, c)
	tourAudit(t, c)

	credentials := c.Session("").Credentials()
	spec := client.TokenSpec{Principal: "ci", Grants: []policy.Grant{{Role: policy.Reader, Patterns: []string{"shown/*"}}}, TTL: time.Hour}
	reader := do[*client.NewToken](t)(credentials.Create(ctx, spec))
	defer reader.Token.Release()
	if _, err := newClient(t, s, reader.Token).Session("").Get(ctx, "db/password", client.Selector{}); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("hidden: %v", err)
	}
	if p := do[client.Page[client.TokenInfo]](t)(credentials.List(ctx, client.CredentialQuery{})); len(p.Items) != 3 {
		t.Errorf("credentials: %+v", p)
	}
	if err := credentials.Revoke(ctx, reader.ID); err != nil {
		t.Error(err)
	}
	quotas := do[client.QuotaInfo](t)(operator.SetQuotas(ctx, "acme", client.Quotas{Secrets: 1}, nil))
	if again := do[client.QuotaInfo](t)(c.Session("").Quotas(ctx)); again != quotas || again.Own.Secrets != 1 || again.Revision != 1 {
		t.Errorf("quotas: %+v, then %+v", quotas, again)
	}
	if _, err := operator.SetQuotas(ctx, "acme", client.Quotas{}, new(int64)); !errors.Is(err, secret.ErrConflict) {
		t.Errorf("quotas that have changed: %v", err)
	}
	do[client.TenantInfo](t)(operator.Suspend(ctx, "acme"))
	if _, err := c.Session("").Get(ctx, "db/password", client.Selector{}); !errors.Is(err, secret.ErrSuspended) {
		t.Errorf("suspended: %v", err)
	}
	do[client.TenantInfo](t)(operator.Resume(ctx, "acme"))
	if _, err := operator.RotateRoot(ctx); err == nil {
		t.Error("the root key changed without a new one")
	}
	do[audit.KeySet](t)(operator.Audit().RotateKeys(ctx))
	if p := do[client.Page[client.TenantInfo]](t)(operator.Tenants(ctx, 0, "")); len(p.Items) != 1 {
		t.Errorf("tenants: %+v", p)
	}
	if err := operator.Erase(ctx, "acme"); err != nil {
		t.Error(err)
	}
	if _, err := c.WhoAmI(ctx); !errors.Is(err, secret.ErrUnauthenticated) {
		t.Errorf("erased: %v", err)
	}
}

func tourSecrets(t *testing.T, c *client.Client) {
	t.Helper()
	ctx, session := t.Context(), c.Session("")
	const name = "db/password"
	value := secretbuf.Take([]byte("with \"quotes\", \\ and ü\n"))
	defer value.Release()
	first := do[client.Written](t)(session.Put(ctx, name, client.Put{Value: value}))
	if !first.Created || first.Version != 1 {
		t.Errorf("first write: %+v", first)
	}
	got := do[*client.Reading](t)(session.Get(ctx, name, client.Selector{}))
	defer got.Value.Release()
	if !secretbuf.Equal(got.Value, value) || got.VersionID != first.VersionID {
		t.Errorf("read: %+v", got)
	}
	if w := do[client.Written](t)(session.Rotate(ctx, name, client.Put{})); w.Version != 2 {
		t.Errorf("rotated: %+v", w)
	}
	description := "main"
	if i := do[client.Info](t)(session.Update(ctx, name, client.Patch{Description: &description})); i.Metadata.Description != "main" {
		t.Errorf("updated: %+v", i)
	}
	zero := secret.Version(0)
	move := client.Move{Label: "blue/green", To: 1, From: &zero}
	if i := do[client.Info](t)(session.MoveLabel(ctx, name, move)); i.Labels["blue/green"] != 1 {
		t.Errorf("moved: %+v", i)
	}
	one := secret.Version(1)
	do[client.Info](t)(session.MoveLabel(ctx, name, client.Move{Label: "blue/green", From: &one}))
	do[client.Info](t)(session.MoveLabel(ctx, name, client.Move{Label: "blue/green", From: &zero}))
	if p := do[client.Page[client.VersionInfo]](t)(session.Versions(ctx, name, 1, "")); len(p.Items) != 1 || p.Next == "" {
		t.Errorf("versions: %+v", p)
	}
	if i := do[client.Info](t)(session.Describe(ctx, name)); i.Version != 2 || i.Metadata.Algorithm != secret.HybridQuantum {
		t.Errorf("described: %+v", i)
	}
	do[client.Page[client.Info]](t)(session.Due(ctx, 0, ""))
	do[client.Info](t)(session.Delete(ctx, name, 7*24*time.Hour))
	if p := do[client.Page[client.Info]](t)(session.List(ctx, client.ListQuery{Deleted: true})); len(p.Items) != 1 {
		t.Errorf("deleted: %+v", p)
	}
	do[client.Info](t)(session.Restore(ctx, name))
	if number, rewrapped, err := session.RotateKey(ctx); err != nil || number != 2 || rewrapped != 2 {
		t.Errorf("key rotation: %d %d %v", number, rewrapped, err)
	}
	do[client.Written](t)(session.Put(ctx, "gone", client.Put{Value: value, Kind: secret.Binary}))
	if err := session.Purge(ctx, "gone"); err != nil {
		t.Error(err)
	}
}

func tourAudit(t *testing.T, c *client.Client) {
	t.Helper()
	ctx, log := t.Context(), c.Session("").Audit()
	keys := do[audit.KeySet](t)(log.Keys(ctx))
	since := do[[]byte](t)(log.Checkpoint(ctx))
	do[[]byte](t)(log.Latest(ctx))
	page := do[client.AuditPage](t)(log.List(ctx, client.AuditQuery{Filter: audit.Filter{Action: audit.Read}}))
	if len(page.Items) != 1 {
		t.Fatalf("reads: %+v", page.Items)
	}
	inclusion := do[*audit.Inclusion](t)(audit.ParseInclusion(do[[]byte](t)(log.Inclusion(ctx, page.Items[0].Index, 0))))
	do[audit.SignedCheckpoint](t)(inclusion.Verify(keys))
	do[*audit.Consistency](t)(audit.ParseConsistency(do[[]byte](t)(log.Consistency(ctx, 1, 0))))
	var bundle bytes.Buffer
	if err := log.Export(ctx, &bundle, client.ExportOptions{Nonce: "tour", Since: since}); err != nil {
		t.Fatal(err)
	}
	do[*audit.Report](t)(audit.Verify(&bundle, keys, audit.Options{Since: since, Nonce: "tour"}))
	stop := errors.New("seen enough")
	tail, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := log.Tail(tail, 0, func(client.Entry) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("tail: %v", err)
	}
	if n := do[int](t)(log.Redact(ctx, client.RedactQuery{Secret: "gone"})); n != 2 {
		t.Errorf("redacted %d entries", n)
	}
}
