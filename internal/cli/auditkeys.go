package cli

import (
	"context"

	"github.com/spf13/cobra"

	"fastness/internal/audit"
)

func (a *app) auditKeysCommand() *cobra.Command {
	var which logFlags
	cmd := a.command("keys", "Print the keys that sign the audit log", func(ctx context.Context, _ []string) error {
		log, err := which.log(ctx, a)
		if err != nil {
			return err
		}
		set, err := log.Keys(ctx)
		if err != nil {
			return err
		}
		return a.printKeys(set)
	})
	cmd.Long = `Print the public keys that sign the log's checkpoints, each pair with the range
of log sizes it signs. Give them to whoever verifies, by another way than the
bundles: keys inside a bundle are never trusted.`
	cmd.Example = `fastness audit keys > audit.keys
fastness audit keys rotate`
	which.add(cmd)
	cmd.AddCommand(a.auditKeysRotateCommand())
	return cmd
}

func (a *app) auditKeysRotateCommand() *cobra.Command {
	cmd := a.command("rotate", "Give the audit log new signing keys", func(ctx context.Context, _ []string) error {
		o, err := a.operator()
		if err != nil {
			return err
		}
		set, err := o.Audit().RotateKeys(ctx)
		if err != nil {
			return err
		}
		return a.printKeys(set)
	})
	cmd.Long = `Make new signing keys, log them under the old ones' signature, destroy the old
ones, and print all public keys: the verifiers' new key file.`
	cmd.Example = "fastness audit keys rotate > audit.keys"
	return cmd
}

// keyJSON is a line of the key file.
type keyJSON struct {
	From    int64  `json:"from"`
	To      int64  `json:"to,omitempty"` // absent for the current keys
	Ed25519 string `json:"ed25519"`
	MLDSA44 string `json:"mldsa44"`
}

func (a *app) printKeys(set audit.KeySet) error {
	if !a.global.json {
		text, err := set.MarshalText()
		if err != nil {
			return err
		}
		_, err = a.env.Stdout.Write(text)
		return err
	}
	out := struct {
		Origin string    `json:"origin"`
		Keys   []keyJSON `json:"keys"`
	}{Origin: set.Origin}
	for _, r := range set.Ranges {
		ed, ml := r.Keys.VKeys()
		out.Keys = append(out.Keys, keyJSON{r.From, r.To, ed, ml})
	}
	return a.printJSON(out)
}
