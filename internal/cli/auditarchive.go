package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/archive"
	"fastness/internal/audit"
)

// archiveAge is how old entries are that are archived if nobody says otherwise.
const archiveAge = "90d"

func (a *app) auditArchiveCommand() *cobra.Command {
	var before, keys string
	var yes bool
	cmd := a.command("archive FOLDER", "Move old entries out of the store", func(ctx context.Context, args []string) error {
		o := archive.Options{Dir: args[0]}
		var err error
		if o.Before, err = parseWhen("--before", before, time.Now()); err != nil {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		log := c.Operator().Audit()
		if o.Keys, err = a.archiveKeys(ctx, log, keys); err != nil {
			return err
		}
		question := fmt.Sprintf("Keep the text of entries before %s in %s alone?", when(o.Before), clean(o.Dir))
		if err := a.confirm(ctx, yes, question); err != nil {
			return err
		}
		return a.archive(ctx, log, o)
	})
	cmd.Long = `Write the text of entries that are older than --before to a folder outside, and
drop it from the store. It is the deployment's whole log; only operators can.

Each segment is written, made durable, read back and verified; then the server
compares it with what it holds, and drops the text in a transaction that is itself
an entry. Hashes stay: later entries, proofs and exports go on, and archived entries
are proved with "--archive FOLDER". Cut off at any point, run it again.

Keep the folder as you would keep the log: nobody else has the text. Its names and
addresses are those of people, until the entries are redacted.`
	cmd.Example = `fastness audit archive /mnt/audit
fastness audit archive /mnt/audit --before 365d --keys audit.keys --yes
fastness audit verify --keys audit.keys /mnt/audit`
	cmd.Flags().StringVar(&before, "before", archiveAge, "`TIME` or age: older entries are archived")
	cmd.Flags().StringVar(&keys, "keys", "", "`FILE` that \"fastness audit keys\" printed; default the server's own")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// archiveKeys reads the keys that segments are verified with.
func (a *app) archiveKeys(ctx context.Context, log *client.Audit, path string) (audit.KeySet, error) {
	if path == "" {
		return log.Keys(ctx)
	}
	text, err := readSmall(path)
	if err != nil {
		return audit.KeySet{}, fmt.Errorf("reading the file of --keys: %w", err)
	}
	return audit.ParseKeySet(text)
}

func (a *app) archive(ctx context.Context, log *client.Audit, o archive.Options) error {
	bar := a.progress("segments", 0)
	o.Step = func(s archive.Step) error {
		if s == archive.Dropped {
			bar.step()
		}
		return ctx.Err()
	}
	done, err := archive.Run(ctx, log, o)
	bar.end()
	if err != nil {
		return refuted(err)
	}
	if a.global.json {
		return a.printJSON(struct {
			Segments int       `json:"segments"`
			Entries  int64     `json:"entries"`
			Size     int64     `json:"size"`
			Last     time.Time `json:"last,omitzero"`
		}{done.Segments, done.Entries, done.Size, done.Last})
	}
	return a.say("entries archived: %d, in %s; the archive now has %d", done.Entries, plural(done.Segments, "segment"), done.Size)
}

// verifyArchive verifies a folder, offline.
func (a *app) verifyArchive(ctx context.Context, dir string, set audit.KeySet, o audit.Options) error {
	return a.showArchive(o, func() (*archive.Report, error) {
		return await(ctx, func() (*archive.Report, error) { return archive.Verify(dir, set) })
	})
}

// verifySegment verifies a single segment, offline.
func (a *app) verifySegment(r io.Reader, set audit.KeySet, o audit.Options) error {
	return a.showArchive(o, func() (*archive.Report, error) { return archive.VerifySegment(r, set) })
}

func (a *app) showArchive(o audit.Options, verify func() (*archive.Report, error)) error {
	if o.Since != nil || o.Nonce != "" {
		return usagef("--since and --nonce are for bundles")
	}
	r, err := verify()
	if err != nil {
		return refuted(err)
	}
	if a.global.json {
		return a.printJSON(r)
	}
	var s sheet
	s.add("holds", "yes, all of it")
	s.add("log", r.Origin)
	s.add("segments", fmt.Sprint(r.Segments))
	s.add("entries", fmt.Sprintf("%d, from index %d to %d", r.Entries, r.FirstIndex, r.LastIndex))
	s.add("from", fmt.Sprintf("%s to %s", when(r.From), when(r.To)))
	if r.Redacted > 0 {
		s.add("redacted", fmt.Sprint(r.Redacted))
	}
	s.add("checkpoint", fmt.Sprintf("size %d", r.Size))
	return s.write(a.env.Stdout)
}

// exportArchived exports with the entries of an archive.
func (a *app) exportArchived(ctx context.Context, log *client.Audit, dir string, o client.ExportOptions) error {
	entries, err := archive.OpenEntries(dir)
	if err != nil {
		return err
	}
	defer entries.Close()
	o.Archived = true
	in, out := io.Pipe()
	exported := make(chan error, 1)
	go func() {
		err := log.Export(ctx, out, o)
		out.CloseWithError(err)
		exported <- err
	}()
	err = audit.FillBundle(a.env.Stdout, in, audit.Filling{
		Entry: entries.Entry,
		Consistency: func(from, to int64) (*audit.Consistency, error) {
			text, err := log.Consistency(ctx, from, to)
			if err != nil {
				return nil, err
			}
			return audit.ParseConsistency(text)
		},
	})
	in.CloseWithError(errors.New("the bundle is complete")) // a server that sends more is not waited for
	if failed := <-exported; err == nil || errors.Is(err, failed) {
		err = failed
	}
	return err
}

// proveArchived proves that an archived entry is in the log.
func (a *app) proveArchived(ctx context.Context, log *client.Audit, dir string, index, size int64) error {
	entries, err := archive.OpenEntries(dir)
	if err != nil {
		return err
	}
	defer entries.Close()
	entry, err := entries.Entry(index)
	if err != nil {
		return err
	}
	text, err := log.Path(ctx, index, size)
	if err != nil {
		return err
	}
	path, err := audit.ParsePath(text)
	if err != nil {
		return refuted(err)
	}
	proof, err := path.With(entry)
	if err != nil {
		return refuted(err)
	}
	line, err := proof.Encode()
	if err != nil {
		return err
	}
	_, err = a.env.Stdout.Write(line)
	return err
}
