package cli

import (
	"context"

	"github.com/spf13/cobra"

	"fastness/client"
)

func (a *app) auditRedactCommand() *cobra.Command {
	var which logFlags
	var name, principal string
	var index int64
	var yes bool
	var cmd *cobra.Command
	cmd = a.command("redact", "Delete the personal part of entries", func(ctx context.Context, _ []string) error {
		q := client.RedactQuery{Principal: principal}
		if cmd.Flags().Changed("index") {
			q.Index = &index
		}
		if name != "" {
			var err error
			if q.Secret, err = parseName(name); err != nil {
				return err
			}
		}
		if q == (client.RedactQuery{}) {
			return usagef("say whose: --principal, --secret or --index")
		}
		log, err := which.log(ctx, a)
		if err != nil {
			return err
		}
		if err := a.confirm(ctx, yes, "Delete the names and addresses in the matching entries for ever?"); err != nil {
			return err
		}
		n, err := log.Redact(ctx, q)
		if err != nil {
			return err
		}
		return a.say("entries redacted: %d", n)
	})
	cmd.Long = `Delete the personal part (secret's name, principal, address, user agent, error)
of the entries that match all conditions: a person's right to erasure. The log
still verifies, and reports them as redacted; the redaction is itself an entry.

Entries that were archived are not in the store any more: theirs is the text in the
archive, which is yours to destroy. An --index among them is refused, and of the
other conditions those are left out.`
	cmd.Example = `fastness audit redact --principal alice
fastness audit redact --index 4711 --yes`
	cmd.Flags().StringVar(&principal, "principal", "", "entries of what `WHO` did")
	cmd.Flags().StringVar(&name, "secret", "", "entries about the secret of this `NAME`")
	cmd.Flags().Int64Var(&index, "index", 0, "the entry with this `INDEX`")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	which.add(cmd)
	return cmd
}
