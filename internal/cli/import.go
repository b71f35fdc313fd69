package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"fastness/client"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// maxImport bounds a file of secrets: a thousand of the longest values.
const maxImport = 64 << 20

// importFlags say how a file is read and what becomes of it.
type importFlags struct {
	format, prefix string
	dryRun         bool
}

// imported is what became of one pair.
type imported struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"` // absent in a dry run
	Created bool   `json:"created"`
}

func (a *app) importCommand() *cobra.Command {
	var f importFlags
	cmd := a.command("import FILE", "Store the secrets of a dotenv or JSON file", func(ctx context.Context, args []string) error {
		pairs, err := f.read(ctx, a, args[0])
		defer releasePairs(pairs)
		if err != nil {
			return err
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		store := func(ctx context.Context, p pair) (imported, error) { return importPair(ctx, s, p) }
		if f.dryRun {
			store = func(ctx context.Context, p pair) (imported, error) { return previewPair(ctx, s, p) }
		}
		done, err := a.importAll(ctx, pairs, store)
		return errors.Join(a.showImport(done, f.dryRun, err), err)
	})
	cmd.Long = `Store each secret of a file: as a new secret, or as a new version of one that
exists. FILE may be - for stdin. The whole file is read and checked before
anything is stored.

  dotenv  NAME=VALUE lines. Quotes: '…' takes text as it is, "…" knows
          \n \r \t \" \\ \$ and the escaped backquote; both may span lines.
          Nothing is expanded.
  json    {"name": "text", …}, or {"name": {"value": "text"} or
          {"valueBase64": "…"}, …}

--prefix is put in front of each name.`
	cmd.Example = `fastness import .env --prefix shop/ --dry-run
fastness import .env --prefix shop/
fastness import secrets.json
fastness export --format json --tenant old | fastness import - --format json --tenant new`
	cmd.Flags().StringVar(&f.format, "format", "", "`FORM` of the file: dotenv or json; default json if its name ends so, else dotenv")
	cmd.Flags().StringVar(&f.prefix, "prefix", "", "put `TEXT` in front of each name")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would be stored, and store nothing")
	cmd.AddCommand(a.importAWSCommand())
	return cmd
}

// read reads and checks the whole file.
func (f *importFlags) read(ctx context.Context, a *app, path string) ([]pair, error) {
	format := f.format
	if format == "" {
		format = "dotenv"
		if strings.HasSuffix(path, ".json") {
			format = "json"
		}
	}
	parse, ok := map[string]func([]byte) ([]pair, error){"dotenv": parseDotenv, "json": parseJSONPairs}[format]
	if !ok {
		return nil, usagef("--format is dotenv or json")
	}
	in, err := openInput(path, a.env.Stdin)
	if err != nil {
		return nil, fmt.Errorf("reading the file: %w", err)
	}
	defer in.Close()
	text, err := await(ctx, func() (*secretbuf.Buffer, error) { return secretbuf.ReadAll(in, maxImport) })
	if errors.Is(err, secretbuf.ErrTooLong) {
		return nil, fmt.Errorf("reading the file: it is longer than %d MiB", maxImport>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the file: %w", err)
	}
	defer text.Release()
	pairs, err := parse(text.Bytes())
	if err != nil {
		return nil, err
	}
	for i := range pairs {
		pairs[i].name = f.prefix + pairs[i].name
	}
	return pairs, checkPairs(pairs)
}

// checkPairs finds what the server would refuse, before anything is stored.
func checkPairs(pairs []pair) error {
	for _, p := range pairs {
		where := clean(p.name)
		if p.line > 0 {
			where = fmt.Sprintf("line %d: %s", p.line, where)
		}
		if _, err := secret.ParseNativeName(p.name); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		if n := p.value.Len(); n < 1 || n > secret.MaxValue {
			return fmt.Errorf("%s: %w", where, secret.Limited("value", fmt.Sprintf("1 to %d bytes", secret.MaxValue)))
		}
	}
	return nil
}

func importPair(ctx context.Context, s *client.Session, p pair) (imported, error) {
	put := client.Put{Value: p.value}
	if p.binary || !utf8.Valid(p.value.Bytes()) {
		put.Kind = secret.Binary
	}
	w, err := s.Put(ctx, secret.Name(p.name), put)
	if err != nil {
		return imported{}, fmt.Errorf("storing %s: %w", clean(p.name), err)
	}
	return imported{Name: p.name, Version: w.Version.String(), Created: w.Created}, nil
}

// previewPair finds out whether the name exists.
func previewPair(ctx context.Context, s *client.Session, p pair) (imported, error) {
	_, err := s.Describe(ctx, secret.Name(p.name))
	if err != nil && !errors.Is(err, secret.ErrNotFound) {
		return imported{}, fmt.Errorf("looking for %s: %w", clean(p.name), err)
	}
	return imported{Name: p.name, Created: err != nil}, nil
}

// importAll handles the pairs, some at a time, until one fails; it returns
// those that were done either way.
func (a *app) importAll(ctx context.Context, pairs []pair, store func(context.Context, pair) (imported, error)) ([]imported, error) {
	var mu sync.Mutex // guards done
	done := make([]imported, len(pairs))
	bar := a.progress("importing", len(pairs))
	defer bar.end()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fetchers)
	for i, p := range pairs {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			r, err := store(ctx, p)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			done[i] = r
			bar.step()
			return nil
		})
	}
	err := group.Wait()
	var kept []imported
	for _, r := range done {
		if r.Name != "" {
			kept = append(kept, r)
		}
	}
	return kept, err
}

// showImport says what was done, also when not all was.
func (a *app) showImport(done []imported, dryRun bool, failed error) error {
	created := 0
	for _, r := range done {
		if r.Created {
			created++
		}
	}
	if a.global.json {
		return a.printJSON(struct {
			Items   []imported `json:"items"`
			Created int        `json:"created"`
			DryRun  bool       `json:"dryRun,omitempty"`
		}{append([]imported{}, done...), created, dryRun})
	}
	if failed != nil && !dryRun {
		a.note("before it failed, %s stored; importing the file again stores them once more", plural(len(done), "secret")+" had been")
		return nil
	}
	return showImported(a.env.Stdout, done, created, dryRun)
}

func showImported(w io.Writer, done []imported, created int, dryRun bool) error {
	if !dryRun {
		_, err := fmt.Fprintf(w, "stored %s: %d new, %d with a new version\n", plural(len(done), "secret"), created, len(done)-created)
		return err
	}
	t := newTable("NAME", "WOULD BE")
	for _, r := range done {
		what := "a new version"
		if r.Created {
			what = "created"
		}
		t.add(r.Name, what)
	}
	return t.flush(w)
}
