package main_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// previousRelease is the commit that stands for it until there are releases: the
// one that ended the work before that on several nodes. It moves on with each
// release, and never further than one back.
const previousRelease = "2ce75f358e7390e5aebfb6b17323eb6c8ea3b2bb"

// TestDowngrade has the previous release work on what this one has made: after
// it, and on PostgreSQL beside it, and then this one again.
func TestDowngrade(t *testing.T) {
	t.Parallel()
	old := buildPrevious(t)
	t.Run("sqlite", func(t *testing.T) {
		h := newHandover(t, "sqlite:"+t.TempDir())
		for _, b := range []string{program, old, program} {
			h.turn(t, b)
		}
		h.prove(t)
	})
	t.Run("postgres", func(t *testing.T) {
		h := newHandover(t, databaseURL(t))
		for _, b := range []string{program, old} {
			h.turn(t, b)
		}
		h.together(t, program, old)
		h.turn(t, program)
		h.prove(t)
	})
	t.Run("upgrade", func(t *testing.T) {
		h := &handover{store: "sqlite:" + t.TempDir()}
		h.init(t, old)
		h.turn(t, old)
		h.turn(t, program)
		h.prove(t)
	})
}

// TestNodesStartAtOnce starts several servers at once on an empty database and
// on one that the previous release has made.
func TestNodesStartAtOnce(t *testing.T) {
	t.Parallel()
	old := buildPrevious(t)
	for name, build := range map[string]string{"empty": "", "of the previous release": old} {
		t.Run(name, func(t *testing.T) {
			h := &handover{store: databaseURL(t)}
			if build != "" {
				h.init(t, build)
				h.turn(t, build)
			}
			var nodes [4]*server
			for i := range nodes {
				nodes[i] = h.begin(t, program)
			}
			for _, n := range nodes {
				n.until(t, "readiness", func() bool { return isReady(n.address) })
			}
			if build == "" {
				h.init(t, program)
			}
			for _, n := range nodes {
				h.work(t, program, n)
			}
			conn, err := pgx.Connect(t.Context(), h.store)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(t.Context())
			var holder string
			if err := conn.QueryRow(t.Context(), "SELECT holder FROM schema_version").Scan(&holder); err != nil || holder != "" {
				t.Errorf("the lease on the schema stays with %q, error %v", holder, err)
			}
			h.prove(t)
		})
	}
}

// buildPrevious builds the previous release from the repository's history, once.
func buildPrevious(t *testing.T) string {
	t.Helper()
	program, err := previous()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

var previous = sync.OnceValues(func() (string, error) {
	// A repository of another user is read too: nothing of its settings is run.
	archive := exec.Command("git", "-c", "safe.directory=*", "-C", "../..", "archive", "--format=tar", previousRelease)
	var stdout, stderr bytes.Buffer
	archive.Stdout, archive.Stderr = &stdout, &stderr
	if err := archive.Run(); err != nil {
		return "", fmt.Errorf("the previous release is not in this repository's history (%w: %s); if it is shallow: git fetch --unshallow origin", err, &stderr)
	}
	source, to := filepath.Join(built, "previous"), filepath.Join(built, "fastness-previous")
	if err := unpack(source, &stdout); err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-X fastness/internal/cli.version=previous", "-o", to, "./cmd/fastness")
	build.Dir = source
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOEXPERIMENT=runtimesecret", "GOFLAGS=", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the previous release: %w\n%s", err, out)
	}
	return to, nil
})

// unpack writes an archive's folders and files.
func unpack(dir string, from io.Reader) error {
	for in := tar.NewReader(from); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(path, 0o700)
		case tar.TypeReg:
			var content []byte
			if content, err = io.ReadAll(in); err == nil {
				err = os.WriteFile(path, content, 0o600)
			}
		}
		if err != nil {
			return err
		}
	}
}

// handover is a deployment that goes from one release to another and back.
type handover struct {
	store  string
	tokens []string // the operator's, and those that each release has made
	keys   []byte   // the log's
	values map[string]string
	turns  int
}

// newHandover makes a deployment of this release.
func newHandover(t *testing.T, store string) *handover {
	h := &handover{store: store}
	h.init(t, program)
	return h
}

func (h *handover) init(t *testing.T, build string) {
	t.Helper()
	out := runBuild(t, build, []string{"SECRETS_MASTER_KEY=" + masterKey}, nil, "operator", "init", "--store", h.store, "--json").succeed(t)
	h.values = make(map[string]string)
	h.addToken(t, out)
}

