package backup

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"

	"fastness/internal/dump"
	"fastness/internal/secret"
)

// A backup is an age file (age-encryption.org/v1). What it encrypts are lines:
//
//	{"header":{…}}    what it is of
//	{"meta":…}        a row of package dump each
//	{"end":{…}}       how many there were, and their digest
const format = "fastness-backup/1"

// header says what a backup is of.
type header struct {
	Format     string            `json:"format"`
	Created    time.Time         `json:"created"`
	Deployment string            `json:"deployment"` // its id, in hexadecimal
	Check      []byte            `json:"check"`      // proves its root key right
	Tenant     secret.TenantName `json:"tenant,omitempty"`
	// Recovery is the root key's material for the recovery recipients, as an age
	// file of its own; nil without any.
	Recovery []byte `json:"recovery,omitempty"`
}

// trailer ends a backup.
type trailer struct {
	Rows   int64            `json:"rows"`
	Digest string           `json:"digest"`
	Counts map[string]int64 `json:"counts"`
}

// framing is a line that is no row.
type framing struct {
	Header *header  `json:"header,omitempty"`
	End    *trailer `json:"end,omitempty"`
}

// Errors of a backup's file. Whatever they say, nothing has been changed.
var (
	// ErrNoBackup is a file that is no backup of this release's form.
	ErrNoBackup = errors.New("this is no backup, or one of a form that this release does not read")
	// ErrDamaged is a backup that was cut short or changed.
	ErrDamaged = errors.New("the backup is damaged: it was cut short or changed")
	// ErrIdentity is a backup that is encrypted to others.
	ErrIdentity = errors.New("none of the identities opens the backup")
	// ErrFileExists is a file that would be overwritten.
	ErrFileExists = errors.New("there is a file of this name already")
)

// fileWriter writes a backup to a file that gets its name once it is whole.
type fileWriter struct {
	path   string
	file   *os.File
	age    io.WriteCloser
	buf    *bufio.Writer
	digest dump.Digest
}

func newFileWriter(path string, h header, recipients []age.Recipient) (*fileWriter, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%w: %s", ErrFileExists, path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".backup-*") // mode 0600
	if err != nil {
		return nil, err
	}
	w := &fileWriter{path: path, file: f}
	if w.age, err = age.Encrypt(f, recipients...); err != nil {
		w.discard()
		return nil, fmt.Errorf("encrypting to the recipients: %w", err)
	}
	w.buf = bufio.NewWriterSize(w.age, 64<<10)
	if err := w.frame(framing{Header: &h}); err != nil {
		w.discard()
		return nil, err
	}
	return w, nil
}

func (w *fileWriter) frame(f framing) error {
	line, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_, err = w.buf.Write(append(line, '\n'))
	return err
}

func (w *fileWriter) row(r *dump.Row) error {
	line, err := w.digest.Add(r)
	if err == nil {
		_, err = w.buf.Write(line)
	}
	return err
}

// finish makes the file durable and gives it its name.
func (w *fileWriter) finish() error {
	err := w.frame(framing{End: &trailer{w.digest.Rows, hex.EncodeToString(w.digest.Sum[:]), w.digest.Counts()}})
	if err == nil {
		err = w.buf.Flush()
	}
	if err == nil {
		err = w.age.Close()
	}
	if err == nil {
		err = w.file.Sync()
	}
	if err = errors.Join(err, w.file.Close()); err == nil {
		err = os.Link(w.file.Name(), w.path) // unlike a rename it fails when the name was taken meanwhile
	}
	if err = errors.Join(err, os.Remove(w.file.Name())); err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%w: %s", ErrFileExists, w.path)
		}
		return err
	}
	d, err := os.Open(filepath.Dir(w.path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// discard removes what was written.
func (w *fileWriter) discard() {
	w.file.Close()
	os.Remove(w.file.Name())
}

// File is a backup that can be opened.
type File struct {
	Path       string
	Identities []age.Identity
}

// read reads a whole backup. Nothing of it may be believed before read returns
// nil: that it was cut short is known at its end.
func (f File) read(begin func(header) error, row func(*dump.Row) error) (*dump.Digest, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	plain, err := age.Decrypt(bufio.NewReader(file), f.Identities...)
	var other *age.NoIdentityMatchError
	switch {
	case errors.As(err, &other):
		return nil, ErrIdentity
	case err != nil:
		return nil, ErrNoBackup // what age says of it quotes the file
	}
	r := fileReader{in: bufio.NewReaderSize(plain, 64<<10)}
	h, err := r.header()
	if err != nil {
		return nil, err
	}
	if err := begin(*h); err != nil {
		return nil, err
	}
	return r.rows(row)
}

// fileReader reads the lines of a backup.
type fileReader struct {
	in   *bufio.Reader
	line []byte
}

// next reads a line.
func (r *fileReader) next() ([]byte, error) {
	r.line = r.line[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		r.line = append(r.line, part...)
		switch {
		case err == nil:
			return r.line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("%w (%v)", ErrDamaged, err)
		case len(r.line) > dump.MaxLine:
			return nil, fmt.Errorf("%w: a line of more than %d bytes", ErrNoBackup, dump.MaxLine)
		}
	}
}

func (r *fileReader) header() (*header, error) {
	line, err := r.next()
	if err != nil {
		return nil, err
	}
	var f framing
	if strict(line, &f) != nil || f.Header == nil || f.Header.Format != format {
		return nil, ErrNoBackup
	}
	return f.Header, nil
}

func (r *fileReader) rows(row func(*dump.Row) error) (*dump.Digest, error) {
	var digest dump.Digest
	for {
		line, err := r.next()
		if err != nil {
			return nil, err
		}
		if bytes.HasPrefix(line, []byte(`{"end":`)) {
			return &digest, r.end(line, &digest)
		}
		parsed, err := dump.ParseRow(line)
		if err != nil {
			return nil, err
		}
		if _, err := digest.Add(parsed); err != nil {
			return nil, err
		}
		if err := row(parsed); err != nil {
			return nil, err
		}
	}
}

// end compares what was read with what the backup says it has, and reads to the
// end, where age tells whether it is the end.
func (r *fileReader) end(line []byte, digest *dump.Digest) error {
	var f framing
	if err := strict(line, &f); err != nil || f.End == nil {
		return fmt.Errorf("%w: its last line", ErrNoBackup)
	}
	if f.End.Rows != digest.Rows || f.End.Digest != hex.EncodeToString(digest.Sum[:]) {
		return fmt.Errorf("%w: it has %d rows and says %d", ErrDamaged, digest.Rows, f.End.Rows)
	}
	if _, err := r.in.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows its end", ErrDamaged)
	}
	return nil
}

func strict(line []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
