package postgres

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// This file holds every statement to what PostgreSQL, CockroachDB and
// YugabyteDB all run. It takes statements apart and refuses each word, function,
// type and sign that is not on a list: what is new is looked up in the manuals
// of all three before it gets there.

// beginnings are how statements may begin.
var beginnings = []string{
	"SELECT", "INSERT INTO", "UPDATE", "DELETE FROM", "WITH",
	"BEGIN READ WRITE", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
	"COMMIT", "ROLLBACK",
	"CREATE TABLE IF NOT EXISTS", "CREATE INDEX IF NOT EXISTS", "CREATE UNIQUE INDEX IF NOT EXISTS",
}

// keywords are the words of the language.
var keywords = set(`ADD ALTER AND ANY AS ASC BEGIN BY CASCADE CASE CHECK COLUMN COMMIT CONFLICT CREATE CROSS DEFAULT DELETE DESC DO ELSE END
	EXISTS FOR FOREIGN FROM IF IN INDEX INSERT INTO IS ISOLATION JOIN KEY LATERAL LEFT LEVEL LIMIT NO NOT NOTHING NULL OFFSET ON ONLY OR ORDER
	PRIMARY READ REFERENCES REPEATABLE RETURNING ROLLBACK SELECT SERIALIZABLE SET SHARE TABLE THEN UNIQUE UPDATE VALUES WHEN WHERE WITH WRITE`)

// functions are those that may be called. CockroachDB has pg_table_size since
// 26.3; where it is missing, the store does without its answer.
var functions = set(`coalesce count greatest max min octet_length pg_table_size sum unnest`)

// types are those of columns and casts. A serial one would make every node meet
// on its sequence.
var types = set(`boolean bytea int8 regclass text`)

// signs are the operators and what else is no word.
var signs = set(`( ) , . = <> < > <= >= + - * :: [ ]`)

// aliases are the names that statements give rows within themselves.
var aliases = set(`a c d excluded gone k k1 k2 k3 k4 n o p r s size t v w who`)

func set(words string) map[string]bool {
	out := make(map[string]bool)
	for _, w := range strings.Fields(words) {
		out[w] = true
	}
	return out
}

var token = regexp.MustCompile(`'(?:[^']|'')*'|\$\d+|\d+|[A-Za-z_][A-Za-z_0-9]*|::|[-+*/<>=~!@#%^&|?]+|[^\s]`)

// dialect reports what of a statement is not common to the engines. names are
// the tables and columns that there are.
func dialect(sql string, names map[string]bool) error {
	words := token.FindAllString(sql, -1)
	flat := strings.Join(words, " ")
	if !slices.ContainsFunc(beginnings, func(b string) bool { return flat == b || strings.HasPrefix(flat, b+" ") }) {
		return fmt.Errorf("no statement begins like this")
	}
	for i, w := range words {
		next, last := "", ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		if i > 0 {
			last = words[i-1]
		}
		if err := allowed(w, last, next, names); err != nil {
			return err
		}
	}
	return nil
}

var plainText = regexp.MustCompile(`^'(\\x[0-9a-f]+|[a-z_]*)'$`)

func allowed(w, last, next string, names map[string]bool) error {
	switch {
	case w[0] == '\'':
		if !plainText.MatchString(w) {
			return fmt.Errorf("text %s", w)
		}
	case w[0] == '$' && len(w) > 1, '0' <= w[0] && w[0] <= '9':
	case !wordly(w):
		if !signs[w] {
			return fmt.Errorf("sign %s", w)
		}
	case last == "::":
		if !types[w] {
			return fmt.Errorf("type %s", w)
		}
	case keywords[w]:
	case next == "(" && functions[w]:
	case next == "(" && !names[w] && !aliases[w]:
		return fmt.Errorf("function %s", w)
	case !names[w] && !aliases[w] && !types[w]:
		return fmt.Errorf("word %s", w)
	}
	return nil
}

func wordly(w string) bool { return w[0] == '_' || w[0]|0x20 >= 'a' && w[0]|0x20 <= 'z' }

