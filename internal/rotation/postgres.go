package rotation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"fastness/internal/secretbuf"
)

// postgres changes passwords of PostgreSQL roles. What it sends is a
// SCRAM-SHA-256 verifier, so that no password stands in a statement, and so in
// a log of the server.
type postgres struct{ database }

func parsePostgres(config *secretbuf.Buffer, n Network) (Rotator, error) {
	var c databaseConfig
	if err := decodeConfig(config, &c); err != nil {
		return nil, err
	}
	p := &postgres{database{network: n, defaultPort: 5432, engines: []string{"postgres", "postgresql", "aurora-postgresql"}, maxUsername: 63}}
	return p, c.complete(&p.database)
}

// Set implements Rotator. A single user changes its own password, logged in as
// who it still is; with a master's secret the master does it.
func (p *postgres) Set(ctx context.Context, j *Job) error {
	return p.set(ctx, j, p.try, func(ctx context.Context, ls *logins, own *login) error {
		conn, err := asChanger(ctx, ls, own, p.connect)
		if err != nil {
			return err
		}
		defer closePostgres(conn)
		verifier, err := scramVerifier(ls.pending.Password)
		if err != nil {
			return err
		}
		return alterRole(ctx, conn, j, ls.pending.Username, "'"+verifier+"'", func(tx executor) error {
			if own.Username == ls.pending.Username {
				return nil
			}
			return cloneRole(ctx, tx, own.Username, ls.pending.Username)
		})
	})
}

// alterRole stores what a role logs in with, after something else. The lease is
// confirmed once the role's row is locked: who overtakes has to wait for the end
// of this transaction.
func alterRole(ctx context.Context, conn *pgx.Conn, j *Job, role, password string, first func(executor) error) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return postgresError(err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) // after a commit it does nothing
	if err := first(tx); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, fmt.Sprintf("ALTER ROLE %s WITH PASSWORD %s", quoteRole(role), password)); err != nil {
		return postgresError(err)
	}
	if err := j.confirm(ctx); err != nil {
		return err
	}
	return postgresError(tx.Commit(ctx))
}

// executor is a connection or a transaction.
type executor interface {
	Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, arguments ...any) (pgx.Rows, error)
}

// quoteRole quotes a name; a verifier is of our making and needs no quoting.
func quoteRole(role string) string { return pgx.Identifier{role}.Sanitize() }

// cloneRole makes a role with the attributes and settings of another, a member
// of it, whose sessions begin as the other: what they make belongs to the one
// role, whichever of the two logged in.
func cloneRole(ctx context.Context, on executor, from, to string) error {
	exists, err := hasRole(ctx, on, to)
	if exists || err != nil {
		return err
	}
	attributes, err := roleAttributes(ctx, on, from)
	if err != nil {
		return err
	}
	statements := []string{
		fmt.Sprintf("CREATE ROLE %s WITH LOGIN INHERIT %s IN ROLE %s", quoteRole(to), attributes, quoteRole(from)),
		fmt.Sprintf("ALTER ROLE %s SET role TO %s", quoteRole(to), quoteRole(from)),
	}
	for _, statement := range statements {
		if _, err := on.Exec(ctx, statement); err != nil {
			return postgresError(err)
		}
	}
	return copySettings(ctx, on, from, to)
}

func hasRole(ctx context.Context, on executor, role string) (bool, error) {
	found, err := collect[bool](ctx, on, "SELECT true FROM pg_catalog.pg_roles WHERE rolname = $1", role)
	return len(found) > 0, err
}

