// Package reserve keeps room on a disk: a file that nobody reads, allocated while
// there is room, which an operator removes when the disk is full. What it frees is
// what the log needs for the entries of those who then make space.
//
// Nothing is released by itself: whatever filled the disk would fill that too, and
// unnoticed. Start with Reserve.
package reserve

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// name is the file's, in the store's folder.
const name = "reserve"

// ErrNoRoom is a disk too full to be given a reserve.
var ErrNoRoom = errors.New("there is no room for the reserve on the disk")

// Reserve is room that is kept in a folder.
type Reserve struct {
	Dir  string
	Size int64 // in bytes; 0 for none
}

func (r Reserve) path() string { return filepath.Join(r.Dir, name) }

// Fill allocates the reserve, if as much again stays free and above more bytes, or
// else is ErrNoRoom. One that is held in another size is made anew.
func (r Reserve) Fill(above int64) error {
	held, err := r.Held()
	if err != nil || held == r.Size {
		return err
	}
	if held > 0 {
		if _, err := Release(r.Dir); err != nil || r.Size == 0 {
			return err
		}
	}
	free, _, err := Space(r.Dir)
	if err != nil {
		return err
	}
	if free < 2*r.Size+above {
		return ErrNoRoom
	}
	f, err := os.OpenFile(r.path(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("making the reserve: %w", err)
	}
	if err := errors.Join(allocate(f, r.Size), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("making the reserve: %w", err), os.Remove(r.path()))
	}
	return nil
}

// Held is how much of the reserve there is: 0 once it was released.
func (r Reserve) Held() (int64, error) {
	info, err := os.Stat(r.path())
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Release frees the reserve in a store's folder, and says whether there was one.
func Release(dir string) (bool, error) {
	err := os.Remove(filepath.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
