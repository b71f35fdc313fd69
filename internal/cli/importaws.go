package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// copiers is how many secrets are copied at once: AWS allows 50 lists of
// versions a second.
const copiers = 8

func (a *app) importAWSCommand() *cobra.Command {
	var f awsFlags
	var c awsCopy
	cmd := a.command("aws", "Copy secrets from AWS Secrets Manager", func(ctx context.Context, _ []string) error {
		if !slices.Contains([]string{conflictFail, conflictSkip, conflictUpdate}, c.conflict) {
			return usagef("--on-conflict is fail, skip or update")
		}
		filters, err := f.parseFilters()
		if err != nil {
			return err
		}
		if c.source, err = f.open(ctx); err != nil {
			return err
		}
		if c.target, err = a.session(ctx); err != nil {
			return err
		}
		secrets, err := c.source.list(ctx, filters)
		if err != nil {
			return withCode(err)
		}
		done, err := a.copyAll(ctx, secrets, &c)
		return errors.Join(withCode(err), a.showCopied(done, c.dryRun), failures(done))
	})
	cmd.Long = `Copy secrets from AWS Secrets Manager, or from any server that speaks its
protocol: their versions with ids and labels, descriptions, tags and rotation
rules. The source is only read. Region and credentials are found as AWS's own
tools find them: environment, profile, container, instance.

There is nothing to keep between runs. What the tenant has is not copied again,
so that a run that was cut off goes on when it is started again, and later ones
bring what the source has got since.

A secret is left alone, and the command exits with 1, if the tenant has one of
the same name whose current version is not from the source; --on-conflict says
otherwise. Versions without a label are left behind unless --deprecated asks for
them. Access is not copied: resource policies, KMS keys and replicas belong to
the account. Nothing rotates by itself afterwards; "fastness due" lists what is.

--prefix is put in front of each name.`
	cmd.Example = `fastness import aws --dry-run
fastness import aws --region eu-west-1 --profile production --filter name=shop/
fastness import aws --filter tag-key=team --prefix old/ --on-conflict skip --json
fastness import aws --endpoint-url https://other.example:8420 --region us-east-1`
	flags := cmd.Flags()
	flags.StringVar(&f.endpoint, "endpoint-url", "", "`URL` of the source; default AWS_ENDPOINT_URL_SECRETS_MANAGER, else AWS's own for the region")
	flags.StringVar(&f.region, "region", "", "the source's `REGION`; default AWS_REGION, else the profile's")
	flags.StringVar(&f.profile, "profile", "", "`NAME` of a profile of AWS's configuration; default AWS_PROFILE")
	flags.StringArrayVar(&f.filters, "filter", nil, "only secrets that AWS's filter `KEY=TEXT` finds, as in name=prod/ or tag-key=!old; give it several times")
	flags.StringVar(&c.prefix, "prefix", "", "put `TEXT` in front of each name")
	flags.StringVar(&c.conflict, "on-conflict", conflictFail, "`WHAT` to do about a secret of the tenant's own with the name: fail, skip or update")
	flags.BoolVar(&c.deprecated, "deprecated", false, "copy versions without a label too")
	flags.BoolVar(&c.dryRun, "dry-run", false, "say what would be stored, and store nothing")
	return cmd
}

// withCode gives an error of the source the exit code that it would have here.
func withCode(err error) error {
	var refused *awsError
	if errors.As(err, &refused) && (refused.stranger() || refused.code == "AccessDeniedException") {
		return &codedError{err, exitDenied}
	}
	return err
}

// copyAll copies the secrets, some at a time, and begins no further one after an
// error that others would have too. It returns what was done either way, by name.
func (a *app) copyAll(ctx context.Context, secrets []awsSecret, c *awsCopy) ([]copied, error) {
	done := make([]copied, len(secrets))
	bar := a.progress("importing", len(secrets))
	defer bar.end()
	var stop atomic.Bool
	var group errgroup.Group
	group.SetLimit(copiers)
	for i, s := range secrets {
		group.Go(func() (err error) {
			if stop.Load() {
				return nil // the error is another's
			}
			if done[i], err = c.one(ctx, s); err != nil {
				done[i] = copied{}
				stop.Store(true)
			}
			bar.step()
			return err
		})
	}
	err := group.Wait()
	return slices.DeleteFunc(done, func(r copied) bool { return r.Name == "" }), err
}

// failures is the error of a run that could not copy every secret.
func failures(done []copied) error {
	if n := countOf(done, copyFailed); n > 0 {
		return fmt.Errorf("%s could not be copied", plural(n, "secret"))
	}
	return nil
}

func countOf(done []copied, outcome string) (n int) {
	for _, r := range done {
		if r.Outcome == outcome {
			n++
		}
	}
	return n
}

// showCopied says what was done, also when not all was.
func (a *app) showCopied(done []copied, dryRun bool) error {
	created, updated, unchanged := countOf(done, copyCreated), countOf(done, copyUpdated), countOf(done, copyUnchanged)
	skipped, failed := countOf(done, copySkipped), countOf(done, copyFailed)
	if a.global.json {
		return a.printJSON(struct {
			Items     []copied `json:"items"`
			Created   int      `json:"created"`
			Updated   int      `json:"updated"`
			Unchanged int      `json:"unchanged"`
			Skipped   int      `json:"skipped"`
			Failed    int      `json:"failed"`
			DryRun    bool     `json:"dryRun,omitempty"`
		}{append([]copied{}, done...), created, updated, unchanged, skipped, failed, dryRun})
	}
	for _, r := range done {
		if r.Reason != "" {
			a.note("%s is %s: %s", clean(r.Name), notCopied[r.Outcome], clean(r.Reason))
		}
	}
	if dryRun {
		return showCopies(a.env.Stdout, done)
	}
	_, err := fmt.Fprintf(a.env.Stdout, "copied %s: %d created, %d updated; %d unchanged, %d skipped, %d failed\n",
		plural(created+updated, "secret"), created, updated, unchanged, skipped, failed)
	return err
}

var notCopied = map[string]string{copySkipped: "skipped", copyFailed: "not copied"}

// showCopies is the table of a dry run.
func showCopies(w io.Writer, done []copied) error {
	t := newTable("NAME", "WOULD BE", "VERSIONS")
	for _, r := range done {
		what := r.Outcome
		if what == copyFailed {
			what = "refused"
		}
		t.add(r.Name, what, fmt.Sprint(r.Versions))
	}
	return t.flush(w)
}
