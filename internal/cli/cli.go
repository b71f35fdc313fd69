// Package cli is the command line of Fastness: one file a command over the Go
// client, plus the two commands that serve (dev, server) and the one that opens
// the store itself (operator init).
//
// The key idea: a command is a function of its arguments and an [Env]. It
// reads and writes only the Env's streams, returns an error, and leaves to
// [Run] how an error looks to people and which exit code it has. stdout is the
// answer and nothing else; everything a person might want to know besides goes
// to stderr. Values of secrets travel in buffers that are wiped, never come
// from arguments, and never become strings (but for the environment of the
// child that `run` starts, which the operating system wants so).
//
// Everything on a terminal that somebody else may have chosen (names,
// descriptions, tags, user agents) goes through clean, so that it cannot move
// the cursor.
//
// Start with Run, then app.go (what every command shares) and tree.go (the
// commands).
package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/term"

	"fastness/internal/secretbuf"
)

// Exit codes, a contract with scripts.
const (
	exitDone     = 0
	exitFailed   = 1 // refused or failed
	exitUsage    = 2 // wrong usage
	exitNotFound = 3
	exitDenied   = 4 // access denied, or a bad credential

	exitCannotRun = 126 // of run, as shells have it
	exitNoCommand = 127
)

// version is set by the build; see the Makefile.
var version = "dev"

// Env is the world of one run of the program.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Getenv reads an environment variable. Nil means none is set.
	Getenv func(string) string
	// Environ lists the environment that `run` hands to its child.
	Environ func() []string
	// Exec runs the program at path in the place of this one, as `run` does
	// with its command, and returns only if it cannot. Nil means it cannot.
	Exec func(path string, args, environ []string) error
	// Start runs the program at path beside this one, as `run --watch` does. Nil
	// means it cannot.
	Start func(path string, args, environ []string) (Process, error)
	// Signals returns the signals that this process gets, for `run --watch` to hand
	// on, until the function is called. Nil means it gets none.
	Signals func() (<-chan os.Signal, func())
	// Harden keeps other processes out of this one's memory, until Exec. Nil does
	// nothing.
	Harden func() error
	// IsTerminal tells whether a stream of this Env (or a reader or writer
	// made of it) is a terminal. Nil means none is.
	IsTerminal func(stream any) bool
	// Width is the terminal's number of columns. Nil means 80.
	Width func() int
}

// System is the Env of this process.
func System() Env {
	return Env{
		Stdin:      os.Stdin,
		Stdout:     os.Stdout,
		Stderr:     os.Stderr,
		Getenv:     os.Getenv,
		Environ:    os.Environ,
		Exec:       replace,
		Start:      startProcess,
		Signals:    catchSignals,
		Harden:     secretbuf.HardenUntilExec,
		IsTerminal: isTerminal,
		Width:      terminalWidth,
	}
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func terminalWidth() int {
	w, _, err := term.GetSize(int(os.Stderr.Fd()))
	if err != nil || w < 20 {
		return 80
	}
	return w
}

func (e Env) withDefaults() Env {
	if e.Stdin == nil {
		e.Stdin = eofReader{}
	}
	if e.Stdout == nil {
		e.Stdout = io.Discard
	}
	if e.Stderr == nil {
		e.Stderr = io.Discard
	}
	if e.Getenv == nil {
		e.Getenv = func(string) string { return "" }
	}
	if e.Environ == nil {
		e.Environ = func() []string { return nil }
	}
	if e.Exec == nil {
		e.Exec = func(string, []string, []string) error { return errors.ErrUnsupported }
	}
	if e.Start == nil {
		e.Start = func(string, []string, []string) (Process, error) { return nil, errors.ErrUnsupported }
	}
	if e.Signals == nil {
		e.Signals = func() (<-chan os.Signal, func()) { return nil, func() {} }
	}
	if e.Harden == nil {
		e.Harden = func() error { return nil }
	}
	if e.IsTerminal == nil {
		e.IsTerminal = func(any) bool { return false }
	}
	if e.Width == nil {
		e.Width = func() int { return 80 }
	}
	return e
}

type eofReader struct{}

func (eofReader) Read([]byte) (int, error) { return 0, io.EOF }

// Run runs the command that args (without the program's name) say, and
// returns the exit code. It prints errors itself. When ctx ends the command
// stops, gracefully where that means something.
func Run(ctx context.Context, args []string, env Env) int {
	a := &app{env: env.withDefaults()}
	a.stderr = a.env.Stderr
	a.env.Stderr = &lockedWriter{w: a.env.Stderr}
	defer secretbuf.Clean()
	defer a.close()
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(a.env.Stdin)
	root.SetOut(a.env.Stdout)
	root.SetErr(a.env.Stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !a.running {
		// Whatever fails before a command's own code runs was typed wrong.
		err = &usageError{err: err}
	}
	return a.report(err)
}

// lockedWriter serializes what concurrent parts of a command say.
type lockedWriter struct {
	mu sync.Mutex // guards w during one Write
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
