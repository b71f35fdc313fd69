package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// clean makes text that others chose fit for a terminal: control characters,
// invisible ones and invalid bytes are shown escaped.
func clean(s string) string {
	plain := func(r rune) bool { return r == ' ' || unicode.IsGraphic(r) && !unicode.IsSpace(r) }
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		_, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case plain(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

// table prints columns of text, each as wide as its widest cell so far.
type table struct {
	head   []string
	rows   [][]string
	widths []int
	begun  bool // the head is out
}

func newTable(head ...string) *table { return &table{head: head, widths: make([]int, len(head))} }

// add appends a row. Cells are cleaned here, so that no command can forget.
func (t *table) add(cells ...string) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = clean(c)
	}
	t.rows = append(t.rows, row)
}

// flush prints the rows added since the last time, under the head the first
// time there are any.
func (t *table) flush(w io.Writer) error {
	rows := t.rows
	t.rows = nil
	if len(rows) == 0 {
		return nil
	}
	if !t.begun {
		t.begun = true
		rows = append([][]string{t.head}, rows...)
	}
	for _, row := range rows {
		for i, c := range row {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, c := range row {
			b.WriteString(c)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(c)+2))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// sheet prints one thing as lines of name and value; empty values are left out.
type sheet struct{ rows [][2]string }

func (s *sheet) add(name, value string) {
	if value != "" {
		s.rows = append(s.rows, [2]string{name, clean(value)})
	}
}

func (s *sheet) write(w io.Writer) error {
	width := 0
	for _, r := range s.rows {
		width = max(width, len(r[0]))
	}
	var b strings.Builder
	for _, r := range s.rows {
		fmt.Fprintf(&b, "%-*s  %s\n", width+1, r[0]+":", r[1])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// when shows a time to people; zero is empty.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// day shows a date to people; zero is empty.
func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// orDash fills a table's empty cell.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// plural is "1 secret", "2 secrets".
func plural[N int | int64](n N, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
