package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *app) putCommand() *cobra.Command {
	var value valueFlags
	var meta metadataFlags
	var ifAbsent bool
	var cmd *cobra.Command
	cmd = a.command("put NAME", "Create a secret, or add a version", func(ctx context.Context, args []string) error {
		name, err := parseName(args[0])
		if err != nil {
			return err
		}
		patch, err := meta.patch(cmd)
		if err != nil {
			return err
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		buf, err := value.read(ctx, a, name)
		if err != nil {
			return err
		}
		defer buf.Release()
		p, err := value.put(buf)
		if err != nil {
			return err
		}
		p.Patch, p.IfAbsent = patch, ifAbsent
		written, err := s.Put(ctx, name, p)
		if err != nil {
			return err
		}
		if written.Created {
			return a.say("created %s, version %s", written.Name, written.Version)
		}
		return a.say("stored %s, version %s", written.Name, written.Version)
	})
	cmd.Long = `Create a secret, or add a version to one that exists.

The value comes from stdin, from --file, or, on a terminal, from a prompt that
does not show it and asks twice. It is stored byte for byte: a newline at the
end of stdin or of a file is part of the value (echo -n, printf). A value that
is not UTF-8 text is stored as binary.`
	cmd.Example = `fastness put db/password
printf %s "$PASSWORD" | fastness put db/password --tag team=shop --rotation-required
fastness put tls/key --file server.key --description "key of the front"
openssl rand 32 | fastness put signing-seed --algorithm hybrid-quantum`
	value.add(cmd)
	meta.add(cmd, false)
	cmd.Flags().BoolVar(&ifAbsent, "if-absent", false, "refuse a name that exists")
	return cmd
}
