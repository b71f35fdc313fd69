package rotation_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"

	"fastness/internal/secretbuf"
	"fastness/internal/testservers"
)

// subjects are all rotators under all strategies.
func subjects() []subject {
	return []subject{
		{name: "password", open: plain("password", `{"length":20}`)},
		{name: "api-key", open: plain("api-key", `{"encoding":"base62","prefix":"sk_"}`)},
		{name: "postgres single", open: postgresUser(`{"tls":"disable"}`, false)},
		{name: "postgres single by master", open: postgresUser(`{"tls":"disable"}`, true)},
		{name: "postgres alternating", open: postgresUser(`{"tls":"disable","strategy":"alternating"}`, true), overlaps: true},
		{name: "mariadb single", open: mariaUser("mysql_native_password", `{"tls":"disable"}`, false)},
		{name: "mariadb single with ed25519", open: mariaUser("ed25519", `{"tls":"disable"}`, false)},
		{name: "mariadb single by master", open: mariaUser("mysql_native_password", `{"tls":"disable"}`, true)},
		{name: "mariadb alternating", open: mariaUser("mysql_native_password", `{"tls":"disable","strategy":"alternating"}`, true), overlaps: true},
		{name: "mariadb alternating with ed25519", open: mariaUser("ed25519", `{"tls":"disable","strategy":"alternating"}`, true), overlaps: true},
		{name: "redis", open: redisUser(`{"tls":"disable"}`, false), overlaps: true},
		{name: "redis by master", open: redisUser(`{"tls":"disable","aclSave":true}`, true), overlaps: true},
		{name: "webhook", open: webhookReceiver("generated"), untestable: true},
		{name: "webhook that stores", open: webhookReceiver("receiver"), untestable: true},
	}
}

func plain(kind, config string) func(testing.TB, *proxy) *specimen {
	return func(testing.TB, *proxy) *specimen {
		return &specimen{kind: kind, config: config, value: []byte("old")}
	}
}

// users counts, so that each has a name of its own.
var users atomic.Int64

// newUser returns a name that is no fun to quote, and a password.
func newUser() (user, password string) {
	return fmt.Sprintf("u%d \"`'; DROP x--", users.Add(1)), rand.Text()
}

// parsed is a value as anybody would read it.
type parsed struct {
	Host, Username, Password string
	Port                     int
}

func parseValue(value []byte) (p parsed) {
	if err := json.Unmarshal(value, &p); err != nil {
		panic(err)
	}
	return p
}

func mustJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

const masterName = "arn:master"

// throughProxy makes a specimen's values, at the server or at the proxy.
func throughProxy(s *testservers.Server, p *proxy, engine, user, password string, master bool) *specimen {
	port := s.Port
	if p != nil {
		port = p.to(s.Address())
	}
	fields := map[string]any{"engine": engine, "host": s.Host, "port": port, "username": user, "password": password, "note": []int{1}}
	admin := map[string]any{"engine": engine, "host": s.Host, "port": fmt.Sprint(port), "username": s.Admin, "password": testservers.AdminPassword}
	if master {
		fields["masterarn"] = masterName
	}
	return &specimen{value: mustJSON(fields), others: map[string]*secretbuf.Buffer{masterName: secretbuf.Take(mustJSON(admin))}}
}

func postgresUser(config string, master bool) func(testing.TB, *proxy) *specimen {
	return func(t testing.TB, p *proxy) *specimen {
		server := testservers.Postgres(t)
		user, password := newUser()
		admin := postgresLogin(t, server, server.Admin, testservers.AdminPassword)
		defer admin.Close(context.Background())
		postgresExec(t, admin, fmt.Sprintf("CREATE ROLE %s LOGIN CREATEDB CONNECTION LIMIT 7 PASSWORD '%s'", pgx.Identifier{user}.Sanitize(), password))
		postgresExec(t, admin, fmt.Sprintf(`ALTER ROLE %s SET search_path TO "$user", public`, pgx.Identifier{user}.Sanitize()))
		s := throughProxy(server, p, "postgres", user, password, master)
		s.kind, s.config = "postgres", config
		s.logsIn = func(value []byte) bool {
			v := parseValue(value)
			conn, err := pgx.Connect(context.Background(), postgresURL(server, v.Username, v.Password))
			if err == nil {
				conn.Close(context.Background())
			}
			return err == nil
		}
		s.spoil = func() {
			admin := postgresLogin(t, server, server.Admin, testservers.AdminPassword)
			defer admin.Close(context.Background())
			for _, name := range []string{user, user + "_clone"} {
				admin.Exec(context.Background(), fmt.Sprintf("ALTER ROLE %s PASSWORD 'spoiled'", pgx.Identifier{name}.Sanitize()))
			}
		}
		return s
	}
}

