package main_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestServerRefusesToStart pins what keeps a server from starting, and the
// words it says so with.
func TestServerRefusesToStart(t *testing.T) {
	const missing = "SECRETS_MASTER_KEY environment variable is required"
	const short = "SECRETS_MASTER_KEY must be at least 64 characters long"
	loopback := "127.0.0.1:0"
	tests := []struct {
		name, key, listen, want string
	}{
		{"no key", "", loopback, missing},
		{"short key", masterKey[1:], loopback, short},
		{"repeated character", strings.Repeat("x", 64), loopback, "one repeated character"},
		{"plain HTTP on all addresses", masterKey, "0.0.0.0:0", "refusing plain HTTP"},
		{"plain HTTP on all addresses, IPv6", masterKey, "[::]:0", "refusing plain HTTP"},
		{"plain HTTP without a host", masterKey, ":0", "refusing plain HTTP"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			env := []string{}
			if test.key != "" {
				env = append(env, "SECRETS_MASTER_KEY="+test.key)
			}
			o := run(t, env, nil, "server", "--store", "sqlite:"+t.TempDir(), "--listen", test.listen)
			o.fail(t, 1, test.want)
			if test.key != "" && bytes.Contains(o.stderr, []byte(test.key)) {
				t.Errorf("the refusal repeats the key: %s", o.stderr)
			}
		})
	}
}

// TestStoreRefusals pins what keeps a store from being opened, and that
// nothing of it is touched then.
func TestStoreRefusals(t *testing.T) {
	dir := t.TempDir()
	makeOperator(t, dir)
	server := []string{"server", "--store", "sqlite:" + dir, "--listen", "127.0.0.1:0"}

	t.Run("wrong root key", func(t *testing.T) {
		before := treeOf(t, dir)
		wrong := strings.Repeat("another-", 9)
		run(t, []string{"SECRETS_MASTER_KEY=" + wrong}, nil, server...).fail(t, 1, "SECRETS_MASTER_KEY is not the key")
		if after := treeOf(t, dir); after != before {
			t.Errorf("the store was touched: before\n%s\nafter\n%s", before, after)
		}
	})
	t.Run("second process", func(t *testing.T) {
		s := startServer(t, dir)
		defer s.stop(t)
		runServerSide(t, server...).fail(t, 1, "in use by another process")
		runServerSide(t, "operator", "init", "--store", "sqlite:"+dir).fail(t, 1, "in use by another process")
		run(t, nil, nil, "dev", "--data", dir, "--listen", "127.0.0.1:0").fail(t, 1)
	})
	t.Run("second operator", func(t *testing.T) {
		runServerSide(t, "operator", "init", "--store", "sqlite:"+dir).fail(t, 1)
	})
	t.Run("newer schema", func(t *testing.T) {
		database := filepath.Join(dir, "fastness.db")
		version := setSchema(t, database, 1000)
		before := treeOf(t, dir)
		runServerSide(t, server...).fail(t, 1, "newer schema")
		if after := treeOf(t, dir); after != before {
			t.Errorf("the store was touched: before\n%s\nafter\n%s", before, after)
		}
		setSchema(t, database, version)
		startServer(t, dir).stop(t)
	})
}

// treeOf tells the files of a folder and what is in them. The empty log and its
// index come and go with each process that looks.
func treeOf(t *testing.T, dir string) string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if name := f.Name(); len(content) > 0 && !strings.HasSuffix(name, "-shm") {
			fmt.Fprintf(&b, "%s %d %x\n", name, len(content), sha256.Sum256(content))
		}
	}
	return b.String()
}

// setSchema sets the schema's number in the header of a SQLite file that
// nobody has open (user_version, at 60) and returns the one before.
func setSchema(t *testing.T, database string, version uint32) (before uint32) {
	t.Helper()
	f, err := os.OpenFile(database, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const at = 60
	var b [4]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	before = binary.BigEndian.Uint32(b[:])
	binary.BigEndian.PutUint32(b[:], version)
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	return before
}

// TestProbes pins what is answered to whoever asks without a credential.
func TestProbes(t *testing.T) {
	d := startDev(t)
	nobody := &api{base: d.Address}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/api/v1/openapi.json"} {
		nobody.do(t, http.StatusOK, http.MethodGet, path, nil)
	}
	d.operator().do(t, http.StatusNotFound, http.MethodGet, valuePath(d.Tenant, "a-name-that-is-nobodys-business"), nil)
	metrics := string(nobody.do(t, http.StatusOK, http.MethodGet, "/metrics", nil).body)
	if !strings.Contains(metrics, `fastness_http_requests_total{method="GET",result="not_found",route="/api/v1/tenants/{tenant}/secrets/{name}/value"} 1`) {
		t.Errorf("the request was not counted:\n%s", metrics)
	}
	if strings.Contains(metrics, "nobodys-business") {
		t.Error("the metrics hold a secret's name")
	}
	var document struct{ OpenAPI string }
	if err := nobody.do(t, http.StatusOK, http.MethodGet, "/api/v1/openapi.json", nil).decode(&document); err != nil || !strings.HasPrefix(document.OpenAPI, "3.1") {
		t.Errorf("openapi %q, error %v", document.OpenAPI, err)
	}
	ans := nobody.do(t, http.StatusUnauthorized, http.MethodGet, "/api/v1/whoami", nil)
	var problem struct{ Code, CorrelationID string }
	if err := ans.decode(&problem); err != nil || problem.Code != "unauthenticated" || problem.CorrelationID == "" ||
		problem.CorrelationID != ans.correlation || ans.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("problem %s, type %q, error %v", ans.body, ans.header.Get("Content-Type"), err)
	}
}

// TestStop pins that a server which is told to stop finishes the request that
// it is reading, accepts no other, and ends well.
func TestStop(t *testing.T) {
	d := startDev(t, "--data", t.TempDir())
	host := strings.TrimPrefix(d.Address, "http://")
	c, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	body := `{"value":"written while stopping"}`
	fmt.Fprintf(c, "PUT %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		valuePath(d.Tenant, "slow"), host, d.Token, len(body), body[:10])
	// The server has the request once it waits for the rest of its body; its
	// second request on another connection tells that the first was accepted.
	d.operator().do(t, http.StatusOK, http.MethodGet, "/api/v1/whoami", nil)
	http.DefaultClient.CloseIdleConnections()
	time.Sleep(100 * time.Millisecond) // the one wait here: nothing tells that a header was read

	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	d.until(t, "an end of new connections", func() bool {
		other, err := net.Dial("tcp", host)
		if err == nil {
			other.Close()
		}
		return err != nil
	})
	if _, err := io.WriteString(c, body[10:]); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("the request in flight was not answered: %v", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		t.Errorf("status %d", response.StatusCode)
	}
	var v version
	if err := json.NewDecoder(response.Body).Decode(&v); err != nil || v.Version != "1" {
		t.Errorf("answer %+v, error %v", v, err)
	}
	if err := d.wait(t); err != nil {
		t.Errorf("the server ended with: %v", err)
	}
}
