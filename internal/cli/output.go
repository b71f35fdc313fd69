package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// keepReply is client.Config.OnReply: with --json it keeps the last reply's
// body, because that is the answer.
func (a *app) keepReply(body []byte) {
	if !a.global.json {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reply.Release()
	a.reply = secretbuf.New(len(body))
	copy(a.reply.Bytes(), body)
}

// printReply prints the API's last answer on one line.
func (a *app) printReply() error {
	line := bytes.TrimRight(a.reply.Bytes(), "\r\n")
	for i, c := range line {
		if c == '\n' || c == '\r' { // between tokens: JSON has none within strings
			line[i] = ' '
		}
	}
	if _, err := a.env.Stdout.Write(line); err != nil {
		return err
	}
	_, err := io.WriteString(a.env.Stdout, "\n")
	a.reply.Release()
	return err
}

// printJSON prints what the command line itself has to say.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.env.Stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// answer prints the API's last answer with --json, otherwise what people
// read.
func (a *app) answer(people func(w io.Writer) error) error {
	if a.global.json {
		return a.printReply()
	}
	return people(a.env.Stdout)
}

// say is answer for one line of text. Its arguments are cleaned.
func (a *app) say(format string, args ...any) error {
	return a.answer(func(w io.Writer) error {
		_, err := fmt.Fprintln(w, clean(fmt.Sprintf(format, args...)))
		return err
	})
}

// pageFlags choose what of a list is printed: all of it, or one page.
type pageFlags struct {
	limit  int
	cursor string
}

func (f *pageFlags) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.limit, "limit", 0, fmt.Sprintf("print one page of at most `N` (1 to %d) instead of the whole list", secret.MaxPage))
	cmd.Flags().StringVar(&f.cursor, "cursor", "", "print the page at this `CURSOR`, the nextCursor of the page before")
}

// single reports whether one page is wanted.
func (f *pageFlags) single() bool { return f.limit != 0 || f.cursor != "" }

// listing is how one kind of list is fetched and shown.
type listing[T any] struct {
	flags pageFlags
	fetch func(limit int, cursor string) (client.Page[T], error)
	head  []string
	row   func(T) []string
	none  string // said when there is nothing
}

// printList prints a list page by page as it comes, so that a long one begins
// at once and is never held whole.
func printList[T any](ctx context.Context, a *app, l listing[T]) error {
	out := newListWriter(a, l.head)
	limit, cursor := l.flags.limit, l.flags.cursor
	if !l.flags.single() {
		limit = secret.MaxPage
	}
	total := 0
	for {
		if ctx.Err() != nil {
			return errInterrupted
		}
		page, err := l.fetch(limit, cursor)
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			out.table.add(l.row(item)...)
		}
		if err := out.page(); err != nil {
			return err
		}
		total += len(page.Items)
		cursor = page.Next
		if cursor == "" || l.flags.single() {
			break
		}
	}
	if total == 0 && l.none != "" {
		a.note("%s", l.none)
	}
	if cursor != "" {
		a.note("more with --cursor %s", clean(cursor))
	}
	return out.end(cursor)
}

// listWriter writes pages as one table, or as one JSON object.
type listWriter struct {
	app   *app
	table *table
	items int
}

func newListWriter(a *app, head []string) *listWriter {
	return &listWriter{app: a, table: newTable(head...)}
}

// page writes what the last reply brought.
func (l *listWriter) page() error {
	if !l.app.global.json {
		return l.table.flush(l.app.env.Stdout)
	}
	l.table.rows = nil
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(l.app.reply.Bytes(), &list); err != nil {
		return errors.New("reading the reply: not a list")
	}
	for _, item := range list.Items {
		before := ","
		if l.items == 0 {
			before = `{"items":[`
		}
		if _, err := fmt.Fprintf(l.app.env.Stdout, "%s%s", before, item); err != nil {
			return err
		}
		l.items++
	}
	return nil
}

// end closes the JSON object as the API does.
func (l *listWriter) end(cursor string) error {
	if !l.app.global.json {
		return nil
	}
	if l.items == 0 {
		io.WriteString(l.app.env.Stdout, `{"items":[`)
	}
	quoted, err := json.Marshal(cursor)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(l.app.env.Stdout, "],\"nextCursor\":%s}\n", quoted)
	return err
}

// done is say for an answer that has no body in the API: with --json it is the
// empty object.
func (a *app) done(format string, args ...any) error {
	if a.global.json {
		_, err := io.WriteString(a.env.Stdout, "{}\n")
		return err
	}
	return a.say(format, args...)
}
