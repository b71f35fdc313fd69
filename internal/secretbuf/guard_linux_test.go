package secretbuf_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unsafe"

	"fastness/internal/secretbuf"

	"golang.org/x/sys/unix"
)

// TestGuardedPages checks what each guard promises, from outside the process's
// own loads: through /proc/self/mem, which root may use on every process, and
// through the kernel's list of mappings.
func TestGuardedPages(t *testing.T) {
	for _, c := range []struct {
		guard      string
		readable   bool
		flag, word string // a line of smaps and what it must hold
	}{
		{"memfd_secret", false, "VmFlags:", " lo"},
		{"mlock", true, "VmFlags:", " lo"},
		{"mlock", true, "VmFlags:", " dd"},
		{"mmap", true, "VmFlags:", " dd"},
	} {
		a := secretbuf.NewArena(4, 4, guards[c.guard]...)
		k := a.NewKey(fill(7))
		at := uintptr(unsafe.Pointer(secretbuf.Place(k)))
		got, err := readMemory(at)
		if c.readable && !bytes.Equal(got, fill(7)) {
			t.Errorf("%s: reading the memory gives %x, %v: the test looks in the wrong place", c.guard, got, err)
		}
		if !c.readable && (err == nil || !allZero(got)) {
			t.Errorf("%s: /proc/self/mem shows the key: %x", c.guard, got)
		}
		if line := smapsLine(t, at, c.flag); !strings.Contains(line, c.word) {
			t.Errorf("%s: the mapping has %q, want%s", c.guard, line, c.word)
		}
		k.Destroy()
	}
}

func readMemory(at uintptr) ([]byte, error) {
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		return nil, err
	}
	defer mem.Close()
	got := make([]byte, secretbuf.KeySize)
	_, err = mem.ReadAt(got, int64(at))
	return got, err
}

// smapsLine returns the line of the mapping that holds the address.
func smapsLine(t *testing.T, at uintptr, prefix string) string {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(smaps)) {
		if from, to, ok := mappingRange(line); ok {
			inside = from <= at && at < to
		}
		if inside && strings.HasPrefix(line, prefix) {
			return strings.TrimSpace(line)
		}
	}
	t.Fatal("the mapping is not listed")
	return ""
}

func mappingRange(line string) (from, to uintptr, ok bool) {
	first, _, _ := strings.Cut(line, " ")
	a, b, ok := strings.Cut(first, "-")
	if !ok {
		return 0, 0, false
	}
	return parseHex(a), parseHex(b), true
}

func parseHex(s string) (n uintptr) {
	for _, c := range []byte(s) {
		n = n<<4 | uintptr(strings.IndexByte("0123456789abcdef", c))
	}
	return n
}

// TestLockedMemoryLimit runs in a process of its own that may lock one page:
// keys must still be had, under a weaker guard.
func TestLockedMemoryLimit(t *testing.T) {
	out := inChild(t, "limit")
	if want := "mmap mmap"; out != want {
		t.Errorf("with the limit used up the guards are %q, want %q", out, want)
	}
}

func childLimit() string {
	// CAP_IPC_LOCK lifts the limit, so root has to drop it first.
	if err := dropLockCapability(); err != nil {
		return err.Error()
	}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 4096, Max: 4096}); err != nil {
		return err.Error()
	}
	k := secretbuf.NewKey(fill(1))
	return k.Guard() + " " + secretbuf.Guard()
}

func dropLockCapability() error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1 << unix.CAP_IPC_LOCK
	data[0].Permitted &^= 1 << unix.CAP_IPC_LOCK
	data[0].Inheritable &^= 1 << unix.CAP_IPC_LOCK
	return unix.Capset(&head, &data[0])
}

func TestHarden(t *testing.T) {
	if out := inChild(t, "harden"); out != "dumpable 0, core 0/0" {
		t.Errorf("after Harden: %s", out)
	}
}

// TestWipeEnv looks for the value where a debugger would: in the block that
// the kernel made, through /proc/self/environ, and in Go's own copy.
func TestWipeEnv(t *testing.T) {
	out := inChild(t, "environ", "FASTNESS_TEST_SECRET="+string(planted), "FASTNESS_TEST_SECRETS=neighbour")
	if want := "block 0, copy 0, set false, neighbour neighbour"; out != want {
		t.Errorf("after WipeEnv: %s, want %s", out, want)
	}
}

func childEnviron() string {
	value := os.Getenv("FASTNESS_TEST_SECRET")
	if before, err := os.ReadFile("/proc/self/environ"); err != nil || !bytes.Contains(before, planted) || value != string(planted) {
		return "the test is not set up"
	}
	secretbuf.WipeEnv("FASTNESS_TEST_SECRET")
	secretbuf.WipeEnv("FASTNESS_TEST_SECRET")
	block, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		return err.Error()
	}
	_, set := os.LookupEnv("FASTNESS_TEST_SECRET")
	return strings.Join([]string{
		"block " + count(block), "copy " + count([]byte(value)), "set " + map[bool]string{true: "true", false: "false"}[set],
		"neighbour " + os.Getenv("FASTNESS_TEST_SECRETS"),
	}, ", ")
}

// count tells how many runs of 8 bytes of the planted value b holds.
func count(b []byte) string {
	n := 0
	for i := 0; i+8 <= len(planted); i++ {
		n += bytes.Count(b, planted[i:i+8])
	}
	return string(rune('0' + min(n, 9)))
}

func childHarden() string {
	if err := secretbuf.Harden(); err != nil {
		return err.Error()
	}
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	var limit unix.Rlimit
	if err := errors.Join(err, unix.Getrlimit(unix.RLIMIT_CORE, &limit)); err != nil {
		return err.Error()
	}
	return "dumpable " + string(rune('0'+dumpable)) + ", core " + string(rune('0'+limit.Cur)) + "/" + string(rune('0'+limit.Max))
}

// childVariable names, in a child process, what to do instead of testing.
const childVariable = "FASTNESS_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childVariable) {
	case "limit":
		os.Stdout.WriteString(childLimit())
	case "environ":
		os.Stdout.WriteString(childEnviron())
	case "harden":
		os.Stdout.WriteString(childHarden())
	default:
		os.Exit(m.Run())
	}
	os.Exit(0) // m has not run: its report would mix with the answer
}

// inChild runs this test binary again and returns what it prints: some of
// what is tested changes a process for good.
func inChild(t *testing.T, what string, env ...string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append([]string{childVariable + "=" + what}, env...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("running the child: %v: %s", err, out)
	}
	return string(out)
}