var (
	tableName  = regexp.MustCompile(`CREATE TABLE IF NOT EXISTS (\w+)`)
	indexName  = regexp.MustCompile(`INDEX IF NOT EXISTS (\w+)`)
	columnName = regexp.MustCompile(`(?m)^\t([a-z_]+) +[a-z]`)
)

// statements returns all statements of the tree by where they are, and the
// names of their tables and columns.
func statements(t *testing.T) (all map[string]string, names map[string]bool) {
	t.Helper()
	all, names = maps.Clone(queries), make(map[string]bool)
	for name, sql := range eachQueries {
		all["many of "+name] = sql
	}
	steps, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	for n, step := range steps {
		for i, sql := range step.statements {
			all[fmt.Sprintf("migration %d, statement %d", n+1, i+1)] = sql
		}
	}
	for _, sql := range all {
		for _, pattern := range []*regexp.Regexp{tableName, indexName} {
			for _, m := range pattern.FindAllStringSubmatch(sql, -1) {
				names[m[1]] = true
			}
		}
		if strings.HasPrefix(sql, "CREATE TABLE") {
			for _, m := range columnName.FindAllStringSubmatch(sql, -1) {
				names[m[1]] = true
			}
		}
	}
	return all, names
}

func TestDialect(t *testing.T) {
	all, names := statements(t)
	for where, sql := range all {
		if err := dialect(sql, names); err != nil {
			t.Errorf("%s: %v is not known to run on every engine:\n%s", where, err, sql)
		}
	}
}

// TestDialectRefuses tries what must not get in.
func TestDialectRefuses(t *testing.T) {
	_, names := statements(t)
	for _, sql := range []string{
		"SELECT pg_advisory_lock(1)", "SELECT pg_advisory_xact_lock($1)", "SELECT pg_try_advisory_lock(1)",
		"LISTEN secrets", "NOTIFY secrets", "UNLISTEN *", "SELECT pg_notify('a', 'b')",
		"CREATE TABLE IF NOT EXISTS tenants (id serial PRIMARY KEY)", "CREATE TABLE IF NOT EXISTS tenants (id bigserial)",
		"CREATE TABLE IF NOT EXISTS tenants (id int8 GENERATED ALWAYS AS IDENTITY)", "SELECT nextval('x')",
		"DO 'BEGIN END'", "DO $$ BEGIN END $$", "CREATE TRIGGER x", "CREATE FUNCTION f() RETURNS int8", "CREATE EXTENSION pgcrypto",
		"CREATE TABLE tenants (id int8)", "CREATE UNLOGGED TABLE tenants (id int8)", "CREATE INDEX CONCURRENTLY x ON tenants (id)",
		"COPY tenants FROM STDIN", "VACUUM tenants", "LOCK TABLE tenants", "TRUNCATE tenants", "ANALYZE", "SET x = 1", "DECLARE c CURSOR",
		"SELECT ctid FROM tenants", "SELECT xmin FROM tenants", "SELECT 1 FROM tenants FOR UPDATE SKIP LOCKED",
		"SELECT 1 FROM tenants TABLESAMPLE system (1)", "SELECT name ~ 'x' FROM tenants", "SELECT labels -> 'x' FROM secrets",
		"SELECT '1'::jsonb", "SELECT '1'::xml", "MERGE INTO tenants", "BEGIN", "SAVEPOINT op", "PREPARE TRANSACTION 'x'",
		"CREATE INDEX IF NOT EXISTS secrets_due ON secrets USING gist (name)", `SELECT E'\n'`, "SELECT now()",
	} {
		if dialect(sql, names) == nil {
			t.Errorf("this got in: %s", sql)
		}
	}
}

