package secretbuf_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
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

// TestHardenForbidsPeers: a hardened process is closed to others of its own user;
// one that is not hardened is open to them, so the test sees a difference. Root
// reads both, as the memory check shows.
func TestHardenForbidsPeers(t *testing.T) {
	for what, want := range map[string]string{"bare": "open", "hardened": "permission denied"} {
		victim, pid := startChild(t, what)
		if got := inChild(t, "peek", "FASTNESS_TEST_PID="+pid); got != want {
			t.Errorf("the memory of a %s process is to its own user: %s, want %s", what, got, want)
		}
		victim.Close()
	}
}

// nobody is a user with no rights, which a child of root becomes.
const nobody = 65534

// childStays waits until its stdin closes, as an ordinary user's process.
func childStays(harden bool) {
	err := dropRoot()
	if err == nil {
		err = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) // a change of the user has taken it
	}
	if err == nil && harden {
		err = secretbuf.Harden()
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(os.Getpid())
	io.Copy(io.Discard, os.Stdin)
}

func childPeeks() string {
	if err := dropRoot(); err != nil {
		return err.Error()
	}
	mem, err := os.Open("/proc/" + os.Getenv("FASTNESS_TEST_PID") + "/mem")
	if errors.Is(err, fs.ErrPermission) {
		return "permission denied"
	}
	if err != nil {
		return err.Error()
	}
	mem.Close()
	return "open"
}

func dropRoot() error {
	if os.Geteuid() != 0 {
		return nil
	}
	return errors.Join(syscall.Setgid(nobody), syscall.Setuid(nobody))
}

// TestHardenForbidsCores lets the process crash: the kernel says how it ended.
// Either half of Harden is enough; without both the kernel may write a core, if
// the machine is set up for it.
func TestHardenForbidsCores(t *testing.T) {
	if !dumpsCore(t, "crash bare") {
		t.Log("this machine writes no cores at all")
	}
	for _, what := range []string{"crash undumpable", "crash limited", "crash hardened"} {
		if dumpsCore(t, what) {
			t.Errorf("%s: the kernel wrote a core", what)
		}
	}
}

func dumpsCore(t *testing.T, what string) bool {
	t.Helper()
	cmd := child(t, what, "GOTRACEBACK=crash")
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("%s: %v, %s", what, err, out)
	}
	status := exit.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != syscall.SIGABRT {
		t.Fatalf("%s: it ended with %v, %s", what, err, out)
	}
	return status.CoreDump()
}

// childCrashes dies of a signal, with as much of Harden as what says.
func childCrashes(what string) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_CORE, &limit)
	limit.Cur = limit.Max
	err = errors.Join(err, unix.Setrlimit(unix.RLIMIT_CORE, &limit))
	switch what {
	case "crash undumpable":
		err = errors.Join(err, secretbuf.HardenUntilExec())
	case "crash limited":
		err = errors.Join(err, secretbuf.Harden(), unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0))
	case "crash hardened":
		err = errors.Join(err, secretbuf.Harden())
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	panic("as expected") // which GOTRACEBACK=crash makes a signal
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
	switch what := os.Getenv(childVariable); what {
	case "limit":
		os.Stdout.WriteString(childLimit())
	case "environ":
		os.Stdout.WriteString(childEnviron())
	case "harden":
		os.Stdout.WriteString(childHarden())
	case "bare", "hardened":
		childStays(what == "hardened")
	case "peek":
		os.Stdout.WriteString(childPeeks())
	case "crash bare", "crash undumpable", "crash limited", "crash hardened":
		childCrashes(what)
	default:
		os.Exit(m.Run())
	}
	os.Exit(0) // m has not run: its report would mix with the answer
}

// inChild runs this test binary again and returns what it prints: some of
// what is tested changes a process for good.
func inChild(t *testing.T, what string, env ...string) string {
	t.Helper()
	out, err := child(t, what, env...).Output()
	if err != nil {
		t.Fatalf("running the child: %v: %s", err, out)
	}
	return string(out)
}

func child(t *testing.T, what string, env ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append([]string{childVariable + "=" + what}, env...)
	return cmd
}

// startChild runs one that stays until its stdin closes, and returns what it
// says first.
func startChild(t *testing.T, what string) (stdin io.Closer, said string) {
	t.Helper()
	cmd := child(t, what)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	if _, err := fmt.Fscanln(out, &said); err != nil {
		t.Fatal(err)
	}
	return in, said
}
