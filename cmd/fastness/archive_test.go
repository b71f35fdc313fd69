package main_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestArchiveKilled kills `fastness audit archive`, and then the server under it, at any
// moment, many times. Whatever it left, the next one goes on from: in the end archive and
// store together have the whole log, and so has the deployment that it is moved to.
func TestArchiveKilled(t *testing.T) {
	t.Parallel()
	const rounds, entries = 12, 200
	dir, archive := t.TempDir(), filepath.Join(t.TempDir(), "archive")
	operator := makeOperator(t, dir)
	env := func(s *server) []string { return clientEnv(s.address, operator, "") }
	arguments := []string{"audit", "archive", archive, "--before", "1ms", "--yes"}

	s := startServer(t, dir)
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, run(t, env(s), nil, "audit", "keys").succeed(t), 0o600); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	run(t, env(s), nil, arguments...).succeed(t)
	usual := 2 * time.Since(begun) // with as little to do
	for round := range rounds {
		api := &api{base: s.address, token: operator}
		for n := range entries {
			api.do(t, http.StatusNotFound, http.MethodGet, valuePath("none", fmt.Sprintf("round-%d/%d", round, n)), nil)
		}
		api.do(t, http.StatusOK, http.MethodPost, "/api/v1/audit/checkpoint", nil)
		client := start(t, env(s), arguments...)
		time.Sleep(rand.N(usual))
		if round%2 == 0 {
			client.kill()
			continue
		}
		s.kill()
		client.kill()
		s = startServer(t, dir)
	}
	run(t, env(s), nil, arguments...).succeed(t)
	verified := func(arg string, stdin []byte) {
		t.Helper()
		out := run(t, nil, stdin, "audit", "verify", "--keys", keys, arg).succeed(t)
		t.Logf("%s", bytes.TrimSpace(out))
	}
	verified(archive, nil)
	whole := run(t, env(s), nil, "audit", "export", "--deployment", "--archive", archive).succeed(t)
	verified("-", whole)
	if n := bytes.Count(whole, []byte("round-")); n < rounds*entries {
		t.Errorf("the log has %d entries of %d requests", n, rounds*entries)
	}
	run(t, env(s), nil, "audit", "export", "--deployment").fail(t, 1, "archive")
	s.stop(t)

	to := databaseURL(t)
	runServerSide(t, "migrate", "--from", "sqlite:"+dir, "--to", to).succeed(t)
	address := freeAddress(t)
	moved := &server{process: start(t, []string{"SECRETS_MASTER_KEY=" + masterKey}, "server", "--store", to, "--listen", address), address: "http://" + address}
	moved.until(t, "readiness", func() bool { return isReady(moved.address) })
	after := run(t, env(moved), nil, "audit", "export", "--deployment", "--archive", archive).succeed(t)
	verified("-", after)
	if n := bytes.Count(after, []byte("round-")); n < rounds*entries {
		t.Errorf("the log that was moved has %d entries of %d requests", n, rounds*entries)
	}
	run(t, env(moved), nil, arguments...).succeed(t)
	verified(archive, nil)
	moved.stop(t)
}
