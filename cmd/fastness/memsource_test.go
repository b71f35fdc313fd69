package main_test

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// This file reads what the scanner looks at: the memory of a running process,
// and core files of it. Both need root, as whoever wants to steal from memory
// has; see needRoot.

// memory is a run of addresses with what is said to be there.
type memory struct {
	from, to uint64
	name     string
	r        io.ReaderAt // by address
}

// needRoot fails a test that may not read other processes.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatalf("reading the memory of a process that forbids it to its own user needs root; run\n"+
			"  sudo -E env \"PATH=$PATH\" go test -run '^%s$' ./cmd/fastness\nor the whole of it as\n"+
			"  sudo -E env \"PATH=$PATH\" make test", t.Name())
	}
}

// processMemory lists all pages of a process that are in memory or in swap,
// whatever their protection: a page that the process may not read itself can
// still hold what was there before.
func processMemory(pid int) ([]memory, io.Closer, error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	maps, err := os.ReadFile(dir + "maps")
	if err != nil {
		return nil, nil, err
	}
	pages, err := os.Open(dir + "pagemap")
	if err != nil {
		return nil, nil, err
	}
	defer pages.Close()
	mem, err := os.Open(dir + "mem")
	if err != nil {
		return nil, nil, err
	}
	var all []memory
	for line := range strings.Lines(string(maps)) {
		m := memory{r: mem}
		var permissions, offset, device string
		var inode uint64
		if _, err := fmt.Sscanf(line, "%x-%x %s %s %s %d", &m.from, &m.to, &permissions, &offset, &device, &inode); err != nil {
			return nil, nil, fmt.Errorf("%q: %w", line, err)
		}
		if fields := strings.Fields(line); len(fields) > 5 {
			m.name = strings.Join(fields[5:], " ")
		}
		if m.name == "[vsyscall]" {
			continue // the kernel's, above all that pagemap knows
		}
		m.name = strings.TrimSpace(permissions + " " + m.name)
		present, err := presentPages(pages, m)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, present...)
	}
	return all, mem, nil
}

// pageSize is the kernel's on the platforms that Fastness runs on, or a
// multiple of it.
var pageSize = uint64(os.Getpagesize())

// presentPages returns the parts of a mapping that are in memory or swapped.
func presentPages(pagemap io.ReaderAt, m memory) (present []memory, err error) {
	entries := make([]byte, 8*(m.to-m.from)/pageSize)
	if _, err := pagemap.ReadAt(entries, int64(8*m.from/pageSize)); err != nil && err != io.EOF {
		return nil, err
	}
	const isPresent, isSwapped = 1 << 63, 1 << 62
	for i := range len(entries) / 8 {
		if binary.LittleEndian.Uint64(entries[8*i:])&(isPresent|isSwapped) == 0 {
			continue
		}
		at := m.from + uint64(i)*pageSize
		if last := len(present) - 1; last >= 0 && present[last].to == at {
			present[last].to += pageSize
			continue
		}
		present = append(present, memory{at, at + pageSize, m.name, m.r})
	}
	return present, nil
}

// coreMemory lists the segments of a core file, and its notes: they hold the
// registers of every thread.
func coreMemory(path string) ([]memory, io.Closer, error) {
	core, err := elf.Open(path)
	if err != nil {
		return nil, nil, err
	}
	if core.Type != elf.ET_CORE {
		return nil, nil, fmt.Errorf("%s is no core file", path)
	}
	var all []memory
	for _, p := range core.Progs {
		if p.Filesz == 0 {
			continue
		}
		name := "segment " + p.Flags.String()
		if p.Type == elf.PT_NOTE {
			name = "registers"
		}
		all = append(all, memory{p.Vaddr, p.Vaddr + p.Filesz, name, offsetReader{p.ReaderAt, p.Vaddr}})
	}
	return all, core, nil
}

// offsetReader reads a segment by address.
type offsetReader struct {
	r    io.ReaderAt
	from uint64
}

func (o offsetReader) ReadAt(b []byte, at int64) (int, error) { return o.r.ReadAt(b, at-int64(o.from)) }

// takeCore lets gdb write a core of the process, of all mappings, those too that
// a program keeps out of the kernel's own dumps: -a is the setting
// dump-excluded-mappings. The process stands still meanwhile and goes on
// afterwards.
func takeCore(t testing.TB, pid int) string {
	t.Helper()
	return runGcore(t, pid, "-a")
}

func runGcore(t testing.TB, pid int, options ...string) string {
	t.Helper()
	prefix := filepath.Join(t.TempDir(), "core")
	cmd := exec.Command("gcore", append(options, "-o", prefix, fmt.Sprint(pid))...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "DEBUGINFOD_URLS=")
	out, err := cmd.CombinedOutput()
	core := fmt.Sprintf("%s.%d", prefix, pid)
	if _, statErr := os.Stat(core); err != nil || statErr != nil {
		t.Fatalf("gcore (of Debian's package gdb): %v, %v:\n%s", err, statErr, out)
	}
	return core
}

// freeze makes a process stand still until the returned function is called, so
// that all of its memory is read as it was at one moment.
func freeze(t testing.TB, pid int) (thaw func()) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	thaw = func() { syscall.Kill(pid, syscall.SIGCONT) }
	for deadline := time.Now().Add(patience); !isStopped(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			thaw()
			t.Fatalf("process %d does not stand still", pid)
		}
	}
	return thaw
}

