package cli

import (
	"github.com/spf13/cobra"
)

// Groups of commands in the help.
const (
	groupSecrets = "secrets"
	groupLogin   = "login"
	groupAdmin   = "admin"
	groupServe   = "serve"
)

// newRoot builds the whole tree of commands. Building it does no work: a
// command reads the environment and connects when it runs.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "fastness",
		Short: "A secrets manager for many tenants",
		Long: `Fastness keeps secrets of many tenants, each behind a key of its own, with an
audit log that an outsider can verify.

Commands speak to the server at FASTNESS_ADDR with the token in FASTNESS_TOKEN,
or else that of "fastness login", for the tenant in FASTNESS_TENANT (a tenant's
token implies it). They exit with 0 when done, 1 when refused or failed, 2 for
wrong usage, 3 when there is no such thing, and 4 when access is denied or the
credential is bad.`,
		Example: `fastness dev
fastness put db/password
fastness get db/password
fastness run -- ./server`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return err })
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	a.addGlobalFlags(root)
	root.AddGroup(
		&cobra.Group{ID: groupSecrets, Title: "Secrets:"},
		&cobra.Group{ID: groupLogin, Title: "Logging in:"},
		&cobra.Group{ID: groupAdmin, Title: "Administration:"},
		&cobra.Group{ID: groupServe, Title: "Servers:"})
	addTo(root, groupSecrets, a.putCommand(), a.getCommand(), a.listCommand(), a.describeCommand(), a.versionsCommand(),
		a.rotateCommand(), a.rotationCommand(), a.updateCommand(), a.stageCommand(), a.deleteCommand(), a.restoreCommand(), a.dueCommand(),
		a.runCommand(), a.importCommand(), a.exportCommand())
	addTo(root, groupLogin, a.loginCommand(), a.logoutCommand(), a.mfaCommand(), a.passwordCommand())
	addTo(root, groupAdmin, a.auditCommand(), a.principalCommand(), a.policyCommand(), a.settingsCommand(), a.accessCommand(),
		a.issuerCommand(), a.caCommand(), a.webhookCommand(), a.tokenCommand(), a.accessKeyCommand(), a.tenantCommand(), a.quotaCommand(), a.keyCommand())
	addTo(root, groupServe, a.devCommand(), a.serverCommand(), a.operatorCommand(), a.migrateCommand(), a.backupCommand(), a.reserveCommand())
	root.AddCommand(a.versionCommand(), a.docsCommand(root))
	return root
}

func addTo(root *cobra.Command, id string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = id
	}
	root.AddCommand(commands...)
}

func (a *app) addGlobalFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&a.global.addr, "addr", "", "the server's `URL`; default FASTNESS_ADDR, else "+defaultAddr)
	flags.StringVar(&a.global.tenant, "tenant", "", "the tenant's `NAME`; default FASTNESS_TENANT, else the token's own")
	flags.StringVar(&a.global.tokenFile, "token-file", "", "`FILE` that holds the token; default the token in FASTNESS_TOKEN")
	flags.StringVar(&a.global.caFile, "ca-file", "", "PEM `FILE` with the authority that signed the server's certificate")
	flags.DurationVar(&a.global.timeout, "timeout", defaultTimeout, "how long a call may take with its retries (`TIME`)")
	flags.BoolVar(&a.global.json, "json", false, "print the API's answer, on one line")
}