func postgresURL(s *testservers.Server, user, password string) string {
	quote := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'" }
	return fmt.Sprintf("host=%s port=%d dbname=postgres sslmode=disable user=%s password=%s", s.Host, s.Port, quote(user), quote(password))
}

func postgresLogin(t testing.TB, s *testservers.Server, user, password string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), postgresURL(s, user, password))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func postgresExec(t testing.TB, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func mariaUser(plugin, config string, master bool) func(testing.TB, *proxy) *specimen {
	return func(t testing.TB, p *proxy) *specimen {
		server := testservers.MariaDB(t)
		user, password := newUser()
		admin := mariaLogin(t, server, server.Admin, testservers.AdminPassword)
		defer admin.Close()
		name := mariaQuote(user) + "@'%'"
		mariaExec(t, admin, "INSTALL PLUGIN IF NOT EXISTS ed25519 SONAME 'auth_ed25519'")
		mariaExec(t, admin, "CREATE DATABASE IF NOT EXISTS app")
		mariaExec(t, admin, fmt.Sprintf("CREATE USER %s IDENTIFIED VIA %s USING PASSWORD('%s') WITH MAX_USER_CONNECTIONS 9", name, plugin, password))
		mariaExec(t, admin, fmt.Sprintf("GRANT SELECT, CREATE ON app.* TO %s WITH GRANT OPTION", name))
		s := throughProxy(server, p, "mariadb", user, password, master)
		s.kind, s.config = "mysql", config
		s.logsIn = func(value []byte) bool {
			v := parseValue(value)
			db := mariaOpen(t, server, v.Username, v.Password)
			defer db.Close()
			err := mysql.ErrMalformPkt // see challenges in mysql.go
			for try := 0; errors.Is(err, mysql.ErrMalformPkt) && try < 4; try++ {
				err = db.Ping()
			}
			return err == nil
		}
		s.spoil = func() {
			admin := mariaLogin(t, server, server.Admin, testservers.AdminPassword)
			defer admin.Close()
			for _, name := range []string{user, user + "_clone"} {
				admin.Exec(fmt.Sprintf("ALTER USER %s@'%%' IDENTIFIED BY 'spoiled'", mariaQuote(name)))
			}
		}
		return s
	}
}

func mariaQuote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func mariaOpen(t testing.TB, s *testservers.Server, user, password string) *sql.DB {
	t.Helper()
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.Passwd, c.Logger = "tcp", s.Address(), user, password, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	return sql.OpenDB(connector)
}

func mariaLogin(t testing.TB, s *testservers.Server, user, password string) *sql.DB {
	t.Helper()
	db := mariaOpen(t, s, user, password)
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	return db
}

func mariaExec(t testing.TB, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func redisUser(config string, master bool) func(testing.TB, *proxy) *specimen {
	return func(t testing.TB, p *proxy) *specimen {
		server := testservers.Redis(t)
		_, password := newUser()
		user := fmt.Sprintf("user-%d", users.Add(1)) // Redis has no spaces in names
		rights := []any{"ACL", "SETUSER", user, "on", ">" + password, "~app:*", "+get"}
		if !master {
			rights = append(rights, "+acl|setuser")
		}
		redisExec(t, server, rights...)
		s := throughProxy(server, p, "redis", user, password, master)
		s.kind, s.config = "redis", config
		s.logsIn = func(value []byte) bool {
			v := parseValue(value)
			return redisLogin(t, net.JoinHostPort(server.Host, fmt.Sprint(server.Port)), v.Username, v.Password)
		}
		s.spoil = func() { redisExec(t, server, "ACL", "SETUSER", user, "resetpass", ">spoiled") }
		return s
	}
}

func redisExec(t testing.TB, s *testservers.Server, command ...any) {
	t.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: s.Address(), Username: s.Admin, Password: testservers.AdminPassword})
	defer c.Close()
	if err := c.Do(context.Background(), command...).Err(); err != nil {
		t.Fatalf("%v: %v", command, err)
	}
}

// redisLogin speaks by hand, since a user may be allowed nothing else.
func redisLogin(t testing.TB, address, user, password string) bool {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "AUTH %s %s\r\n", user, password)
	reply := make([]byte, 3)
	if _, err := conn.Read(reply); err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(reply, []byte("+OK"))
}
