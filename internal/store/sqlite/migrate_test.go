package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fastness/internal/dump"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// openSchema is a connection to a database of an older schema, as the releases
// up to schema 4 left it: user_version is the schema itself.
func openSchema(t *testing.T, dir string, version int) *conn {
	t.Helper()
	path := filepath.Join(dir, databaseFile)
	if err := createFile(path); err != nil {
		t.Fatal(err)
	}
	c, err := openConn(path, setupWriter)
	if err != nil {
		t.Fatal(err)
	}
	for n, step := range steps(t)[:version] {
		script := step.script
		if n == 0 {
			script += ";" + schema1
		}
		if err := c.exec(script); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.exec(fmt.Sprint("PRAGMA user_version = ", version)); err != nil {
		t.Fatal(err)
	}
	return c
}

// schema1 is a database of the first release: two tenants, the operators, and
// credentials that name principals of which there are no rows. Cells are as
// that release padded them.
const schema1 = `
INSERT INTO tenants VALUES (1, x'01010101010101010101010101010101', 'acme', 1, 0, 1, 1, 1000, 0);
INSERT INTO tenants VALUES (2, x'02020202020202020202020202020202', 'bolt', 2, 0, 1, 1, 1000, 0);
INSERT INTO cells VALUES (1, 0, x'616161616162626200000008');
INSERT INTO cells VALUES (2, 0, CAST(zeroblob(1024) || x'000003FE' AS BLOB));
INSERT INTO cells VALUES (3, 0, x'73656C6C0000000000000004');
INSERT INTO secrets (tenant, name, id, last, versions, revision, algorithm, rotation_required, rotation_interval)
	VALUES (1, 's', x'0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A', 2, 2, 0, 1, 0, '90d');
INSERT INTO versions VALUES (1, x'0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A', 1, 'one', 0, 1, 1, 1000, 1, 5);
INSERT INTO versions VALUES (1, x'0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A', 2, 'two', 0, 1, 1, 1000, 2, 5);
INSERT INTO consumers VALUES (1, x'0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A', 1, 'alice', 70);
INSERT INTO consumers VALUES (1, x'0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A', 2, 'alice', 90);
INSERT INTO consumers VALUES (1, x'0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A', 2, '', 95);
INSERT INTO credentials VALUES (0, 'tok_o', 0, 'operator', zeroblob(32), NULL, 0, NULL, NULL, NULL, 1000, NULL, NULL, 50);
INSERT INTO credentials VALUES (1, 'FSKA1', 1, 'alice', NULL, 3, 1, '[{"role":"reader"}]', NULL, NULL, 3000, NULL, NULL, 80);
INSERT INTO credentials VALUES (1, 'tok_1', 0, 'alice', CAST(zeroblob(31) || x'01' AS BLOB), NULL, 0, '[{"role":"admin"}]', 'web', 'prod', 2000, 9000, 8000, 60);
INSERT INTO credentials VALUES (2, 'tok_2', 0, 'alice', CAST(zeroblob(31) || x'02' AS BLOB), NULL, 0, '[{"role":"admin"}]', NULL, NULL, 4000, NULL, NULL, 0);
`

// TestMigrateIdentity brings a store of the first release up to date and reads
// it through the contract.
func TestMigrateIdentity(t *testing.T) {
	dir := t.TempDir()
	openSchema(t, dir, 1).close()
	s := openTest(t, Config{Dir: dir})
	acme, bolt, nobody := secret.TenantID([]byte("\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01")),
		secret.TenantID([]byte("\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02")), secret.TenantID{}
	type found struct {
		Principals map[string][]*store.Principal
		Tokens     []string
		Usage      store.Usage
		Counts     []int64
		Sealed     string
	}
	want := found{
		Principals: map[string][]*store.Principal{
			"acme":   {{Tenant: acme, Name: "alice", Kind: store.Service, Created: at(2000), LastUsed: 80, LastRead: 90}},
			"bolt":   {{Tenant: bolt, Name: "alice", Kind: store.Service, Created: at(4000)}},
			"nobody": {{Name: "operator", Kind: store.OperatorKind, Created: at(1000), LastUsed: 50}},
		},
		Tokens: []string{"tok_1 of alice", "tok_2 of alice", "tok_o of operator"},
		Usage:  store.Usage{Secrets: 1, Versions: 2, Bytes: 8 + 1022},
		Counts: []int64{1, 2, 1, 1, 1, 1},
		Sealed: "sell",
	}
	got := found{Principals: make(map[string][]*store.Principal)}
	err := s.View(t.Context(), func(r store.Reader) (err error) {
		for name, id := range map[string]secret.TenantID{"acme": acme, "bolt": bolt, "nobody": nobody} {
			if got.Principals[name], err = r.Principals().List(id, "", 9); err != nil {
				return err
			}
		}
		for _, id := range []secret.TenantID{acme, bolt, nobody} {
			p, err := r.Principals().Count(id)
			if err != nil {
				return err
			}
			c, err := r.Credentials().Count(id)
			if err != nil {
				return err
			}
			got.Counts = append(got.Counts, p, c)
		}
		for _, last := range []byte{1, 2, 0} {
			i, err := r.Credentials().ByHash([32]byte{31: last})
			if err != nil {
				return err
			}
			got.Tokens = append(got.Tokens, i.Credential.ID+" of "+i.Principal.Name)
		}
		key, err := r.Credentials().ByID("FSKA1")
		if err != nil {
			return err
		}
		got.Sealed = string(key.Credential.Sealed)
		if diff := cmp.Diff(key.Credential.Grants, []policy.Grant{{Role: policy.Reader}}); diff != "" {
			t.Errorf("grants: got (-), want (+):\n%s", diff)
		}
		got.Usage, err = r.Secrets(acme).Usage()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("got (-), want (+):\n%s", diff)
	}
}

// at is a stored time.
func at(milliseconds int64) time.Time { return time.UnixMilli(milliseconds).UTC() }

func TestMigrate(t *testing.T) {
	c, all := fresh(t), steps(t)
	for range 2 { // a second time does nothing
		s, err := migrate(c, all)
		if want := (schema{int64(len(all)), all[len(all)-1].oldest, int64(len(all))}); err != nil || s != want {
			t.Errorf("the schema is %+v, error %v; want %+v", s, err, want)
		}
	}
	if n, err := c.integer("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"); err != nil || n != 1 {
		t.Errorf("integrity check: %d, %v", n, err)
	}
}

// TestMigrateFromEach brings a store up to date from each schema that there was,
// and from each by the way of each later one. They end alike, row by row.
func TestMigrateFromEach(t *testing.T) {
	all := steps(t)
	var want dump.Digest
	for from := 1; from <= len(all); from++ {
		for by := from; by <= len(all); by++ {
			dir := t.TempDir()
			c := openSchema(t, dir, from)
			if _, err := migrate(c, all[:by]); err != nil {
				t.Fatalf("from schema %d to %d: %v", from, by, err)
			}
			c.close()
			s := openTest(t, Config{Dir: dir})
			var got dump.Digest
			err := s.Snapshot(t.Context(), func(r store.Reader) error {
				return dump.Read(r, func(row *dump.Row) error { _, err := got.Add(row); return err })
			})
			if err != nil {
				t.Fatalf("from schema %d by %d: %v", from, by, err)
			}
			if want.Rows == 0 {
				want = got
			}
			if got.Sum != want.Sum || got.Rows < 8 {
				t.Errorf("from schema %d by %d: other rows: %v, want %v", from, by, got.Counts(), want.Counts())
			}
		}
	}
}

// TestMigrationsKeepOldest: what a schema has given up, a later one does not
// promise; releases up to schema 4 would make a step anew that is behind
// user_version.
func TestMigrationsKeepOldest(t *testing.T) {
	last := int64(0)
	for n, step := range steps(t) {
		if step.oldest < last || step.oldest > int64(n)+1 {
			t.Errorf("schema %d serves releases from schema %d on, that before it from %d on", n+1, step.oldest, last)
		}
		last = step.oldest
	}
}

// later are a release's steps that adds, and one's that then takes away.
func later(t *testing.T) (adds, takes []migration) {
	all := steps(t)
	n := int64(len(all))
	adds = append(all, migration{all[n-1].oldest, "CREATE TABLE added (x INTEGER) STRICT"})
	return adds, append(adds[:n+1:n+1], migration{n + 1, "DROP TABLE meta"})
}

// TestSchemaServes opens a store that a newer release has written: while its
// schema only adds, this release works with it, but makes no copy.
func TestSchemaServes(t *testing.T) {
	adds, takes := later(t)
	dir := t.TempDir()
	openTest(t, Config{Dir: dir}).Close()
	change := func(to []migration) {
		c, err := openConn(filepath.Join(dir, databaseFile), setupWriter)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if s, err := migrate(c, to); err != nil || s.version != int64(len(to)) {
			t.Fatalf("schema %+v, error %v", s, err)
		}
		if version, err := c.integer("PRAGMA user_version"); err != nil || version != to[len(to)-1].oldest {
			t.Errorf("releases up to schema 4 see schema %d, error %v; want %d", version, err, to[len(to)-1].oldest)
		}
	}
	change(adds)
	for i := range 2 {
		s, err := Open(t.Context(), Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.SetMeta(fmt.Sprint("k", i), nil, []byte("v")) }); err != nil {
			t.Error(err)
		}
		if err := s.Snapshot(t.Context(), func(store.Reader) error { return nil }); !errors.Is(err, store.ErrNewerSchema) {
			t.Errorf("a copy that would lack something: %v", err)
		}
		s.Close()
		if _, err := OpenReadOnly(t.Context(), dir, true); !errors.Is(err, store.ErrNewerSchema) {
			t.Errorf("for reading alone: %v", err)
		}
	}
	change(adds) // the newer release again: nothing is left to do
	change(takes)
	if _, err := Open(t.Context(), Config{Dir: dir}); !errors.Is(err, store.ErrNewerSchema) {
		t.Errorf("a schema that has taken away: %v", err)
	}
}

// TestMigrateFails makes a step fail half way: nothing of it stays.
func TestMigrateFails(t *testing.T) {
	c := fresh(t)
	all := steps(t)
	if _, err := migrate(c, append(all, migration{all[len(all)-1].oldest, "CREATE TABLE half (x INTEGER) STRICT; DROP TABLE none"})); err == nil {
		t.Fatal("a step that cannot be made was made")
	}
	if c.inTransaction() {
		t.Error("the transaction was left open")
	}
	if n, err := c.integer("SELECT count(*) FROM sqlite_schema WHERE name = 'half'"); err != nil || n != 0 {
		t.Errorf("%d tables of the step stay, error %v", n, err)
	}
	if s, err := migrate(c, all); err != nil || s.version != int64(len(all)) {
		t.Errorf("the schema is %+v, error %v", s, err)
	}
}

func TestParseMigration(t *testing.T) {
	if m, err := parseMigration("-- oldest: 3\nCREATE a;\n"); err != nil || m.oldest != 3 {
		t.Errorf("%+v, error %v", m, err)
	}
	for _, text := range []string{"", "CREATE a;\n", "-- oldest: x\n"} {
		if _, err := parseMigration(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
