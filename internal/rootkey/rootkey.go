// Package rootkey tells where the root key's material comes from: the
// environment, a file, and, for development, a file that it makes itself.
//
// Material is at least 64 characters of the operator's choosing, from which
// package envelope derives the root key. It is read straight into a
// secretbuf.Buffer, and what it leaves in the environment is overwritten.
package rootkey

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"fastness/internal/secretbuf"
)

// MinLength is the least number of characters of a root key's material.
const MinLength = 64

// The variables that FromEnv reads.
const (
	Env         = "SECRETS_MASTER_KEY"
	EnvPrevious = "SECRETS_MASTER_KEY_PREVIOUS"
)

// What is wrong with material. Where it does not come from Env, the text names
// its own source instead.
var (
	// ErrMissing is an environment without the variable.
	ErrMissing = errors.New(Env + " environment variable is required")
	// ErrShort is material of fewer than MinLength characters.
	ErrShort = fmt.Errorf("%s must be at least %d characters long", Env, MinLength)
	// ErrRepeated is material that is one character over and over.
	ErrRepeated = errors.New(Env + " must not be one repeated character")
	// ErrSame is previous material that equals the current.
	ErrSame = errors.New(Env + " must not be the current key again")
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
	if err == nil && secretbuf.Equal(current, previous) {
		err = unfit(EnvPrevious, ErrSame)
	}
	if err != nil {
		current.Release()
		previous.Release()
		return Keys{}, err
	}
	return Keys{Current: current, Previous: previous}, nil
}

// fromVariable returns nil for a variable that is not set, or empty.
func fromVariable(name string) (*secretbuf.Buffer, error) {
	// The string shares its bytes with the environment's copy, which WipeEnv
	// overwrites.
	value := os.Getenv(name)
	if value == "" {
		return nil, nil
	}
	b := secretbuf.New(len(value))
	copy(b.Bytes(), value)
	if err := Check(b.Bytes()); err != nil {
		b.Release()
		return nil, unfit(name, err)
	}
	return b, nil
}

// Check refuses material that is too short or one repeated character. It
// counts characters, not bytes, where the material is UTF-8.
func Check(material []byte) error {
	if utf8.RuneCount(material) < MinLength {
		return ErrShort
	}
	first, size := utf8.DecodeRune(material)
	for rest := material[size:]; len(rest) > 0; rest = rest[size:] {
		var r rune
		r, size = utf8.DecodeRune(rest)
		// Bytes that are no UTF-8 all decode to one rune, but may differ.
		if r != first || r == utf8.RuneError && rest[0] != material[0] {
			return nil
		}
	}
	return ErrRepeated
}

// unfit is what Check says, with the name of where the material comes from.
func unfit(source string, err error) error { return &sourceError{source, err} }

type sourceError struct {
	source string
	err    error // one of those that begin with Env
}

func (e *sourceError) Error() string { return e.source + strings.TrimPrefix(e.err.Error(), Env) }

func (e *sourceError) Unwrap() error { return e.err }
