package main_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDev pins the first line of `fastness dev --json`, and what a second
// start on the same folder keeps.
func TestDev(t *testing.T) {
	dir := t.TempDir()
	first := startDev(t, "--data", dir)
	var fields map[string]string
	if err := json.Unmarshal(first.line, &fields); err != nil {
		t.Fatal(err)
	}
	want := []string{"accessKeyId", "accountId", "address", "region", "secretAccessKey", "tenant", "token"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(fields))); diff != "" {
		t.Errorf("fields of the first line (-want +got):\n%s", diff)
	}
	if first.Tenant != "default" || first.Region != "us-east-1" || len(first.AccountID) != 12 || len(first.AccessKeyID) != 20 ||
		len(first.SecretAccessKey) != 40 || !strings.HasPrefix(first.Token, "fst_") || !strings.HasPrefix(first.Address, "http://127.0.0.1:") {
		t.Errorf("first line %s", first.line)
	}
	var who struct {
		Operator bool
		Tenant   string
	}
	if err := first.operator().do(t, http.StatusOK, http.MethodGet, "/api/v1/whoami", nil).decode(&who); err != nil || !who.Operator || who.Tenant != "" {
		t.Errorf("the token is %+v's, error %v; want an operator's", who, err)
	}
	first.operator().do(t, http.StatusCreated, http.MethodPut, valuePath("default", "kept"), map[string]string{"value": "kept"})
	if info, err := os.Stat(filepath.Join(dir, "root.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("root key's file: %v, error %v; want mode 0600", info, err)
	}
	first.stop(t)

	second := startDev(t, "--data", dir)
	if second.AccessKeyID != first.AccessKeyID || second.SecretAccessKey != first.SecretAccessKey || second.AccountID != first.AccountID {
		t.Error("the access key was not kept")
	}
	if second.Token == first.Token {
		t.Error("the token was kept")
	}
	old := &api{base: second.Address, token: first.Token}
	old.do(t, http.StatusUnauthorized, http.MethodGet, "/api/v1/whoami", nil)
	var v version
	if err := second.operator().do(t, http.StatusOK, http.MethodGet, valuePath("default", "kept"), nil).decode(&v); err != nil || v.Value != "kept" {
		t.Errorf("value %q, error %v", v.Value, err)
	}
}

// TestTenantCreate pins what making a tenant prints, and whose the token is.
func TestTenantCreate(t *testing.T) {
	d := startDev(t)
	out := run(t, clientEnv(d.Address, d.Token, ""), nil, "tenant", "create", "shop", "--json").succeed(t)
	var made map[string]string
	if err := json.Unmarshal(out, &made); err != nil || bytes.Count(out, []byte("\n")) != 1 {
		t.Fatalf("%q: %v", out, err)
	}
	want := []string{"accessKeyId", "accountId", "region", "secretAccessKey", "tenant", "token"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(made))); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	// The tenant's token implies the tenant, and reaches no other.
	admin := clientEnv(d.Address, made["token"], "")
	run(t, admin, []byte("value"), "put", "name").succeed(t)
	run(t, admin, nil, "get", "name", "--tenant", "default").fail(t, 3)
	run(t, admin, nil, "tenant", "create", "other").fail(t, 4)
	run(t, admin, nil, "token", "create", "ci", "--grant", "reader").succeed(t)
	run(t, clientEnv(d.Address, d.Token, ""), nil, "tenant", "create", "shop").fail(t, 1)
	run(t, clientEnv(d.Address, d.Token, ""), nil, "get", "name").fail(t, 2)
	run(t, clientEnv(d.Address, d.Token, "shop"), nil, "get", "name").succeed(t)
}

// TestValues pins that values come back byte for byte, by command line and by
// API, whichever of them stored them.
func TestValues(t *testing.T) {
	d := startDev(t)
	env := clientEnv(d.Address, d.Token, d.Tenant)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	values := map[string][]byte{
		"newline":      []byte("a line\n"),
		"no-newline":   []byte("no line"),
		"only-newline": []byte("\n"),
		"crlf":         []byte("one\r\ntwo\r\n"),
		"nul":          []byte("a\x00b"),
		"all-bytes":    all,
		"json":         []byte("{\"quote\":\"\\\"\\u0000</script>\u2028\"}"),
		"unicode":      []byte("пароль 🔐 \ufeff\ufffd"),
		"not-utf8":     []byte("\xc3\x28 \xed\xa0\x80"),
		"largest":      bytes.Repeat([]byte("\"\\\x01\n"), 65_536/4),
	}
	for name, value := range values {
		t.Run(name, func(t *testing.T) {
			run(t, env, value, "put", name).succeed(t)
			if got := run(t, env, nil, "get", name).succeed(t); !bytes.Equal(got, value) {
				t.Errorf("stored from stdin: got %d bytes %.40q, want %d bytes %.40q", len(got), got, len(value), value)
			}
			var v struct {
				Value       *string
				ValueBase64 []byte
			}
			if err := d.operator().do(t, http.StatusOK, http.MethodGet, valuePath(d.Tenant, name), nil).decode(&v); err != nil {
				t.Fatal(err)
			}
			got := v.ValueBase64
			if v.Value != nil {
				got = []byte(*v.Value)
			}
			if !bytes.Equal(got, value) {
				t.Errorf("read by API: got %.40q, want %.40q", got, value)
			}
			d.operator().do(t, http.StatusCreated, http.MethodPut, valuePath(d.Tenant, name+"/2"), map[string][]byte{"valueBase64": value})
			file := filepath.Join(t.TempDir(), "value")
			if err := os.WriteFile(file, run(t, env, nil, "get", name+"/2").succeed(t), 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, env, nil, "put", name, "--file", file).succeed(t)
			if got := run(t, env, nil, "get", name, "--version", "2").succeed(t); !bytes.Equal(got, value) {
				t.Errorf("stored from a file: got %.40q, want %.40q", got, value)
			}
		})
	}
	run(t, env, bytes.Repeat([]byte("x"), 65_537), "put", "too-large").fail(t, 1, "65536")
	run(t, env, nil, "get", "too-large").fail(t, 3)
	run(t, clientEnv(d.Address, "fst_nonsense", d.Tenant), nil, "get", "json").fail(t, 4)
	run(t, env, nil, "get").fail(t, 2)
}
