package testservers_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"fastness/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// Each server answers, is the same when it is asked for again, and logs.
func TestSharedServers(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *testservers.Server{
		"postgres": testservers.Postgres, "mariadb": testservers.MariaDB, "redis": testservers.Redis,
	} {
		s := start(t)
		if s.Engine != name || start(t) != s {
			t.Errorf("%s: another server, %+v", name, s)
		}
		conn, err := net.Dial("tcp", s.Address())
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if len(s.Log(t)) == 0 {
			t.Errorf("%s logs nothing", name)
		}
	}
}

// Redis is asked by hand: nobody may anything, Admin everything, and after
// Stop nobody answers.
func TestRedisAuthenticates(t *testing.T) {
	s := testservers.StartRedis(t, testservers.Options{})
	conn, err := net.Dial("tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	replies := bufio.NewReader(conn)
	for _, step := range []struct{ command, reply string }{
		{"PING", "-NOAUTH"}, {"AUTH admin wrong", "-WRONGPASS"}, {"AUTH admin " + testservers.AdminPassword, "+OK"}, {"PING", "+PONG"},
	} {
		fmt.Fprintf(conn, "%s\r\n", step.command)
		if reply, err := replies.ReadString('\n'); err != nil || !strings.HasPrefix(reply, step.reply) {
			t.Errorf("reply %q, %v, want %s", reply, err, step.reply)
		}
	}
	s.Stop()
	s.Stop()
	if conn, err := net.Dial("tcp", s.Address()); err == nil {
		conn.Close()
		t.Error("it answers after Stop")
	}
}

// Servers serve TLS when they are given a certificate.
func TestServersWithTLS(t *testing.T) {
	options := testservers.Options{TLS: testservers.NewCertificate(t, time.Now().Add(time.Hour))}
	testservers.StartPostgres(t, options)
	testservers.StartMariaDB(t, options)
	testservers.StartRedis(t, options)
}

// A standby has what was committed, refuses writes until it is promoted, and
// then takes them; a server that is restarted has its data.
func TestPostgresPair(t *testing.T) {
	primary, standby := testservers.StartPostgresPair(t)
	query := func(s *testservers.Server, sql string) (n int, err error) {
		t.Helper()
		u := url.URL{Scheme: "postgres", User: url.UserPassword(s.Admin, testservers.AdminPassword), Host: s.Address(), Path: "postgres"}
		conn, err := pgx.Connect(t.Context(), u.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		return n, conn.QueryRow(t.Context(), sql).Scan(&n)
	}
	const add = "WITH t AS (INSERT INTO t VALUES (1) RETURNING 1) SELECT 1"
	if _, err := query(primary, "CREATE TABLE t (n int8)"); !errors.Is(err, pgx.ErrNoRows) {
		t.Fatal(err)
	}
	if _, err := query(primary, add); err != nil {
		t.Fatal(err)
	}
	primary.Restart(t)
	if n, err := query(primary, "SELECT count(*) FROM t"); n != 1 || err != nil {
		t.Errorf("%d rows after a restart, %v", n, err)
	}
	if _, err := query(standby, add); err == nil {
		t.Error("the standby takes writes")
	}
	primary.Stop()
	standby.Promote(t)
	if _, err := query(standby, add); err != nil {
		t.Error(err)
	}
	if n, err := query(standby, "SELECT count(*) FROM t"); n != 2 || err != nil {
		t.Errorf("%d rows after the failover, %v", n, err)
	}
}
