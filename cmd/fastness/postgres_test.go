package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"fastness/internal/testservers"
)

// TestNodes runs two servers on one PostgreSQL. What one of them does, the next
// request to the other sees; both write the one log, which verifies whole.
func TestNodes(t *testing.T) {
	t.Parallel()
	database := testservers.StartPostgres(t, testservers.Options{})
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(database.Admin, testservers.AdminPassword),
		Host: database.Address(), Path: "postgres", RawQuery: "sslmode=disable",
	}
	var made struct{ Token string }
	out := runServerSide(t, "operator", "init", "--store", u.String(), "--json").succeed(t)
	if err := json.Unmarshal(out, &made); err != nil || made.Token == "" {
		t.Fatalf("operator init printed %q, error %v", out, err)
	}
	var nodes [2]*server
	for i := range nodes {
		address := freeAddress(t)
		nodes[i] = &server{
			process: start(t, []string{"SECRETS_MASTER_KEY=" + masterKey, "FASTNESS_STORE=" + u.String()}, "server", "--listen", address),
			address: "http://" + address,
		}
	}
	for _, n := range nodes {
		n.until(t, "readiness", func() bool { return isReady(n.address) })
	}
	on := func(i int, tenant string, stdin string, args ...string) outcome {
		t.Helper()
		return run(t, clientEnv(nodes[i].address, made.Token, tenant), []byte(stdin), args...)
	}
	on(0, "", "", "tenant", "create", "shop").succeed(t)
	for i := range 6 {
		value := fmt.Sprintf("value %d", i)
		on(i%2, "shop", value, "put", "db/password").succeed(t)
		if got := on(1-i%2, "shop", "", "get", "db/password").succeed(t); string(got) != value {
			t.Errorf("the other node reads %q, want %q", got, value)
		}
	}
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, on(1, "", "", "audit", "keys").succeed(t), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range nodes {
		for _, tenant := range []string{"", "shop"} {
			bundle := on(i, tenant, "", "audit", "export").succeed(t)
			run(t, nil, bundle, "audit", "verify", "--keys", keys, "-").succeed(t)
			if !bytes.Contains(bundle, []byte("db/password")) {
				t.Errorf("the log of %q has lost what was done", tenant)
			}
		}
	}
	t.Run("one node gone", func(t *testing.T) {
		nodes[0].cmd.Process.Kill()
		<-nodes[0].ended
		bundle := on(1, "shop", "", "audit", "export").succeed(t)
		run(t, nil, bundle, "audit", "verify", "--keys", keys, "-").succeed(t)
	})
}
