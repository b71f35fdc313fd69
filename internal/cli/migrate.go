package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"fastness/internal/backup"
)

func (a *app) migrateCommand() *cobra.Command {
	var flags settingFlags
	var from, to string
	var cmd *cobra.Command
	cmd = a.command("migrate", "Move everything to another database", func(ctx context.Context, _ []string) error {
		c, err := flags.load(cmd, a.env.Getenv)
		if err != nil {
			return err
		}
		m := backup.Move{Logger: a.logger(c)}
		if m.From, err = backup.ParsePlace(from); err != nil {
			return usagef("--from: %v", err)
		}
		if m.To, err = backup.ParsePlace(to); err != nil {
			return usagef("--to: %v", err)
		}
		return a.migrate(ctx, c, m)
	})
	cmd.Long = `Move a whole deployment from one database to another: tenants, secrets with all
their versions, principals, credentials and the audit log, as they are, sealed.

Stop every server first. The source is only read. The target is empty; it is made
if it is not there. The move proves the source whole before it writes anything,
and the target equal to it, row by row, before a server may open it: every sealed
part is opened with the root key, and the log's root is computed anew. Killed at
any point, the same command goes on where it was.

The source stays as it is, and must not be served again: two servers would sign
two logs under one name.`
	cmd.Example = `SECRETS_MASTER_KEY="$(cat root.key)" fastness migrate --from sqlite:/var/lib/fastness --to 'postgres://fastness@db1,db2/fastness'
fastness migrate --from postgres://fastness@db/fastness --to sqlite:/var/lib/fastness --master-key-file root.key`
	cmd.Flags().StringVar(&from, "from", "", "`STORE` to read: sqlite:FOLDER or postgres://…")
	cmd.Flags().StringVar(&to, "to", "", "`STORE` to fill: sqlite:FOLDER or postgres://…")
	cmd.MarkFlagRequired("from")
	cmd.MarkFlagRequired("to")
	flags.add(cmd, "master_key_file", "master_key_previous_file")
	return cmd
}

func (a *app) migrate(ctx context.Context, c serverConfig, m backup.Move) error {
	harden(m.Logger)
	keys, err := masterKeys(c)
	if err != nil {
		return err
	}
	defer keys.Release()
	m.Master, m.Previous = keys.Current, keys.Previous
	bars := stageBars{app: a}
	m.Progress = bars.show
	moved, err := m.Run(ctx)
	bars.end()
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(movedJSON{
			Deployment: moved.Deployment, Rows: moved.Rows, Counts: moved.Counts, Resumed: moved.Resumed,
			Opened: moved.Opened, Log: logJSON{Size: moved.Entries, Root: moved.Root, Waiting: moved.Waiting},
		})
	}
	return showMoved(a.env.Stdout, moved)
}

// movedJSON is what a move has done.
type movedJSON struct {
	Deployment string           `json:"deployment"`
	Rows       int64            `json:"rows"`
	Counts     map[string]int64 `json:"counts"`
	Resumed    int64            `json:"resumed"`
	Opened     int64            `json:"opened"`
	Log        logJSON          `json:"log"`
}

// logJSON is the log of a store that was proven whole.
type logJSON struct {
	Size    int64  `json:"size"`
	Root    string `json:"root"`
	Waiting int64  `json:"waiting"`
}

func showMoved(w io.Writer, m *backup.Moved) error {
	var s sheet
	s.add("moved", fmt.Sprintf("deployment %s, all of it", m.Deployment))
	s.add("rows", fmt.Sprintf("%d: %s", m.Rows, kinds(m.Counts)))
	if m.Resumed > 0 {
		s.add("resumed", fmt.Sprintf("behind %d rows of an earlier run", m.Resumed))
	}
	s.add("opened", fmt.Sprintf("%d sealed parts, each of them", m.Opened))
	s.add("log", fmt.Sprintf("unchanged, size %d, root %s", m.Entries, m.Root))
	return s.write(w)
}

// kinds lists how many rows there are of each kind.
func kinds(counts map[string]int64) string {
	var out []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("%s %d", kind, counts[kind]))
	}
	return strings.Join(out, ", ")
}

// stageBars shows the progress of a work of several stages, a bar for each.
type stageBars struct {
	app  *app
	name string
	bar  *progress
}

func (s *stageBars) show(at backup.Stage) {
	if s.name != at.Name {
		s.end()
		s.name, s.bar = at.Name, s.app.progress(at.Name, int(at.Total))
	}
	s.bar.step()
}

// end takes the last bar off the line.
func (s *stageBars) end() {
	if s.bar != nil {
		s.bar.end()
	}
}
