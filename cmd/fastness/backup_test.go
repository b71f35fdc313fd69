package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
)

// keyPair is an age key pair, hybrid and post-quantum, in a file.
type keyPair struct{ recipient, identity string }

func newKeyPair(t testing.TB) keyPair {
	t.Helper()
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "identity")
	if err := os.WriteFile(path, []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return keyPair{id.Recipient().String(), path}
}

// TestBackup is the whole drill on both stores: back up while the server runs,
// verify, lose everything, restore, and read.
func TestBackup(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			fresh := func() string { return "sqlite:" + filepath.Join(t.TempDir(), "store") }
			if kind == "postgres" {
				fresh = func() string { return databaseURL(t) }
			}
			drill(t, fresh)
		})
	}
}

func drill(t *testing.T, fresh func() string) {
	d := newDeployment(t, fresh(), 40)
	d.on(t, "", "", "tenant", "create", "erased-later").succeed(t)
	d.on(t, "erased-later", "still here", "put", "a").succeed(t)
	d.on(t, "shop", "still here", "put", "purged-later").succeed(t)
	d.on(t, "", "", "audit", "checkpoint").succeed(t)
	access := d.makeAccess(t)
	early := filepath.Join(t.TempDir(), "early")
	if err := os.WriteFile(early, d.on(t, "", "", "audit", "export").succeed(t), 0o600); err != nil {
		t.Fatal(err)
	}
	pair, recovery := newKeyPair(t), newKeyPair(t)
	file := filepath.Join(t.TempDir(), "backup.age")
	create := []string{"backup", "create", file, "--store", d.store, "--recipient", pair.recipient, "--recipient", recovery.recipient, "--recovery-recipient", recovery.recipient}
	runServerSide(t, create...).succeed(t)
	runServerSide(t, create...).fail(t, 1, "there is a file of this name already")
	verify := []string{"backup", "verify", file, "--identity"}
	runServerSide(t, append(verify, pair.identity)...).succeed(t)
	run(t, nil, nil, append(verify, recovery.identity)...).succeed(t)
	run(t, nil, nil, append(verify, pair.identity)...).fail(t, 1, "root key")
	checkDamage(t, file, pair)

	d.on(t, "", "", "tenant", "erase", "erased-later", "--yes").succeed(t)
	d.on(t, "shop", "", "delete", "purged-later", "--purge", "--yes").succeed(t)
	d.on(t, "shop", "after the backup", "put", "new-since").succeed(t)
	access.revoke(t, d)
	bundle := filepath.Join(t.TempDir(), "bundle")
	if err := os.WriteFile(bundle, d.on(t, "", "", "audit", "export").succeed(t), 0o600); err != nil {
		t.Fatal(err)
	}
	old := *d
	d.server.stop(t)

	// The same root key, and the log of what came after.
	d.store = fresh()
	var restored struct{ Erased, Revoked int }
	restoreAs := func(store string, more ...string) outcome {
		t.Helper()
		return runServerSide(t, append([]string{"backup", "restore", file, "--identity", pair.identity, "--store", store}, more...)...)
	}
	restoreAs(d.store, "--log", early, "--log-keys", old.keys).fail(t, 1, "ends before the backup was made")
	restoreAs(d.store, "--credentials", "guess").fail(t, 2, "keep or revoke")
	out := runServerSide(t, "backup", "restore", file, "--identity", pair.identity, "--store", d.store, "--log", bundle, "--log-keys", old.keys, "--json").succeed(t)
	if err := json.Unmarshal(out, &restored); err != nil || restored.Erased != 2 || restored.Revoked != accessRevoked {
		t.Errorf("restore says %s, error %v", out, err)
	}
	runServerSide(t, "backup", "restore", file, "--identity", pair.identity, "--store", d.store, "--credentials", "keep").fail(t, 1, "has data in it already")
	d.restored(t, masterKey)
	access.check(t, d, "live")
	d.on(t, "shop", "", "get", "purged-later").fail(t, 3)
	d.on(t, "shop", "", "get", "new-since").fail(t, 3)
	d.on(t, "erased-later", "", "get", "a").fail(t, 3)
	d.on(t, "", "", "tenant", "create", "erased-later").fail(t, 1)
	d.server.stop(t)

	// Without a later log, nobody is let in.
	d.store = fresh()
	restoreAs(d.store, "--credentials", "revoke").succeed(t)
	d.serve(t)
	access.check(t, d)
	d.on(t, "", "", "tenant", "list").fail(t, 4)
	d.server.stop(t)
	d.token = ""
	runServerSide(t, "operator", "init", "--store", d.store).succeed(t)
	d.token = old.token

	// Another deployment with another root key, without the old one.
	other := strings.Repeat("another root key ", 5)
	d.store = fresh()
	run(t, []string{"SECRETS_MASTER_KEY=" + other}, nil, "backup", "restore", file, "--identity", pair.identity, "--store", fresh(), "--credentials", "keep").fail(t, 1, "root key")
	run(t, []string{"SECRETS_MASTER_KEY=" + other}, nil, "backup", "restore", file, "--identity", recovery.identity, "--store", d.store).warn(t, "it is not known which credentials were revoked")
	d.restored(t, other)
	access.check(t, d, "live", "revoked", "replaced", "disabled", "deleted")
	if got := d.on(t, "shop", "", "get", "purged-later").succeed(t); string(got) != "still here" {
		t.Errorf("without a later log the purged secret holds %q", got)
	}
	d.server.stop(t)
	tenantDrill(t, d, other, pair, access)
}

