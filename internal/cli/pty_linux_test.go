package cli_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fastness/internal/secret"
)

// openTerminal returns a pseudo-terminal: what a person sees and types, and
// what a program reads and writes.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	fd := int(person.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

// TestPromptHides types a value longer than a terminal's line buffer and looks
// for it on the screen.
func TestPromptHides(t *testing.T) {
	person, program := openTerminal(t)
	value := strings.Repeat("horse", 1000)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), promptOnce+"=1")
	var out bytes.Buffer
	cmd.Stdin, cmd.Stderr, cmd.Stdout = program, program, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	screen := make(chan string, 1)
	seen := make(chan struct{})
	go func() {
		var all []byte
		told := false
		buf := make([]byte, 4096)
		for {
			n, err := person.Read(buf)
			if all = append(all, buf[:n]...); err != nil {
				screen <- string(all)
				return
			}
			if !told && bytes.Contains(all, []byte("Value of")) {
				told = true
				close(seen)
			}
		}
	}()
	select {
	case <-seen:
	case <-time.After(10 * time.Second):
		t.Fatal("there is no prompt")
	}
	for range 2 {
		if _, err := person.WriteString(value + "\r"); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	program.Close()
	if got := <-screen; strings.Contains(got, "horse") {
		t.Errorf("the screen shows %q", got)
	}
	if out.String() != value {
		t.Errorf("read %d bytes instead of %d", out.Len(), len(value))
	}
	if len(value) > secret.MaxValue {
		t.Error("the value is longer than any")
	}
}
