package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"fastness/internal/audit"
)

func (a *app) auditVerifyCommand() *cobra.Command {
	var keys, since, nonce string
	cmd := a.command("verify BUNDLE", "Verify an exported bundle, a proof or an archive, offline", func(ctx context.Context, args []string) error {
		options := audit.Options{Nonce: nonce}
		text, err := readSmall(keys)
		if err != nil {
			return fmt.Errorf("reading the file of --keys: %w", err)
		}
		set, err := audit.ParseKeySet(text)
		if err != nil {
			return err
		}
		if since != "" {
			if options.Since, err = readSmall(since); err != nil {
				return fmt.Errorf("reading the file of --since: %w", err)
			}
		}
		if info, err := os.Stat(args[0]); err == nil && info.IsDir() {
			return a.verifyArchive(ctx, args[0], set, options)
		}
		in, err := openInput(args[0], a.env.Stdin)
		if err != nil {
			return fmt.Errorf("reading the bundle: %w", err)
		}
		defer in.Close()
		_, err = await(ctx, func() (struct{}, error) { return struct{}{}, a.verify(in, set, options) })
		return err
	})
	cmd.Long = `Verify a bundle of "fastness audit export", or a document of "fastness audit
proof", with nothing but the keys that you were given. It needs no server and
no credential. BUNDLE may be - for stdin, a segment of "fastness audit archive", or
its folder: then all segments are verified, that each continues the one before, and
that the tiles are theirs.

It exits with 0 when all holds, and otherwise with 1 and names what does not: a
changed, removed or reordered entry, a truncated tail, a forked tree, a missing
or bad signature, a second byte form.`
	cmd.Example = `fastness audit verify --keys audit.keys audit.bundle
fastness audit verify --keys audit.keys --since checkpoint-2026-10-01 --nonce 5f2b audit.bundle
fastness audit export | fastness audit verify --keys audit.keys -
fastness audit verify --keys audit.keys /mnt/audit`
	cmd.Flags().StringVar(&keys, "keys", "", "`FILE` that \"fastness audit keys\" printed")
	cmd.Flags().StringVar(&since, "since", "", "`FILE` with an older checkpoint that the log must continue")
	cmd.Flags().StringVar(&nonce, "nonce", "", "`TEXT` that the bundle must carry")
	cmd.MarkFlagRequired("keys")
	return cmd
}

// verify tells a proof from a bundle by how it begins.
func (a *app) verify(r io.Reader, set audit.KeySet, o audit.Options) error {
	in := bufio.NewReaderSize(r, 64<<10)
	begin, _ := in.Peek(len(`{"format":"fastness-audit-consistency/1"`))
	switch {
	case isDocument(begin, "inclusion"):
		return a.verifyInclusion(in, set, o)
	case isDocument(begin, "consistency"):
		return a.verifyConsistency(in, set, o)
	}
	if audit.IsSegment(begin) {
		return a.verifySegment(in, set, o)
	}
	report, err := audit.Verify(in, set, o)
	if err != nil {
		return refuted(err)
	}
	if a.global.json {
		return a.printJSON(report)
	}
	return a.showReport(report)
}

func isDocument(begin []byte, kind string) bool {
	want := `{"format":"fastness-audit-` + kind + `/`
	return len(begin) >= len(want) && string(begin[:len(want)]) == want
}

// refuted marks what does not hold, so that it is said in so many words.
func refuted(err error) error {
	var fault *audit.VerifyError
	if errors.As(err, &fault) {
		return fmt.Errorf("it does not hold: %w", err)
	}
	return err
}

func (a *app) verifyInclusion(r io.Reader, set audit.KeySet, o audit.Options) error {
	if o.Since != nil || o.Nonce != "" {
		return usagef("--since and --nonce are for bundles")
	}
	b, err := io.ReadAll(io.LimitReader(r, maxSmall))
	if err != nil {
		return err
	}
	p, err := audit.ParseInclusion(b)
	if err != nil {
		return refuted(err)
	}
	c, err := p.Verify(set)
	if err != nil {
		return refuted(err)
	}
	if a.global.json {
		return a.printJSON(struct {
			Entry audit.Entry `json:"entry"`
			Size  int64       `json:"size"`
		}{p.Entry.Entry, c.Size})
	}
	_, err = fmt.Fprintf(a.env.Stdout, "holds: entry %d is in the signed log of size %d\n", p.Entry.Index, c.Size)
	return err
}

func (a *app) verifyConsistency(r io.Reader, set audit.KeySet, o audit.Options) error {
	if o.Nonce != "" {
		return usagef("--nonce is for bundles")
	}
	b, err := io.ReadAll(io.LimitReader(r, maxSmall))
	if err != nil {
		return err
	}
	p, err := audit.ParseConsistency(b)
	if err != nil {
		return refuted(err)
	}
	c, err := p.Verify(set, o.Since)
	if err != nil {
		return refuted(err)
	}
	if a.global.json {
		return a.printJSON(struct {
			From int64 `json:"from"`
			Size int64 `json:"size"`
		}{p.From, c.Size})
	}
	_, err = fmt.Fprintf(a.env.Stdout, "holds: the log of size %d is the beginning of the signed one of size %d\n", p.From, c.Size)
	return err
}

func (a *app) showReport(r *audit.Report) error {
	var s sheet
	whose := "the tenant " + string(r.Tenant)
	if r.Tenant == "" {
		whose = "the whole deployment"
	}
	s.add("holds", "yes, all of it")
	s.add("log", r.Origin)
	s.add("of", whose)
	s.add("entries", fmt.Sprintf("%d, from %s to %s", r.Entries, when(r.From), when(r.To)))
	if r.Redacted > 0 {
		s.add("redacted", fmt.Sprintf("%d, by %s", r.Redacted, plural(r.Redactions, "redaction")))
	}
	s.add("exported", when(r.Exported))
	s.add("nonce", r.Nonce)
	s.add("checkpoint", fmt.Sprintf("size %d, signed %s", r.Size, when(r.CheckpointTime)))
	s.add("root", r.Root.String())
	if r.Since > 0 {
		s.add("continues", fmt.Sprintf("the older checkpoint of size %d", r.Since))
	}
	return s.write(a.env.Stdout)
}
