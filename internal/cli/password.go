package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/identity"
	"fastness/internal/secretbuf"
)

func (a *app) passwordCommand() *cobra.Command {
	cmd := a.command("password", "Change your password", func(ctx context.Context, _ []string) error {
		if !a.env.IsTerminal(a.env.Stdin) {
			return usagef("a password is changed on a terminal")
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		old, err := a.hidden(ctx, "Old password: ")
		if err != nil {
			return err
		}
		defer old.Release()
		password, err := a.newPassword(ctx, "New password: ")
		if err != nil {
			return err
		}
		defer password.Release()
		if err := c.ChangePassword(ctx, old, password); err != nil {
			return err
		}
		return a.done("changed; your other logins by the old one have ended")
	})
	cmd.Long = fmt.Sprintf(`Change the password of your local account: %d to %d bytes. Other logins by the old
one end.`, identity.MinPassword, identity.MaxPassword)
	cmd.Example = "fastness password"
	return cmd
}

// newPassword asks twice for a password, or reads it from stdin.
func (a *app) newPassword(ctx context.Context, text string) (*secretbuf.Buffer, error) {
	if a.env.IsTerminal(a.env.Stdin) {
		return a.promptTwice(ctx, text)
	}
	return a.hidden(ctx, text)
}

func (a *app) principalPasswordCommand() *cobra.Command {
	var remove bool
	cmd := a.command("password NAME", "Give a person a password, or take it away", func(ctx context.Context, args []string) error {
		if err := checkPrincipal(args[0]); err != nil {
			return err
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		if remove {
			if err := s.Principals().RemovePassword(ctx, args[0]); err != nil {
				return err
			}
			return a.done("%s has no password any more", args[0])
		}
		return a.setPassword(ctx, s.Principals(), args[0])
	})
	cmd.Long = `Give a person of a tenant a password for a local account, for "fastness login
--user". It is asked for, or read from stdin. Logins by the password before end.`
	cmd.Example = `fastness principal create alice --kind person --grant writer
fastness principal password alice
fastness principal password alice --remove`
	cmd.Flags().BoolVar(&remove, "remove", false, "take the password away")
	return cmd
}

func (a *app) setPassword(ctx context.Context, principals *client.Principals, name string) error {
	password, err := a.newPassword(ctx, "Password of "+clean(name)+": ")
	if err != nil {
		return err
	}
	defer password.Release()
	if err := principals.SetPassword(ctx, name, password); err != nil {
		return err
	}
	return a.done("%s can log in with it", name)
}
