package main_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// library is a folder of files that an auditor took home: keys, checkpoints
// and bundles.
type library struct {
	dir string
	env []string // of the deployment
}

// take runs a command and keeps what it prints.
func (l *library) take(t *testing.T, file string, args ...string) string {
	t.Helper()
	path := filepath.Join(l.dir, file)
	l.write(t, path, run(t, l.env, nil, args...).succeed(t))
	return path
}

func (l *library) write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// verify runs the verifier, which is given no address and no credential.
func verify(t *testing.T, args ...string) outcome {
	t.Helper()
	return run(t, []string{"FASTNESS_ADDR=http://127.0.0.1:1"}, nil, append([]string{"audit", "verify"}, args...)...)
}

// auditedDeployment makes a deployment with a log worth stealing from.
func auditedDeployment(t *testing.T) *library {
	t.Helper()
	d := startDev(t)
	l := &library{dir: t.TempDir(), env: clientEnv(d.Address, d.Token, d.Tenant)}
	run(t, l.env, []byte("one"), "put", "db/password").succeed(t)
	run(t, l.env, []byte("two"), "put", "db/password").succeed(t)
	run(t, l.env, nil, "get", "db/password").succeed(t)
	l.take(t, "keys", "audit", "keys")
	l.take(t, "older.bundle", "audit", "export", "--nonce", "older")
	l.take(t, "since", "audit", "checkpoint")
	run(t, l.env, nil, "get", "nothing").fail(t, 3)
	run(t, l.env, nil, "rotate", "db/password").succeed(t)
	run(t, clientEnv(d.Address, d.Token, ""), nil, "tenant", "create", "other").succeed(t)
	run(t, clientEnv(d.Address, d.Token, "other"), []byte("x"), "put", "theirs").succeed(t)
	run(t, l.env, nil, "get", "db/password", "--stage", "previous").succeed(t)
	l.take(t, "tenant.bundle", "audit", "export", "--nonce", "mine", "--since", filepath.Join(l.dir, "since"))
	l.take(t, "whole.bundle", "audit", "export", "--deployment", "--nonce", "mine")
	run(t, l.env, nil, "list").succeed(t)
	l.take(t, "newer", "audit", "checkpoint")
	d.stop(t)
	return l
}

// TestAudit verifies what a deployment exported after it is gone, and then
// what a thief made of it: each forgery must be refused by its name.
func TestAudit(t *testing.T) {
	l := auditedDeployment(t)
	keys, since, newer := filepath.Join(l.dir, "keys"), filepath.Join(l.dir, "since"), filepath.Join(l.dir, "newer")
	older := filepath.Join(l.dir, "older.bundle")
	verify(t, "--keys", keys, "--nonce", "older", older).succeed(t)
	verify(t, "--keys", keys, "--since", newer, older).fail(t, 1, "truncated tail")
	for _, whose := range []string{"tenant", "whole"} {
		t.Run(whose, func(t *testing.T) {
			bundle := filepath.Join(l.dir, whose+".bundle")
			text, err := os.ReadFile(bundle)
			if err != nil {
				t.Fatal(err)
			}
			verify(t, "--keys", keys, "--since", since, "--nonce", "mine", bundle).succeed(t)
			verify(t, "--keys", keys, "--nonce", "another", bundle).fail(t, 1, "nonce mismatch")
			verify(t, "--keys", keys, "--since", newer, bundle).fail(t, 1, "truncated tail")
			for _, f := range forgeries {
				t.Run(f.name, func(t *testing.T) {
					forged := filepath.Join(t.TempDir(), "bundle")
					content := f.forge(t, bytes.SplitAfter(bytes.Clone(text), []byte("\n")))
					if bytes.Equal(content, text) {
						t.Fatal("nothing was forged")
					}
					l.write(t, forged, content)
					verify(t, "--keys", keys, "--since", since, forged).fail(t, 1, f.want)
				})
			}
		})
	}
	t.Run("keys of another log", func(t *testing.T) {
		d := startDev(t)
		other := &library{dir: t.TempDir(), env: clientEnv(d.Address, d.Token, d.Tenant)}
		verify(t, "--keys", other.take(t, "keys", "audit", "keys"), filepath.Join(l.dir, "whole.bundle")).fail(t, 1, "wrong origin")
	})
}

