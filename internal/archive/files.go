package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"fastness/internal/audit"
)

// writeFile makes a file that is durable when it returns; its name is once its
// folder is synced.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// replaceFile puts a whole file in the place of another, or of none.
func replaceFile(path string, data []byte) error {
	next := path + ".next"
	if err := writeFile(next, func(w io.Writer) error { _, err := w.Write(data); return err }); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in a folder durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func tilePath(id audit.TileID, data []byte) string {
	return filepath.FromSlash(audit.TilePath(id, len(data)/tlog.HashSize))
}

// writeTile writes a tile, which never changes. Narrower ones of an earlier
// segment stay, as clients may know them.
func writeTile(dir string, id audit.TileID, data []byte) error {
	path := filepath.Join(dir, tilePath(id, data))
	stored, err := os.ReadFile(path)
	switch {
	case err == nil && bytes.Equal(stored, data):
		return nil
	case err == nil:
		return fmt.Errorf("%s is there already, with other hashes", path)
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	if err := makeDirs(dir, filepath.Dir(path)); err != nil {
		return err
	}
	return replaceFile(path, data)
}

// makeDirs makes a folder below another, and every one between them, durably.
func makeDirs(top, path string) error {
	if path == top {
		return nil
	}
	if err := makeDirs(top, filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); errors.Is(err, os.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
