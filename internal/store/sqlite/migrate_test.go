package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// openSchema is a connection to a database of an older schema.
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
	scripts, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range scripts[:version] {
		if err := c.exec(script); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.exec("PRAGMA user_version = " + string('0'+rune(version))); err != nil {
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
	c := openSchema(t, dir, 1)
	if err := c.exec(schema1); err != nil {
		t.Fatal(err)
	}
	c.close()
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