func (h *handover) addToken(t *testing.T, made []byte) {
	t.Helper()
	var token struct{ Token string }
	if err := json.Unmarshal(made, &token); err != nil || token.Token == "" {
		t.Fatalf("no token in %q, error %v", made, err)
	}
	h.tokens = append(h.tokens, token.Token)
}

// begin starts a release's server.
func (h *handover) begin(t *testing.T, build string) *server {
	t.Helper()
	address := freeAddress(t)
	env := []string{"SECRETS_MASTER_KEY=" + masterKey, "FASTNESS_STORE=" + h.store}
	return &server{process: startBuild(t, build, env, "server", "--listen", address), address: "http://" + address}
}

// turn lets a release have the deployment for a while.
func (h *handover) turn(t *testing.T, build string) {
	t.Helper()
	s := h.begin(t, build)
	s.until(t, "readiness", func() bool { return isReady(s.address) })
	h.work(t, build, s)
	s.stop(t)
}

// together lets releases work at the same time.
func (h *handover) together(t *testing.T, builds ...string) {
	t.Helper()
	servers := make([]*server, len(builds))
	for i, b := range builds {
		servers[i] = h.begin(t, b)
	}
	for range 2 {
		for i, s := range servers {
			s.until(t, "readiness", func() bool { return isReady(s.address) })
			h.work(t, builds[i], s)
		}
	}
	for _, s := range servers {
		s.stop(t)
	}
}

// work expects all that other releases have left, with every token that they have
// made, and leaves something of everything.
func (h *handover) work(t *testing.T, build string, s *server) {
	t.Helper()
	as := func(token, tenant, stdin string, args ...string) outcome {
		t.Helper()
		return runBuild(t, build, clientEnv(s.address, token, tenant), []byte(stdin), args...)
	}
	operator, n := h.tokens[0], h.turns
	h.turns++
	if n == 0 {
		as(operator, "", "", "tenant", "create", "shop").succeed(t)
		h.keys = as(operator, "", "", "audit", "keys").succeed(t)
	}
	for _, token := range h.tokens {
		for name, want := range h.values {
			if got := as(token, "shop", "", "get", name).succeed(t); string(got) != want {
				t.Errorf("turn %d: %s holds %q, want %q", n, name, got, want)
			}
		}
	}
	h.write(t, n, func(stdin string, args ...string) outcome { t.Helper(); return as(operator, "shop", stdin, args...) })
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, h.keys, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{"", "shop"} {
		bundle := as(operator, tenant, "", "audit", "export").succeed(t)
		for _, verifier := range []string{build, program} {
			runBuild(t, verifier, nil, bundle, "audit", "verify", "--keys", keys, "-").succeed(t)
		}
	}
}

// write changes secrets of both algorithms that another turn has made, rotates
// one, and makes a token, a key and a policy.
func (h *handover) write(t *testing.T, n int, on func(stdin string, args ...string) outcome) {
	t.Helper()
	for _, algorithm := range []string{"aes-256-gcm", "hybrid-quantum"} {
		name, value := "of/"+algorithm, fmt.Sprintf("%s of turn %d", algorithm, n)
		before := h.values[name]
		on(value, "put", name, "--algorithm", algorithm).succeed(t)
		h.values[name] = value
		if before != "" {
			if got := on("", "get", name, "--stage", "previous").succeed(t); string(got) != before {
				t.Errorf("turn %d: the version before of %s holds %q, want %q", n, name, got, before)
			}
		}
	}
	const rotated = "rotated/api-key"
	if n == 0 {
		on("by hand", "put", rotated).succeed(t)
		on("", "rotation", "set", rotated, "--rotator", "api-key").succeed(t)
	}
	on("", "rotate", rotated, "--wait").succeed(t)
	got := string(on("", "get", rotated).succeed(t))
	if got == h.values[rotated] || len(got) != 64 || strings.Trim(got, "0123456789abcdef") != "" {
		t.Errorf("turn %d: the rotated secret holds %q", n, got)
	}
	h.values[rotated] = got
	on("", "key", "rotate").succeed(t)
	h.addToken(t, on("", "token", "create", fmt.Sprint("reader-", n), "--grant", "reader", "--json").succeed(t))
	on("", "accesskey", "create", fmt.Sprint("key-", n), "--grant", "reader").succeed(t)
}

// prove backs the deployment up and verifies it: every sealed part opens, and
// the log is computed anew.
func (h *handover) prove(t *testing.T) {
	t.Helper()
	pair, file := newKeyPair(t), filepath.Join(t.TempDir(), "backup.age")
	runServerSide(t, "backup", "create", file, "--store", h.store, "--recipient", pair.recipient).succeed(t)
	runServerSide(t, "backup", "verify", file, "--identity", pair.identity).succeed(t)
}
