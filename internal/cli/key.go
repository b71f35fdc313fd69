package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *app) keyCommand() *cobra.Command {
	return group("key", "Change keys", a.keyRotateCommand())
}

func (a *app) keyRotateCommand() *cobra.Command {
	var root bool
	cmd := a.command("rotate", "Give a tenant a new key, or finish a change of the root key", func(ctx context.Context, _ []string) error {
		if root {
			return a.rotateRoot(ctx)
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		key, n, err := s.RotateKey(ctx)
		if err != nil {
			return err
		}
		return a.say("new versions are sealed under key %d; %s re-wrapped", key, plural(n, "version"))
	})
	cmd.Long = `With --tenant (or FASTNESS_TENANT), give the tenant a new key and re-wrap the
data key of each of its versions under it.

With --root, re-wrap every tenant's keys from the old root key to the new one:
restart the server with the new key in SECRETS_MASTER_KEY and the old one in
SECRETS_MASTER_KEY_PREVIOUS, run this, then drop the old one.

Both work while the server serves, decrypt no value, and go on where they
stopped when run again.`
	cmd.Example = `fastness key rotate --tenant shop
fastness key rotate --root`
	cmd.Flags().BoolVar(&root, "root", false, "re-wrap all tenants' keys under the current root key")
	return cmd
}

func (a *app) rotateRoot(ctx context.Context) error {
	if a.global.tenant != "" {
		return usagef("either --tenant or --root")
	}
	o, err := a.operator()
	if err != nil {
		return err
	}
	n, err := o.RotateRoot(ctx)
	if err != nil {
		return err
	}
	return a.say("%s re-wrapped; SECRETS_MASTER_KEY_PREVIOUS is not needed any more", plural(n, "key"))
}
