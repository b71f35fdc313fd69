package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"fastness/client"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

const (
	defaultGrace  = 10 * time.Second
	defaultSettle = 2 * time.Second
	// longestSettle is how many changes may put off a look, so that a steady
	// trickle does not do so for ever.
	longestSettle = 5
	// firstRetry and longestRetry bound the pauses after a look that failed.
	firstRetry   = time.Second
	longestRetry = 30 * time.Second
)

// Process is a program that runs beside this one.
type Process interface {
	Signal(os.Signal) error
	// Wait waits for its end and returns its exit code, as shells have it.
	Wait() int
}

// watchFlags say what `run` does when a secret has changed.
type watchFlags struct {
	watch         bool
	signal        string
	grace, settle time.Duration
}

func (f *watchFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.watch, "watch", false, "start the command again when one of its secrets has changed")
	cmd.Flags().StringVar(&f.signal, "signal", "", "with --watch: do not start it again, but send it this signal (`NAME`, such as HUP)")
	cmd.Flags().DurationVar(&f.grace, "grace", defaultGrace, "with --watch: how long the command may take to end before it is killed")
	cmd.Flags().DurationVar(&f.settle, "settle", defaultSettle, "with --watch: how long to wait for more changes after one")
}

// check returns the signal to send; nil for starting the command again.
func (f *watchFlags) check() (os.Signal, error) {
	if !f.watch {
		if f.signal != "" || f.grace != defaultGrace || f.settle != defaultSettle {
			return nil, usagef("--signal, --grace and --settle belong to --watch")
		}
		return nil, nil
	}
	if f.grace < 0 || f.settle < 0 {
		return nil, usagef("--grace and --settle are not negative")
	}
	if f.signal == "" {
		return nil, nil
	}
	s, ok := signalNamed(strings.TrimPrefix(strings.ToUpper(f.signal), "SIG"))
	if !ok {
		return nil, usagef("there is no signal %s", quote(f.signal))
	}
	return s, nil
}

// supervisor runs a command beside this program, and looks after its secrets.
// Only its loop touches what is not a channel.
type supervisor struct {
	app     *app
	session *client.Session
	which   *runFlags
	flags   *watchFlags
	notify  os.Signal // nil: start again
	path    string
	args    []string

	signals <-chan os.Signal
	changed chan struct{} // something may have changed
	found   chan findings // what a look has found

	child  Process
	exited chan int
	used   versionsOf // by the child
	ending bool       // somebody has asked the child to end
	looks  int        // that failed, one after the other
}

// versionsOf are current versions, by variable.
type versionsOf map[string]usedVersion

type usedVersion struct {
	name secret.Name
	id   client.VersionID
}

// findings are what a look at the secrets has found: nothing new without versions.
type findings struct {
	versions versionsOf
	environ  []string // for the next child; the last ones are values, to be wiped
	err      error
}

// watch runs the command until it ends by itself.
func (w *supervisor) watch(ctx context.Context) error {
	var stop func()
	w.signals, stop = w.app.env.Signals()
	defer stop()
	w.changed, w.found = make(chan struct{}, 1), make(chan findings, 1)
	f := w.fetch(ctx)
	if f.err != nil {
		return f.err
	}
	if err := w.start(f); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	tasks.Go(func() { w.listen(ctx) })
	return w.loop(ctx, &tasks)
}

// start starts the command with the values found, and wipes them. The copy that
// the system call makes is erased with all else that Do leaves.
func (w *supervisor) start(f findings) (err error) {
	defer f.wipe()
	secretbuf.Do(func() { w.child, err = w.app.env.Start(w.path, w.args, f.environ) })
	if err != nil {
		return &codedError{fmt.Errorf("running %s: %w", quote(w.args[0]), err), exitCannotRun}
	}
	w.used = f.versions
	exited, child := make(chan int, 1), w.child
	w.exited = exited
	go func() { exited <- child.Wait() }()
	return nil
}

func (f findings) wipe() {
	if len(f.environ) > 0 {
		wipeAll(f.environ[len(f.environ)-len(f.versions):])
	}
}

// listen tells the loop when a secret may have changed.
func (w *supervisor) listen(ctx context.Context) {
	err := w.session.Watch(ctx, client.EventQuery{After: -1}, func(e client.Event) error {
		if e.Type == client.EventSync || e.Type.MovesCurrent() && w.which.chooses(e.Name) {
			select {
			case w.changed <- struct{}{}:
			default: // it knows
			}
		}
		return nil
	})
	if err != nil {
		w.app.note("fastness: nothing more is heard of changes, the command goes on: %s", clean(describe(err)))
	}
}

// chooses reports whether the flags are about a secret.
func (f *runFlags) chooses(name secret.Name) bool {
	for _, word := range f.secrets {
		text := word
		if i := strings.LastIndexByte(word, '='); i >= 0 && validEnv(word[i+1:]) {
			text = word[:i]
		}
		if text == string(name) {
			return true
		}
	}
	return (len(f.secrets) == 0 || f.prefix != "") && strings.HasPrefix(string(name), f.prefix)
}

