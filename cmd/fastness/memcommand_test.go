package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMemoryOfCommands is checkCommands over TLS, where more can go wrong;
// `make memcheck` does it over plain HTTP too.
func TestMemoryOfCommands(t *testing.T) {
	t.Parallel()
	checkCommands(t, true)
}

// checkCommands searches the memory of commands that carry values, at the moment
// at which they exit: what a core would show that somebody takes of a command just
// before its end. The token is in a file, as it stays in an environment for as long
// as the process lives.
func checkCommands(t *testing.T, encrypted bool) {
	t.Helper()
	needRoot(t)
	s := startSubject(t, program, encrypted, nil)
	suite := newSuite(t, &target{}, 7)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(s.tokens[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	common := []string{"--addr", s.url, "--token-file", token, "--tenant", s.tenant}
	if encrypted {
		common = append(common, "--ca-file", s.authority)
	}
	suite.learned("token", "of the command", []byte(s.tokens[0]))
	scan := func() *scanner { return newScanner(suite.all()) }
	var results []*memoryResult
	for _, c := range carrying(suite) {
		results = append(results, lookAtExit(t, scan(), append(c.args, common...), []byte(c.stdin), c.shows))
	}
	t.Logf("%s", table("commands as they exit", results...))
	for _, r := range results {
		if n := r.hits(); n > 0 {
			t.Errorf("%s leaves %d pieces of plaintext:\n%s", r.where, n, scan().examples(r))
		}
	}
}

// carryingCommand is a command with values in it.
type carryingCommand struct {
	args  []string
	stdin string
	shows bool // its stdout has values
}

// carrying lists such commands, in an order in which each finds what it reads.
func carrying(s *suite) []carryingCommand {
	value := func(name string) string { return s.value("command " + name) }
	pairs, err := json.Marshal(map[string]string{"imported/a": value("JSON"), "imported/b": value("JSON")})
	if err != nil {
		s.t.Fatal(err)
	}
	dotenv := fmt.Sprintf("A='%s'\nB=%q\n", value("dotenv"), strings.Repeat(value("dotenv"), 3))
	return []carryingCommand{
		{args: []string{"put", "a/text"}, stdin: value("put")},
		{args: []string{"put", "a/long"}, stdin: s.long("put", 60_000)},
		{args: []string{"put", "a/text", "--if-absent"}, stdin: value("refused")},
		{args: []string{"rotate", "a/text"}, stdin: value("rotate")},
		{args: []string{"get", "a/text"}, shows: true},
		{args: []string{"get", "a/text", "--json"}, shows: true},
		{args: []string{"get", "a/long"}, shows: true},
		{args: []string{"import", "-", "--format", "json"}, stdin: string(pairs)},
		{args: []string{"import", "-", "--format", "dotenv"}, stdin: dotenv},
		{args: []string{"export", "--yes"}, shows: true},
		{args: []string{"export", "--yes", "--format", "json"}, shows: true},
	}
}

// lookAtExit runs a command until it is about to exit, and searches it.
func lookAtExit(t *testing.T, s *scanner, args []string, stdin []byte, shows bool) *memoryResult {
	t.Helper()
	stdout, held := holdAtExit(t, args, stdin)
	result := s.sum("fastness "+strings.Join(args[:2], " "), lookAtProcess(t, s, held.pid))
	held.kill(t)
	printed, err := os.ReadFile(stdout)
	if err != nil {
		t.Fatal(err)
	}
	f := s.look([]memory{{0, uint64(len(printed)), "", bytes.NewReader(printed)}})
	if shows != (len(f.finds) > 0) {
		t.Errorf("fastness %s printed %d values", strings.Join(args, " "), len(f.finds))
	}
	return result
}

// heldProcess is a process that stands still before it exits.
type heldProcess struct {
	pid  int
	gdb  *exec.Cmd
	goOn io.Closer
}

// holdAtExit has gdb run fastness and stop it as it asks the kernel to exit. Its
// stdout goes to the file.
func holdAtExit(t *testing.T, args []string, stdin []byte) (stdout string, held *heldProcess) {
	t.Helper()
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	if err := os.WriteFile(in, stdin, 0o600); err != nil {
		t.Fatal(err)
	}
	stdout = filepath.Join(dir, "out")
	run := fmt.Sprintf("run %s <%s >%s 2>%s", strings.Join(args, " "), in, stdout, filepath.Join(dir, "err"))
	gdb := exec.Command("gdb", "-nx", "-batch", "-iex", "set auto-load no", "-ex", "set debuginfod enabled off",
		// Go's scheduler uses this one by the hundred.
		"-ex", "handle SIGURG nostop noprint pass", "-ex", "catch syscall exit_group", "-ex", run,
		"-ex", "info proc", "-ex", "shell cat >/dev/null", "-ex", "kill", program)
	gdb.Env = environment(dir, keepFreed)
	goOn, err := gdb.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := gdb.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	gdb.Stderr = gdb.Stdout
	if err := gdb.Start(); err != nil {
		t.Fatalf("gdb (of Debian's package of that name): %v", err)
	}
	held = &heldProcess{gdb: gdb, goOn: goOn}
	t.Cleanup(func() {
		goOn.Close()
		gdb.Process.Kill()
		gdb.Wait()
	})
	var log strings.Builder
	for lines := bufio.NewScanner(said); lines.Scan(); {
		log.WriteString(lines.Text() + "\n")
		if n, _ := fmt.Sscanf(lines.Text(), "process %d", &held.pid); n == 1 {
			return stdout, held
		}
	}
	t.Fatalf("gdb does not stop fastness %s at its exit:\n%s", strings.Join(args, " "), log.String())
	return "", nil
}

// kill ends it and gdb.
func (h *heldProcess) kill(t *testing.T) {
	t.Helper()
	h.goOn.Close()
	if err := h.gdb.Wait(); err != nil {
		t.Errorf("gdb: %v", err)
	}
}
