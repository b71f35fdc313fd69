package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fastness/internal/audit"
	"fastness/internal/backup"
	"fastness/internal/rootkey"
	"fastness/internal/secret"
)

func (a *app) backupCommand() *cobra.Command {
	return group("backup", "Back up and restore", a.backupCreateCommand(), a.backupVerifyCommand(), a.backupRestoreCommand())
}

func (a *app) backupCreateCommand() *cobra.Command {
	var flags settingFlags
	var to, recovery []string
	var toFile string
	var cmd *cobra.Command
	cmd = a.command("create FILE", "Back up everything, or one tenant, to an encrypted file", func(ctx context.Context, args []string) error {
		c, err := flags.load(cmd, a.env.Getenv)
		if err != nil {
			return err
		}
		b := backup.Create{Path: args[0], Tenant: secret.TenantName(a.global.tenant), Logger: a.logger(c)}
		if toFile != "" {
			text, err := readSmall(toFile)
			if err != nil {
				return fmt.Errorf("reading the file of --recipients-file: %w", err)
			}
			to = append(to, strings.Split(string(text), "\n")...)
		}
		if b.Recipients, err = backup.ParseRecipients(to); err != nil {
			return usagef("--recipient: %v", err)
		}
		if b.Recovery, err = backup.ParseRecipients(recovery); err != nil {
			return usagef("--recovery-recipient: %v", err)
		}
		return a.backUp(ctx, c, b)
	})
	cmd.Long = `Back up a deployment, or with --tenant one tenant, to a file in the age format. It
is a snapshot: servers may go on. Rows are in it as the store has them, sealed, and
encrypted to the recipients once more; it needs the root key to be restored.

A recovery recipient can do without: for them the file brings along the root key's
material, and so opens everything with their identity alone. Keep such an identity
as you would keep the root key.

The file has its name once it is whole. Verify it: nobody else will.`
	cmd.Example = `fastness backup create monday.age --store sqlite:/var/lib/fastness --recipient age1pq1…
SECRETS_MASTER_KEY="$(cat root.key)" fastness backup create monday.age --config fastness.toml --recipient age1pq1… --recovery-recipient age1pq1…
fastness backup create shop.age --tenant shop --store postgres://fastness@db/fastness --recipients-file backup.recipients`
	cmd.Flags().StringArrayVar(&to, "recipient", nil, "`RECIPIENT` (age1… or age1pq…) who can decrypt the file; repeatable")
	cmd.Flags().StringVar(&toFile, "recipients-file", "", "`FILE` of recipients, one a line")
	cmd.Flags().StringArrayVar(&recovery, "recovery-recipient", nil, "`RECIPIENT` who can also restore it without the root key; repeatable")
	flags.add(cmd, "store", "master_key_file", "master_key_previous_file")
	return cmd
}

// place is where the settings' store is.
func (c serverConfig) place() (backup.Place, error) {
	if c.dir == "" && c.database == "" {
		return backup.Place{}, usagef("say which store: --store sqlite:FOLDER, or --store postgres://…")
	}
	return backup.Place{Dir: c.dir, URL: c.database}, nil
}

func (a *app) backUp(ctx context.Context, c serverConfig, b backup.Create) error {
	place, err := c.place()
	if err != nil {
		return err
	}
	if len(b.Recipients) == 0 {
		return usagef("say who can decrypt the backup: --recipient age1pq1…")
	}
	harden(b.Logger)
	if len(b.Recovery) > 0 {
		keys, err := masterKeys(c)
		if err != nil {
			return err
		}
		defer keys.Release()
		b.Keys = backup.Keys{Current: keys.Current, Previous: keys.Previous}
	}
	bars := stageBars{app: a}
	b.Progress = bars.show
	made, err := b.FromPlace(ctx, place)
	bars.end()
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(backupJSON{Created: made.Created, Tenant: b.Tenant, Rows: made.Rows, Counts: made.Counts})
	}
	var s sheet
	s.add("backup", b.Path)
	s.add("of", whole(b.Tenant))
	s.add("rows", fmt.Sprintf("%d: %s", made.Rows, kinds(made.Counts)))
	return s.write(a.env.Stdout)
}

// backupJSON tells of a backup, and of what was done with it.
type backupJSON struct {
	Created    time.Time         `json:"created"`
	Deployment string            `json:"deployment,omitempty"`
	Tenant     secret.TenantName `json:"tenant"` // empty: all of them
	Rows       int64             `json:"rows"`
	Counts     map[string]int64  `json:"counts"`
	Opened     int64             `json:"opened"`
	Erased     int               `json:"erased"`
	Revoked    int               `json:"revoked"`
	Unknown    bool              `json:"credentialsUnknown,omitempty"` // kept, though nobody knows which were revoked since
	Log        *logJSON          `json:"log,omitempty"`
}

func whole(t secret.TenantName) string {
	if t == "" {
		return "the whole deployment"
	}
	return "the tenant " + string(t)
}

