package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is for what takes milliseconds on a quiet machine.
const patience = 30 * time.Second

// masterKey is what servers of these tests run with.
const masterKey = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-+"

// process is a running fastness.
type process struct {
	cmd    *exec.Cmd
	stdout io.Reader // from its second line on, if the first was taken
	stderr *lockedBuffer
	ended  chan struct{} // closed once it has ended
	err    error         // how; valid once ended is closed
}

// lockedBuffer is written by a process while the test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs fastness in the background until the test ends.
func start(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	return startBuild(t, program, env, args...)
}

// startBuild is start for another build of fastness.
func startBuild(t testing.TB, build string, env []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(build, args...), stderr: &lockedBuffer{}, ended: make(chan struct{})}
	p.cmd.Env = environment(t.TempDir(), env...)
	p.cmd.Stderr = p.stderr
	// A pipe of our own: that of exec.Cmd may not be read while Wait runs.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdout, p.cmd.Stdout = r, w
	err = p.cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		r.Close()
		if t.Failed() {
			t.Logf("fastness %s said:\n%s", strings.Join(args, " "), p.stderr)
		}
	})
	return p
}

// kill ends the process as a power cut does.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// stop asks the process to end, and expects that it ends well.
func (p *process) stop(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("stopping fastness: %v", err)
	}
	if err := p.wait(t); err != nil {
		t.Fatalf("fastness was asked to stop and ended with: %v", err)
	}
}

// wait waits until the process ends by itself.
func (p *process) wait(t testing.TB) error {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatal("fastness does not end")
	}
	return p.err
}

// until waits until check holds, and says what it is waiting for if not.
func (p *process) until(t testing.TB, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		if check() {
			return
		}
		select {
		case <-p.ended:
			t.Fatalf("fastness ended (%v) before %s:\n%s", p.err, what, p.stderr)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("no sign of %s", what)
		}
	}
}

// freeAddress returns an address of this machine that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// devServer is a running `fastness dev`, with what its first line says.
type devServer struct {
	*process
	Address         string `json:"address"`
	Tenant          string `json:"tenant"`
	Token           string `json:"token"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	AccountID       string `json:"accountId"`
	Region          string `json:"region"`

	line []byte
}

// startDev starts `fastness dev --json` on a free port.
func startDev(t testing.TB, args ...string) *devServer {
	t.Helper()
	args = append([]string{"dev", "--json", "--listen", freeAddress(t)}, args...)
	d := &devServer{process: start(t, nil, args...)}
	stdout := bufio.NewReader(d.stdout)
	line, err := stdout.ReadBytes('\n')
	if err != nil {
		<-d.ended
		t.Fatalf("fastness dev ended without a first line: %v\n%s", d.err, d.stderr)
	}
	d.stdout, d.line = stdout, line
	if err := json.Unmarshal(line, d); err != nil {
		t.Fatalf("first line %q: %v", line, err)
	}
	return d
}

// operator speaks to the server as its operator.
func (d *devServer) operator() *api { return &api{base: d.Address, token: d.Token} }

// server is a running `fastness server`.
type server struct {
	*process
	address string // a URL
}

// startServer starts `fastness server` on the store in dir and waits until it
// is ready.
func startServer(t testing.TB, dir string, args ...string) *server {
	t.Helper()
	address := freeAddress(t)
	args = append([]string{"server", "--store", "sqlite:" + dir, "--listen", address}, args...)
	s := &server{process: start(t, []string{"SECRETS_MASTER_KEY=" + masterKey}, args...), address: "http://" + address}
	s.until(t, "readiness", func() bool { return isReady(s.address) })
	return s
}

func isReady(address string) bool {
	r, err := http.Get(address + "/readyz")
	if err != nil {
		return false
	}
	defer r.Body.Close()
	return r.StatusCode == http.StatusOK
}

// makeOperator makes the first operator token of a store that no server has
// open.
func makeOperator(t testing.TB, dir string) string {
	t.Helper()
	out := runServerSide(t, "operator", "init", "--store", "sqlite:"+dir, "--json").succeed(t)
	var made struct{ Token string }
	if err := json.Unmarshal(out, &made); err != nil || made.Token == "" {
		t.Fatalf("operator init printed %q, error %v", out, err)
	}
	return made.Token
}

// outcome is what a command that ended left.
type outcome struct {
	command        string
	code           int
	stdout, stderr []byte
}

// run runs fastness to its end.
func run(t testing.TB, env []string, stdin []byte, args ...string) outcome {
	t.Helper()
	return runBuild(t, program, env, stdin, args...)
}

// runBuild is run for another build of fastness.
func runBuild(t testing.TB, build string, env []string, stdin []byte, args ...string) outcome {
	t.Helper()
	cmd := exec.Command(build, args...)
	cmd.Env = environment(t.TempDir(), env...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	ended := make(chan error, 1)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { ended <- cmd.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-time.After(patience):
		cmd.Process.Kill()
		<-ended
		t.Fatalf("fastness %s does not end:\n%s", strings.Join(args, " "), &stderr)
	}
	o := outcome{command: "fastness " + strings.Join(args, " "), stdout: stdout.Bytes(), stderr: stderr.Bytes()}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		o.code = exit.ExitCode()
	} else if err != nil {
		t.Fatalf("%s: %v", o.command, err)
	}
	return o
}

// runServerSide runs a command that opens the store itself.
func runServerSide(t testing.TB, args ...string) outcome {
	t.Helper()
	return run(t, []string{"SECRETS_MASTER_KEY=" + masterKey}, nil, args...)
}

// succeed expects exit code 0 and returns what went to stdout.
func (o outcome) succeed(t testing.TB) []byte {
	t.Helper()
	if o.code != 0 {
		t.Fatalf("%s: exit code %d: %s", o.command, o.code, o.stderr)
	}
	return o.stdout
}

// warn expects exit code 0, and a text on stderr.
func (o outcome) warn(t testing.TB, text string) {
	t.Helper()
	if o.succeed(t); !bytes.Contains(o.stderr, []byte(text)) {
		t.Errorf("%s: stderr %q does not say %q", o.command, o.stderr, text)
	}
}

// fail expects an exit code and texts on stderr, and nothing on stdout.
func (o outcome) fail(t testing.TB, code int, texts ...string) {
	t.Helper()
	if o.code != code || len(o.stdout) > 0 {
		t.Errorf("%s: exit code %d, want %d; stdout %q, stderr %q", o.command, o.code, code, o.stdout, o.stderr)
	}
	if i := slices.IndexFunc(texts, func(s string) bool { return !bytes.Contains(o.stderr, []byte(s)) }); i >= 0 {
		t.Errorf("%s: stderr %q does not say %q", o.command, o.stderr, texts[i])
	}
}

// clientEnv is the environment of a command that speaks to a server.
func clientEnv(address, token, tenant string) []string {
	env := []string{"FASTNESS_ADDR=" + address, "FASTNESS_TOKEN=" + token}
	if tenant != "" {
		env = append(env, "FASTNESS_TENANT="+tenant)
	}
	return env
}

// residentKB reads a figure such as VmRSS of a process, in KiB.
func residentKB(t testing.TB, pid int, field string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var n int
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			if _, err := fmt.Sscanf(rest, "%d kB", &n); err == nil {
				return n
			}
		}
	}
	t.Fatalf("no %s in\n%s", field, status)
	return 0
}
