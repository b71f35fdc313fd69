package main_test

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// scale is how much load a memory check puts on a server, and how it looks.
type scale struct {
	standard
	hostile int           // times each kind of hostile traffic
	others  int           // times what Go client and command line do
	idle    time.Duration // before the look, with the connections open
	cores   bool          // look at cores of gdb too
	ending  string        // the only one; empty for all
}

// full is the check that `make memcheck` runs.
var full = scale{
	standard: standard{values: 200, reads: 50, connections: 16},
	hostile:  20, others: 5, idle: 5 * time.Second, cores: true,
}

// tally counts what was found of one kind of plant in one place.
type tally struct {
	planted      int
	whole, parts int
	distinct     map[int]bool // plants of which all or a part was found
	forms        map[string]int
	examples     []located // of different plants, some
}

// memoryResult is what was found in one place, by kind.
type memoryResult struct {
	where string
	*finding
	kinds map[string]*tally
}

// sum counts the finds.
func (s *scanner) sum(where string, f *finding) *memoryResult {
	r := &memoryResult{where, f, map[string]*tally{}}
	of := func(kind string) *tally {
		if r.kinds[kind] == nil {
			r.kinds[kind] = &tally{distinct: map[int]bool{}, forms: map[string]int{}}
		}
		return r.kinds[kind]
	}
	for _, p := range s.plants {
		of(p.kind).planted++
	}
	of(kindSchedule)
	for _, x := range f.finds {
		of(s.plants[x.plant].kind).count(x)
	}
	for _, x := range f.schedules {
		of(kindSchedule).count(x)
	}
	return r
}

func (t *tally) count(x located) {
	if x.isWhole() {
		t.whole++
	} else {
		t.parts++
	}
	t.forms[x.form]++
	if len(t.examples) < mostExamples && (x.plant < 0 || !t.distinct[x.plant]) {
		t.examples = append(t.examples, x)
	}
	t.distinct[x.plant] = true
}

// hits counts all finds.
func (r *memoryResult) hits() (n int) {
	for _, t := range r.kinds {
		n += t.whole + t.parts
	}
	return n
}

// table shows results as people read them.
func table(title string, results ...*memoryResult) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", title)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  where\tlooked for\tplanted\thits\tof these whole\tdistinct\tforms")
	for _, r := range results {
		where := fmt.Sprintf("%s, %d MiB", r.where, r.read>>20)
		if r.withheld > 0 {
			where += fmt.Sprintf(" (%d KiB not even root can read)", r.withheld>>10)
		}
		for _, kind := range slices.Sorted(maps.Keys(r.kinds)) {
			t := r.kinds[kind]
			planted := fmt.Sprint(t.planted)
			if kind == kindSchedule {
				planted = "any"
			}
			var forms []string
			for _, form := range slices.Sorted(maps.Keys(t.forms)) {
				forms = append(forms, fmt.Sprintf("%s %d", form, t.forms[form]))
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\t%d\t%d\t%d\t%s\n", where, kind, planted, t.whole+t.parts, t.whole, len(t.distinct), strings.Join(forms, ", "))
			where = ""
		}
	}
	w.Flush()
	return b.String()
}

// mostExamples of each kind are shown.
const mostExamples = 6

// examples shows some finds of each kind with what stands around them.
func (s *scanner) examples(r *memoryResult) string {
	var b strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(r.kinds)) {
		for _, x := range r.kinds[kind].examples {
			name := ""
			if x.plant >= 0 {
				name = s.plants[x.plant].name
			}
			fmt.Fprintf(&b, "  %s %q, %d bytes as %s at %x (%s): %s\n", kind, name, x.length, x.form, x.at, x.where, x.around)
		}
	}
	return b.String()
}

// drive puts a server under every kind of load and leaves it idle, with its
// connections open. It returns the search for what was planted, and what was
// found in the middle of the load.
func (s *subject) drive(t *testing.T, build string, load scale) (*scanner, []*memoryResult) {
	t.Helper()
	suite := newSuite(t, &s.target, 1)
	var frozen *moment
	load.meanwhile = func() { frozen = s.capture(t, load.cores) }
	suite.standard(load.standard)
	s.byClient(t, suite, load.others)
	s.byCommand(t, build, suite, load.others)
	s.byLogin(t, suite, load.others)
	s.byAWS(t, suite, load.others)
	suite.hostile(load.hostile)
	suite.last(load.ending)
	time.Sleep(load.idle)
	scan := newScanner(append(suite.all(), storeKeys(t, s.dir, s.master)...))
	return scan, frozen.search(t, scan)
}