// access is credentials of one tenant by what becomes of them after a backup.
type access struct{ tokens, ids map[string]string }

// accessRevoked is how many credentials and principals a restore finds to have
// been shut out: a principal and its token count as two.
const accessRevoked = 1 + 1 + 2 + 2

func (d *deployment) makeAccess(t *testing.T) access {
	t.Helper()
	a := access{make(map[string]string), make(map[string]string)}
	for _, fate := range []string{"live", "revoked", "replaced", "disabled", "deleted"} {
		var made struct{ Token, ID string }
		out := d.on(t, "shop", "", "token", "create", "app-"+fate, "--grant", "reader", "--json").succeed(t)
		if err := json.Unmarshal(out, &made); err != nil || made.ID == "" {
			t.Fatalf("token create printed %s, error %v", out, err)
		}
		a.tokens[fate], a.ids[fate] = made.Token, made.ID
	}
	return a
}

// revoke shuts all out but the one that lives on.
func (a access) revoke(t *testing.T, d *deployment) {
	t.Helper()
	d.on(t, "shop", "", "token", "revoke", a.ids["revoked"]).succeed(t)
	d.on(t, "shop", "", "token", "rotate", a.ids["replaced"]).succeed(t)
	d.on(t, "shop", "", "principal", "disable", "app-disabled").succeed(t)
	d.on(t, "shop", "", "principal", "delete", "app-deleted", "--yes").succeed(t)
	a.check(t, d, "live")
}

// check expects that only those are let in.
func (a access) check(t *testing.T, d *deployment, live ...string) {
	t.Helper()
	for fate, token := range a.tokens {
		want := 4
		if slices.Contains(live, fate) {
			want = 0
		}
		o := run(t, clientEnv(d.server.address, token, "shop"), nil, "get", "db/password")
		if o.code != want {
			t.Errorf("whose token is %s: exit code %d, want %d: %s", fate, o.code, want, o.stderr)
		}
	}
}

// restored starts a server on what was restored, and expects what newDeployment
// has made, and a log that goes on under a new name and keeps the old one's last
// checkpoint.
func (d *deployment) restored(t testing.TB, master string) {
	t.Helper()
	before := string(readFile(t, d.keys))
	d.serveWith(t, master)
	d.keys = filepath.Join(t.TempDir(), "keys")
	keys := d.on(t, "", "", "audit", "keys").succeed(t)
	if err := os.WriteFile(d.keys, keys, 0o600); err != nil {
		t.Fatal(err)
	}
	if string(keys) == before {
		t.Error("the log goes on under the old keys")
	}
	d.check(t)
	entries := d.on(t, "", "", "audit", "list", "--action", "backup.restore", "--json").succeed(t)
	if !bytes.Contains(entries, []byte(`\nfastness/`)) {
		t.Errorf("no entry holds the last checkpoint of the old log: %s", entries)
	}
}

