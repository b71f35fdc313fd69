package sqlite

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fresh is a connection to an empty database of the newest schema.
func fresh(t *testing.T) *conn {
	t.Helper()
	path := filepath.Join(t.TempDir(), databaseFile)
	if err := createFile(path); err != nil {
		t.Fatal(err)
	}
	c, err := openConn(path, setupWriter)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	if _, err := migrate(c, steps(t)); err != nil {
		t.Fatal(err)
	}
	return c
}

// steps are the migrations.
func steps(t *testing.T) []migration {
	t.Helper()
	steps, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func TestQueriesPrepare(t *testing.T) {
	c := fresh(t)
	for name, sql := range queries {
		if s := c.query(name); s.err != nil {
			t.Errorf("%s: %v\n%s", name, s.err, sql)
		}
	}
	if s := c.query("none"); s.err == nil {
		t.Error("a statement that is not there was prepared")
	}
}

var parameter = regexp.MustCompile(`\?(\d*)`)

// TestQueryParameters holds parameters to ?1, ?2, … without a gap: SQLite
// numbers $2 by where it first appears, and a bare ? by its place, so that
// after an edit a tenant's id could land in another column.
func TestQueryParameters(t *testing.T) {
	for name, sql := range queries {
		if strings.ContainsAny(sql, "$:@{") {
			t.Errorf("%s: a parameter or part of another form:\n%s", name, sql)
		}
		seen := make(map[int]bool)
		for _, m := range parameter.FindAllStringSubmatch(sql, -1) {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				t.Errorf("%s: a parameter without a number", name)
			}
			seen[n] = true
		}
		for n := 1; n <= len(seen); n++ {
			if !seen[n] {
				t.Errorf("%s: has %d parameters, and ?%d is not among them", name, len(seen), n)
			}
		}
	}
}

// TestQueriesUsed finds statements that Go does not call, by looking for their
// names among the string literals.
func TestQueriesUsed(t *testing.T) {
	literals := make(map[string]bool)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				s, _ := strconv.Unquote(l.Value)
				literals[s] = true
			}
			return true
		})
	}
	for name := range queries {
		if !literals[name] {
			t.Errorf("%s is never called", name)
		}
	}
}

// TestQueryPlans refuses statements that read a whole table or index, or sort.
// Each of those below has its reason.
func TestQueryPlans(t *testing.T) {
	allowed := map[string]string{
		"batch_pending":       "SCAN audit_places", // its last row
		"place_last":          "SCAN audit_places", // its last row
		"tree":                "SCAN audit_tree",   // it has one row
		"tree_move":           "SCAN audit_tree",
		"checkpoint_unsigned": "SCAN audit_checkpoints USING", // a partial index that is all but empty
		"tree_set":            "SCAN audit_tree",
		"lease_live":          "SCAN leases", // they are few
		"meta_list":           "SCAN m",      // all of them, and they are few
		"touch":               "SCAN 2-ROW VALUES CLAUSE",
	}
	sorting := []string{
		"secret_list_due", "secret_list_deleted", // by name, of the few that the index gives
		"touch_trim", // by day, of a thousand at most
	}
	c := fresh(t)
	for _, name := range slices.Sorted(maps.Keys(queries)) {
		for _, line := range plan(t, c, queries[name]) {
			if line == "SCAN CONSTANT ROW" {
				continue // no table at all
			}
			if strings.HasPrefix(line, "SCAN") && (allowed[name] == "" || !strings.HasPrefix(line, allowed[name])) ||
				strings.Contains(line, "TEMP B-TREE") && !slices.Contains(sorting, name) {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}

func plan(t *testing.T, c *conn, sql string) (lines []string) {
	t.Helper()
	first, _, _ := strings.Cut(sql, " ")
	if !slices.Contains([]string{"SELECT", "INSERT", "UPDATE", "DELETE"}, strings.TrimSpace(first)) {
		return nil
	}
	queries["plan"] = "EXPLAIN QUERY PLAN " + sql
	defer delete(queries, "plan")
	s, err := c.prepareNamed("plan")
	if err != nil {
		t.Fatalf("%v: %s", err, sql)
	}
	defer s.finalize()
	for {
		ok, err := s.step()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return lines
		}
		lines = append(lines, s.string(3))
	}
}

func TestParseQueries(t *testing.T) {
	got := parseQueries(`-- a head that belongs to nothing
-- part: inner
x = ?1

-- part: outer
-- says why
({inner})
-- name: one
-- says what
SELECT *
FROM t WHERE {outer}

-- name: two
DELETE FROM t
`)
	want := map[string]string{"one": "SELECT *\nFROM t WHERE (x = ?1)", "two": "DELETE FROM t"}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("got (-), want (+):\n%s", diff)
	}
}

// TestMigrationNames holds the files to 0001_…, 0002_… without a gap.
func TestMigrationNames(t *testing.T) {
	entries, err := os.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if n, _, _ := strings.Cut(e.Name(), "_"); n != strings.Repeat("0", 4-len(strconv.Itoa(i+1)))+strconv.Itoa(i+1) {
			t.Errorf("migration %d is called %s", i+1, e.Name())
		}
	}
}
