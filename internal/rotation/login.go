package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"fastness/internal/secretbuf"
	"fastness/internal/wire"
)

// port is written as a number, or, as some tools do, as a string.
type port uint16

// UnmarshalJSON reads either form.
func (p *port) UnmarshalJSON(text []byte) error {
	var n json.Number
	if err := json.Unmarshal(text, &n); err != nil {
		return err
	}
	number, err := strconv.ParseUint(n.String(), 10, 16)
	*p = port(number)
	return err
}

// login is a database secret in AWS's published shape. What else its JSON
// holds is kept and not looked at.
type login struct {
	Engine   string            `json:"engine"`
	Host     string            `json:"host"`
	Port     port              `json:"port"`
	Username string            `json:"username"`
	Password *secretbuf.Buffer `json:"password"`
	Database string            `json:"dbname"`
	Master   string            `json:"masterarn"` // the secret of a user that may change others
}

const (
	maxHost = 253  // of a name in DNS
	maxText = 1024 // of what other text there is
)

// parseLogin reads a secret's value, which stays the caller's. The engine is
// one of those named; the port has a default.
func parseLogin(value *secretbuf.Buffer, defaultPort port, engines ...string) (*login, error) {
	if value == nil {
		return nil, misconfigured("value", "there is none")
	}
	body := value.Clone() // reading moves the password out of it
	defer body.Release()
	l := &login{}
	if err := wire.DecodeReply(body, l); err != nil {
		return nil, misconfigured("value", "a JSON object with engine, host, port, username and password is expected")
	}
	if l.Port == 0 {
		l.Port = defaultPort
	}
	if err := l.check(engines); err != nil {
		l.release()
		return nil, err
	}
	return l, nil
}

// check refuses what no database takes, and what a driver would take for
// something else: a path for a socket, or several hosts.
func (l *login) check(engines []string) error {
	switch {
	case !slices.Contains(engines, l.Engine):
		return misconfigured("value.engine", "one of "+strings.Join(engines, ", "))
	case l.Host == "" || len(l.Host) > maxHost || strings.Trim(l.Host, lowerCase+upperCase+digits+".-_:") != "":
		return misconfigured("value.host", "a host's name or address")
	case l.Username == "" || len(l.Username) > maxText || strings.ContainsRune(l.Username, 0):
		return misconfigured("value.username", fmt.Sprintf("1 to %d characters", maxText))
	case l.Password.Len() == 0 || l.Password.Len() > maxText || slices.Contains(l.Password.Bytes(), 0):
		return misconfigured("value.password", fmt.Sprintf("1 to %d characters", maxText))
	case len(l.Database) > maxText || strings.ContainsRune(l.Database, 0):
		return misconfigured("value.dbname", fmt.Sprintf("at most %d characters", maxText))
	}
	return nil
}

func (l *login) release() {
	if l != nil {
		l.Password.Release()
	}
}

// address returns host and port.
func (l *login) address() string {
	return net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port)))
}

// withPassword returns the same secret with another user and a new password.
func withPassword(value *secretbuf.Buffer, username string, password *secretbuf.Buffer) (*secretbuf.Buffer, error) {
	name := secretbuf.Take([]byte(username))
	defer name.Release()
	var b secretbuf.Builder
	defer b.Release()
	if err := wire.ReplaceText(&b, value, map[string]*secretbuf.Buffer{"username": name, "password": password}); err != nil {
		return nil, misconfigured("value", "a JSON object is expected")
	}
	return b.Buffer(), nil
}

// cloneSuffix ends the name of the second of two alternating users, as with AWS.
const cloneSuffix = "_clone"

// alternate returns the name of the other of two alternating users.
func alternate(username string) string {
	if base, ok := strings.CutSuffix(username, cloneSuffix); ok && base != "" {
		return base
	}
	return username + cloneSuffix
}

// strategies are how a database's credentials are changed.
const (
	singleUser       = "single"      // the user gets a new password
	alternatingUsers = "alternating" // two users take turns
)