func (a *app) backupVerifyCommand() *cobra.Command {
	var flags settingFlags
	var identities []string
	var scratch string
	var cmd *cobra.Command
	cmd = a.command("verify FILE", "Prove a backup by restoring it", func(ctx context.Context, args []string) error {
		c, err := flags.load(cmd, a.env.Getenv)
		if err != nil {
			return err
		}
		v := backup.Verify{File: backup.File{Path: args[0]}, Scratch: scratch, Logger: a.logger(c)}
		if v.Identities, err = backup.ReadIdentities(identities); err != nil {
			return err
		}
		return a.verifyBackup(ctx, c, v)
	})
	cmd.Long = `Prove a backup: restore it into a scratch store, which is removed again, compare
every row, open every sealed part, and compute the audit log anew.

The root key is in SECRETS_MASTER_KEY or a file; without one, or with another, it is
that which the backup brings along for recovery, if the identity opens it.`
	cmd.Example = `SECRETS_MASTER_KEY="$(cat root.key)" fastness backup verify monday.age --identity backup.identity
fastness backup verify monday.age --identity recovery.identity --scratch /mnt/scratch`
	cmd.Flags().StringArrayVar(&identities, "identity", nil, "`FILE` of age identities; repeatable")
	cmd.Flags().StringVar(&scratch, "scratch", "", "`FOLDER` for the scratch store; default the system's")
	cmd.MarkFlagRequired("identity")
	flags.add(cmd, "master_key_file", "master_key_previous_file")
	return cmd
}

// keysIfAny takes the root key from where the settings say, if it is there.
func keysIfAny(c serverConfig) (rootkey.Keys, error) {
	keys, err := masterKeys(c)
	if errors.Is(err, rootkey.ErrMissing) {
		return rootkey.Keys{}, nil
	}
	return keys, err
}

func (a *app) verifyBackup(ctx context.Context, c serverConfig, v backup.Verify) error {
	harden(v.Logger)
	keys, err := keysIfAny(c)
	if err != nil {
		return err
	}
	defer releaseKeys(keys)
	v.Keys = backup.Keys{Current: keys.Current, Previous: keys.Previous}
	bars := stageBars{app: a}
	v.Progress = bars.show
	got, err := v.Run(ctx)
	bars.end()
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(backupJSON{
			Created: got.Created, Deployment: got.Deployment, Tenant: got.Tenant, Rows: got.Rows, Counts: got.Counts, Opened: got.Opened,
			Log: &logJSON{Size: got.Entries, Root: got.Root, Waiting: got.Waiting},
		})
	}
	var s sheet
	s.add("holds", "yes, all of it")
	s.add("of", whole(got.Tenant))
	s.add("made", when(got.Created))
	s.add("rows", fmt.Sprintf("%d: %s", got.Rows, kinds(got.Counts)))
	s.add("opened", fmt.Sprintf("%d sealed parts, each of them", got.Opened))
	if got.Tenant == "" {
		s.add("log", fmt.Sprintf("size %d, root %s", got.Entries, got.Root))
	}
	return s.write(a.env.Stdout)
}

func releaseKeys(k rootkey.Keys) {
	if k.Current != nil {
		k.Release()
	}
}

func (a *app) backupRestoreCommand() *cobra.Command {
	var flags settingFlags
	var o restoreFlags
	var cmd *cobra.Command
	cmd = a.command("restore FILE", "Restore a backup, or one tenant of it", func(ctx context.Context, args []string) error {
		c, err := flags.load(cmd, a.env.Getenv)
		if err != nil {
			return err
		}
		r, err := o.restore(args[0])
		if err != nil {
			return err
		}
		r.Tenant, r.Logger = secret.TenantName(a.global.tenant), a.logger(c)
		return a.restoreBackup(ctx, c, r, o.keyFile)
	})
	cmd.Long = `Restore a backup into an empty store, or with --tenant one tenant into a
deployment that is there. Stop every server first.

The store that is restored is a deployment of its own: it has a new id, and its
audit log goes on under a new name and new keys, with an entry that holds the last
checkpoint of the old one. Its root key is that in SECRETS_MASTER_KEY or a file; keys
are re-wrapped for it. If the backup was made under another, give that one with
--backup-key-file, or an identity for recovery.

A backup does not know what was erased, purged and revoked since. If --log names an
export of the later log, what was destroyed is left out, and tokens, access keys,
principals and tenants that it says were revoked, replaced, disabled or suspended are so again;
passwords that were changed are left out too. A tenant that is restored into the
deployment from which it was backed up is held against that one's log in any case.

Without a later log nobody knows which credentials were revoked since: they are as they
were in the backup, and the command warns of it. --credentials revoke ends all of them
instead, operators' too ("fastness operator init" makes a new one); keep says that you
know. Sessions end in any case.

With --at a tenant comes back as it was at an earlier time, as far as the versions in
the backup reach: the newest of them is the current one.`
	cmd.Example = `SECRETS_MASTER_KEY="$(cat root.key)" fastness backup restore monday.age --identity backup.identity --store sqlite:/var/lib/fastness --credentials revoke
fastness backup restore monday.age --identity recovery.identity --master-key-file new.key --store postgres://fastness@db/fastness --log audit.bundle --log-keys audit.keys
fastness backup restore monday.age --tenant shop --at 2026-11-20T08:00:00Z --replace --identity backup.identity --config fastness.toml`
	o.add(cmd)
	flags.add(cmd, "store", "master_key_file", "master_key_previous_file")
	return cmd
}

