package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"fastness/client"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// fetchers is how many values are read at once: enough for their audit
// entries to share group commits.
const fetchers = 16

// runFlags say which secrets go into the environment, and as what.
type runFlags struct {
	prefix  string
	strip   bool
	secrets []string
}

func (f *runFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.prefix, "prefix", "", "only secrets whose names begin with `TEXT`")
	cmd.Flags().BoolVar(&f.strip, "strip-prefix", false, "leave the prefix out of the variables' names")
	cmd.Flags().StringArrayVar(&f.secrets, "secret", nil, "only this secret (`NAME[=VARIABLE]`); give it several times")
}

func (a *app) runCommand() *cobra.Command {
	var which runFlags
	var watching watchFlags
	cmd := a.command("run [flags] -- CMD [ARG...]", "Run a command with secrets in its environment", func(ctx context.Context, args []string) error {
		notify, err := watching.check()
		if err != nil {
			return err
		}
		path, err := findCommand(args[0])
		if err != nil {
			return err
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		if watching.watch {
			w := supervisor{app: a, session: s, which: &which, flags: &watching, notify: notify, path: path, args: args}
			return w.watch(ctx)
		}
		chosen, err := which.bindings(ctx, s)
		if err != nil {
			return err
		}
		values, err := fetchAll(ctx, s, chosen, func() {})
		defer releaseReadings(values)
		if err != nil {
			return err
		}
		environ, err := environment(a.env.Environ(), chosen, values)
		if err != nil {
			return err
		}
		err = a.env.Exec(path, args, environ)
		wipeAll(environ[len(environ)-len(chosen):])
		return err
	})
	cmd.Long = `Run a command with a tenant's secrets in its environment, and nothing on disk.

Each secret that you may read goes into the variable that its name becomes:
upper case, with "_" for whatever is not a letter or digit, so that db/password
is DB_PASSWORD. Two secrets that become the same variable are an error, and so
is one that would become a variable which steers programs, such as PATH or
LD_PRELOAD; --secret NAME=VARIABLE settles both.

The command takes the place of fastness: signals and the exit code are its own,
and no copy of a value stays behind in another process. As in a shell the exit
code is 127 for a command that is not there, and 126 for one that cannot be run.

With --watch fastness stays, and starts the command again when one of its secrets
has another current version: SIGTERM, up to --grace for it to end, SIGKILL, and the
command anew with the new values. Values that cannot be read leave the command
running as it is, and are tried again. With --signal the command goes on and only
gets that signal: its environment cannot change, so that is for commands which
then read their secrets by themselves. Signals are handed on; the exit code is the
command's, or 128 and the signal's number if a signal ended it. If fastness itself
is killed, the command goes on without it.`
	cmd.Example = `fastness run -- ./server
fastness run --prefix shop/ --strip-prefix -- ./server
fastness run --secret db/password=PGPASSWORD --secret db/user=PGUSER -- psql shop
fastness run -- sh -c 'echo "$DB_PASSWORD" | wc -c'
fastness run --watch --prefix shop/ -- ./server
fastness run --watch --signal HUP --secret db/password -- ./server`
	which.add(cmd)
	watching.add(cmd)
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// findCommand looks in PATH, and fails as shells do.
func findCommand(word string) (string, error) {
	path, err := exec.LookPath(word)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "", &codedError{fmt.Errorf("running %s: %w", quote(word), fs.ErrPermission), exitCannotRun}
	case err != nil:
		return "", &codedError{fmt.Errorf("there is no command %s", quote(word)), exitNoCommand}
	}
	return path, nil
}

// bindings finds the secrets: those named, or all that the caller may list.
func (f *runFlags) bindings(ctx context.Context, s *client.Session) ([]binding, error) {
	var b bindings
	if len(f.secrets) > 0 && f.prefix == "" {
		return f.named(&b)
	}
	if _, err := f.named(&b); err != nil {
		return nil, err
	}
	named := make(map[secret.Name]bool, len(b.list))
	for _, n := range b.list {
		named[n.name] = true
	}
	for info, err := range s.All(ctx, client.ListQuery{Prefix: f.prefix, Limit: secret.MaxPage}) {
		if err != nil {
			return nil, err
		}
		if named[info.Name] {
			continue
		}
		if info.Version == 0 {
			return nil, fmt.Errorf("%s has no current version", clean(string(info.Name)))
		}
		text := string(info.Name)
		if f.strip {
			text = strings.TrimPrefix(text, f.prefix)
		}
		if err := b.addMapped(info.Name, text); err != nil {
			return nil, err
		}
	}
	return b.list, nil
}

// named adds what --secret says.
func (f *runFlags) named(b *bindings) ([]binding, error) {
	for _, word := range f.secrets {
		// A name may hold "=", a variable cannot, so the last one counts.
		text, variable := word, ""
		if i := strings.LastIndexByte(word, '='); i >= 0 && validEnv(word[i+1:]) {
			text, variable = word[:i], word[i+1:]
		}
		name, err := parseName(text)
		if err != nil {
			return nil, err
		}
		if variable == "" {
			err = b.addMapped(name, text)
		} else {
			err = b.add(name, variable)
		}
		if err != nil {
			return nil, err
		}
	}
	return b.list, nil
}

// fetchAll reads the current values, some at a time, and calls step after
// each. After an error it returns what it has, for the caller to wipe.
func fetchAll(ctx context.Context, s *client.Session, chosen []binding, step func()) ([]*client.Reading, error) {
	readings := make([]*client.Reading, len(chosen))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fetchers)
	for i, b := range chosen {
		group.Go(func() error {
			reading, err := s.Get(ctx, b.name, client.Selector{})
			if err != nil {
				return fmt.Errorf("reading %s: %w", clean(string(b.name)), err)
			}
			readings[i] = reading
			step()
			return nil
		})
	}
	return readings, group.Wait()
}

func releaseReadings(readings []*client.Reading) {
	for _, r := range readings {
		if r != nil {
			r.Value.Release()
		}
	}
}

// environment adds the values behind the inherited variables, in the place of
// those of the same name. The operating system takes strings here; they die
// with this process's memory when the command takes its place.
func environment(inherited []string, chosen []binding, values []*client.Reading) ([]string, error) {
	replaced := make(map[string]bool, len(chosen))
	for _, b := range chosen {
		replaced[b.variable] = true
	}
	var out []string
	for _, entry := range inherited {
		if name, _, _ := strings.Cut(entry, "="); !replaced[name] {
			out = append(out, entry)
		}
	}
	ours := len(out)
	for i, b := range chosen {
		value := values[i].Value.Bytes()
		if bytes.IndexByte(value, 0) >= 0 {
			wipeAll(out[ours:])
			return nil, fmt.Errorf("%s holds a zero byte, which no environment variable can", clean(string(b.name)))
		}
		var entry strings.Builder
		entry.Grow(len(b.variable) + 1 + len(value))
		entry.WriteString(b.variable)
		entry.WriteByte('=')
		entry.Write(value)
		out = append(out, entry.String())
	}
	return out, nil
}

func wipeAll(entries []string) {
	for _, e := range entries {
		secretbuf.WipeString(e)
	}
}
