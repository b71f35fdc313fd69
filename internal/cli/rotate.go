package cli

import (
	"context"

	"github.com/spf13/cobra"

	"fastness/client"
)

func (a *app) rotateCommand() *cobra.Command {
	var value valueFlags
	var generate bool
	var wait waitFlags
	cmd := a.command("rotate NAME", "Give a secret a new version", func(ctx context.Context, args []string) error {
		name, err := parseName(args[0])
		if err != nil {
			return err
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		var p client.Put
		if p.Token, err = value.requestToken(); err != nil {
			return err
		}
		if !generate && (value.file != "" || a.hasInput()) {
			buf, err := value.read(ctx, a, name)
			if err != nil {
				return err
			}
			defer buf.Release()
			// An empty stdin is what a script without one hands on.
			if buf.Len() > 0 || value.file != "" {
				if p, err = value.put(buf); err != nil {
					return err
				}
			}
		}
		written, asked, err := s.RotateOrAsk(ctx, name, p)
		if err != nil {
			return err
		}
		if asked != nil {
			return a.asked(ctx, s, *asked, wait)
		}
		return a.say("rotated %s to version %s; the old value is at --stage previous", written.Name, written.Version)
	})
	cmd.Long = `Give a secret a new version. The new value is what stdin brings, if stdin is a
pipe or a file and not empty, or --file. Without one the server makes it by the
name: containing "api-key", 32 random bytes in hex; containing "password", 32
random characters of a-zA-Z0-9!@#$%^&*. Any other name needs a value.

A secret that rotates by itself ("fastness rotation set") gets its new value from
its rotator, which changes the target too: the server's worker does it at once, and
--wait tells the steps as they happen.

The old value stays readable as --stage previous.`
	cmd.Example = `fastness rotate db/password
fastness rotate billing/api-key --generate
fastness rotate db/app --wait
new-password | fastness rotate ldap/bind
fastness rotate tls/key --file server.key`
	value.add(cmd)
	wait.add(cmd)
	cmd.Flags().BoolVar(&generate, "generate", false, "have the value made by the server; do not look at stdin")
	cmd.MarkFlagsMutuallyExclusive("generate", "file")
	return cmd
}
