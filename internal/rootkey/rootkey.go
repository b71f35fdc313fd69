// Package rootkey tells where the root key's material comes from: the
// environment, a file, and, for development, a file that it makes itself.
//
// Material is at least 64 characters of the operator's choosing, from which
// package envelope derives the root key. It is read straight into a
// secretbuf.Buffer, and what it leaves in the environment is overwritten.
package rootkey

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"fastness/internal/secretbuf"
)

// MinLength is the least number of characters of a root key's material.
const MinLength = 64

// maxLength bounds what is read from a file.
const maxLength = 64 << 10

// The variables that FromEnv reads.
const (
	Env         = "SECRETS_MASTER_KEY"
	EnvPrevious = "SECRETS_MASTER_KEY_PREVIOUS"
)

// What is wrong with material.
var (
	// ErrMissing is an environment without the variable.
	ErrMissing = errors.New(Env + " environment variable is required")
	// ErrShort is material of fewer than MinLength characters.
	ErrShort = fmt.Errorf("%s must be at least %d characters long", Env, MinLength)
	// ErrRepeated is material that is one character over and over.
	ErrRepeated = errors.New(Env + " must not be one repeated character")
)

// Keys is the material of the root key, and of the one before while it changes.
type Keys struct {
	Current  *secretbuf.Buffer
	Previous *secretbuf.Buffer // nil unless the root key is being changed
}

// Release wipes the material.
func (k Keys) Release() {
	k.Current.Release()
	k.Previous.Release()
}

// FromEnv takes the material out of the environment: the variables are unset
// and their memory is overwritten, whatever they held. It must not run while
// another goroutine reads or changes the environment.
func FromEnv() (Keys, error) {
	defer secretbuf.WipeEnv(EnvPrevious)
	defer secretbuf.WipeEnv(Env)
	current, err := fromVariable(Env)
	if err != nil {
		return Keys{}, err
	}
	if current == nil {
		return Keys{}, ErrMissing
	}
	previous, err := fromVariable(EnvPrevious)
	if err != nil {
		current.Release()
		return Keys{}, fmt.Errorf("reading %s: %w", EnvPrevious, err)
	}
	return Keys{Current: current, Previous: previous}, nil
}

// fromVariable returns nil for a variable that is not set, or empty.
func fromVariable(name string) (*secretbuf.Buffer, error) {
	value := os.Getenv(name)
	if value == "" {
		return nil, nil
	}
	b := secretbuf.New(len(value))
	copy(b.Bytes(), value)
	if err := Check(b.Bytes()); err != nil {
		b.Release()
		return nil, err
	}
	return b, nil
}

// Check refuses material that is too short or one repeated character.
func Check(material []byte) error {
	if len(material) < MinLength {
		return ErrShort
	}
	for _, c := range material[1:] {
		if c != material[0] {
			return nil
		}
	}
	return ErrRepeated
}

// FromFile reads material from a file that nobody but its owner, and perhaps
// its group, may read. One newline at its end does not count.
func FromFile(path string) (*secretbuf.Buffer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading root key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading root key: %w", err)
	}
	const othersOrWritable = 0o027
	if mode := info.Mode().Perm(); mode&othersOrWritable != 0 {
		return nil, fmt.Errorf("reading root key: %s has mode %04o; it must not be for others to read, nor for the group to write: chmod 600 %s", path, mode, path)
	}
	b, err := secretbuf.ReadAll(f, maxLength)
	if err != nil {
		return nil, fmt.Errorf("reading root key: %w", err)
	}
	defer b.Release()
	material := b.Bytes()
	if n := len(material); n > 0 && material[n-1] == '\n' {
		material = material[:n-1]
	}
	if err := Check(material); err != nil {
		return nil, fmt.Errorf("reading root key from %s: %w", path, err)
	}
	out := secretbuf.New(len(material))
	copy(out.Bytes(), material)
	return out, nil
}

// FromOrMakeFile reads material from a file, or, if there is none, makes
// random material and keeps it there, durably and with mode 0600. It is for
// development: a root key beside the data protects nothing.
func FromOrMakeFile(path string) (*secretbuf.Buffer, error) {
	key, err := FromFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	raw := secretbuf.New(48)
	defer raw.Release()
	rand.Read(raw.Bytes())
	key = secretbuf.New(base64.StdEncoding.EncodedLen(raw.Len()))
	base64.StdEncoding.Encode(key.Bytes(), raw.Bytes())
	if err := writeNew(path, key); err != nil {
		key.Release()
		return nil, fmt.Errorf("making root key: %w", err)
	}
	return key, nil
}

// writeNew makes a file that was not there, and is whole once it is.
func writeNew(path string, key *secretbuf.Buffer) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = key.WriteTo(f)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Link(tmp, path) // refuses a file that has come meanwhile
	}
	err = errors.Join(err, os.Remove(tmp))
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
