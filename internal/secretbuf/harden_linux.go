package secretbuf

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Harden makes the process undumpable: the kernel writes no core of it, and
// other processes of the same user can neither attach to it nor read its
// memory. It also sets RLIMIT_CORE to 0. Root still can. Call it first thing in
// main; it concerns Linux only and does nothing elsewhere.
func Harden() error {
	// Not every core handler respects the limit, so both are needed.
	if err := HardenUntilExec(); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("limiting core dumps: %w", err)
	}
	return nil
}

// HardenUntilExec is Harden for a process that may become another program,
// which does not inherit any of it: it leaves RLIMIT_CORE as it is.
func HardenUntilExec() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbidding core dumps: %w", err)
	}
	return nil
}
