package postgres

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed queries.sql
var queriesSQL string

// queries are the statements of queries.sql by name, and eachQueries those that
// look for many keys at once, by the name of the one for a single key.
var queries, eachQueries = withEach(parseQueries(queriesSQL))

// eachKeys are the statements that return at most one row, by a key of these types,
// and are to be had for many keys at once. No type is text, which the database could
// refuse for all who ask together.
var eachKeys = map[string][]string{
	"credential_by_hash": {"bytea"},
	"credential_by_id":   {"bytea"},
	"tenant_by_name":     {"bytea"},
	"document":           {"bytea", "bytea", "bytea"},
	"find":               {"bytea", "bytea", "bytea", "int8"},
}

// withEach takes the frames of statements for many keys out of those of the file,
// and makes what they are for.
func withEach(file map[string]string) (queries, each map[string]string) {
	frame, array := file["each"], file["each_array"]
	delete(file, "each")
	delete(file, "each_array")
	each = make(map[string]string, len(eachKeys))
	for name, types := range eachKeys {
		var arrays, columns []string
		for i, t := range append(slices.Clone(types), "int8") {
			arrays = append(arrays, strings.NewReplacer("{number}", strconv.Itoa(i+1), "{type}", t).Replace(array))
			columns = append(columns, fmt.Sprint("k", i+1))
		}
		columns[len(types)] = "n"
		each[name] = strings.NewReplacer("{arrays}", strings.Join(arrays, ", "), "{columns}", strings.Join(columns, ", "),
			"{statement}", placeholder.ReplaceAllString(file[name], "k.k$1")).Replace(frame)
	}
	return file, each
}

var placeholder = regexp.MustCompile(`\$(\d+)`)

// parseQueries splits a file into its named statements and puts the parts in
// place. Comment lines are dropped. A part may hold parts that stand above it.
func parseQueries(file string) map[string]string {
	out := make(map[string]string)
	var parts []string // old, new, old, new, …
	var name, part string
	var body []string
	flush := func() {
		text := strings.NewReplacer(parts...).Replace(strings.TrimSpace(strings.Join(body, "\n")))
		switch {
		case part != "":
			parts = append(parts, "{"+part+"}", text)
		case name != "":
			out[name] = text
		}
		name, part, body = "", "", nil
	}
	for line := range strings.Lines(file) {
		line = strings.TrimRight(line, " \n")
		if s, ok := strings.CutPrefix(line, "-- name: "); ok {
			flush()
			name = s
		} else if s, ok := strings.CutPrefix(line, "-- part: "); ok {
			flush()
			part = s
		} else if !strings.HasPrefix(line, "--") {
			body = append(body, line)
		}
	}
	flush()
	return out
}
