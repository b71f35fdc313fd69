package rotation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"fastness/internal/rotation"
	"fastness/internal/secretbuf"
	"fastness/internal/testservers"
)

// rotateOnce rotates a specimen and returns the model, or the error.
func rotateOnce(t *testing.T, s *specimen) (*vaultModel, error) {
	t.Helper()
	m := newModel(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return m, m.rotate(ctx)
}

// with returns a specimen's value with some fields changed.
func with(value []byte, changes map[string]any) []byte {
	fields := map[string]any{}
	if err := json.Unmarshal(value, &fields); err != nil {
		panic(err)
	}
	for name, v := range changes {
		fields[name] = v
	}
	return mustJSON(fields)
}

// Every server is reached with each TLS mode that its certificate fits, and
// with no other.
func TestTLSModes(t *testing.T) {
	good, expired := testservers.NewCertificate(t, time.Now().Add(time.Hour)), testservers.NewCertificate(t, time.Now().Add(-time.Hour))
	ca := func(c *testservers.Certificate) string { return string(mustJSON(c.PEM)) }
	for name, server := range tlsServers(t) {
		for certificate, label := range map[*testservers.Certificate]string{nil: "none", good: "good", expired: "expired"} {
			value := server(certificate)
			for config, fits := range map[string]bool{
				`{"tls":"disable"}`: certificate == nil || name != "redis",
				`{"tls":"require"}`: certificate != nil,
				`{}`:                false, // the system's roots do not know it
				`{"tls":"verify-ca","caCertificate":` + ca(good) + `}`:                   certificate == good,
				`{"tls":"verify-full","caCertificate":` + ca(good) + `}`:                 certificate == good,
				`{"tls":"verify-full","caCertificate":` + ca(expired) + `}`:              false,
				`{"tls":"verify-ca","caCertificate":` + ca(expired) + `}`:                false,
				`{"tls":"verify-full","caCertificate":` + ca(good) + `} by another name`: false,
			} {
				config, rename := strings.CutSuffix(config, " by another name")
				r, err := rotation.Parse(name, []byte(config), rotation.Network{})
				if err != nil {
					t.Fatal(err)
				}
				current := bytes.Clone(value)
				if rename {
					current = with(value, map[string]any{"host": "127.0.0.2"})
				}
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) // Redis waits for more of what it does not understand
				err = r.Test(ctx, &rotation.Job{Current: secretbuf.Take(current)}, rotation.Current)
				cancel()
				if (err == nil) != fits {
					t.Errorf("%s with certificate %s and %.40s: %v (%v), want success %v", name, label, config, err, errors.Unwrap(err), fits)
				}
				if err != nil && !errors.Is(err, rotation.ErrRefused) && !(rename && errors.Is(err, rotation.ErrUnreachable)) && !(name == "redis" && errors.Is(err, rotation.ErrUnreachable)) {
					t.Errorf("%s with certificate %s and %.40s is of class %s: %v (%v)", name, label, config, rotation.ClassOf(err), err, errors.Unwrap(err))
				}
			}
		}
	}
}

// tlsServers starts servers with a certificate and returns their admins' secrets.
func tlsServers(t *testing.T) map[string]func(*testservers.Certificate) []byte {
	starter := func(start func(testing.TB, testservers.Options) *testservers.Server) func(*testservers.Certificate) []byte {
		return func(c *testservers.Certificate) []byte {
			return bytes.Clone(start(t, testservers.Options{TLS: c}).AdminSecret().Bytes())
		}
	}
	return map[string]func(*testservers.Certificate) []byte{
		"postgres": starter(testservers.StartPostgres), "mysql": starter(testservers.StartMariaDB), "redis": starter(testservers.StartRedis),
	}
}