// restoreFlags are those of a restore beside the settings.
type restoreFlags struct {
	identities       []string
	at, log, logKeys string
	keyFile          string // of the backup's root key
	choice           string
	replace          bool
}

func (o *restoreFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&o.identities, "identity", nil, "`FILE` of age identities; repeatable")
	cmd.Flags().StringVar(&o.at, "at", "", "`TIME` (RFC 3339) to which --tenant is restored")
	cmd.Flags().BoolVar(&o.replace, "replace", false, "let go of what --tenant has in the store now")
	cmd.Flags().StringVar(&o.log, "log", "", "`BUNDLE` of the later log (\"fastness audit export\"): what it says was erased is left out, what it says was revoked is revoked")
	cmd.Flags().StringVar(&o.choice, "credentials", "", "keep (default) or revoke: `WHAT` becomes of credentials that no later log tells of")
	cmd.Flags().StringVar(&o.logKeys, "log-keys", "", "`FILE` with the keys of that log")
	cmd.Flags().StringVar(&o.keyFile, "backup-key-file", "", "`FILE` with the root key under which the backup was made, if it is another")
	cmd.MarkFlagRequired("identity")
}

func (o *restoreFlags) restore(path string) (r backup.Restore, err error) {
	r.Path, r.Replace, r.Choice = path, o.replace, backup.Choice(o.choice)
	if c := r.Choice; c != "" && c != backup.Keep && c != backup.Revoke {
		return r, usagef("--credentials: keep or revoke")
	}
	if o.at != "" {
		if r.At, err = time.Parse(time.RFC3339, o.at); err != nil {
			return r, usagef("--at: a time as 2026-11-20T08:00:00Z is expected")
		}
	}
	if (o.log == "") != (o.logKeys == "") {
		return r, usagef("--log and --log-keys: give both, or neither")
	}
	if r.Identities, err = backup.ReadIdentities(o.identities); err != nil || o.log == "" {
		return r, err
	}
	text, err := readSmall(o.logKeys)
	if err != nil {
		return r, fmt.Errorf("reading the file of --log-keys: %w", err)
	}
	set, err := audit.ParseKeySet(text)
	if err != nil {
		return r, err
	}
	if r.Erased, err = backup.ReadErased(o.log, set); err != nil {
		return r, fmt.Errorf("the log: %w", refuted(err))
	}
	return r, nil
}

func (a *app) restoreBackup(ctx context.Context, c serverConfig, r backup.Restore, keyFile string) (err error) {
	if r.To, err = c.place(); err != nil {
		return err
	}
	if !r.At.IsZero() && r.Tenant == "" || r.Replace && r.Tenant == "" {
		return usagef("--at and --replace are for one tenant: name it with --tenant")
	}
	harden(r.Logger)
	keys, err := masterKeys(c)
	if err != nil {
		return err
	}
	defer keys.Release()
	r.Keys = backup.Keys{Current: keys.Current, Previous: keys.Previous}
	if keyFile != "" {
		if r.Backed.Current, err = rootkey.FromFile(keyFile); err != nil {
			return err
		}
		defer r.Backed.Current.Release()
	}
	bars := stageBars{app: a}
	r.Progress = bars.show
	got, err := r.Run(ctx)
	bars.end()
	if err != nil {
		return err
	}
	if got.Unknown {
		fmt.Fprintln(a.env.Stderr, "warning: without a later log (--log) it is not known which credentials were revoked since the backup:\n"+
			"they are let in again. Revoke them anew once a server runs, or restore with --credentials revoke.")
	}
	if a.global.json {
		return a.printJSON(backupJSON{
			Created: got.Created, Deployment: got.Deployment, Tenant: got.Tenant, Rows: got.Rows, Counts: got.Counts, Opened: got.Opened, Erased: got.Erased, Revoked: got.Revoked, Unknown: got.Unknown,
			Log: &logJSON{Size: got.Entries, Root: got.Root, Waiting: got.Waiting},
		})
	}
	return showRestored(a.env.Stdout, got)
}

func showRestored(w io.Writer, got *backup.Restored) error {
	var s sheet
	s.add("restored", whole(got.Tenant)+", as of "+when(got.Created))
	s.add("deployment", got.Deployment)
	s.add("rows", fmt.Sprintf("%d: %s", got.Rows, kinds(got.Counts)))
	s.add("opened", fmt.Sprintf("%d sealed parts, each of them", got.Opened))
	if got.Erased > 0 {
		s.add("left out", fmt.Sprintf("%d that were erased or purged since", got.Erased))
	}
	if got.Revoked > 0 {
		s.add("revoked", fmt.Sprintf("%d credentials and principals that were live in the backup", got.Revoked))
	}
	if got.Tenant == "" {
		s.add("log", "goes on under a new name: take its keys with \"fastness audit keys\"")
	}
	return s.write(w)
}
