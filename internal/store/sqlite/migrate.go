package sqlite

import (
	"embed"
	"fmt"
	"io/fs"

	"fastness/internal/store"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrations returns the scripts in order. The number that a file's name
// starts with is its place, counted from 1, so sorting by name is sorting by
// number; a test holds the names to that.
func migrations() ([]string, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	scripts := make([]string, len(names))
	for i, name := range names {
		b, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		scripts[i] = string(b)
	}
	return scripts, nil
}

// migrate brings the schema up to date, each step in a transaction with its
// number in user_version.
func migrate(c *conn) error {
	scripts, err := migrations()
	if err != nil {
		return fmt.Errorf("reading migrations: %w", err)
	}
	version, err := c.integer("PRAGMA user_version")
	if err != nil {
		return fmt.Errorf("reading schema version: %w", err)
	}
	if version > int64(len(scripts)) {
		return fmt.Errorf("%w: schema %d, and this release knows up to %d; use the release that wrote it, or a newer one",
			store.ErrNewerSchema, version, len(scripts))
	}
	for n := int(version) + 1; n <= len(scripts); n++ {
		script := fmt.Sprintf("BEGIN IMMEDIATE;\n%s\n;PRAGMA user_version = %d;\nCOMMIT;", scripts[n-1], n)
		if err := c.exec(script); err != nil {
			c.exec("ROLLBACK")
			return fmt.Errorf("migrating to schema %d: %w", n, err)
		}
	}
	return nil
}
