package rootkey

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"fastness/internal/secretbuf"
)

// maxFile bounds a key file: far more than any key, and little to read of a
// file that is something else.
const maxFile = 4096

// previousSuffix is what the file of the previous key has behind its name.
const previousSuffix = ".previous"

// randomBytes of key are 64 characters of base64.
const randomBytes = 48

// FromFile reads the master key from the file at path and, if there is one,
// the previous master key from path + ".previous". Each must be a regular file
// that only its owner may access (mode 0600 or 0400) and hold the key as its
// only line; one line break at the end does not count.
func FromFile(path string) (Keys, error) {
	current, err := readFile(path)
	if err != nil {
		return Keys{}, err
	}
	previous, err := readFile(path + previousSuffix)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		current.Release()
		return Keys{}, err
	}
	return checked(Keys{current, previous}, "master key in "+path, "master key in "+path+previousSuffix)
}

func readFile(path string) (*secretbuf.Buffer, error) {
	// Non-blocking, so that a named pipe is refused below and not waited for.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("reading master key: %w", err)
	}
	defer f.Close()
	// The open file is asked, not the path: it cannot be exchanged in between.
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading master key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading master key: %s is not a regular file", path)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("reading master key: %s has mode %04o, which lets others read it; it must be 0600", path, perm)
	}
	b, err := secretbuf.ReadAll(f, maxFile)
	if err != nil {
		return nil, fmt.Errorf("reading master key from %s: %w", path, err)
	}
	b.Truncate(withoutLineBreak(b.Bytes()))
	return b, nil
}

// withoutLineBreak returns the length of b without one "\n" or "\r\n" at its end.
func withoutLineBreak(b []byte) int {
	n := len(b)
	if n > 0 && b[n-1] == '\n' {
		n--
		if n > 0 && b[n-1] == '\r' {
			n--
		}
	}
	return n
}

// CreateFile makes a random master key, writes it to a new file at path with
// mode 0600 and returns it. It is durable on return. An existing file is left
// alone, with an error that is [fs.ErrExist]; no half-written one is ever seen
// at path.
func CreateFile(path string) (_ Keys, err error) {
	key := newKey()
	defer func() {
		if err != nil {
			key.Release()
			err = fmt.Errorf("creating master key: %w", err)
		}
	}()
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".master-key-*") // mode 0600, O_EXCL
	if err != nil {
		return Keys{}, err
	}
	defer os.Remove(f.Name())
	if err := writeKey(f, key); err != nil {
		return Keys{}, err
	}
	// A link, unlike a rename, fails when the name is taken.
	if err := os.Link(f.Name(), path); err != nil {
		return Keys{}, err
	}
	if err := syncDir(dir); err != nil {
		return Keys{}, err
	}
	return Keys{Current: key}, nil
}

// newKey returns 64 characters with 384 random bits.
func newKey() *secretbuf.Buffer {
	random := secretbuf.New(randomBytes)
	defer random.Release()
	rand.Read(random.Bytes())
	key := secretbuf.New(base64.RawURLEncoding.EncodedLen(randomBytes))
	base64.RawURLEncoding.Encode(key.Bytes(), random.Bytes())
	return key
}

// writeKey writes key and a line break to f, and closes it.
func writeKey(f *os.File, key *secretbuf.Buffer) error {
	_, errKey := key.WriteTo(f)
	_, errBreak := f.WriteString("\n")
	return errors.Join(errKey, errBreak, f.Sync(), f.Close())
}

// syncDir makes a new name in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