// moment is the memory of a process under load, kept for the search: what is
// to be looked for is known only afterwards.
type moment struct {
	pages []memory
	core  string // file; empty if none was taken
}

// capture copies the memory of the process as it is at one moment, and takes a
// core at another.
func (s *subject) capture(t *testing.T, core bool) *moment {
	t.Helper()
	m := &moment{}
	thaw := freeze(t, s.cmd.Process.Pid)
	pages, err := copyMemory(s.cmd.Process.Pid)
	thaw()
	if err != nil {
		t.Fatal(err)
	}
	m.pages = pages
	if core {
		m.core = takeCore(t, s.cmd.Process.Pid)
	}
	return m
}

func (m *moment) search(t *testing.T, s *scanner) []*memoryResult {
	t.Helper()
	results := []*memoryResult{s.sum("/proc/PID/mem under load", s.look(m.pages))}
	if m.core != "" {
		results = append(results, s.sum("gcore under load", lookAtCoreFile(t, s, m.core)))
		os.Remove(m.core)
	}
	return results
}

// checkMemory drives a build of fastness, searches its memory and prints the
// table. It returns what was found in the idle process, and under load.
func checkMemory(t *testing.T, build string, encrypted bool, load scale) (s *scanner, idle, busy []*memoryResult) {
	t.Helper()
	needRoot(t)
	subject := startSubject(t, build, encrypted, nil)
	s, busy = subject.drive(t, build, load)
	idle = lookAtIdle(t, s, subject.cmd.Process.Pid, load.cores)
	transport := "plain HTTP"
	if encrypted {
		transport = "TLS"
	}
	t.Logf("%s", table(fmt.Sprintf("%s, after %s idle, then under load", transport, load.idle), append(idle, busy...)...))
	return s, idle, busy
}

// lookAtIdle searches an idle process, and a core of it.
func lookAtIdle(t *testing.T, s *scanner, pid int, core bool) []*memoryResult {
	t.Helper()
	defer freezeIdle(t, pid)()
	results := []*memoryResult{s.sum("/proc/PID/mem", lookAtProcess(t, s, pid))}
	if core {
		results = append(results, s.sum("gcore", lookAtCore(t, s, pid)))
	}
	return results
}

// expectNothing fails for everything found in an idle process, and for more
// of any kind under load than requests were in flight: each may hold one copy
// of one value, of its credential and of each key. Those on a processor at this
// moment may be making another, as a value is encoded and an answer is sealed.
// Key schedules do not count under load: those that HPKE makes wait for the next
// garbage collection.
func expectNothing(t *testing.T, s *scanner, idle, busy []*memoryResult, inFlight int) {
	t.Helper()
	bound := inFlight + runtime.NumCPU()
	for _, r := range idle {
		if n := r.hits(); n > 0 {
			t.Errorf("%s of the idle process holds %d pieces of plaintext:\n%s", r.where, n, s.examples(r))
		}
	}
	for _, r := range busy {
		for kind, found := range r.kinds {
			if n := found.whole + found.parts; n > bound && kind != kindSchedule {
				t.Errorf("%s: %d pieces of kind %s, with %d requests in flight:\n%s", r.where, n, kind, inFlight, s.examples(r))
			}
		}
	}
}

// TestMemoryOfNaiveServer is the control: in a server that takes no care the
// same search, after the same load, must find at least half of all values, keys
// and credentials. A check that cannot fail proves nothing.
func TestMemoryOfNaiveServer(t *testing.T) {
	needRoot(t)
	t.Parallel()
	load := standard{values: 200, reads: 5, connections: 16}
	on, pid := startNaive(t, load.values)
	suite := newSuite(t, on, 2)
	suite.standard(load)
	s := newScanner(suite.all())
	r := s.sum("/proc/PID/mem", lookAtProcess(t, s, pid))
	t.Logf("%s", table("a naive server", r))
	for kind, found := range r.kinds {
		n := len(found.distinct)
		if kind == kindSchedule { // whose key is not asked
			found.planted, n = load.values, found.whole
		}
		if n < (found.planted+1)/2 {
			t.Errorf("%s: found %d of %d", kind, n, found.planted)
		}
	}
}
