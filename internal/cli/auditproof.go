package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"fastness/client"
)

func (a *app) auditCheckpointCommand() *cobra.Command {
	var which logFlags
	var latest bool
	cmd := a.command("checkpoint", "Print a signed checkpoint", func(ctx context.Context, _ []string) error {
		log, err := which.log(ctx, a)
		if err != nil {
			return err
		}
		ask := log.Checkpoint
		if latest {
			ask = log.Latest
		}
		note, err := ask(ctx)
		if err != nil {
			return err
		}
		return a.printText("checkpoint", note)
	})
	cmd.Long = `Make a signed checkpoint that covers every entry up to now, and print it. Keep
it outside: "fastness audit verify --since" holds later exports against it. The
form is C2SP's tlog-checkpoint.`
	cmd.Example = `fastness audit checkpoint > checkpoint-$(date +%F)
fastness audit checkpoint --latest`
	cmd.Flags().BoolVar(&latest, "latest", false, "print the newest one that there is, without making one")
	which.add(cmd)
	return cmd
}

// printText prints a document of the API that is not JSON; with --json as the
// only field of an object.
func (a *app) printText(field string, text []byte) error {
	if a.global.json {
		return a.printJSON(map[string]string{field: string(text)})
	}
	_, err := a.env.Stdout.Write(text)
	return err
}

func (a *app) auditProofCommand() *cobra.Command {
	var which logFlags
	var index, size, from, to int64
	var dir string
	var cmd *cobra.Command
	cmd = a.command("proof", "Prove that an entry is in the log, or that the log only grew", func(ctx context.Context, _ []string) error {
		one, two := cmd.Flags().Changed("index"), cmd.Flags().Changed("from")
		if one == two {
			return usagef("give --index of an entry, or --from of an older checkpoint")
		}
		log, err := which.log(ctx, a)
		if err != nil {
			return err
		}
		switch {
		case one && dir != "":
			return a.proveArchived(ctx, log, dir, index, size)
		case one:
			_, err = log.Inclusion(ctx, index, size)
		default:
			_, err = log.Consistency(ctx, from, to)
		}
		if err != nil {
			return err
		}
		return a.printReply()
	})
	cmd.PreRun = func(*cobra.Command, []string) { a.global.json = true } // a proof is JSON by nature
	cmd.Long = `Print a proof that the entry with --index is in the log, or that the log of the
size --from is the beginning of the log now. "fastness audit verify" checks it
offline.`
	cmd.Example = `fastness audit proof --index 4711 > entry.proof
fastness audit proof --from 4000 --to 5000 > growth.proof
fastness audit verify --keys audit.keys entry.proof`
	cmd.Flags().Int64Var(&index, "index", 0, "of the entry (`N`)")
	cmd.Flags().Int64Var(&size, "size", 0, "of the checkpoint to prove it under (`N`); default the newest")
	cmd.Flags().StringVar(&dir, "archive", "", "`FOLDER` that has the entry, if it was archived")
	cmd.Flags().Int64Var(&from, "from", 0, "size of the older log (`N`)")
	cmd.Flags().Int64Var(&to, "to", 0, "size of the checkpoint that continues it (`N`); default the newest")
	which.add(cmd)
	return cmd
}

func (a *app) auditExportCommand() *cobra.Command {
	var which logFlags
	var nonce, since, dir string
	cmd := a.command("export", "Write a bundle that verifies on its own", func(ctx context.Context, _ []string) error {
		options := client.ExportOptions{Nonce: nonce}
		if since != "" {
			var err error
			if options.Since, err = readSmall(since); err != nil {
				return fmt.Errorf("reading the file of --since: %w", err)
			}
		}
		log, err := which.log(ctx, a)
		if err != nil {
			return err
		}
		if dir != "" {
			return a.exportArchived(ctx, log, dir, options)
		}
		return log.Export(ctx, a.env.Stdout, options)
	})
	cmd.Long = `Write the tenant's entries, or the whole log, with their proofs and a signed
checkpoint to stdout, as JSON lines. "fastness audit verify" checks the bundle
offline. The export is itself the tenant's last entry in it and carries your
--nonce, which shows that the bundle is not an old one.

Of entries that were archived the server has the hashes alone: it refuses an export
that needs them, unless you give the folder of "fastness audit archive" with
--archive, which then puts them in.`
	cmd.Example = `fastness audit export > audit.bundle
fastness audit export --nonce "$(openssl rand -hex 16)" --since checkpoint-2026-10-01 > audit.bundle
fastness audit export --deployment > whole.bundle
fastness audit export --deployment --archive /mnt/audit > whole.bundle`
	cmd.Flags().StringVar(&dir, "archive", "", "`FOLDER` that has the entries that were archived")
	cmd.Flags().StringVar(&nonce, "nonce", "", "`TEXT` of your choosing that the bundle must carry")
	cmd.Flags().StringVar(&since, "since", "", "`FILE` with an older checkpoint that the bundle shall prove to continue")
	which.add(cmd)
	return cmd
}

// maxSmall bounds files that hold a checkpoint, keys or a proof.
const maxSmall = 4 << 20

func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxSmall {
		return nil, fmt.Errorf("%s is too long", quote(path))
	}
	return os.ReadFile(path)
}
