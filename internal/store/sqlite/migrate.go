package sqlite

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"fastness/internal/store"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one step of the schema.
type migration struct {
	// oldest is the oldest schema whose release still works with this one.
	oldest int64
	script string
}

// migrations returns the steps in order. The number that a file's name starts
// with is its place, counted from 1, so sorting by name is sorting by number; a
// test holds the names to that.
func migrations() ([]migration, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	steps := make([]migration, len(names))
	for i, name := range names {
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if steps[i], err = parseMigration(string(text)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return steps, nil
}

// parseMigration reads a file, whose first line says which schema is the oldest.
func parseMigration(text string) (m migration, err error) {
	first, _, _ := strings.Cut(text, "\n")
	number, ok := strings.CutPrefix(first, "-- oldest: ")
	if m.oldest, err = strconv.ParseInt(number, 10, 64); err != nil || !ok {
		return m, errors.New("the first line does not say which schema is the oldest that may stay in use")
	}
	m.script = text
	return m, nil
}

// schema is what a database says of its own.
type schema struct {
	version int64
	oldest  int64 // the oldest schema whose release still works with it
	known   int64 // how many this release has
}

// readSchema reads it. user_version is the oldest schema, not the database's
// own: releases of schema 4 and before know nothing else, and refuse a number
// above theirs. The own one is in a table, which those releases do not make.
func readSchema(c *conn, known int) (s schema, err error) {
	s.known = int64(known)
	if s.oldest, err = c.integer("PRAGMA user_version"); err != nil {
		return s, fmt.Errorf("reading schema version: %w", err)
	}
	s.version = s.oldest
	there, err := c.integer("SELECT count(*) FROM sqlite_schema WHERE name = 'schema_version'")
	if err == nil && there == 1 {
		s.version, err = c.integer("SELECT version FROM schema_version")
	}
	if err != nil {
		err = fmt.Errorf("reading schema version: %w", err)
	}
	return s, err
}

// serves refuses a schema that this release cannot work with.
func (s schema) serves() error {
	if s.oldest > s.known {
		return fmt.Errorf("%w: schema %d serves releases from schema %d on, and this one knows %d; use the release that wrote it, or a newer one",
			store.ErrNewerSchema, s.version, s.oldest, s.known)
	}
	return nil
}

// newer refuses a schema that has more than this release can see.
func (s schema) newer() error {
	if s.version > s.known {
		return fmt.Errorf("%w: schema %d, and this release knows up to %d, so that its copy would lack something; use the release that wrote it",
			store.ErrNewerSchema, s.version, s.known)
	}
	return nil
}

// older refuses a schema that has to be migrated first.
func (s schema) older() error {
	if s.version < s.known {
		return fmt.Errorf("%w: %d, and this release has %d; start its server on the store once", store.ErrOlderSchema, s.version, s.known)
	}
	return nil
}

// migrate brings the schema up to date, each step in a transaction with its
// number. One that is newer, and still serves this release, stays as it is.
func migrate(c *conn, steps []migration) (schema, error) {
	s, err := readSchema(c, len(steps))
	if err != nil {
		return s, err
	}
	if err := s.serves(); err != nil {
		return s, err
	}
	for s.version < s.known {
		step := steps[s.version]
		if err := c.exec(step.transaction(s.version + 1)); err != nil {
			c.exec("ROLLBACK")
			return s, fmt.Errorf("migrating to schema %d: %w", s.version+1, err)
		}
		s.version, s.oldest = s.version+1, step.oldest
	}
	return s, nil
}

// transaction is the step with the number of the schema that it makes.
func (m migration) transaction(version int64) string {
	return fmt.Sprintf(`BEGIN IMMEDIATE;
%s
;CREATE TABLE IF NOT EXISTS schema_version (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT;
INSERT OR REPLACE INTO schema_version (one, version) VALUES (1, %d);
PRAGMA user_version = %d;
COMMIT;`, m.script, version, m.oldest)
}
