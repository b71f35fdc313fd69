package secretbuf

import (
	"bytes"
	"os"
	"strconv"
	"unsafe"
)

// wipeEnvironBlock overwrites the value of each variable of that name in the
// process's initial environment. Where /proc cannot be read it does nothing.
func wipeEnvironBlock(name string) {
	block := environBlock()
	prefix := append([]byte(name), '=')
	for len(block) > 0 {
		entry, rest, _ := bytes.Cut(block, []byte{0})
		if bytes.HasPrefix(entry, prefix) {
			Wipe(entry[len(prefix):])
		}
		block = rest
	}
}

// environBlock returns the memory in which the kernel placed the initial
// environment: NAME=VALUE entries that end in zero bytes. The kernel tells
// where, in fields 50 and 51 of /proc/self/stat.
func environBlock() []byte {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return nil
	}
	// Field 2 is the program's name in parentheses and may hold anything.
	_, after, ok := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte{' '})
	fields := bytes.Fields(after)
	const start, end = 50 - 3, 51 - 3 // fields begins with field 3
	if !ok || len(fields) <= end {
		return nil
	}
	from, err1 := strconv.ParseUint(string(fields[start]), 10, 64)
	to, err2 := strconv.ParseUint(string(fields[end]), 10, 64)
	if err1 != nil || err2 != nil || from == 0 || to < from {
		return nil
	}
	// The block is not Go's memory: it lies above the initial stack, never
	// moves and is never freed. A uintptr read from memory, not arithmetic on
	// a Go pointer, is what it is made of.
	at := uintptr(from)
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&at)), int(to-from))
}
