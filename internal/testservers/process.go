package testservers

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// startTimeout is how long a server may take until it answers; the machines
// that run the tests are often busy.
const startTimeout = time.Minute

// quitTimeout is how long a server may take to end.
const quitTimeout = 10 * time.Second

// nobody is who runs servers when tests run as root.
const nobody = 65534

// process is a server program with its folder.
type process struct {
	dir, log string
	quit     os.Signal // ends the server at once
	cmd      *exec.Cmd
	ended    chan struct{} // closed when it has
	again    func() error  // starts the server as it was started last
}

// newProcess makes the folder, which the server's user owns.
func newProcess(kind string) (*process, error) {
	dir, err := os.MkdirTemp("", "fastness-"+kind+"-")
	if err != nil {
		return nil, err
	}
	p := &process{dir: dir, log: filepath.Join(dir, "log"), quit: syscall.SIGKILL}
	return p, p.give(dir)
}

// give makes the server's user the owner of a file.
func (p *process) give(path string) error {
	if os.Getuid() != 0 {
		return nil
	}
	return os.Chown(path, nobody, nobody)
}

// write puts a file into the folder.
func (p *process) write(name, content string) (path string, err error) {
	path = filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return "", err
	}
	return path, p.give(path)
}

// command prepares a program to run as the server's user, and to die with us.
func (p *process) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = p.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin", "HOME=" + p.dir, "TMPDIR=" + p.dir, "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return cmd
}

// prepare runs a program to its end.
func (p *process) prepare(program string, args ...string) error {
	runtime.LockOSThread() // the kernel takes the end of the thread for our death
	defer runtime.UnlockOSThread()
	if out, err := p.command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(program), err, out)
	}
	return nil
}

// start runs the server until it answers.
func (p *process) start(answers func() bool, program string, args ...string) error {
	p.again = func() error { return p.start(answers, program, args...) }
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	if err := p.give(p.log); err != nil {
		return err
	}
	p.cmd = p.command(program, args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.ended = make(chan struct{})
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread lives as long as the server
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.cmd.Wait() // how it ends nobody asks: it is killed
		}
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return err
	}
	return p.await(answers, program)
}

func (p *process) await(answers func() bool, program string) error {
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); {
		if answers() {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended: %s", filepath.Base(program), p.tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s does not answer: %s", filepath.Base(program), p.tail())
}

// tail returns the end of the log.
func (p *process) tail() []byte {
	log, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	return log[bytes.LastIndexByte(log[:max(0, len(log)-2000)], '\n')+1:]
}

func (p *process) kill() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	p.cmd.Process.Signal(p.quit)
	select {
	case <-p.ended:
	case <-time.After(quitTimeout):
		p.cmd.Process.Kill()
		<-p.ended
	}
}

func (p *process) remove() {
	p.kill()
	os.RemoveAll(p.dir)
}

// find returns the first of the programs that is installed, looking at the
// distribution's places too, in which the newest version wins.
func find(places []string, programs ...string) (string, error) {
	for _, name := range programs {
		if path, err := exec.LookPath(name); err == nil {
			if path, err = filepath.EvalSymlinks(path); err == nil && filepath.Base(path) == name {
				return path, nil
			}
		}
		for _, place := range places {
			found, err := filepath.Glob(filepath.Join(place, name))
			if err != nil {
				return "", err
			}
			if len(found) > 0 {
				return slices.MaxFunc(found, byVersion), nil
			}
		}
	}
	return "", fmt.Errorf("%s is not installed; run scripts/install", strings.Join(programs, " or "))
}

// byVersion compares paths whose only difference is a number.
func byVersion(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// freePort returns a port that nobody listens on now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// speaks reports whether a server sends something after it was sent a
// greeting, which may be empty.
func speaks(port int, greeting string) bool {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write([]byte(greeting)); err != nil {
		return false
	}
	_, err = conn.Read(make([]byte, 1))
	return err == nil
}

// launch makes a server of a port, a folder and what start does with them. A
// port that somebody took in between is tried again.
func launch(engine, admin string, start func(*process, int) error) (*Server, error) {
	var errs []error
	for range 3 {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		p, err := newProcess(engine)
		if err == nil {
			err = start(p, port)
		}
		if err == nil {
			return &Server{Engine: engine, Host: "127.0.0.1", Port: port, Admin: admin, process: p}, nil
		}
		errs = append(errs, err)
		if p != nil {
			p.remove()
		}
	}
	return nil, errors.Join(errs...)
}
