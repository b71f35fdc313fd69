package main_test

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReadme runs what README.md tells people to type, as it is written: the
// lines of every fenced block with the info string "sh", in their order, in one
// bash that stops at the first command that fails, in a fresh copy of the
// repository, with a home of its own. Blocks with another info string are not
// run. A server is started in the background, with "&" at the end of its line;
// it and all else that still runs is stopped after the last block.
//
// The commands use the address that people use, so nothing else may listen
// there meanwhile.
func TestReadme(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	script, blocks := scriptOf(string(text))
	if blocks < 3 || !strings.Contains(script, "fastness audit verify") {
		t.Fatalf("README.md has %d blocks to run, which shall lead to a verified log:\n%s", blocks, script)
	}
	if l, err := net.Listen("tcp", "127.0.0.1:8420"); err != nil {
		t.Fatalf("stop what listens on the default address, README.md wants it: %v", err)
	} else {
		l.Close()
	}
	clone := t.TempDir()
	copyTree(t, root, clone)
	out := runScript(t, clone, script)
	// The value that the first screen stores and reads.
	if !strings.Contains(out, "correct horse battery staple") {
		t.Errorf("the session did not print the secret:\n%s", out)
	}
}

// scriptOf collects the blocks, each behind a line that says where it stands.
func scriptOf(text string) (script string, blocks int) {
	var b strings.Builder
	running, fenced := false, false
	number := 0
	for line := range strings.Lines(text) {
		number++
		fence, info := strings.HasPrefix(line, "```"), strings.TrimSpace(strings.TrimLeft(line, "`"))
		switch {
		case fence && fenced:
			running, fenced = false, false
		case fence:
			running, fenced = info == "sh", true
			if running {
				blocks++
				fmt.Fprintf(&b, "echo 'README.md:%d' >&2\n", number)
			}
		case running:
			b.WriteString(line)
		}
	}
	return b.String(), blocks
}

// copyTree copies what a clone would have.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || name == "bin"):
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), content, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
}

// readmeTime is for a build from a warm cache and some commands.
const readmeTime = 5 * time.Minute

// runScript runs a script in bash and then stops whatever it left running.
func runScript(t *testing.T, dir, script string) string {
	t.Helper()
	cmd := exec.Command("bash", "-e", "-u", "-o", "pipefail", "-c", script)
	cmd.Dir = dir
	cmd.Env = environment(t.TempDir(), append(goFolders(t), "TMPDIR="+t.TempDir())...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second // what was left running holds the output open
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	overdue := time.AfterFunc(readmeTime, func() { cmd.Process.Kill() })
	defer overdue.Stop()
	state, err := cmd.Process.Wait()
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	cmd.Wait()
	if err != nil || !state.Success() {
		t.Fatalf("the session ended with %v, error %v:\n%s", state, err, out)
	}
	return out.String()
}

// goFolders keep Go's caches where they are: a new home would have none.
func goFolders(t *testing.T) []string {
	t.Helper()
	var env []string
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, name+"="+strings.TrimSpace(string(value)))
	}
	return env
}
