package postgres

import (
	_ "embed"
	"strings"
)

//go:embed queries.sql
var queriesSQL string

// queries are the statements of queries.sql by name.
var queries = parseQueries(queriesSQL)

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
