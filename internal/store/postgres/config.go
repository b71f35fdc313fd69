package postgres

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Config says how a store is opened.
type Config struct {
	// URL says where the database is, as PostgreSQL's own clients take it:
	// postgres://user@host:5432/database?sslmode=verify-full. It may name several
	// hosts, of which the one that takes writes is used, and what this package
	// sets: pool_max_conns, connect_timeout, statement_timeout and so on. What a
	// URL should not hold may be in the usual variables and files, such as
	// PGPASSFILE.
	URL string
	// Logger receives faults of background work; default slog.Default.
	Logger *slog.Logger
}

const (
	// defaultConns is how many connections a node opens at most.
	defaultConns = 24
	// connectTimeout bounds making a connection, so that a host that is gone is
	// given up for the next.
	connectTimeout = 3 * time.Second
	// acquireTimeout bounds waiting for a connection of the pool, unless the URL
	// gives a new one longer.
	acquireTimeout = 5 * time.Second
	// statementTimeout is when the server gives a statement up.
	statementTimeout = 10 * time.Second
	// lockTimeout is when a statement gives up waiting for another transaction.
	lockTimeout = 5 * time.Second
	// idleTimeout is when the server ends a session that forgot its transaction,
	// as a node does that was stopped. It is shorter than lockTimeout, so that
	// those whom its locks hold up go on and do not fail.
	idleTimeout = 3 * time.Second
	// snapshotPause is how long who reads for long may stand still, on a slow disk
	// say, before the server takes it for gone.
	snapshotPause = 10 * time.Minute
	// lateness is how much longer than the server this side waits for a statement.
	lateness = 2 * time.Second
)

// sessionDefaults are settings of every session, unless the URL has them.
var sessionDefaults = map[string]time.Duration{
	"statement_timeout":                   statementTimeout,
	"lock_timeout":                        lockTimeout,
	"idle_in_transaction_session_timeout": idleTimeout,
}

// IsURL reports whether a text names a store of this package.
func IsURL(text string) bool {
	return strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://")
}

// parse reads the URL and fills in what it leaves open.
func parse(c Config) (*pgxpool.Config, error) {
	if !IsURL(c.URL) {
		return nil, fmt.Errorf("the URL of a store begins with postgres://")
	}
	p, err := pgxpool.ParseConfig(c.URL)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		u = new(url.URL) // several hosts with ports are no URL to Go; the driver has read them
		_, query, _ := strings.Cut(c.URL, "?")
		u.RawQuery = query
	}
	given := u.Query()
	if !given.Has("pool_max_conns") {
		p.MaxConns = defaultConns
	}
	if !given.Has("connect_timeout") {
		p.ConnConfig.ConnectTimeout = connectTimeout
	}
	if !given.Has("target_session_attrs") {
		p.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	for name, d := range sessionDefaults {
		if _, ok := p.ConnConfig.RuntimeParams[name]; !ok {
			p.ConnConfig.RuntimeParams[name] = fmt.Sprint(d.Milliseconds())
		}
	}
	if p.ConnConfig.RuntimeParams["application_name"] == "" {
		p.ConnConfig.RuntimeParams["application_name"] = "fastness"
	}
	p.PingTimeout = connectTimeout
	return p, nil
}

// forMigrating is the configuration of the connection that changes the schema,
// which may take longer than a request's.
func forMigrating(p *pgxpool.Config) *pgx.ConnConfig {
	c := p.ConnConfig.Copy()
	c.RuntimeParams["statement_timeout"] = "0"
	return c
}

// forSnapshot is the configuration of a connection that reads for long: between
// two of its statements whoever reads may take its time.
func forSnapshot(p *pgxpool.Config) *pgxpool.Config {
	c := p.Copy()
	c.MaxConns, c.MinConns = 1, 0
	c.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = fmt.Sprint(snapshotPause.Milliseconds())
	return c
}

// serializable reports whether transactions are, by the URL's word.
func serializable(p *pgxpool.Config) bool {
	return strings.EqualFold(p.ConnConfig.RuntimeParams["default_transaction_isolation"], "serializable")
}
