package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/secret"
)

var secretHead = []string{"NAME", "VERSION", "LAST ROTATED", "NEXT ROTATION", "DESCRIPTION"}

func secretRow(i secret.Info) []string {
	version := "-"
	if i.Version != 0 {
		version = i.Version.String()
	}
	return []string{string(i.Name), version, orDash(when(i.LastRotated)), orDash(day(i.NextRotation)), i.Metadata.Description}
}

var deletedHead = []string{"NAME", "VERSION", "GONE ON", "DESCRIPTION"}

func deletedRow(i secret.Info) []string {
	row := secretRow(i)
	return []string{row[0], row[1], when(i.Deletion), row[4]}
}

func (a *app) listCommand() *cobra.Command {
	var q client.ListQuery
	var tag string
	var pages pageFlags
	cmd := a.command("list", "List secrets", func(ctx context.Context, _ []string) error {
		q.TagKey, q.TagValue, _ = strings.Cut(tag, "=")
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		l := listing[secret.Info]{
			flags: pages, head: secretHead, row: secretRow, none: "no secrets",
			fetch: func(limit int, cursor string) (client.Page[secret.Info], error) {
				q.Limit, q.Cursor = limit, cursor
				return s.List(ctx, q)
			},
		}
		if q.Deleted {
			l.head, l.row = deletedHead, deletedRow
		}
		return printList(ctx, a, l)
	})
	cmd.Long = "List the secrets that you may see, by name. Values are never listed."
	cmd.Example = `fastness list
fastness list --prefix db/ --tag team=shop
fastness list --deleted
fastness list --json | jq -r '.items[].name'`
	cmd.Flags().StringVar(&q.Prefix, "prefix", "", "only names that begin with `TEXT`")
	cmd.Flags().StringVar(&tag, "tag", "", "only secrets with the tag `KEY[=VALUE]`")
	cmd.Flags().BoolVar(&q.Due, "due", false, "only secrets whose required rotation is due")
	cmd.Flags().BoolVar(&q.Deleted, "deleted", false, "the secrets in their recovery window, instead of those that are not")
	pages.add(cmd)
	return cmd
}

func (a *app) dueCommand() *cobra.Command {
	var pages pageFlags
	cmd := a.command("due", "List secrets whose required rotation is due", func(ctx context.Context, _ []string) error {
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		return printList(ctx, a, listing[secret.Info]{
			flags: pages, head: secretHead, row: secretRow, none: "nothing is due",
			fetch: func(limit int, cursor string) (client.Page[secret.Info], error) { return s.Due(ctx, limit, cursor) },
		})
	})
	cmd.Long = "List the secrets with required rotation whose rotation interval has passed."
	cmd.Example = `fastness due
fastness due --json | jq -r '.items[].name' | xargs -r -n1 fastness rotate --generate`
	pages.add(cmd)
	return cmd
}

func (a *app) versionsCommand() *cobra.Command {
	var pages pageFlags
	cmd := a.command("versions NAME", "List a secret's versions", func(ctx context.Context, args []string) error {
		name, err := parseName(args[0])
		if err != nil {
			return err
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		return printList(ctx, a, listing[secret.VersionInfo]{
			flags: pages, head: []string{"VERSION", "STAGES", "CREATED", "LAST READ", "KIND", "ALGORITHM", "ID"},
			fetch: func(limit int, cursor string) (client.Page[secret.VersionInfo], error) {
				return s.Versions(ctx, name, limit, cursor)
			},
			row: func(v secret.VersionInfo) []string {
				return []string{v.Version.String(), orDash(stages(v.Labels)), when(v.Created), orDash(day(v.LastRead)),
					kindName(v.Kind), string(v.Algorithm), string(v.ID)}
			},
		})
	})
	cmd.Long = "List a secret's versions, oldest first, with their staging labels."
	cmd.Example = `fastness versions db/password
fastness versions db/password --json`
	pages.add(cmd)
	return cmd
}

func stages(labels []secret.Label) string {
	names := make([]string, len(labels))
	for i, l := range labels {
		names[i] = string(l)
	}
	return strings.Join(names, ",")
}

func kindName(k secret.Kind) string {
	if k == secret.Binary {
		return "binary"
	}
	return "text"
}