// freezeIdle is freeze for an idle process, at a moment at which it is idle
// indeed: a server signs a checkpoint every ten seconds after it was used, and is
// then at work, if only for some milliseconds.
func freezeIdle(t testing.TB, pid int) (thaw func()) {
	t.Helper()
	const quiet, stopping = 200 * time.Millisecond, time.Millisecond
	before := timeUsed(t, pid)
	for deadline := time.Now().Add(patience); ; before = timeUsed(t, pid) {
		time.Sleep(quiet)
		if timeUsed(t, pid) == before {
			thaw = freeze(t, pid)
			if timeUsed(t, pid)-before < stopping {
				return thaw
			}
			thaw()
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d is never idle", pid)
		}
	}
}

// timeUsed is how long the threads of a process have run.
func timeUsed(t testing.TB, pid int) (used time.Duration) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("process %d has no threads: %v", pid, err)
	}
	for _, thread := range threads {
		var ran int64
		text, err := os.ReadFile(thread)
		if err == nil {
			_, err = fmt.Sscan(string(text), &ran)
		}
		if err != nil {
			t.Fatal(err)
		}
		used += time.Duration(ran)
	}
	return used
}

// isStopped reports whether every thread of a process stands still.
func isStopped(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, thread := range threads {
		f, err := os.Open(thread)
		if err != nil {
			return false
		}
		state := ""
		for lines := bufio.NewScanner(f); lines.Scan() && state == ""; {
			state, _ = strings.CutPrefix(lines.Text(), "State:\t")
			if state == lines.Text() {
				state = ""
			}
		}
		f.Close()
		if !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return len(threads) > 0
}

// finding is what a search of some memory came to.
type finding struct {
	read, withheld uint64 // bytes; withheld are pages that even root may not read
	finds          []located
	schedules      []located
}

// located is a find with where it is and what stands around it.
type located struct {
	find
	where  string
	around string
}

const (
	window = 1 << 20
	// margin is read on both sides of a window: more than any pattern and any
	// key schedule has.
	margin = 4 << 10
)

// look searches memory for everything at once.
func (s *scanner) look(all []memory) *finding {
	if s.longest > margin {
		panic("a pattern is longer than the margin")
	}
	f := &finding{}
	buf, zeros := make([]byte, window+2*margin), make([]byte, window+2*margin)
	for _, m := range all {
		var found, foundSchedule uint64 // ends of the last ones, which may reach into the next window
		for at := m.from; at < m.to; at += window {
			from, to := max(m.from, at-min(at, margin)), min(m.to, at+window+margin)
			b := buf[:to-from]
			end := min(window, int(m.to-at))
			f.withheld += readPages(m.r, b, from)
			f.read += uint64(end)
			if bytes.Equal(b, zeros[:len(b)]) {
				continue
			}
			first := int(at - from)
			locate := func(x find) located {
				return located{x, m.name, surroundings(b, int(x.at-from), x.length)}
			}
			s.search(b, first, first+end, from, func(x find) {
				if x.at >= found {
					f.finds = append(f.finds, locate(x))
				}
				found = max(found, x.at+uint64(x.length))
			})
			searchSchedules(b, first, first+end, from, func(x find) {
				if x.at >= foundSchedule {
					f.schedules = append(f.schedules, locate(x))
				}
				foundSchedule = max(foundSchedule, x.at+uint64(x.length))
			})
		}
	}
	return f
}

// readPages reads memory at an address. Pages that cannot be read become zeros
// and are counted.
func readPages(r io.ReaderAt, b []byte, at uint64) (withheld uint64) {
	if n, _ := r.ReadAt(b, int64(at)); n == len(b) {
		return 0
	}
	for i := uint64(0); i < uint64(len(b)); {
		n := min(pageSize-(at+i)%pageSize, uint64(len(b))-i)
		if _, err := r.ReadAt(b[i:i+n], int64(at+i)); err != nil {
			clear(b[i : i+n])
			withheld += n
		}
		i += n
	}
	return withheld
}

// surroundings shows a find with some bytes on each side, which often tell who
// put it there. What is looked for was made for the test.
func surroundings(b []byte, at, length int) string {
	const side = 48
	return fmt.Sprintf("%q", b[max(0, at-side):min(len(b), at+length+side)])
}

// lookAtProcess searches a process; it may run on meanwhile.
func lookAtProcess(t testing.TB, s *scanner, pid int) *finding {
	t.Helper()
	all, mem, err := processMemory(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	return s.look(all)
}

// lookAtCore searches a core that gdb takes of the process.
func lookAtCore(t testing.TB, s *scanner, pid int) *finding {
	t.Helper()
	path := takeCore(t, pid)
	defer os.Remove(path)
	return lookAtCoreFile(t, s, path)
}

func lookAtCoreFile(t testing.TB, s *scanner, path string) *finding {
	t.Helper()
	all, core, err := coreMemory(path)
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	return s.look(all)
}

// copyMemory copies what processMemory lists, for a later search. Pages that
// cannot be read are left out.
func copyMemory(pid int) ([]memory, error) {
	all, mem, err := processMemory(pid)
	if err != nil {
		return nil, err
	}
	defer mem.Close()
	for i, m := range all {
		b := make([]byte, m.to-m.from)
		readPages(m.r, b, m.from)
		all[i].r = offsetReader{bytes.NewReader(b), m.from}
	}
	return all, nil
}
