// Package rootkey finds the master key from which a deployment's root key is
// derived: in the environment or in a file. It decides what is fit to be one,
// and takes care that no copy stays where it was found.
//
// While the root key is being changed there are two: the current one, which
// wraps everything new, and the previous one, which still opens what was not
// re-wrapped yet. Start with [FromEnv] and [FromFile].
package rootkey

import (
	"errors"
	"fmt"
	"os"
	"unicode/utf8"

	"fastness/internal/secretbuf"
)

// The environment variables of FromEnv.
const (
	Variable         = "SECRETS_MASTER_KEY"
	PreviousVariable = "SECRETS_MASTER_KEY_PREVIOUS"
)

// MinLength is the least number of characters of a master key.
const MinLength = 64

// Keys are a deployment's master keys. Whoever gets them releases them.
type Keys struct {
	Current  *secretbuf.Buffer
	Previous *secretbuf.Buffer // nil unless the root key is being changed
}

// Release wipes both keys.
func (k Keys) Release() {
	k.Current.Release()
	k.Previous.Release()
}

// What Check refuses. The texts go behind the name of the key's source.
var (
	ErrTooShort = fmt.Errorf("must be at least %d characters long", MinLength)
	ErrRepeated = errors.New("must not be one character repeated")
)

var errSame = errors.New("must not be the current master key again")

// Check reports why master is unfit to be a master key: it has fewer than
// MinLength characters, or is one character repeated. Anything else, such as
// whether it is random, cannot be seen.
func Check(master []byte) error {
	if utf8.RuneCount(master) < MinLength {
		return ErrTooShort
	}
	first, size := utf8.DecodeRune(master)
	for rest := master[size:]; len(rest) > 0; rest = rest[size:] {
		var r rune
		if r, size = utf8.DecodeRune(rest); r != first {
			return nil
		}
		// Bytes that are no UTF-8 all decode to one rune, but differ.
		if r == utf8.RuneError && rest[0] != master[0] {
			return nil
		}
	}
	return ErrRepeated
}

// FromEnv takes the master key from SECRETS_MASTER_KEY and, if it is set and not
// empty, the previous one from SECRETS_MASTER_KEY_PREVIOUS. Whatever comes of
// it, both variables are removed, and their values overwritten, in this process:
// it must be called once, before other goroutines read the environment.
func FromEnv() (Keys, error) {
	defer secretbuf.WipeEnv(Variable)
	defer secretbuf.WipeEnv(PreviousVariable)
	current := takeEnv(Variable)
	if current == nil {
		return Keys{}, errors.New(Variable + " environment variable is required")
	}
	return checked(Keys{current, takeEnv(PreviousVariable)}, Variable, PreviousVariable)
}

// takeEnv copies a variable's value into a buffer; nil if it is unset or empty.
func takeEnv(name string) *secretbuf.Buffer {
	// The string shares its bytes with the environment's copy, which WipeEnv
	// overwrites; copying them out makes no other.
	value := os.Getenv(name)
	if value == "" {
		return nil
	}
	b := secretbuf.New(len(value))
	copy(b.Bytes(), value)
	return b
}

// checked returns k, or releases it and says which of the two is unfit.
func checked(k Keys, current, previous string) (Keys, error) {
	err := Check(k.Current.Bytes())
	if err != nil {
		err = fmt.Errorf("%s %w", current, err)
	} else if k.Previous != nil {
		err = Check(k.Previous.Bytes())
		if err == nil && secretbuf.Equal(k.Current, k.Previous) {
			err = errSame
		}
		if err != nil {
			err = fmt.Errorf("%s %w", previous, err)
		}
	}
	if err != nil {
		k.Release()
		return Keys{}, err
	}
	return k, nil
}
