// Package testservers starts real database servers for tests: PostgreSQL,
// MariaDB and Redis from the distribution's packages, with real
// authentication, on free ports of 127.0.0.1 and in folders of their own under
// the temporary folder. Only tests import it.
//
// A server runs as who runs the tests, or, if that is root, as nobody, since
// PostgreSQL refuses root. It is killed when the test process dies, however
// that happens. A server program that is not installed fails the test:
// scripts/install installs it.
//
// Start with Postgres, MariaDB or Redis, which start one server for the whole
// test binary, and call Main from TestMain; or with StartPostgres,
// StartMariaDB or StartRedis for a server that one test may break, and
// StartPostgresPair for two of which one takes over.
package testservers

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"

	"fastness/internal/secretbuf"
)

// Server is a running server.
type Server struct {
	Engine string // as in a secret: "postgres", "mariadb" or "redis"
	Host   string // 127.0.0.1
	Port   int
	Admin  string // a user that may do everything, with AdminPassword

	process *process
}

// AdminPassword is the password of every server's Admin.
var AdminPassword = rand.Text()

// Options change how a server is started. The zero value is plain.
type Options struct {
	TLS  *Certificate // serve TLS with this
	Args []string     // further arguments of the server program
}

// Address returns host and port.
func (s *Server) Address() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// Secret returns the JSON of a secret for a user of the server.
func (s *Server) Secret(user, password string) *secretbuf.Buffer {
	text := fmt.Appendf(nil, `{"engine":%q,"host":%q,"port":%d,"username":%q,"password":%q}`, s.Engine, s.Host, s.Port, user, password)
	return secretbuf.Take(text)
}

// AdminSecret returns the JSON of a secret for Admin.
func (s *Server) AdminSecret() *secretbuf.Buffer { return s.Secret(s.Admin, AdminPassword) }

// Log returns all that the server has logged, statements included.
func (s *Server) Log(t testing.TB) []byte {
	t.Helper()
	log, err := os.ReadFile(s.process.log)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// Stop ends the server, at once, as a crash would. It may be called again.
func (s *Server) Stop() { s.process.kill() }

// Restart stops the server, if it runs, and starts it on the same port and data.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop()
	if err := s.process.again(); err != nil {
		t.Fatal(err)
	}
}

// shared are the servers that last as long as the test binary.
var shared struct {
	sync.Mutex // held while a server starts
	servers    map[string]*Server
}

// Postgres returns the test binary's PostgreSQL.
func Postgres(t testing.TB) *Server { t.Helper(); return share(t, "postgres", startPostgres) }

// MariaDB returns the test binary's MariaDB.
func MariaDB(t testing.TB) *Server { t.Helper(); return share(t, "mariadb", startMariaDB) }

// Redis returns the test binary's Redis.
func Redis(t testing.TB) *Server { t.Helper(); return share(t, "redis", startRedis) }

func share(t testing.TB, name string, start func(Options) (*Server, error)) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if s := shared.servers[name]; s != nil {
		return s
	}
	s, err := start(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if shared.servers == nil {
		shared.servers = map[string]*Server{}
	}
	shared.servers[name] = s
	return s
}

// StartPostgres starts a PostgreSQL that ends with the test.
func StartPostgres(t testing.TB, o Options) *Server { t.Helper(); return own(t, o, startPostgres) }

// StartMariaDB starts a MariaDB that ends with the test.
func StartMariaDB(t testing.TB, o Options) *Server { t.Helper(); return own(t, o, startMariaDB) }

// StartRedis starts a Redis that ends with the test.
func StartRedis(t testing.TB, o Options) *Server { t.Helper(); return own(t, o, startRedis) }

func own(t testing.TB, o Options, start func(Options) (*Server, error)) *Server {
	t.Helper()
	s, err := start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.process.remove() })
	return s
}

// Main runs the tests, ends the shared servers and exits.
func Main(m *testing.M) {
	code := m.Run()
	for _, s := range shared.servers {
		s.process.remove()
	}
	os.Exit(code)
}
