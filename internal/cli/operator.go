package cli

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"fastness"
	"fastness/internal/secret"
	"fastness/internal/wire"
)

func (a *app) operatorCommand() *cobra.Command {
	return group("operator", "Set up the deployment", a.operatorInitCommand())
}

func (a *app) operatorInitCommand() *cobra.Command {
	var flags settingFlags
	var cmd *cobra.Command
	cmd = a.command("init", "Make the first operator token", func(ctx context.Context, _ []string) error {
		c, err := flags.load(cmd, a.env.Getenv)
		if err != nil {
			return err
		}
		v, _, err := a.openVault(ctx, c, true)
		if err != nil {
			return err
		}
		return errors.Join(a.initOperator(ctx, v), v.Close())
	})
	cmd.Long = `Make the deployment's first operator token, and print it, alone on stdout. It is
told only now, and made only while no operator has a live token.

The command opens the store itself and makes it if it is not there; the embedded
one while no server runs.`
	cmd.Example = `SECRETS_MASTER_KEY="$(cat root.key)" fastness operator init --store sqlite:/var/lib/fastness
fastness operator init --config /etc/fastness/fastness.toml > operator.token`
	flags.add(cmd, storeSettings...)
	return cmd
}

func (a *app) initOperator(ctx context.Context, v *fastness.Vault) error {
	caller := v.Local(fastness.Origin{UserAgent: "fastness-cli/" + version, CorrelationID: secret.NewUUID()})
	made, err := v.Operator(caller).InitToken(ctx)
	if err != nil {
		return err
	}
	defer made.Token.Release()
	if !a.global.json {
		return a.showNewToken(a.env.Stdout, made.ID, made.Token, made.Expires)
	}
	return a.printWire(wire.TokenCreated{
		TokenInfo: wire.TokenInfo{ID: made.ID, Kind: "token", Principal: made.Principal, Grants: []wire.Grant{},
			Created: made.Created.UTC(), Expires: made.Expires},
		Token: made.Token,
	})
}

// printWire prints an object that carries credentials.
func (a *app) printWire(v any) error {
	b, err := wireLine(v)
	if err != nil {
		return err
	}
	defer b.Release()
	_, err = io.Writer(a.env.Stdout).Write(b.Bytes())
	return err
}
