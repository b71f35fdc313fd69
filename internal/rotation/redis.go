package rotation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"fastness/internal/secretbuf"
)

// redis changes passwords of Redis ACL users. A user may have several, so the
// old one stays valid until it is retired. What it sends to change one is its
// SHA-256, which Redis stores and takes; only a login shows a password.
type redis struct {
	database
	save bool // ACL SAVE after each change
}

// quiet keeps the driver from writing to stderr by itself what its errors say.
var quiet = sync.OnceFunc(func() { goredis.SetLogger(silence{}) })

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

func parseRedis(config *secretbuf.Buffer, n Network) (Rotator, error) {
	quiet()
	var c struct {
		Password passwordRule `json:"password"`
		TLS      string       `json:"tls"`
		CA       string       `json:"caCertificate"`
		Save     bool         `json:"aclSave"`
	}
	if err := decodeConfig(config, &c); err != nil {
		return nil, err
	}
	r := &redis{database{network: n, defaultPort: 6379, engines: []string{"redis", "valkey"}, maxUsername: maxText}, c.Save}
	shared := databaseConfig{Password: c.Password, TLS: c.TLS, CA: c.CA}
	return r, shared.complete(&r.database)
}

// Set implements Rotator: the new password is added to the user's. Others than
// the current one go, so that no more than two are ever valid.
func (r *redis) Set(ctx context.Context, j *Job) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	ls, err := r.logins(ctx, j)
	if err != nil {
		return err
	}
	defer ls.release()
	own, err := r.owner(ctx, ls)
	if err != nil {
		return err
	}
	rules := []string{"#" + redisHash(ls.pending)}
	if before := ls.previous; before != nil && before.Username == ls.pending.Username && own != before && !samePassword(before, ls.current, ls.pending) {
		rules = append(rules, "!"+redisHash(before))
	}
	return r.change(ctx, ls, own, rules...)
}

// owner is proven over the pending password too: it may have been set, and
// that only have to be saved.
func (r *redis) owner(ctx context.Context, ls *logins) (*login, error) {
	if ok, err := accepts(ctx, r.try, ls.pending); ok || err != nil {
		return ls.pending, err
	}
	return proven(ctx, ls, r.try)
}

// samePassword reports whether l has the password of one of the others.
func samePassword(l *login, others ...*login) bool {
	for _, other := range others {
		if secretbuf.Equal(l.Password, other.Password) {
			return true
		}
	}
	return false
}

// redisHash is what Redis stores of a password.
func redisHash(l *login) (text string) {
	secretbuf.Do(func() {
		sum := sha256.Sum256(l.Password.Bytes())
		text = hex.EncodeToString(sum[:])
	})
	return text
}

// change applies rules to the user, and saves them. A hash that is not among
// the user's cannot be taken away, and need not be.
func (r *redis) change(ctx context.Context, ls *logins, own *login, rules ...string) error {
	if ls.master != nil {
		own = ls.master
	}
	user := ls.pending.Username
	err := r.with(ctx, own, func(conn *goredis.Conn) error {
		for _, rule := range rules {
			err := redisError(conn.Do(ctx, "ACL", "SETUSER", user, rule).Err())
			if err != nil && !(rule[0] == '!' && isReply(err, "ERR Error in ACL SETUSER modifier")) {
				return err
			}
		}
		if !r.save {
			return nil
		}
		return redisError(conn.Do(ctx, "ACL", "SAVE").Err())
	})
	if ls.master != nil {
		err = asMaster(err)
	}
	return err
}

// Test implements Rotator.
func (r *redis) Test(ctx context.Context, j *Job, w Which) error {
	return r.test(ctx, j, w, r.try)
}

func (r *redis) try(ctx context.Context, l *login) error {
	return r.with(ctx, l, func(*goredis.Conn) error { return nil })
}

// Retire implements Retirer: the old password is taken away.
func (r *redis) Retire(ctx context.Context, j *Job) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if j.Previous == nil {
		return nil
	}
	retiring := *j
	retiring.Pending = j.Current
	ls, err := r.logins(ctx, &retiring)
	if err != nil {
		return err
	}
	defer ls.release()
	old := ls.previous
	if old == nil || old.Username != ls.current.Username || old.address() != ls.current.address() || samePassword(old, ls.current) {
		return nil
	}
	if err := r.try(ctx, ls.current); err != nil {
		return err // who takes the old one away must have a new one that works
	}
	return r.change(ctx, ls, ls.current, "!"+redisHash(old))
}

// with logs in and calls f. The driver takes the password as a string, which
// lives as long as the connection.
func (r *redis) with(ctx context.Context, l *login, f func(*goredis.Conn) error) (err error) {
	password := secretbuf.String(l.Password.Bytes())
	defer secretbuf.WipeString(password)
	client := goredis.NewClient(&goredis.Options{
		Addr: l.address(), Username: l.Username, Password: password, Protocol: 2, DisableIdentity: true,
		Dialer: r.dial(l.Host), DialTimeout: connectTimeout, DialerRetries: 1, ContextTimeoutEnabled: true,
		ReadTimeout: stepTimeout, WriteTimeout: stepTimeout, MaxRetries: -1, PoolSize: 1,
	})
	defer client.Close() // before the password is wiped
	conn := client.Conn()
	defer conn.Close()
	secretbuf.Do(func() { err = redisError(conn.Ping(ctx).Err()) })
	if isReply(err, "NOPERM") {
		err = nil // logged in, but may not even say that
	}
	if err != nil {
		return err
	}
	return f(conn)
}

// dial connects with TLS, if that is wanted.
func (r *redis) dial(host string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		settings := r.security.config(host)
		if err != nil || settings == nil {
			return conn, err
		}
		return handshake(ctx, conn, settings)
	}
}

// isReply reports whether err is a reply of the server that begins so.
func isReply(err error, prefix string) bool {
	var reply goredis.Error
	return errors.As(err, &reply) && strings.HasPrefix(reply.Error(), prefix)
}

// redisError is an error of the driver in our classes.
func redisError(err error) error {
	var reply goredis.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &reply):
		return failure(err)
	}
	word, _, _ := strings.Cut(reply.Error(), " ")
	switch {
	case word == "WRONGPASS" || word == "NOAUTH":
		return unverified(err)
	case word == "NOPERM":
		return refused(err, "the user may not do this (NOPERM)")
	case word == "LOADING" || word == "BUSY" || word == "MASTERDOWN" || word == "TRYAGAIN" || word == "CLUSTERDOWN":
		return unreachable(err)
	case len(word) > 0 && strings.Trim(word, upperCase) == "":
		return refused(err, "the target answers with %s", word)
	}
	return refused(err, "the target answers with an error")
}
