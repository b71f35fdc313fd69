package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"fastness/internal/secret"
)

const oneDay = 24 * time.Hour

func (a *app) deleteCommand() *cobra.Command {
	var days int
	var purge, yes bool
	cmd := a.command("delete NAME", "Delete a secret", func(ctx context.Context, args []string) error {
		name, err := parseName(args[0])
		if err != nil {
			return err
		}
		if purge {
			return a.purge(ctx, name, yes)
		}
		return a.delete(ctx, name, days, yes)
	})
	cmd.Long = `Delete a secret. For the days of its recovery window it cannot be read and
"fastness restore" brings it back; then it is destroyed. With --purge it is
destroyed now, and nothing brings it back.

On a terminal you are asked first. Elsewhere --purge needs --yes.`
	cmd.Example = `fastness delete db/password
fastness delete db/password --recovery-days 7
fastness delete db/password --purge --yes`
	cmd.Flags().IntVar(&days, "recovery-days", int(secret.DefaultRecovery/oneDay), "keep it for `N` days, 7 to 30")
	cmd.Flags().BoolVar(&purge, "purge", false, "destroy it now")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.MarkFlagsMutuallyExclusive("recovery-days", "purge")
	return cmd
}

// delete asks on a terminal only: what it does can be undone.
func (a *app) delete(ctx context.Context, name secret.Name, days int, yes bool) error {
	window := time.Duration(days) * oneDay
	if window < secret.MinRecovery || window > secret.MaxRecovery {
		return usagef("--recovery-days is 7 to 30; --purge destroys a secret now")
	}
	s, err := a.session(ctx)
	if err != nil {
		return err
	}
	if !yes && a.env.IsTerminal(a.env.Stdin) {
		if err := a.ask(ctx, fmt.Sprintf("Delete %s? It can be restored for %d days.", clean(string(name)), days)); err != nil {
			return err
		}
	}
	info, err := s.Delete(ctx, name, window)
	if err != nil {
		return err
	}
	return a.say("deleted %s; it can be restored until %s", info.Name, when(info.Deletion))
}

func (a *app) purge(ctx context.Context, name secret.Name, yes bool) error {
	s, err := a.session(ctx)
	if err != nil {
		return err
	}
	if err := a.confirm(ctx, yes, fmt.Sprintf("Destroy %s and all its versions for ever?", clean(string(name)))); err != nil {
		return err
	}
	if err := s.Purge(ctx, name); err != nil {
		return err
	}
	return a.done("destroyed %s", name)
}

func (a *app) restoreCommand() *cobra.Command {
	cmd := a.command("restore NAME", "Bring a deleted secret back", func(ctx context.Context, args []string) error {
		name, err := parseName(args[0])
		if err != nil {
			return err
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		info, err := s.Restore(ctx, name)
		if err != nil {
			return err
		}
		return a.say("restored %s", info.Name)
	})
	cmd.Long = "Bring back a secret that is in its recovery window; \"fastness list --deleted\" shows them."
	cmd.Example = `fastness restore db/password`
	return cmd
}