// database is what the rotators of databases share.
type database struct {
	strategy    string
	rule        passwordRule
	security    security
	network     Network
	defaultPort port
	engines     []string
	maxUsername int // bytes
}

func (d *database) login(value *secretbuf.Buffer) (*login, error) {
	return parseLogin(value, d.defaultPort, d.engines...)
}

// Check implements Rotator.
func (d *database) Check(current *secretbuf.Buffer) error {
	l, err := d.login(current)
	if err != nil {
		return err
	}
	defer l.release()
	if d.strategy == alternatingUsers && l.Master == "" {
		return misconfigured("value.masterarn", "alternating users need the secret of a user that may make others")
	}
	if d.strategy == alternatingUsers && len(alternate(l.Username)) > d.maxUsername {
		return misconfigured("value.username", fmt.Sprintf("at most %d bytes, with %s", d.maxUsername, cloneSuffix))
	}
	return nil
}

// Looks implements Looker.
func (d *database) Looks(current *secretbuf.Buffer) ([]string, error) {
	l, err := d.login(current)
	if err != nil {
		return nil, err
	}
	defer l.release()
	if l.Master == "" {
		return nil, nil
	}
	return []string{l.Master}, nil
}

// Target implements Targeter.
func (d *database) Target(current *secretbuf.Buffer) (string, error) {
	l, err := d.login(current)
	if err != nil {
		return "", err
	}
	defer l.release()
	return l.address(), nil
}

// Make implements Rotator: the same secret, with a new password, for the same
// user or the other one.
func (d *database) Make(_ context.Context, j *Job) (*secretbuf.Buffer, error) {
	if err := d.Check(j.Current); err != nil {
		return nil, err
	}
	l, err := d.login(j.Current)
	if err != nil {
		return nil, err
	}
	defer l.release()
	username := l.Username
	if d.strategy == alternatingUsers {
		username = alternate(username)
	}
	password := d.rule.generate()
	defer password.Release()
	return withPassword(j.Current, username, password)
}

// master returns the login of the user that may change others. It must be on
// the same server: whoever writes a secret could otherwise have its password
// sent wherever they like.
func (d *database) master(ctx context.Context, j *Job, l *login) (*login, error) {
	value, err := j.lookup(ctx, l.Master)
	if err != nil {
		return nil, err
	}
	defer value.Release()
	m, err := d.login(value)
	if err != nil {
		return nil, misconfigured("value.masterarn", "that secret is not one of this kind of database")
	}
	if !strings.EqualFold(m.Host, l.Host) || m.Port != l.Port {
		m.release()
		return nil, misconfigured("value.masterarn", "that secret is one of another server")
	}
	return m, nil
}

// logins are those that a step works with; pending is never nil.
type logins struct{ pending, current, previous, master *login }

// logins reads a job's secrets. A previous one that cannot be read is as if
// there were none: it may be older than the rotation.
func (d *database) logins(ctx context.Context, j *Job) (_ *logins, err error) {
	var ls logins
	defer func() {
		if err != nil {
			ls.release()
		}
	}()
	if ls.pending, err = d.login(j.Pending); err != nil {
		return nil, err
	}
	if ls.current, err = d.login(j.Current); err != nil {
		return nil, err
	}
	if j.Previous != nil {
		ls.previous, _ = d.login(j.Previous)
	}
	if ls.pending.address() != ls.current.address() {
		return nil, misconfigured("value.host", "the pending and the current version are of different servers")
	}
	if ls.current.Master != "" {
		ls.master, err = d.master(ctx, j, ls.current)
	}
	return &ls, err
}

func (ls *logins) release() {
	for _, l := range []*login{ls.pending, ls.current, ls.previous, ls.master} {
		l.release()
	}
}

// databaseConfig is the config that the rotators of databases share.
type databaseConfig struct {
	Strategy string       `json:"strategy"`
	Password passwordRule `json:"password"`
	TLS      string       `json:"tls"`
	CA       string       `json:"caCertificate"` // PEM
}

