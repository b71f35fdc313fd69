//go:build unix

package cli

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// forwarded are the signals that `run --watch` hands to its command.
var forwarded = []os.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
}

// catchSignals returns the signals that this process gets from now on.
func catchSignals() (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 16)
	signal.Notify(c, forwarded...)
	return c, func() { signal.Stop(c) }
}

// fromTerminal reports whether terminals send a signal to all who run in them.
func fromTerminal(s os.Signal) bool {
	return s == syscall.SIGINT || s == syscall.SIGQUIT || s == syscall.SIGWINCH
}

func signalNamed(name string) (os.Signal, bool) {
	s := unix.SignalNum("SIG" + name)
	return s, s != 0
}

type process struct{ *os.Process }

// startProcess runs a program beside this one, on the same streams.
func startProcess(path string, args, environ []string) (Process, error) {
	p, err := os.StartProcess(path, args, &os.ProcAttr{Env: environ, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return nil, err
	}
	return process{p}, nil
}

// Wait implements Process: 128 and the number of the signal that ended it.
func (p process) Wait() int {
	state, err := p.Process.Wait()
	if err != nil {
		return exitFailed
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}
