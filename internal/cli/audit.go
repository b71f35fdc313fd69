package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"fastness/client"
)

func (a *app) auditCommand() *cobra.Command {
	g := group("audit", "Read, prove and verify the audit log",
		a.auditListCommand(), a.auditTailCommand(), a.auditCheckpointCommand(), a.auditProofCommand(),
		a.auditExportCommand(), a.auditVerifyCommand(), a.auditRedactCommand(), a.auditKeysCommand(),
		a.auditArchiveCommand())
	g.Long = `Read, prove and verify the audit log: every access and every refusal is an
entry of it.

A tenant's caller sees its tenant's part. An operator sees the part of the
tenant named by --tenant or FASTNESS_TENANT; with --deployment, or when none is
named, the whole log.`
	return g
}

// logFlags say which part of the log is meant.
type logFlags struct{ deployment bool }

func (f *logFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.deployment, "deployment", false, "the whole deployment's log (operators only)")
}

func (f *logFlags) log(ctx context.Context, a *app) (*client.Audit, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	if f.deployment {
		if a.global.tenant != "" {
			return nil, usagef("either --tenant or --deployment")
		}
		return c.Operator().Audit(), nil
	}
	tenant, err := c.Tenant(ctx)
	if errors.Is(err, client.ErrNoTenant) {
		return c.Operator().Audit(), nil
	}
	if err != nil {
		return nil, err
	}
	return c.Session(tenant).Audit(), nil
}