// loop goes on until the command has ended.
func (w *supervisor) loop(ctx context.Context, tasks *sync.WaitGroup) error {
	var due <-chan time.Time
	put, looking := 0, false
	for {
		select {
		case code := <-w.exited:
			return ended(code)
		case s := <-w.signals:
			w.forward(s)
		case <-w.changed:
			if put++; due == nil || put < longestSettle {
				due = time.After(w.flags.settle)
			}
		case <-due:
			due = nil
			if !looking && !w.ending {
				put, looking = 0, true
				tasks.Go(func() { w.found <- w.look(ctx) })
			} else if looking {
				due = time.After(w.flags.settle)
			}
		case f := <-w.found:
			looking = false
			retry, err := w.act(f)
			if err != nil {
				return err
			}
			if retry > 0 {
				due = time.After(retry)
			}
		}
	}
}

func ended(code int) error {
	if code == 0 {
		return nil
	}
	return exitStatus(code)
}

// forward hands a signal on. A terminal has sent its own to the command already.
func (w *supervisor) forward(s os.Signal) {
	switch s {
	case syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT:
		w.ending = true
	}
	if fromTerminal(s) && w.app.env.IsTerminal(w.app.env.Stdin) {
		return
	}
	w.tell(s)
}

// tell sends a signal to the child, which may have ended.
func (w *supervisor) tell(s os.Signal) {
	if err := w.child.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		w.app.note("fastness: sending %v: %v", s, err)
	}
}

// act does what was found calls for. It returns after what time to look again, or
// how the command has ended.
func (w *supervisor) act(f findings) (retry time.Duration, err error) {
	switch {
	case w.ending:
		f.wipe()
	case f.err != nil:
		retry = min(firstRetry<<min(w.looks, 10), longestRetry)
		w.looks++
		w.app.note("fastness: a secret has changed, but: %s; the command goes on as it is, trying again in %v", clean(describe(f.err)), retry)
	case f.versions == nil:
		w.looks = 0
	case w.notify != nil:
		w.looks, w.used = 0, f.versions
		w.app.note("fastness: a secret has changed, sending %v", w.notify)
		w.tell(w.notify)
	default:
		w.looks = 0
		err = w.restart(f)
	}
	return retry, err
}

// restart ends the command, and starts it with what was found.
func (w *supervisor) restart(f findings) error {
	w.app.note("fastness: a secret has changed, starting the command again")
	w.tell(syscall.SIGTERM)
	late := time.After(w.flags.grace)
	for {
		select {
		case code := <-w.exited:
			if w.ending {
				f.wipe()
				return ended(code)
			}
			return w.start(f)
		case s := <-w.signals:
			w.forward(s)
		case <-late:
			w.app.note("fastness: the command does not end, killing it")
			w.tell(os.Kill)
		}
	}
}

// look finds out whether the child's secrets are still the current ones, and if
// not reads those that are, unless a signal is all that the child gets.
func (w *supervisor) look(ctx context.Context) findings {
	now, err := w.current(ctx)
	switch {
	case err != nil:
		return findings{err: err}
	case maps.Equal(now, w.used):
		return findings{}
	case w.notify != nil:
		return findings{versions: now}
	}
	return w.fetch(ctx)
}

// current asks for the current versions without reading them.
func (w *supervisor) current(ctx context.Context) (versionsOf, error) {
	chosen, err := w.which.bindings(ctx, w.session)
	if err != nil {
		return nil, err
	}
	infos := make([]client.Info, len(chosen))
	group, limited := errgroup.WithContext(ctx)
	group.SetLimit(fetchers)
	for i, b := range chosen {
		group.Go(func() (err error) {
			if infos[i], err = w.session.Describe(limited, b.name); err == nil && !infos[i].Deletion.IsZero() {
				err = client.ErrDeleted
			}
			if err != nil {
				return fmt.Errorf("looking at %s: %w", clean(string(b.name)), err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	versions := versionsOf{}
	for i, b := range chosen {
		versions[b.variable] = usedVersion{b.name, infos[i].VersionID}
	}
	return versions, nil
}

// fetch reads the current versions.
func (w *supervisor) fetch(ctx context.Context) findings {
	chosen, err := w.which.bindings(ctx, w.session)
	if err != nil {
		return findings{err: err}
	}
	values, err := fetchAll(ctx, w.session, chosen, func() {})
	defer releaseReadings(values)
	if err != nil {
		return findings{err: err}
	}
	environ, err := environment(w.app.env.Environ(), chosen, values)
	if err != nil {
		return findings{err: err}
	}
	versions := versionsOf{}
	for i, b := range chosen {
		versions[b.variable] = usedVersion{b.name, values[i].VersionID}
	}
	return findings{versions: versions, environ: environ}
}