// roleAttributes returns what a role may, as words for CREATE ROLE. A
// superuser is not cloned: a password for everything deserves a look.
func roleAttributes(ctx context.Context, on executor, role string) (string, error) {
	const query = `SELECT concat_ws(' ', CASE WHEN rolcreatedb THEN 'CREATEDB' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
		CASE WHEN rolreplication THEN 'REPLICATION' END, CASE WHEN rolbypassrls THEN 'BYPASSRLS' END, 'CONNECTION LIMIT ' || rolconnlimit)
		FROM pg_catalog.pg_roles WHERE rolname = $1 AND NOT rolsuper`
	found, err := collect[string](ctx, on, query, role)
	if err == nil && len(found) == 0 {
		err = misconfigured("value.username", "there is no such role, or it is a superuser")
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}

// copySettings gives a role the settings of another. FROM CURRENT has the
// server itself write lists such as search_path, whose stored form it alone
// quotes rightly.
func copySettings(ctx context.Context, on executor, from, to string) error {
	const query = `SELECT ARRAY[split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1)]
		FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) setting
		WHERE r.rolname = $1 AND s.setdatabase = 0 AND split_part(setting, '=', 1) <> 'role'`
	settings, err := collect[[]string](ctx, on, query, from)
	if err != nil {
		return err
	}
	for _, s := range settings {
		if _, err := on.Exec(ctx, "SELECT pg_catalog.set_config($1, $2, true)", s[0], s[1]); err != nil {
			return postgresError(err)
		}
		if _, err := on.Exec(ctx, fmt.Sprintf("ALTER ROLE %s SET %s FROM CURRENT", quoteRole(to), pgx.Identifier{s[0]}.Sanitize())); err != nil {
			return postgresError(err)
		}
	}
	return nil
}

// collect returns the only column of a query's rows.
func collect[T any](ctx context.Context, on executor, query string, arguments ...any) ([]T, error) {
	rows, err := on.Query(ctx, query, arguments...)
	if err != nil {
		return nil, postgresError(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[T])
	return found, postgresError(err)
}

// Test implements Rotator.
func (p *postgres) Test(ctx context.Context, j *Job, w Which) error {
	return p.test(ctx, j, w, p.try)
}

// try logs in and asks for something.
func (p *postgres) try(ctx context.Context, l *login) error {
	conn, err := p.connect(ctx, l)
	if err != nil {
		return err
	}
	defer closePostgres(conn)
	_, err = conn.Exec(ctx, "SELECT 1")
	return postgresError(err)
}

// Retire implements Retirer: of two users the old one gets no password. A
// single user's old password stopped working when the new one was set.
func (p *postgres) Retire(ctx context.Context, j *Job) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	old, master, err := p.retiree(ctx, j)
	if old == nil || err != nil {
		return err
	}
	defer old.release()
	defer master.release()
	conn, err := p.connect(ctx, master)
	if err != nil {
		return asMaster(err)
	}
	defer closePostgres(conn)
	if exists, err := hasRole(ctx, conn, old.Username); !exists || err != nil {
		return err
	}
	return alterRole(ctx, conn, j, old.Username, "NULL", func(executor) error { return nil })
}

// connect logs in. The driver takes the password as a string, which lives as
// long as the login.
func (p *postgres) connect(ctx context.Context, l *login) (conn *pgx.Conn, err error) {
	config, err := p.config(l)
	if err != nil {
		return nil, err
	}
	config.Password = secretbuf.String(l.Password.Bytes())
	secretbuf.Do(func() { conn, err = pgx.ConnectConfig(ctx, config) })
	secretbuf.WipeString(config.Password)
	return conn, postgresError(err)
}

// config says all that the driver would otherwise look for in its environment.
func (p *postgres) config(l *login) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig("host=localhost port=5432 user=nobody password=none dbname=postgres sslmode=disable target_session_attrs=any")
	if err != nil {
		return nil, fmt.Errorf("preparing a connection: %w", err)
	}
	config.Host, config.Port, config.User, config.Database = l.Host, uint16(l.Port), l.Username, l.Database
	if config.Database == "" {
		config.Database = "postgres" // as AWS's rotators have it
	}
	config.TLSConfig, config.Fallbacks = p.security.config(l.Host), nil
	config.DialFunc, config.ConnectTimeout = dial, connectTimeout
	config.RuntimeParams = map[string]string{
		"application_name": "fastness", "statement_timeout": fmt.Sprint(stepTimeout.Milliseconds()),
		"idle_in_transaction_session_timeout": fmt.Sprint(holdTimeout.Milliseconds()),
	}
	// A server that lets everybody in would make any password look right, and
	// one that has not proved to be ours must not simply be told the password.
	config.RequireAuth = "scram-sha-256,md5"
	if p.security.verified() {
		config.RequireAuth += ",password"
	}
	config.StatementCacheCapacity, config.DescriptionCacheCapacity = 0, 0
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	return config, nil
}

// closePostgres says good-bye, but does not wait for an answer for long.
func closePostgres(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn.Close(ctx) // what was to be done is done
}

// concurrently is the SQLSTATE of two sessions that alter one role: the second
// waits for the first, and is then told of an internal error.
const concurrently = "XX000"

// postgresError is an error of the driver in our classes.
func postgresError(err error) error {
	var told *pgconn.PgError
	var ours *Error
	switch {
	case err == nil || errors.As(err, &ours):
		return err
	case !errors.As(err, &told):
		return postgresFailure(err)
	}
	switch code := told.Code; {
	case code == "28P01" || code == "28000":
		return unverified(err)
	case code == "3D000":
		return &Error{Misconfigured, "there is no such database", err}
	case code == "42501":
		return refused(err, "the user may not do this (SQLSTATE 42501)")
	case code[:2] == "53" || code[:2] == "57" || code[:2] == "08" || code == "40001" || code == "40P01" || code == "25P03" || code == concurrently:
		return unreachable(err) // too many connections, shutting down, starting up, a conflict: not for ever
	default:
		return refused(err, "the target answers with SQLSTATE %s", code)
	}
}

// postgresFailure is the class of a connection that did not come about. For
// two refusals of its own the driver has a text only.
func postgresFailure(err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "server refused TLS connection"):
		return refused(err, "the target does not speak TLS")
	case strings.Contains(text, "authentication method requirement"):
		return refused(err, "the target does not ask for the password in a safe way, or not at all")
	}
	return failure(err)
}
