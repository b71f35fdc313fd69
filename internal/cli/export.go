package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// exportFlags say what is written and how.
type exportFlags struct {
	format, prefix string
	strip, yes     bool
}

func (a *app) exportCommand() *cobra.Command {
	var f exportFlags
	cmd := a.command("export", "Print secrets as dotenv or JSON, values and all", func(ctx context.Context, _ []string) error {
		if f.format == "" && a.global.json {
			f.format = "json"
		}
		f.format = firstOf(f.format, "dotenv")
		if f.format != "dotenv" && f.format != "json" {
			return usagef("--format is dotenv or json")
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		if !f.yes && a.env.IsTerminal(a.env.Stdin) {
			if err := a.ask(ctx, "This prints the values of secrets in the clear. Go on?"); err != nil {
				return err
			}
		}
		return a.export(ctx, s, f)
	})
	cmd.Long = `Print the current values of the tenant's secrets that you may read, in the
clear. On a terminal you are asked first.

  json    {"name": "text", …}; if some value is binary,
          {"name": {"value": …} or {"valueBase64": …}, …}
  dotenv  NAME='VALUE' lines that shells read too. A secret's name becomes a
          variable as in "fastness run": db/password is DB_PASSWORD.`
	cmd.Example = `fastness export --format json --yes > secrets.json
fastness export --prefix shop/ --strip-prefix > .env`
	cmd.Flags().StringVar(&f.format, "format", "", "`FORM`: dotenv or json; default dotenv, with --json json")
	cmd.Flags().StringVar(&f.prefix, "prefix", "", "only secrets whose names begin with `TEXT`")
	cmd.Flags().BoolVar(&f.strip, "strip-prefix", false, "leave the prefix out of the names")
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *app) export(ctx context.Context, s *client.Session, f exportFlags) error {
	chosen, err := f.choose(ctx, a, s)
	if err != nil {
		return err
	}
	bar := a.progress("exporting", len(chosen))
	readings, err := fetchAll(ctx, s, chosen, bar.step)
	bar.end()
	defer releaseReadings(readings)
	if err != nil {
		return err
	}
	var b secretbuf.Builder
	defer b.Release()
	if err := f.append(&b, chosen, readings); err != nil {
		return err
	}
	_, err = a.env.Stdout.Write(b.Bytes())
	return err
}

// choose lists the secrets, with the name that each is exported under.
func (f *exportFlags) choose(ctx context.Context, a *app, s *client.Session) ([]binding, error) {
	var b bindings
	for info, err := range s.All(ctx, client.ListQuery{Prefix: f.prefix, Limit: secret.MaxPage}) {
		if err != nil {
			return nil, err
		}
		if info.Version == 0 {
			fmt.Fprintf(a.env.Stderr, "left out %s: it has no current version\n", clean(string(info.Name)))
			continue
		}
		name := string(info.Name)
		if f.strip {
			name = name[len(f.prefix):]
		}
		if f.format == "dotenv" {
			name = envName(name)
		}
		if name == "" {
			return nil, fmt.Errorf("%s has no name without its prefix", clean(string(info.Name)))
		}
		if other, taken := b.by[name]; taken {
			return nil, fmt.Errorf("%s and %s both become %s", clean(string(other)), clean(string(info.Name)), clean(name))
		}
		if err := b.add(info.Name, name); err != nil {
			return nil, err
		}
	}
	return b.list, nil
}

func (f *exportFlags) append(b *secretbuf.Builder, chosen []binding, readings []*client.Reading) error {
	if f.format == "dotenv" {
		for i, c := range chosen {
			if readings[i].Kind == secret.Binary {
				return errors.New(clean(string(c.name)) + " is binary, which the dotenv form cannot hold; use --format json")
			}
			if err := appendDotenv(b, c.variable, readings[i].Value.Bytes()); err != nil {
				return err
			}
		}
		return nil
	}
	pairs := make([]pair, len(chosen))
	for i, c := range chosen {
		pairs[i] = pair{name: c.variable, value: readings[i].Value, binary: readings[i].Kind == secret.Binary}
	}
	return appendJSONPairs(b, pairs)
}
