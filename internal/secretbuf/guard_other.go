//go:build !linux

package secretbuf

// mappers offers ordinary memory: the guards are Linux's.
func mappers() []mapper {
	return []mapper{{guardHeap, func(n int) ([]byte, error) { return make([]byte, n), nil }}}
}
