package rotation

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"

	"fastness/internal/secretbuf"
)

// mysqlRotator changes passwords of MySQL's and MariaDB's accounts. Wherever
// the server takes one it sends a verifier, so that no password stands in a
// statement: MariaDB writes those to its general log as they are. The exception
// is a single user of MySQL without a master, who may change nothing but its
// own password, and only in clear.
type mysqlRotator struct{ database }

func parseMySQL(config *secretbuf.Buffer, n Network) (Rotator, error) {
	var c databaseConfig
	if err := decodeConfig(config, &c); err != nil {
		return nil, err
	}
	m := &mysqlRotator{database{network: n, defaultPort: 3306, engines: []string{"mysql", "mariadb", "aurora-mysql"}, maxUsername: 32}}
	return m, c.complete(&m.database)
}

// mysqlServer is a connection that knows to which kind of server.
type mysqlServer struct {
	*sql.Conn
	db      *sql.DB
	mariaDB bool
}

func (s *mysqlServer) close() {
	s.Conn.Close() // what was to be done is done
	s.db.Close()
}

// Set implements Rotator.
func (m *mysqlRotator) Set(ctx context.Context, j *Job) error {
	return m.set(ctx, j, m.try, func(ctx context.Context, ls *logins, own *login) error {
		server, err := asChanger(ctx, ls, own, m.connect)
		if err != nil {
			return err
		}
		defer server.close()
		if err := server.hold(ctx, j, ls.pending.Username); err != nil {
			return err
		}
		if ls.master == nil {
			return server.setOwn(ctx, ls.pending.Password)
		}
		from, err := m.accountOf(ctx, own)
		if err != nil {
			return err
		}
		return server.setByMaster(ctx, from, accountName{ls.pending.Username, from.host}, ls.pending.Password)
	})
}

// hold keeps other workers from changing the user for as long as this session
// lasts, which ends when it is idle for too long. Then it confirms the lease.
func (s *mysqlServer) hold(ctx context.Context, j *Job, user string) error {
	if err := s.exec(ctx, fmt.Sprintf("SET SESSION wait_timeout = %d", int(holdTimeout.Seconds()))); err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(user)) // a lock's name has 64 characters at most
	held, err := s.texts(ctx, fmt.Sprintf("SELECT COALESCE(GET_LOCK('fastness %x', %d), 0)", sum[:16], int(2*holdTimeout.Seconds())))
	if err == nil && !slices.Equal(held, []string{"1"}) {
		err = unreachable(errors.New("another worker changes the user"))
	}
	if err != nil {
		return err
	}
	return j.confirm(ctx)
}

// setOwn has the user change its own password.
func (s *mysqlServer) setOwn(ctx context.Context, password *secretbuf.Buffer) error {
	if !s.mariaDB {
		return s.setOwnInClear(ctx, password)
	}
	user, err := s.showCreateUser(ctx, "CURRENT_USER()") // of oneself everybody may ask
	if err != nil {
		return err
	}
	verifier, err := user.verifier(password)
	if err != nil {
		return err
	}
	return s.exec(ctx, fmt.Sprintf("SET PASSWORD = '%s'", verifier))
}

// setOwnInClear is what MySQL leaves to a user without privileges. It keeps
// such statements out of its logs by itself.
func (s *mysqlServer) setOwnInClear(ctx context.Context, password *secretbuf.Buffer) error {
	if !plainText(password.Bytes()) {
		return misconfigured("rotationConfig.password.symbols", `without quotes and backslashes`)
	}
	var b secretbuf.Builder
	defer b.Release()
	b.AppendString("ALTER USER CURRENT_USER() IDENTIFIED BY '")
	b.Append(password.Bytes()...)
	b.AppendString("'")
	statement := secretbuf.String(b.Bytes())
	defer secretbuf.WipeString(statement)
	return s.exec(ctx, statement)
}

