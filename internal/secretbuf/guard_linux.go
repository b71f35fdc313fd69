package secretbuf

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mappers lists the kinds of guarded memory on Linux, best first.
func mappers() []mapper {
	all := []mapper{
		{guardSecret, mapSecret},
		{guardLocked, mapLocked},
		{guardMapped, mapExcluded},
	}
	if !guardKeys {
		return all[1:]
	}
	return all
}

// mapSecret maps pages that are outside the kernel's direct map. It needs
// Linux 5.14 with CONFIG_SECRETMEM and counts against RLIMIT_MEMLOCK.
func mapSecret(n int) ([]byte, error) {
	fd, err := unix.MemfdSecret(unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making secret memory: %w", err)
	}
	defer unix.Close(fd) // the mapping keeps the memory
	if err := unix.Ftruncate(fd, int64(n)); err != nil {
		return nil, fmt.Errorf("sizing secret memory: %w", err)
	}
	mem, err := unix.Mmap(fd, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mapping secret memory: %w", err)
	}
	return mem, nil
}

// mapLocked maps anonymous pages that are never swapped and are left out of
// core dumps.
func mapLocked(n int) ([]byte, error) {
	mem, err := mapExcluded(n)
	if err != nil {
		return nil, err
	}
	if err := unix.Mlock(mem); err != nil {
		unix.Munmap(mem)
		return nil, fmt.Errorf("locking memory: %w", err)
	}
	return mem, nil
}

// mapExcluded maps anonymous pages that are left out of core dumps.
func mapExcluded(n int) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("mapping memory: %w", err)
	}
	if err := unix.Madvise(mem, unix.MADV_DONTDUMP); err != nil {
		unix.Munmap(mem)
		return nil, fmt.Errorf("excluding memory from dumps: %w", err)
	}
	return mem, nil
}
