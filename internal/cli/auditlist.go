package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/audit"
)

// filterFlags pick entries.
type filterFlags struct {
	secret, principal, action, result, id, from, to string
}

func (f *filterFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.secret, "secret", "", "entries about the secret of this `NAME`")
	flags.StringVar(&f.principal, "principal", "", "entries of what `WHO` did")
	flags.StringVar(&f.action, "action", "", "entries of this `ACTION`: create, read, update, delete, rotate, token.create, …")
	flags.StringVar(&f.result, "result", "", "entries with this `RESULT`: success, not_found, access_denied, decryption_failed, failed")
	flags.StringVar(&f.id, "correlation-id", "", "the entry of the request with this `ID`")
	flags.StringVar(&f.from, "from", "", "entries from this `TIME` on: RFC 3339, a date, or how long ago (24h, 7d)")
	flags.StringVar(&f.to, "to", "", "entries before this `TIME`")
}

func (f *filterFlags) filter(now time.Time) (audit.Filter, error) {
	filter := audit.Filter{
		Secret: f.secret, Principal: f.principal, Action: audit.Action(f.action),
		Result: audit.Result(f.result), Correlation: f.id,
	}
	var err error
	if filter.From, err = parseWhen("--from", f.from, now); err != nil {
		return filter, err
	}
	filter.To, err = parseWhen("--to", f.to, now)
	return filter, err
}

// parseWhen reads a time as people write it; empty is the zero time.
func parseWhen(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	var days int
	if n, err := fmt.Sscanf(s, "%dd", &days); err == nil && n == 1 && fmt.Sprintf("%dd", days) == s && days > 0 && days < 36500 {
		return now.Add(-time.Duration(days) * oneDay), nil
	}
	if ago, err := time.ParseDuration(s); err == nil && ago > 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, usagef("%s: %s is no time; write 2006-01-02T15:04:05Z, 2006-01-02, or how long ago: 24h, 7d", flag, quote(s))
}

var entryHead = []string{"INDEX", "TIME", "TENANT", "PRINCIPAL", "ACTION", "ABOUT", "VERSION", "RESULT", "FROM"}

func entryRow(e audit.Entry) []string {
	version := e.Version
	if e.NewVersion != "" {
		version = e.OldVersion + "→" + e.NewVersion
	}
	who, about := e.UserID, cmp.Or(e.SecretName, e.Target)
	if e.Redacted {
		who = "(redacted)"
	}
	if e.Count > 1 {
		about = fmt.Sprintf("(%d times)", e.Count)
	}
	return []string{fmt.Sprint(e.Index), when(e.Timestamp), orDash(string(e.TenantID)), orDash(who), string(e.Action),
		orDash(about), orDash(version), string(e.Result), orDash(e.IPAddress)}
}

// detailedRow is entryRow with the entry's detail on its line.
func detailedRow(e audit.Entry) []string {
	return append(entryRow(e), orDash(strings.ReplaceAll(e.Detail, "\n", "; ")))
}

func (a *app) auditListCommand() *cobra.Command {
	var which logFlags
	var filter filterFlags
	var pages pageFlags
	var newest, detail bool
	cmd := a.command("list", "List audit entries", func(ctx context.Context, _ []string) error {
		f, err := filter.filter(time.Now())
		if err != nil {
			return err
		}
		log, err := which.log(ctx, a)
		if err != nil {
			return err
		}
		head, row := entryHead, entryRow
		if detail {
			head, row = append(entryHead[:len(entryHead):len(entryHead)], "DETAIL"), detailedRow
		}
		return printList(ctx, a, listing[audit.Entry]{
			flags: pages, head: head, row: row, none: "no entries",
			fetch: func(limit int, cursor string) (client.Page[audit.Entry], error) {
				page, err := log.List(ctx, client.AuditQuery{Filter: f, Newest: newest, Limit: limit, Cursor: cursor})
				if page.Archived > 0 {
					a.note("the entries with an index from 0 to %d are in the archive alone", page.Archived-1)
				}
				return page.Page, err
			},
		})
	})
	cmd.Long = `List audit entries, oldest first. All conditions that are given must hold. They
answer an auditor's questions: who read this secret, what did this principal
do, what was refused, between two times; with --detail, what was changed from what
to what.`
	cmd.Example = `fastness audit list --secret db/password --action read
fastness audit list --principal ci --from 7d
fastness audit list --result access_denied --from 2026-11-01 --to 2026-12-01
fastness audit list --newest --limit 20
fastness audit list --action settings.update --detail
fastness audit list --correlation-id 6f1d0a52-6a0b-4a0e-9d6d-0c6d4c7a3f51 --json`
	filter.add(cmd)
	cmd.Flags().BoolVar(&newest, "newest", false, "newest first")
	cmd.Flags().BoolVar(&detail, "detail", false, "also what changed, before and after, and why a request was refused")
	which.add(cmd)
	pages.add(cmd)
	return cmd
}

func (a *app) auditTailCommand() *cobra.Command {
	var which logFlags
	var after int64
	cmd := a.command("tail", "Follow the audit log", func(ctx context.Context, _ []string) error {
		log, err := which.log(ctx, a)
		if err != nil {
			return err
		}
		return a.tail(ctx, log, after)
	})
	cmd.Long = `Print entries as they come, until you stop it. With --json each is an object on
a line of its own.`
	cmd.Example = `fastness audit tail
fastness audit tail --after 4711 --json | jq -r 'select(.result != "success") | .correlationId'`
	cmd.Flags().Int64Var(&after, "after", -1, "begin after the entry with this `INDEX`; default with the next one")
	which.add(cmd)
	return cmd
}

// tail follows until ctx ends. The server ends each stream after a while, and
// then it is asked for what came after the last entry.
func (a *app) tail(ctx context.Context, log *client.Audit, after int64) error {
	rows := newTable(entryHead...)
	for ctx.Err() == nil {
		err := log.Tail(ctx, after, func(e audit.Entry) error {
			after = e.Index
			if a.global.json {
				return a.printReply()
			}
			rows.add(entryRow(e)...)
			return rows.flush(a.env.Stdout)
		})
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}
