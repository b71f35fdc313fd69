package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"fastness/internal/testservers"
)

// databaseURL is the URL of a PostgreSQL that the test has to itself.
func databaseURL(t testing.TB) string {
	t.Helper()
	database := testservers.StartPostgres(t, testservers.Options{})
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(database.Admin, testservers.AdminPassword),
		Host: database.Address(), Path: "postgres", RawQuery: "sslmode=disable",
	}
	return u.String()
}

// deployment is what tests of moves and backups move and back up.
type deployment struct {
	store  string // as settings name it
	token  string // the operator's
	keys   string // file with the log's keys
	server *server
	many   int // secrets beside those that are made by hand
}

// serve starts a server on the deployment's store.
func (d *deployment) serve(t testing.TB) {
	t.Helper()
	d.serveWith(t, masterKey)
}

// on runs a client's command.
func (d *deployment) on(t testing.TB, tenant, stdin string, args ...string) outcome {
	t.Helper()
	return run(t, clientEnv(d.server.address, d.token, tenant), []byte(stdin), args...)
}

// manySecrets are some chunks' worth of rows.
const manySecrets = 700

// newDeployment makes a deployment with something of everything in it, and
// leaves its server running.
func newDeployment(t testing.TB, store string, many int) *deployment {
	t.Helper()
	d := &deployment{store: store, many: many, keys: filepath.Join(t.TempDir(), "audit.keys")}
	var made struct{ Token string }
	out := runServerSide(t, "operator", "init", "--store", store, "--json").succeed(t)
	if err := json.Unmarshal(out, &made); err != nil {
		t.Fatal(err)
	}
	d.token = made.Token
	d.serve(t)
	for _, tenant := range []string{"shop", "gone"} {
		d.on(t, "", "", "tenant", "create", tenant).succeed(t)
		d.on(t, tenant, "one", "put", "db/password").succeed(t)
		d.on(t, tenant, "two", "put", "db/password").succeed(t)
	}
	d.on(t, "", "", "tenant", "erase", "gone", "--yes").succeed(t)
	d.on(t, "shop", "hybrid", "put", "pq", "--algorithm", "hybrid-quantum", "--tag", "a=b").succeed(t)
	d.on(t, "shop", "", "delete", "pq", "--yes").succeed(t)
	d.on(t, "shop", "", "restore", "pq").succeed(t)
	d.on(t, "shop", "", "key", "rotate").succeed(t)
	values := make(map[string]string)
	for i := range many {
		values[fmt.Sprintf("many/%d", i)] = fmt.Sprint("value ", i)
	}
	text, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	d.on(t, "shop", string(text), "import", "-", "--format", "json").succeed(t)
	if err := os.WriteFile(d.keys, d.on(t, "", "", "audit", "keys").succeed(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// check expects all that newDeployment has made, and a log that holds.
func (d *deployment) check(t testing.TB) {
	t.Helper()
	for name, want := range map[string]string{"db/password": "two", "pq": "hybrid", "many/3": "value 3", fmt.Sprint("many/", d.many-1): fmt.Sprint("value ", d.many-1)} {
		if got := d.on(t, "shop", "", "get", name).succeed(t); string(got) != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	if got := d.on(t, "shop", "", "get", "db/password", "--stage", "previous").succeed(t); string(got) != "one" {
		t.Errorf("the previous version holds %q", got)
	}
	d.on(t, "gone", "", "get", "db/password").fail(t, 3)
	d.on(t, "", "", "tenant", "create", "gone").fail(t, 1)
	d.on(t, "shop", "three", "put", "new").succeed(t)
	for _, tenant := range []string{"", "shop"} {
		bundle := d.on(t, tenant, "", "audit", "export").succeed(t)
		run(t, nil, bundle, "audit", "verify", "--keys", d.keys, "-").succeed(t)
	}
}

// killWhen runs a server-side command, and kills it once half answers true.
func killWhen(t testing.TB, half func() bool, args ...string) {
	t.Helper()
	p := start(t, []string{"SECRETS_MASTER_KEY=" + masterKey}, args...)
	for deadline := time.Now().Add(patience); !half(); time.Sleep(time.Millisecond) {
		select {
		case <-p.ended:
			t.Fatal("the command was done before it could be killed")
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("the command has not come half way")
		}
	}
	p.cmd.Process.Kill()
	<-p.ended
}

// loaded returns how many rows a move has loaded into a database so far.
func loaded(t testing.TB, database string) func() int64 {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return func() int64 {
		var row []byte
		if conn.QueryRow(t.Context(), "SELECT value FROM meta WHERE key = 'loading'").Scan(&row) != nil {
			return 0 // not yet, or no more
		}
		var progress struct{ Rows int64 }
		if err := json.Unmarshal(row, &progress); err != nil {
			t.Fatal(err)
		}
		return progress.Rows
	}
}

// TestMigrate moves a deployment from the embedded store to PostgreSQL and back,
// with kills in between. Nothing is lost, the log goes on under its keys, and the
// source stays as it was.
func TestMigrate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := newDeployment(t, "sqlite:"+dir, manySecrets)
	database := databaseURL(t)
	move := func(from, to string) []string { return []string{"migrate", "--from", from, "--to", to} }

	runServerSide(t, move(d.store, database)...).fail(t, 1, "in use by another process")
	d.server.stop(t)
	run(t, []string{"SECRETS_MASTER_KEY=" + strings.Repeat("wrong", 20)}, nil, move(d.store, database)...).fail(t, 1, "SECRETS_MASTER_KEY is not the key")
	before := readFile(t, filepath.Join(dir, "fastness.db"))
	rows, last := loaded(t, database), int64(0)
	for range 2 {
		killWhen(t, func() bool { return rows() > last }, move(d.store, database)...)
		last = rows()
	}
	runServerSide(t, "operator", "init", "--store", database).fail(t, 1, "has not finished")
	runServerSide(t, move("sqlite:"+makeStore(t), database)...).fail(t, 1, "half filled from another source")
	var moved struct {
		Rows, Resumed, Opened int64
		Counts                map[string]int64
		Log                   struct{ Size int64 }
	}
	out := runServerSide(t, append(move(d.store, database), "--json")...).succeed(t)
	if err := json.Unmarshal(out, &moved); err != nil || moved.Counts["secret"] != manySecrets+2 || moved.Opened == 0 || moved.Log.Size == 0 || moved.Resumed < last {
		t.Errorf("migrate says %s, error %v", out, err)
	}
	if string(readFile(t, filepath.Join(dir, "fastness.db"))) != string(before) {
		t.Error("the source was written to")
	}
	runServerSide(t, move(d.store, database)...).succeed(t) // it was done, whoever heard of it
	runServerSide(t, move("sqlite:"+makeStore(t), database)...).fail(t, 1, "the target has data in it already")

	d.store = database
	d.serve(t)
	d.check(t)
	t.Run("back", func(t *testing.T) { moveBack(t, d, database) })
}

// moveBack moves a deployment whose server runs from PostgreSQL.
func moveBack(t *testing.T, d *deployment, database string) {
	back := filepath.Join(t.TempDir(), "back")
	args := []string{"migrate", "--from", database, "--to", "sqlite:" + back}
	busy := make(chan struct{})
	go func() { // a server that works is found out
		defer close(busy)
		for i := range 200 {
			if run(t, clientEnv(d.server.address, d.token, "shop"), []byte("busy"), "put", fmt.Sprint("busy/", i%3)).code != 0 {
				return
			}
		}
	}()
	runServerSide(t, args...).fail(t, 1, "a server is at work on the store")
	d.server.stop(t)
	<-busy
	os.RemoveAll(back) // what was begun is not of the store as it is now
	killWhen(t, func() bool { return grown(back, 400<<10) }, args...)
	runServerSide(t, "operator", "init", "--store", "sqlite:"+back).fail(t, 1, "has not finished")
	runServerSide(t, args...).succeed(t)
	d.store = "sqlite:" + back
	d.serve(t)
	d.check(t)
}

// grown reports whether a store's log of changes has so many bytes.
func grown(dir string, bytes int64) bool {
	f, err := os.Stat(filepath.Join(dir, "fastness.db-wal"))
	return err == nil && f.Size() > bytes
}

// makeStore makes another deployment's store.
func makeStore(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	makeOperator(t, dir)
	return dir
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