// TestKeysBeginWithTenants holds the tables of what tenants have, and their
// indexes, to being divided by tenant. What is looked up across tenants is
// listed here.
func TestKeysBeginWithTenants(t *testing.T) {
	all, _ := statements(t)
	deployment := set("meta tenants schema_version audit_pending audit_batches audit_tiles audit_tree audit_checkpoints leases")
	across := set("secrets_deleted_anywhere secrets_work credentials_by_hash documents_expiring audit_checkpoints_unsigned")
	key := regexp.MustCompile(`PRIMARY KEY \((\w+)`)
	for where, sql := range all {
		if m := tableName.FindStringSubmatch(sql); m != nil && !deployment[m[1]] {
			k := key.FindStringSubmatch(sql)
			if k == nil && !strings.Contains(sql, "tenant      bytea NOT NULL PRIMARY KEY") || k != nil && k[1] != "tenant" {
				t.Errorf("%s: the key of %s does not begin with the tenant", where, m[1])
			}
		}
		if m := indexName.FindStringSubmatch(sql); m != nil && !across[m[1]] && !strings.Contains(sql, "(tenant, ") {
			t.Errorf("%s: index %s does not begin with the tenant", where, m[1])
		}
	}
}

// TestTenantParameter holds statements on tables of tenants to the tenant as
// their first parameter.
func TestTenantParameter(t *testing.T) {
	across := set(`secret_expired_anywhere secret_work_anywhere secret_work_load_anywhere key_walk credential_by_hash credential_by_id credential_lock_by_hash credential_delete document_expire`)
	tables := regexp.MustCompile(`\b(FROM|INTO|UPDATE|JOIN) (owners|tenant_keys|secrets|versions|consumers|principals|credentials|documents)\b`)
	first := regexp.MustCompile(`\b(\w\.)?(tenant|id) = \$1|\(tenant, [^)]*\) VALUES \(\$1`)
	for name, sql := range queries {
		if tables.MatchString(sql) && !across[name] && !first.MatchString(sql) {
			t.Errorf("%s: the tenant is not its first parameter:\n%s", name, sql)
		}
	}
}

var parameter = regexp.MustCompile(`\$(\d+)`)

// TestQueryParameters holds parameters to $1, $2, … without a gap.
func TestQueryParameters(t *testing.T) {
	for name, sql := range queries {
		if strings.ContainsAny(sql, "?{") {
			t.Errorf("%s: a parameter or part of another form:\n%s", name, sql)
		}
		seen := make(map[string]bool)
		for _, m := range parameter.FindAllStringSubmatch(sql, -1) {
			seen[m[1]] = true
		}
		for n := 1; n <= len(seen); n++ {
			if !seen[fmt.Sprint(n)] {
				t.Errorf("%s: has %d parameters, and $%d is not among them", name, len(seen), n)
			}
		}
	}
}

// TestQueriesInFiles looks for statements among the literals of Go, and for
// names of statements that are not there: all of SQL is in the .sql files.
func TestQueriesInFiles(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	sql := regexp.MustCompile("[\"`](?i:select|insert|update|delete|begin|commit|rollback|create|alter|set|with|listen|notify|do|copy|vacuum|lock) ")
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if m := sql.Find(text); m != nil {
			t.Errorf("%s: a statement in Go: %s", name, m)
		}
		code.Write(text)
	}
	for name := range queries {
		if !strings.Contains(code.String(), `"`+strings.TrimSuffix(name, "_held")+`"`) {
			t.Errorf("%s is never called", name)
		}
	}
}

// TestMigrationNames holds the files to 0001_…, 0002_… without a gap.
func TestMigrationNames(t *testing.T) {
	entries, err := os.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if n, _, _ := strings.Cut(e.Name(), "_"); n != fmt.Sprintf("%04d", i+1) {
			t.Errorf("migration %d is called %s", i+1, e.Name())
		}
	}
}

func TestParseMigration(t *testing.T) {
	m, err := parseMigration("-- oldest: 3\n-- why; this\nCREATE a (\n\tx\n);\n\nCREATE b;\n")
	if err != nil || m.oldest != 3 || !slices.Equal(m.statements, []string{"CREATE a (\n\tx\n)", "CREATE b"}) {
		t.Errorf("parsed %+v, %v", m, err)
	}
	for _, text := range []string{"", "CREATE a;\n", "-- oldest: x\n"} {
		if _, err := parseMigration(text); err == nil {
			t.Errorf("%q was parsed", text)
		}
	}
}
