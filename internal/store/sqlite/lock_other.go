//go:build !unix

package sqlite

import (
	"errors"
	"os"
)

// lockDir refuses: without a lock that ends with its process, two processes
// could write one store.
func lockDir(string) (*os.File, error) {
	return nil, errors.New("the embedded store is not supported on this system")
}