// plainText reports whether a password stands for itself between quotes.
func plainText(password []byte) bool {
	for _, c := range password {
		if c < ' ' || c > '~' || c == '\'' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// setByMaster gives an account the password. If it is another one than that
// which is logged in with now, it is made first, and gets the grants.
func (s *mysqlServer) setByMaster(ctx context.Context, from, to accountName, password *secretbuf.Buffer) error {
	user, err := s.showCreateUser(ctx, from.String())
	if err != nil {
		return err
	}
	if from != to {
		if err := s.create(ctx, user, to); err != nil {
			return err
		}
		if err := s.copyGrants(ctx, from, to); err != nil {
			return err
		}
	}
	return s.setVerifier(ctx, user, to, password) // last: whoever logs in has its grants
}

// accountOf logs in and asks which account that was.
func (m *mysqlRotator) accountOf(ctx context.Context, l *login) (accountName, error) {
	server, err := m.connect(ctx, l)
	if err != nil {
		return accountName{}, err
	}
	defer server.close()
	return server.currentUser(ctx)
}

// Test implements Rotator.
func (m *mysqlRotator) Test(ctx context.Context, j *Job, w Which) error {
	return m.test(ctx, j, w, m.try)
}

func (m *mysqlRotator) try(ctx context.Context, l *login) error {
	server, err := m.connect(ctx, l)
	if err != nil {
		return err
	}
	server.close()
	return nil
}

// Retire implements Retirer: the old one of two users gets a password that
// nobody knows.
func (m *mysqlRotator) Retire(ctx context.Context, j *Job) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	old, master, err := m.retiree(ctx, j)
	if old == nil || err != nil {
		return err
	}
	defer old.release()
	defer master.release()
	name, err := m.accountOf(ctx, old)
	if errors.Is(err, ErrUnverified) {
		return nil // it works no more
	} else if err != nil {
		return err
	}
	server, err := m.connect(ctx, master)
	if err != nil {
		return asMaster(err)
	}
	defer server.close()
	user, err := server.showCreateUser(ctx, name.String())
	if err != nil {
		return err
	}
	if err := server.hold(ctx, j, name.user); err != nil {
		return err
	}
	unknown := m.rule.generate()
	defer unknown.Release()
	return server.setVerifier(ctx, user, name, unknown)
}

// accountName is 'user'@'host', as the server has it.
type accountName struct{ user, host string }

func (a accountName) String() string { return quoteMySQL(a.user) + "@" + quoteMySQL(a.host) }

// quoteMySQL quotes an identifier; the driver has nothing for that.
func quoteMySQL(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// account is what is needed of an account to set a password, and to make
// another one like it.
type account struct {
	plugin string
	rest   string // what follows the plugin in SHOW CREATE USER: TLS, limits
}

func (a account) verifier(password *secretbuf.Buffer) (string, error) {
	verifier, ok := mysqlVerifier(a.plugin, password)
	if !ok {
		return "", refused(nil, "the user does not log in with a password alone, or in a way that is not known here")
	}
	return verifier, nil
}

// authentication finds the one plugin in SHOW CREATE USER, in MariaDB's two
// forms and in MySQL's.
var authentication = regexp.MustCompile(` IDENTIFIED (?:BY PASSWORD '[^']*'|VIA (\w+)(?: USING '[^']*')?|WITH '(\w+)'(?: AS (?:0x[0-9A-Fa-f]+|'[^']*'))?)`)

// showCreateUser asks for an account.
func (s *mysqlServer) showCreateUser(ctx context.Context, name string) (account, error) {
	if !s.mariaDB {
		if err := s.exec(ctx, "SET SESSION print_identified_with_as_hex = ON"); err != nil {
			return account{}, err
		}
	}
	rows, err := s.texts(ctx, "SHOW CREATE USER "+name)
	if err != nil {
		return account{}, err
	}
	if len(rows) == 0 {
		return account{}, refused(nil, "there is no such user")
	}
	at := authentication.FindStringSubmatchIndex(rows[0])
	if at == nil {
		return account{}, nil // no plugin: verifier refuses it
	}
	found := account{plugin: nativePassword, rest: rows[0][at[1]:]}
	for i := 2; i < len(at); i += 2 {
		if at[i] >= 0 {
			found.plugin = rows[0][at[i]:at[i+1]]
		}
	}
	if strings.HasPrefix(found.rest, " OR ") {
		found.plugin = ""
	}
	return found, nil
}

// identified is the part of a statement that gives an account a verifier.
func (s *mysqlServer) identified(plugin, verifier string) string {
	if s.mariaDB {
		return fmt.Sprintf("IDENTIFIED VIA %s USING '%s'", plugin, verifier)
	}
	return fmt.Sprintf("IDENTIFIED WITH '%s' AS '%s'", plugin, verifier)
}

func (s *mysqlServer) setVerifier(ctx context.Context, like account, name accountName, password *secretbuf.Buffer) error {
	verifier, err := like.verifier(password)
	if err != nil {
		return err
	}
	return s.exec(ctx, fmt.Sprintf("ALTER USER %s %s", name, s.identified(like.plugin, verifier)))
}

// create makes an account like another one, but with a password that nobody
// knows until the grants are there.
func (s *mysqlServer) create(ctx context.Context, like account, name accountName) error {
	unknown := draw(lowerCase+upperCase+digits, defaultLength)
	defer unknown.Release()
	verifier, err := like.verifier(unknown)
	if err != nil {
		return err
	}
	return s.exec(ctx, fmt.Sprintf("CREATE USER IF NOT EXISTS %s %s%s", name, s.identified(like.plugin, verifier), like.rest))
}

// copyGrants repeats for one account what SHOW GRANTS says of another.
func (s *mysqlServer) copyGrants(ctx context.Context, from, to accountName) error {
	grants, err := s.texts(ctx, "SHOW GRANTS FOR "+from.String())
	if err != nil {
		return err
	}
	for _, grant := range grants {
		statement, ok := regrant(grant, from, to)
		if !ok {
			return refused(nil, "the user has a grant of a form that is not known here")
		}
		if err := s.exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// regrant turns a grant to one account into a grant to another. MariaDB shows
// the password's verifier within one of them.
func regrant(grant string, from, to accountName) (string, bool) {
	for _, word := range []string{" TO ", " FOR "} {
		before, after, ok := cutLast(grant, word+from.String())
		if ok {
			return before + word + to.String() + authentication.ReplaceAllString(after, ""), true
		}
	}
	return "", false
}

func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}

// challenges is how often a login is tried. The driver cuts the last byte off
// MariaDB's challenge for ed25519 when that is zero, and then gives up: once in
// 256 times.
const challenges = 4

// connect logs in. The driver takes the password as a string, which lives as
// long as the login.
func (m *mysqlRotator) connect(ctx context.Context, l *login) (_ *mysqlServer, err error) {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.DBName = "tcp", l.address(), l.Username, l.Database
	c.DialFunc, c.Timeout, c.ReadTimeout, c.WriteTimeout = dial, connectTimeout, stepTimeout, stepTimeout
	c.TLS, c.Logger, c.ConnectionAttributes = m.security.config(l.Host), &mysql.NopLogger{}, "program_name:fastness"
	c.Passwd = secretbuf.String(l.Password.Bytes())
	defer secretbuf.WipeString(c.Passwd)
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, misconfigured("value", "the driver does not take it")
	}
	db := sql.OpenDB(connector)
	server := &mysqlServer{db: db}
	for range challenges {
		secretbuf.Do(func() { server.Conn, err = db.Conn(ctx) })
		if !errors.Is(err, mysql.ErrMalformPkt) {
			break
		}
	}
	if err != nil {
		db.Close()
		return nil, mysqlError(err)
	}
	if err = server.askKind(ctx); err != nil {
		server.close()
		return nil, err
	}
	return server, nil
}

func (s *mysqlServer) askKind(ctx context.Context) error {
	versions, err := s.texts(ctx, "SELECT VERSION()")
	s.mariaDB = len(versions) > 0 && strings.Contains(versions[0], "MariaDB")
	return err
}

func (s *mysqlServer) exec(ctx context.Context, statement string) error {
	_, err := s.ExecContext(ctx, statement)
	return mysqlError(err)
}

// texts returns the first column of a query's rows.
func (s *mysqlServer) texts(ctx context.Context, query string) (texts []string, err error) {
	rows, err := s.QueryContext(ctx, query)
	if err != nil {
		return nil, mysqlError(err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, mysqlError(err)
		}
		texts = append(texts, text)
	}
	return texts, mysqlError(rows.Err())
}

func (s *mysqlServer) currentUser(ctx context.Context) (accountName, error) {
	texts, err := s.texts(ctx, "SELECT CURRENT_USER()")
	if err != nil {
		return accountName{}, err
	}
	if len(texts) == 1 {
		if user, host, ok := cutLast(texts[0], "@"); ok {
			return accountName{user, host}, nil
		}
	}
	return accountName{}, refused(nil, "the server does not tell who is logged in")
}

// mysqlError is an error of the driver in our classes. What the server says is
// not passed on: it quotes statements.
func mysqlError(err error) error {
	var told *mysql.MySQLError
	var ours *Error
	switch {
	case err == nil || errors.As(err, &ours):
		return err
	case !errors.As(err, &told):
		if errors.Is(err, mysql.ErrNoTLS) {
			return refused(err, "the target does not speak TLS")
		}
		if errors.Is(err, io.EOF) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn) {
			return unreachable(err)
		}
		return failure(err)
	}
	cause := fmt.Errorf("error %d", told.Number)
	switch told.Number {
	case 1045, 1698, 3118, 4151: // access denied, twice; account locked, twice
		return unverified(cause)
	case 1049:
		return &Error{Misconfigured, "there is no such database", cause}
	case 1040, 1053, 1129, 1203, 1205, 1213: // too many connections, shutting down, host blocked, conflicts
		return unreachable(cause)
	}
	return refused(cause, "the target answers with error %d", told.Number)
}
