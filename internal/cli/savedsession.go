package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"fastness/client"
	"fastness/internal/secretbuf"
	"fastness/internal/wire"
)

// savedSession is what a login leaves for the commands that follow: a token that
// ends by itself, and where it is good.
type savedSession struct {
	Address string            `json:"address"`
	Tenant  string            `json:"tenant"`
	Token   *secretbuf.Buffer `json:"token"`
}

// maxSession is far more than the file has.
const maxSession = 16 << 10

// errOpenSession is a file that others could read, and maybe have.
var errOpenSession = errors.New("others may read the file of the login; `fastness logout`, then log in again")

// sessionFile is where a login is kept: fastness/session.json in the folder of
// the person's settings.
func (a *app) sessionFile() (string, error) {
	dir := a.env.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home := a.env.Getenv("HOME")
		if home == "" {
			return "", errors.New("neither XDG_CONFIG_HOME nor HOME says where to keep a login")
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "fastness", "session.json"), nil
}

// saveSession keeps a login, for its owner's eyes alone: the file is whole under
// its name, or it is not there.
func (a *app) saveSession(s savedSession) error {
	path, err := a.sessionFile()
	if err != nil {
		return err
	}
	text, err := wireLine(s)
	if err != nil {
		return err
	}
	defer text.Release()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keeping the login: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".session-*") // mode 0600
	if err != nil {
		return fmt.Errorf("keeping the login: %w", err)
	}
	_, err = text.WriteTo(f)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("keeping the login: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// loadSession reads the login; fs.ErrNotExist if there is none. The caller
// releases the token.
func (a *app) loadSession() (s savedSession, err error) {
	path, err := a.sessionFile()
	if err != nil {
		return s, fs.ErrNotExist
	}
	f, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return s, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return s, errOpenSession
	}
	text, err := secretbuf.ReadAll(f, maxSession)
	if err != nil {
		return s, fmt.Errorf("reading the login: %w", err)
	}
	defer text.Release()
	if err := wire.DecodeReply(text, &s); err != nil {
		return s, fmt.Errorf("reading the login: %w", err)
	}
	return s, nil
}

// dropSession forgets the login.
func (a *app) dropSession() error {
	path, err := a.sessionFile()
	if err != nil {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting the login: %w", err)
	}
	return nil
}

// address is the server that flag or environment name; empty for none.
func (a *app) address() string { return firstOf(a.global.addr, a.env.Getenv(envAddr)) }

// savedFor returns the login that is good at an address, the empty one being
// wherever it is; errNoToken if there is none.
func (a *app) savedFor(address string) (savedSession, error) {
	s, err := a.loadSession()
	if errors.Is(err, fs.ErrNotExist) {
		return s, errNoToken
	}
	if err == nil && address != "" && address != s.Address {
		s.Token.Release()
		return savedSession{}, errNoToken
	}
	return s, err
}

// credential chooses whose client to be: the token that flag or environment give
// wins over a login.
func (a *app) credential(config *client.Config) (token *secretbuf.Buffer, err error) {
	config.Address = firstOf(a.address(), defaultAddr)
	if a.global.tokenFile != "" || a.env.Getenv(envToken) != "" {
		return a.token()
	}
	s, err := a.savedFor(a.address())
	if err != nil {
		return nil, err
	}
	config.Address = s.Address
	return s.Token, nil
}