// forgeries take a bundle's lines, the last of which is empty.
var forgeries = []struct {
	name, want string
	forge      func(t *testing.T, lines [][]byte) []byte
}{
	{"changed entry", "changed entry", func(t *testing.T, lines [][]byte) []byte {
		return replaceIn(t, lines, `"action":"read"`, `"action":"list"`)
	}},
	{"changed name", "bad commitment", func(t *testing.T, lines [][]byte) []byte {
		return replaceIn(t, lines, `"secretName":"nothing"`, `"secretName":"harmless"`)
	}},
	{"refusal made a success", "changed entry", func(t *testing.T, lines [][]byte) []byte {
		return replaceIn(t, lines, `"result":"not_found"`, `"result":"success"`)
	}},
	{"removed entry", "removed entry", func(_ *testing.T, lines [][]byte) []byte {
		return bytes.Join(slices.Delete(lines, 3, 4), nil)
	}},
	{"removed entry, and all numbers made to fit", "", func(t *testing.T, lines [][]byte) []byte {
		lines = slices.Delete(lines, 3, 4)
		return renumber(t, lines)
	}},
	{"reordered pair", "reordered entries", func(_ *testing.T, lines [][]byte) []byte {
		lines[2], lines[3] = lines[3], lines[2]
		return bytes.Join(lines, nil)
	}},
	{"entry twice", "reordered entries", func(_ *testing.T, lines [][]byte) []byte {
		return bytes.Join(slices.Insert(lines, 3, lines[2]), nil)
	}},
	{"truncated entries", "truncated tail", func(_ *testing.T, lines [][]byte) []byte {
		return bytes.Join(slices.DeleteFunc(lines, func(l []byte) bool {
			return bytes.Contains(l, []byte(`"action":"audit.export"`)) && bytes.Contains(l, []byte(`"mine"`))
		}), nil)
	}},
	{"no Ed25519 signature", "missing Ed25519 signature", func(t *testing.T, lines [][]byte) []byte {
		return resign(t, lines, func(ed, _ string) []string { return []string{"", ed} })
	}},
	{"no ML-DSA signature", "missing ML-DSA signature", func(t *testing.T, lines [][]byte) []byte {
		return resign(t, lines, func(_, ml string) []string { return []string{ml, ""} })
	}},
	{"bad Ed25519 signature", "bad Ed25519 signature", func(t *testing.T, lines [][]byte) []byte {
		return resign(t, lines, func(ed, _ string) []string { return []string{ed, spoil(t, ed)} })
	}},
	{"bad ML-DSA signature", "bad ML-DSA signature", func(t *testing.T, lines [][]byte) []byte {
		return resign(t, lines, func(_, ml string) []string { return []string{ml, spoil(t, ml)} })
	}},
	{"third signature", "second byte form", func(t *testing.T, lines [][]byte) []byte {
		return resign(t, lines, func(_, ml string) []string { return []string{ml, ml + "— a.stranger AAAAAAAA\n"} })
	}},
	{"space", "second byte form", func(t *testing.T, lines [][]byte) []byte {
		return replaceIn(t, lines, `,"seq":`, `, "seq":`)
	}},
	{"escape", "second byte form", func(t *testing.T, lines [][]byte) []byte {
		return replaceIn(t, lines, `"action":"read"`, `"action":"\u0072ead"`)
	}},
	{"fraction", "not well formed", func(t *testing.T, lines [][]byte) []byte {
		return replaceIn(t, lines, `"seq":2,`, `"seq":2.0,`)
	}},
	{"field twice", "second byte form", func(t *testing.T, lines [][]byte) []byte {
		return replaceIn(t, lines, `,"seq":2,`, `,"seq":2,"seq":2,`)
	}},
	{"carriage return", "second byte form", func(_ *testing.T, lines [][]byte) []byte {
		return bytes.ReplaceAll(bytes.Join(lines, nil), []byte("\n"), []byte("\r\n"))
	}},
	{"no last newline", "second byte form", func(_ *testing.T, lines [][]byte) []byte {
		return bytes.TrimSuffix(bytes.Join(lines, nil), []byte("\n"))
	}},
	{"line more", "second byte form", func(_ *testing.T, lines [][]byte) []byte {
		return append(bytes.Join(lines, nil), '\n')
	}},
}