// tenantDrill restores one tenant in its place, to an earlier time.
func tenantDrill(t *testing.T, d *deployment, master string, pair keyPair, access access) {
	env := []string{"SECRETS_MASTER_KEY=" + master}
	d.serveWith(t, master)
	time.Sleep(5 * time.Millisecond) // times are kept to the millisecond
	at := time.Now().UTC()
	time.Sleep(5 * time.Millisecond)
	d.on(t, "shop", "a mistake", "put", "db/password").succeed(t)
	d.on(t, "shop", "too late", "put", "later").succeed(t)
	file := filepath.Join(t.TempDir(), "shop.age")
	run(t, env, nil, "backup", "create", file, "--tenant", "shop", "--store", d.store, "--recipient", pair.recipient).succeed(t)
	run(t, env, nil, "backup", "verify", file, "--identity", pair.identity).succeed(t)
	d.on(t, "shop", "", "delete", "pq", "--purge", "--yes").succeed(t)
	d.on(t, "shop", "", "delete", "many/3", "--yes").succeed(t)
	access.revoke(t, d)
	d.server.stop(t)
	restore := []string{"backup", "restore", file, "--identity", pair.identity, "--store", d.store, "--tenant", "shop", "--at", at.Format(time.RFC3339Nano)}
	run(t, env, nil, restore...).fail(t, 1, "what it has there now is lost")
	var got struct{ Erased int }
	out := run(t, env, nil, append(restore, "--replace", "--json")...).succeed(t)
	if err := json.Unmarshal(out, &got); err != nil || got.Erased != 1 {
		t.Errorf("restore says %s, error %v", out, err)
	}
	d.serveWith(t, master)
	for name, want := range map[string]string{"db/password": "two", "many/3": "value 3", fmt.Sprint("many/", d.many-1): fmt.Sprint("value ", d.many-1)} {
		if got := d.on(t, "shop", "", "get", name).succeed(t); string(got) != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	if got := d.on(t, "shop", "", "get", "db/password", "--stage", "previous").succeed(t); string(got) != "one" {
		t.Errorf("the previous version holds %q", got)
	}
	d.on(t, "shop", "", "get", "later").fail(t, 3)
	d.on(t, "shop", "", "get", "pq").fail(t, 3) // purged since
	access.check(t, d, "live")
	for _, tenant := range []string{"", "shop"} {
		bundle := d.on(t, tenant, "", "audit", "export").succeed(t)
		run(t, nil, bundle, "audit", "verify", "--keys", d.keys, "-").succeed(t)
	}
	d.server.stop(t)
}

// serveWith starts a server with a root key.
func (d *deployment) serveWith(t testing.TB, master string) {
	t.Helper()
	address := freeAddress(t)
	d.server = &server{
		process: start(t, []string{"SECRETS_MASTER_KEY=" + master, "FASTNESS_STORE=" + d.store}, "server", "--listen", address),
		address: "http://" + address,
	}
	d.server.until(t, "readiness", func() bool { return isReady(d.server.address) })
}

// checkDamage: whatever is wrong with a backup is found before anything is
// written.
func checkDamage(t *testing.T, file string, pair keyPair) {
	t.Helper()
	whole := readFile(t, file)
	flipped := bytes.Clone(whole)
	flipped[len(flipped)*2/3] ^= 1
	stranger := newKeyPair(t)
	for name, c := range map[string]struct {
		content  []byte
		identity string
		says     string
	}{
		"cut short":      {whole[:len(whole)*2/3], pair.identity, "the backup is damaged"},
		"without an end": {whole[:len(whole)-1], pair.identity, "the backup is damaged"},
		"changed":        {flipped, pair.identity, "the backup is damaged"},
		"empty":          {nil, pair.identity, "this is no backup"},
		"other":          {[]byte("something else"), pair.identity, "this is no backup"},
		"another's":      {whole, stranger.identity, "none of the identities opens"},
	} {
		path := filepath.Join(t.TempDir(), "damaged.age")
		if err := os.WriteFile(path, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "target")
		for _, args := range [][]string{{"verify", path}, {"restore", path, "--store", "sqlite:" + dir}} {
			o := runServerSide(t, append([]string{"backup"}, append(args, "--identity", c.identity)...)...)
			o.fail(t, 1, c.says)
			if strings.Contains(string(o.stderr), "panic") {
				t.Errorf("%s: %s", name, o.stderr)
			}
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: the target was touched", name)
		}
	}
}

// TestBackupDiskFull: a backup for which there is no room leaves no file behind.
func TestBackupDiskFull(t *testing.T) {
	dir, disk := t.TempDir(), mountSmallDisk(t)
	makeOperator(t, dir)
	filler, err := os.Create(filepath.Join(disk, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for block := make([]byte, 4096); ; size += int64(len(block)) {
		if _, err := filler.Write(block); err != nil {
			break
		}
	}
	if err := errors.Join(filler.Truncate(size-4096), filler.Close()); err != nil { // room for a beginning
		t.Fatal(err)
	}
	create := []string{"backup", "create", filepath.Join(disk, "b.age"), "--store", "sqlite:" + dir, "--recipient", newKeyPair(t).recipient}
	runServerSide(t, create...).fail(t, 1, "no space left")
	left, err := os.ReadDir(disk)
	if err != nil || len(left) != 1 {
		t.Errorf("%v is left, error %v", left, err)
	}
	if err := os.Remove(filler.Name()); err != nil {
		t.Fatal(err)
	}
	runServerSide(t, create...).succeed(t)
}