// complete checks the config and puts it into d.
func (c *databaseConfig) complete(d *database) (err error) {
	if err := choose("strategy", &c.Strategy, singleUser, alternatingUsers); err != nil {
		return err
	}
	if err := c.Password.complete("rotationConfig.password", "lower", "upper", "digits"); err != nil {
		return err
	}
	d.strategy, d.rule = c.Strategy, c.Password
	d.security, err = newSecurity(c.TLS, c.CA)
	return err
}

// try logs in with what a secret holds: nil, ErrUnverified, or not known.
type try func(context.Context, *login) error

// accepts reports whether a login works.
func accepts(ctx context.Context, try try, l *login) (bool, error) {
	err := try(ctx, l)
	if errors.Is(err, ErrUnverified) {
		return false, nil
	}
	return err == nil, err
}

// set is Set over a way to log in and a way to change. In the middle of it the
// change may be made by another worker, one that was overtaken or that overtakes:
// then the own login stops working, and the pending one is what was wanted.
func (d *database) set(ctx context.Context, j *Job, try try, change func(context.Context, *logins, *login) error) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	ls, err := d.logins(ctx, j)
	if err != nil {
		return err
	}
	defer ls.release()
	if accepted, err := accepts(ctx, try, ls.pending); accepted || err != nil {
		return err
	}
	own, err := proven(ctx, ls, try)
	if err == nil {
		err = change(ctx, ls, own)
	}
	if ClassOf(err) == Unverified {
		if accepted, _ := accepts(ctx, try, ls.pending); accepted {
			return nil
		}
	}
	return err
}

// test is Test over a way to log in.
func (d *database) test(ctx context.Context, j *Job, w Which, try try) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	value := j.value(w)
	if value == nil {
		return unverified(nil)
	}
	l, err := d.login(value)
	if err != nil {
		return unverified(err) // such a value logs in nowhere
	}
	defer l.release()
	return try(ctx, l)
}

// proven returns the login that shows that the secret's user is its own, for
// whoever writes a secret chooses the user that is changed, and a master may
// change any: the current one, or the previous one, if that is of the same user
// or of the very user that is to be changed.
func proven(ctx context.Context, ls *logins, try try) (*login, error) {
	ok, err := accepts(ctx, try, ls.current)
	if ok || err != nil {
		return ls.current, err
	}
	before := ls.previous
	if before == nil || before.Username != ls.current.Username && before.Username != ls.pending.Username || before.address() != ls.current.address() {
		return nil, unverified(nil)
	}
	if ok, err = accepts(ctx, try, before); !ok && err == nil {
		err = unverified(nil)
	}
	return before, err
}

// asChanger connects as who changes the password: the master, if there is one,
// else the user itself, as proven.
func asChanger[C any](ctx context.Context, ls *logins, own *login, connect func(context.Context, *login) (C, error)) (C, error) {
	if ls.master == nil {
		return connect(ctx, own)
	}
	conn, err := connect(ctx, ls.master)
	return conn, asMaster(err)
}

// asMaster says that it was the master who could not log in: that is no
// statement on the credential that is rotated.
func asMaster(err error) error {
	if errors.Is(err, ErrUnverified) {
		return refused(err, "the user of masterarn cannot log in")
	}
	return err
}

// retiree returns the old one of two users and who may change it; nil if there
// is nothing to retire.
func (d *database) retiree(ctx context.Context, j *Job) (old, master *login, err error) {
	if d.strategy != alternatingUsers || j.Previous == nil {
		return nil, nil, nil
	}
	current, err := d.login(j.Current)
	if err != nil {
		return nil, nil, err
	}
	defer current.release()
	if old, err = d.login(j.Previous); err != nil {
		return nil, nil, nil // such a value logs in nowhere
	}
	if old.address() == current.address() && old.Username == alternate(current.Username) {
		if master, err = d.master(ctx, j, current); err == nil {
			return old, master, nil
		}
	}
	old.release()
	return nil, nil, err
}
