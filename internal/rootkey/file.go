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

// maxLength bounds what is read from a file.
const maxLength = 64 << 10

// randomBytes of material are 64 characters of base64.
const randomBytes = 48

// FromFile reads material from a regular file that nobody but its owner, and
// perhaps its group, may read. One line break at its end does not count.
func FromFile(path string) (*secretbuf.Buffer, error) {
	// Non-blocking, so that a named pipe is refused below and not waited for.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("reading root key: %w", err)
	}
	defer f.Close()
	if err := checkMode(f, path); err != nil {
		return nil, fmt.Errorf("reading root key: %w", err)
	}
	b, err := secretbuf.ReadAll(f, maxLength)
	if err != nil {
		return nil, fmt.Errorf("reading root key from %s: %w", path, err)
	}
	b.Truncate(withoutLineBreak(b.Bytes()))
	if err := Check(b.Bytes()); err != nil {
		b.Release()
		return nil, unfit("root key in "+path, err)
	}
	return b, nil
}

// checkMode asks the open file, not the path, which could be exchanged.
func checkMode(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	const othersOrWritable = 0o027
	if mode := info.Mode().Perm(); mode&othersOrWritable != 0 {
		return fmt.Errorf("%s has mode %04o; it must not be for others to read, nor for the group to write: chmod 600 %s", path, mode, path)
	}
	return nil
}

// withoutLineBreak returns the length of b without one "\n" or "\r\n" at its
// end.
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

// FromOrMakeFile reads material from a file, or, if there is none, makes
// random material and keeps it there, durably and with mode 0600. It is for
// development: a root key beside the data protects nothing. Of several that
// make the same file at once, one wins, and all return what it made.
func FromOrMakeFile(path string) (*secretbuf.Buffer, error) {
	key, err := FromFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	key = random()
	err = writeNew(path, key)
	if err == nil {
		return key, nil
	}
	key.Release()
	if errors.Is(err, fs.ErrExist) {
		return FromFile(path)
	}
	return nil, fmt.Errorf("making root key: %w", err)
}

// random returns 64 characters that hold 384 random bits.
func random() *secretbuf.Buffer {
	raw := secretbuf.New(randomBytes)
	defer raw.Release()
	rand.Read(raw.Bytes())
	key := secretbuf.New(base64.StdEncoding.EncodedLen(randomBytes))
	base64.StdEncoding.Encode(key.Bytes(), raw.Bytes())
	return key
}

// writeNew makes a file that was not there, and is whole once it is.
func writeNew(path string, key *secretbuf.Buffer) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".root-key-*") // mode 0600, a name of its own
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = key.WriteTo(f)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	// A link, unlike a rename, fails when the name was taken meanwhile.
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