// Targets that are not there, or not what they should be.
func TestBadTargets(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	garbage, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer garbage.Close()
	go func() {
		for {
			conn, err := garbage.Accept()
			if err != nil {
				return
			}
			conn.Write(bytes.Repeat([]byte("\x00\xffgarbage\r\n"), 1000))
			conn.Close()
		}
	}()
	port := func(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
	engines := map[string]string{"postgres": "postgres", "mysql": "mariadb", "redis": "redis"}
	for kind, engine := range engines {
		for _, c := range []struct {
			name, host string
			port       int
			classes    []rotation.Class
		}{
			{"closed", "127.0.0.1", port(closed), []rotation.Class{rotation.Unreachable}},
			{"silent", "127.0.0.1", port(silent), []rotation.Class{rotation.Unreachable}},
			{"garbage", "127.0.0.1", port(garbage), []rotation.Class{rotation.Unreachable, rotation.Refused}},
			{"metadata", "169.254.169.254", 80, []rotation.Class{rotation.Misconfigured}},
			{"metadata over IPv6", "fd00:ec2::254", 80, []rotation.Class{rotation.Misconfigured, rotation.Unreachable}},
			{"metadata in IPv6", "::ffff:169.254.169.254", 80, []rotation.Class{rotation.Misconfigured}},
			{"unspecified", "0.0.0.0", 80, []rotation.Class{rotation.Misconfigured}},
		} {
			t.Run(kind+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				value := mustJSON(map[string]any{"engine": engine, "host": c.host, "port": c.port, "username": "app", "password": "hunter2"})
				r, err := rotation.Parse(kind, []byte(`{"tls":"disable"}`), rotation.Network{})
				if err != nil {
					t.Fatal(err)
				}
				job := &rotation.Job{Current: secretbuf.Take(bytes.Clone(value)), Pending: secretbuf.Take(with(value, map[string]any{"password": "hunter3"}))}
				ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
				defer cancel()
				start := time.Now()
				for _, err := range []error{r.Set(ctx, job), r.Test(ctx, job, rotation.Current)} {
					class := rotation.ClassOf(err)
					if err == nil || !contains(c.classes, class) || strings.Contains(fmt.Sprint(err, errors.Unwrap(err)), "hunter") {
						t.Errorf("class %s, %v (%v), want %v", class, err, errors.Unwrap(err), c.classes)
					}
				}
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		}
	}
}

func contains(classes []rotation.Class, c rotation.Class) bool {
	for _, want := range classes {
		if c == want {
			return true
		}
	}
	return false
}

// No password that a rotator sets stands in a server's log, in which every
// statement does.
func TestNoPasswordInServersLogs(t *testing.T) {
	servers := map[string]func(testing.TB) *testservers.Server{"postgres": testservers.Postgres, "mysql": testservers.MariaDB, "redis": testservers.Redis}
	for _, s := range subjects() {
		specimen := s.open(t, nil)
		server, ok := servers[specimen.kind]
		if !ok {
			continue
		}
		m, err := rotateOnce(t, specimen)
		if err != nil {
			t.Fatal(err)
		}
		password := parseValue(m.valueOf(m.current)).Password
		log := server(t).Log(t)
		if user := parseValue(m.valueOf(m.current)).Username; specimen.kind != "redis" && !bytes.Contains(log, []byte(strings.SplitN(user, " ", 2)[0])) {
			t.Errorf("%s: the log does not even name the user", s.name)
		}
		if bytes.Contains(log, []byte(password)) {
			t.Errorf("%s: the password is in the log", s.name)
		}
	}
}

// What else the value holds is as it was, byte for byte.
func TestValueKeepsTheRest(t *testing.T) {
	specimen := postgresUser(`{"tls":"disable"}`, false)(t, nil)
	old := parseValue(specimen.value).Password
	specimen.value = []byte(" {\"x\" : [1.50, {\"password\":\"no\"}],\n" + strings.TrimPrefix(string(specimen.value), "{") + " ")
	m, err := rotateOnce(t, specimen)
	if err != nil {
		t.Fatal(err)
	}
	got := m.valueOf(m.current)
	if want := strings.Replace(string(specimen.value), old, parseValue(got).Password, 1); string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Of two alternating PostgreSQL users the second has the rights, attributes and
// settings of the first, and what it makes belongs to the first.
func TestPostgresClone(t *testing.T) {
	ctx := context.Background()
	specimen := postgresUser(`{"tls":"disable","strategy":"alternating"}`, true)(t, nil)
	first := parseValue(specimen.value)
	admin := postgresLogin(t, testservers.Postgres(t), "postgres", testservers.AdminPassword)
	defer admin.Close(ctx)
	schema := fmt.Sprintf("s%d", users.Add(1))
	postgresExec(t, admin, fmt.Sprintf("CREATE SCHEMA %s AUTHORIZATION %s", schema, pgx.Identifier{first.Username}.Sanitize()))
	m, err := rotateOnce(t, specimen)
	if err != nil {
		t.Fatal(err)
	}
	second := parseValue(m.valueOf(m.current))
	if second.Username != first.Username+"_clone" {
		t.Fatalf("the other user is %q", second.Username)
	}
	conn := postgresLogin(t, testservers.Postgres(t), second.Username, second.Password)
	defer conn.Close(ctx)
	postgresExec(t, conn, "CREATE TABLE "+schema+".t ()")
	var owner, path string
	var createdb bool
	var limit int
	err = conn.QueryRow(ctx, `SELECT tableowner, current_setting('search_path'), rolcreatedb, rolconnlimit
		FROM pg_tables, pg_roles WHERE schemaname = $1 AND rolname = session_user`, schema).Scan(&owner, &path, &createdb, &limit)
	if err != nil || owner != first.Username || path != `"$user", public` || !createdb || limit != 7 {
		t.Errorf("the table belongs to %q, search_path %q, createdb %v, limit %d, %v", owner, path, createdb, limit, err)
	}
}

// Of two alternating MariaDB users the second has grants, roles and limits of
// the first.
func TestMariaDBClone(t *testing.T) {
	specimen := mariaUser("mysql_native_password", `{"tls":"disable","strategy":"alternating"}`, true)(t, nil)
	first := parseValue(specimen.value)
	admin := mariaLogin(t, testservers.MariaDB(t), "admin", testservers.AdminPassword)
	defer admin.Close()
	role := fmt.Sprintf("role%d", users.Add(1))
	mariaExec(t, admin, "CREATE ROLE "+role)
	mariaExec(t, admin, fmt.Sprintf("GRANT %s TO %s@'%%'", role, mariaQuote(first.Username)))
	mariaExec(t, admin, fmt.Sprintf("SET DEFAULT ROLE %s FOR %s@'%%'", role, mariaQuote(first.Username)))
	m, err := rotateOnce(t, specimen)
	if err != nil {
		t.Fatal(err)
	}
	second := parseValue(m.valueOf(m.current))
	var privileges int
	var current, limits string
	db := mariaLogin(t, testservers.MariaDB(t), second.Username, second.Password)
	defer db.Close()
	if err := db.QueryRow("SELECT COUNT(*) FROM information_schema.schema_privileges WHERE table_schema = 'app' AND is_grantable = 'YES' AND privilege_type IN ('SELECT', 'CREATE')").Scan(&privileges); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRow("SELECT CURRENT_ROLE()").Scan(&current); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRow("SHOW CREATE USER").Scan(&limits); err != nil {
		t.Fatal(err)
	}
	if privileges != 2 || current != role || !strings.HasSuffix(limits, "WITH MAX_USER_CONNECTIONS 9") {
		t.Errorf("%d privileges, role %q, %s", privileges, current, limits)
	}
}

// A master's password goes to the server of the secret only, whatever the
// secret says, and nobody but the user's owner may have it changed.
func TestMasterIsNotLent(t *testing.T) {
	for _, open := range []func(testing.TB, *proxy) *specimen{
		postgresUser(`{"tls":"disable","strategy":"alternating"}`, true),
		mariaUser("mysql_native_password", `{"tls":"disable","strategy":"alternating"}`, true),
		redisUser(`{"tls":"disable"}`, true),
	} {
		elsewhere, owned := open(t, nil), open(t, nil)
		p := newProxy(t, net.JoinHostPort("127.0.0.1", fmt.Sprint(parseValue(elsewhere.value).Port)))
		elsewhere.value = with(elsewhere.value, map[string]any{"port": p.listener.Addr().(*net.TCPAddr).Port})
		if _, err := rotateOnce(t, elsewhere); !errors.Is(err, rotation.ErrMisconfigured) || p.count > 0 {
			t.Errorf("%s: another server: %v, %d connections", elsewhere.kind, err, p.count)
		}
		victim := parseValue(owned.value)
		stolen := open(t, nil)
		stolen.value = with(stolen.value, map[string]any{"username": victim.Username})
		if _, err := rotateOnce(t, stolen); !errors.Is(err, rotation.ErrUnverified) || !owned.logsIn(owned.value) {
			t.Errorf("%s: another's user: %v", stolen.kind, err)
		}
		wrong := open(t, nil)
		wrong.others[masterName] = secretbuf.Take(with(wrong.others[masterName].Bytes(), map[string]any{"password": "wrong"}))
		if _, err := rotateOnce(t, wrong); !errors.Is(err, rotation.ErrRefused) || !strings.Contains(err.Error(), "masterarn") {
			t.Errorf("%s: a master that cannot log in: %v", wrong.kind, err)
		}
		absent := open(t, nil)
		delete(absent.others, masterName)
		if _, err := rotateOnce(t, absent); rotation.ClassOf(err) != rotation.Misconfigured {
			t.Errorf("%s: no master: %v", absent.kind, err)
		}
	}
}

// A server that lets everybody in proves nothing, and is refused.
func TestTrustingPostgres(t *testing.T) {
	rules, err := os.CreateTemp("", "hba") // not in the test's folder, which only its owner may enter
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(rules.Name())
	if _, err := rules.WriteString("host all all 127.0.0.1/32 trust\n"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(rules.Chmod(0o644), rules.Close()); err != nil {
		t.Fatal(err)
	}
	server := testservers.StartPostgres(t, testservers.Options{Args: []string{"-c", "hba_file=" + rules.Name()}})
	_, err = rotateOnce(t, &specimen{kind: "postgres", config: `{"tls":"disable"}`, value: bytes.Clone(server.Secret("postgres", "anything").Bytes())})
	if !errors.Is(err, rotation.ErrRefused) {
		t.Errorf("%v", err)
	}
}

// A Redis user may not be allowed to change itself; all stays as it was.
func TestRedisRefusals(t *testing.T) {
	powerless := redisUser(`{"tls":"disable"}`, false)(t, nil)
	redisExec(t, testservers.Redis(t), "ACL", "SETUSER", parseValue(powerless.value).Username, "-acl|setuser")
	if _, err := rotateOnce(t, powerless); !errors.Is(err, rotation.ErrRefused) || !strings.Contains(err.Error(), "NOPERM") || !powerless.logsIn(powerless.value) {
		t.Errorf("without rights: %v", err)
	}
}
