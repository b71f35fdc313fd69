package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/secret"
)

// selectorFlags pick a version.
type selectorFlags struct{ version, stage string }

func (f *selectorFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.version, "version", "", "the version with this number or id (`N`); default the current one")
	cmd.Flags().StringVar(&f.stage, "stage", "", "the version with this staging `LABEL`: current, previous, pending, …")
	cmd.MarkFlagsMutuallyExclusive("version", "stage")
}

func (f *selectorFlags) selector() (sel client.Selector, err error) {
	if f.stage != "" {
		if sel.Label, err = secret.ParseLabel(f.stage); err != nil {
			return sel, usagef("--stage: %v", err)
		}
	}
	if f.version == "" {
		return sel, nil
	}
	if sel.Number, err = secret.ParseVersion(f.version); err == nil {
		return sel, nil
	}
	if sel.ID, err = secret.ParseVersionID(f.version); err != nil {
		return sel, usagef("--version is a version's number, from 1, or its id")
	}
	return sel, nil
}

func (a *app) getCommand() *cobra.Command {
	var which selectorFlags
	cmd := a.command("get NAME", "Print a secret's value", func(ctx context.Context, args []string) error {
		name, err := parseName(args[0])
		if err != nil {
			return err
		}
		sel, err := which.selector()
		if err != nil {
			return err
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		reading, err := s.Get(ctx, name, sel)
		if err != nil {
			return err
		}
		defer reading.Value.Release()
		return a.answer(func(w io.Writer) error {
			if _, err := reading.Value.WriteTo(w); err != nil {
				return err
			}
			if a.env.IsTerminal(w) {
				_, err = io.WriteString(w, "\n")
			}
			return err
		})
	})
	cmd.Long = `Print a secret's value to stdout, byte for byte; only on a terminal is a
newline put after it. Without a choice it is the current version's.`
	cmd.Example = `fastness get db/password
fastness get db/password --version 3
fastness get db/password --stage previous
fastness get tls/key > /run/tls.key
fastness get db/password --json`
	which.add(cmd)
	return cmd
}