// renumber makes a bundle that lost the entry of its line 3 look whole, as far
// as somebody without the log's keys can.
func renumber(t *testing.T, lines [][]byte) []byte {
	t.Helper()
	lower := func(line []byte, field string) []byte {
		var all map[string]any
		if err := json.Unmarshal(line, &all); err != nil {
			t.Fatal(err)
		}
		n := int(all[field].(float64))
		return bytes.Replace(line, fmt.Appendf(nil, `"%s":%d,`, field, n), fmt.Appendf(nil, `"%s":%d,`, field, n-1), 1)
	}
	lines[0] = lower(lower(lines[0], "entries"), "size")
	for i := 3; bytes.HasPrefix(lines[i], []byte(`{"index":`)); i++ {
		lines[i] = lower(lower(lines[i], "index"), "seq")
	}
	return bytes.Join(lines, nil)
}

// replaceIn replaces the first occurrence, which there must be.
func replaceIn(t *testing.T, lines [][]byte, old, with string) []byte {
	t.Helper()
	whole := bytes.Join(lines, nil)
	if !bytes.Contains(whole, []byte(old)) {
		t.Fatalf("the bundle has no %s", old)
	}
	return bytes.Replace(whole, []byte(old), []byte(with), 1)
}

// resign replaces a text within the bundle's checkpoint, which f chooses from
// its two signature lines.
func resign(t *testing.T, lines [][]byte, f func(ed25519, mldsa string) []string) []byte {
	t.Helper()
	last := len(lines) - 2
	var line struct {
		Checkpoint string `json:"checkpoint"`
	}
	if err := json.Unmarshal(lines[last], &line); err != nil {
		t.Fatal(err)
	}
	_, signatures, ok := strings.Cut(line.Checkpoint, "\n\n")
	parts := strings.SplitAfter(signatures, "\n")
	if !ok || len(parts) != 3 {
		t.Fatalf("checkpoint %q", line.Checkpoint)
	}
	change := f(parts[0], parts[1])
	if change[0] == "" {
		change = []string{change[1], ""}
	}
	line.Checkpoint = strings.Replace(line.Checkpoint, change[0], change[1], 1)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(line); err != nil {
		t.Fatal(err)
	}
	lines[last] = b.Bytes()
	return bytes.Join(lines, nil)
}

// spoil flips a bit of a signature and leaves the key's id before it.
func spoil(t *testing.T, line string) string {
	t.Helper()
	at := strings.LastIndexByte(line, ' ') + 1
	sig, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(line[at:], "\n"))
	if err != nil {
		t.Fatal(err)
	}
	sig[len(sig)-1] ^= 1
	return line[:at] + base64.StdEncoding.EncodeToString(sig) + "\n"
}

// TestAuditFork brings back an old copy of a whole deployment, root key and
// all, and goes on from there: what the first one had signed shows the fork.
func TestAuditFork(t *testing.T) {
	base := t.TempDir()
	first := filepath.Join(base, "first")
	d := startDev(t, "--data", first)
	l := &library{dir: t.TempDir(), env: clientEnv(d.Address, d.Token, d.Tenant)}
	run(t, l.env, []byte("one"), "put", "name").succeed(t)
	keys := l.take(t, "keys", "audit", "keys")
	early := l.take(t, "early", "audit", "checkpoint")
	d.stop(t)
	second := filepath.Join(base, "second")
	if err := os.CopyFS(second, os.DirFS(first)); err != nil {
		t.Fatal(err)
	}

	d = startDev(t, "--data", first)
	l.env = clientEnv(d.Address, d.Token, d.Tenant)
	run(t, l.env, nil, "get", "name").succeed(t)
	signed := l.take(t, "signed", "audit", "checkpoint")
	d.stop(t)

	if err := os.Chmod(filepath.Join(second, "root.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	d = startDev(t, "--data", second)
	l.env = clientEnv(d.Address, d.Token, d.Tenant)
	for range 8 { // more than the first had, so that its tree is no prefix for lack of size
		run(t, l.env, nil, "list").succeed(t)
	}
	whole := l.take(t, "whole", "audit", "export", "--deployment")
	tenant := l.take(t, "tenant", "audit", "export", "--since", signed)
	verify(t, "--keys", keys, whole).succeed(t)
	verify(t, "--keys", keys, "--since", early, whole).succeed(t)
	verify(t, "--keys", keys, "--since", signed, whole).fail(t, 1, "forked tree")
	verify(t, "--keys", keys, "--since", signed, tenant).fail(t, 1, "forked tree")
}
