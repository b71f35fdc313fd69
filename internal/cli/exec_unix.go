//go:build unix

package cli

import (
	"fmt"
	"syscall"
)

// replace runs a program in the place of this one: same process, same
// terminal, signals and exit code its own, and this program's memory gone. It
// returns only if it could not.
func replace(path string, args, environ []string) error {
	return fmt.Errorf("running %s: %w", path, syscall.Exec(path, args, environ))
}
