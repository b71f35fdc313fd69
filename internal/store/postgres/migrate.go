package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"fastness/internal/secret"
	"fastness/internal/store"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one step of the schema.
type migration struct {
	// oldest is the oldest schema whose release still works with this one.
	oldest     int64
	statements []string
}

// migrations returns the steps in order. The number that a file's name starts
// with is its place, counted from 1; a test holds the names to that.
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

// parseMigration splits a file at the semicolons that end lines. Its first
// line says which schema is the oldest.
func parseMigration(text string) (m migration, err error) {
	first, rest, _ := strings.Cut(text, "\n")
	number, ok := strings.CutPrefix(first, "-- oldest: ")
	if m.oldest, err = strconv.ParseInt(number, 10, 64); err != nil || !ok {
		return m, errors.New("the first line does not say which schema is the oldest that may stay in use")
	}
	var body strings.Builder
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "--") {
			body.WriteString(line)
		}
	}
	for statement := range strings.SplitSeq(body.String(), ";\n") {
		if statement = strings.TrimSpace(statement); statement != "" {
			m.statements = append(m.statements, statement)
		}
	}
	return m, nil
}

const (
	// migrationLease is how long a node that died while it changed the schema
	// holds the others up. It is renewed before each statement.
	migrationLease = 30 * time.Second
	// migrationPoll is how often those that wait look again.
	migrationPoll = 100 * time.Millisecond
)

// migrate brings the schema up to date. One node does it, under a lease that is
// a row, and those that start meanwhile wait. Statements run one by one, since
// not every engine changes schemas in transactions; each may be run again, so
// that the next holder goes on after a crash.
func migrate(ctx context.Context, c *pgx.Conn, steps []migration) error {
	if err := makeSchemaTable(ctx, c); err != nil {
		return fmt.Errorf("making the table of the schema's version: %w", err)
	}
	m := migrator{c, secret.NewUUID()}
	for {
		version, err := schemaVersion(ctx, c, len(steps))
		if err != nil || version >= int64(len(steps)) {
			return err
		}
		held, err := m.hold(ctx)
		if err != nil {
			return fmt.Errorf("taking the lease on the schema: %w", err)
		}
		if held {
			return m.run(ctx, steps)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for another node to migrate the schema: %w", ctx.Err())
		case <-time.After(migrationPoll):
		}
	}
}

// makeSchemaTable tries again if another node makes it at the same time, which
// IF NOT EXISTS does not always take in good part.
func makeSchemaTable(ctx context.Context, c *pgx.Conn) (err error) {
	for range 5 {
		if _, err = c.Exec(ctx, queries["schema_table"]); err == nil {
			_, err = c.Exec(ctx, queries["schema_row"])
		}
		if err == nil {
			return nil
		}
	}
	return err
}

// schemaVersion reads the schema's version, and refuses one that this release
// cannot work with.
func schemaVersion(ctx context.Context, c *pgx.Conn, known int) (version int64, err error) {
	var oldest int64
	if err := c.QueryRow(ctx, queries["schema"]).Scan(&version, &oldest); err != nil {
		return 0, fmt.Errorf("reading the schema's version: %w", err)
	}
	if oldest > int64(known) {
		return 0, fmt.Errorf("%w: schema %d serves releases from schema %d on, and this one knows %d; use the release that wrote it, or a newer one",
			store.ErrNewerSchema, version, oldest, known)
	}
	return version, nil
}

// migrator is a node that changes the schema.
type migrator struct {
	conn   *pgx.Conn
	holder string
}

// hold takes or renews the lease.
func (m migrator) hold(ctx context.Context) (bool, error) {
	now := time.Now()
	tag, err := m.conn.Exec(ctx, queries["schema_lease"], m.holder, now.UnixMilli(), now.Add(migrationLease).UnixMilli())
	return tag.RowsAffected() == 1, err
}

// run makes the steps that are missing, and gives the lease up.
func (m migrator) run(ctx context.Context, steps []migration) error {
	version, err := schemaVersion(ctx, m.conn, len(steps))
	for n := version + 1; err == nil && n <= int64(len(steps)); n++ {
		if err = m.step(ctx, n, steps[n-1]); err != nil {
			err = fmt.Errorf("migrating to schema %d: %w", n, err)
		}
	}
	_, released := m.conn.Exec(context.WithoutCancel(ctx), queries["schema_release"], m.holder)
	return errors.Join(err, released)
}

func (m migrator) step(ctx context.Context, n int64, step migration) error {
	for _, statement := range step.statements {
		if held, err := m.hold(ctx); err != nil || !held {
			return errors.Join(err, lostIf(!held))
		}
		if _, err := m.conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	tag, err := m.conn.Exec(ctx, queries["schema_step"], m.holder, n, step.oldest)
	return errors.Join(err, lostIf(err == nil && tag.RowsAffected() == 0))
}

func lostIf(lost bool) error {
	if lost {
		return store.ErrFenced
	}
	return nil
}
