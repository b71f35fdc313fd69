package api

import (
	"encoding/csv"
	"io"
	"strings"
	"time"

	"fastness/internal/wire"
)

// reviewHead names the columns of a review: those of the principal, then those
// of one of its credentials.
var reviewHead = []string{
	"principal", "kind", "service", "environment", "grants", "factors", "created", "disabled", "lastUsed", "lastRead",
	"credential", "credentialKind", "credentialSource", "credentialGrants", "credentialCreated", "credentialExpires",
	"credentialRevoked", "credentialLastUsed",
}

// reviewColumns is how many of them are the principal's.
const reviewColumns = 10

// table writes a review as comma-separated values (RFC 4180): a line for each
// credential with its principal's columns before, and one for a principal that
// has none.
type table struct{ csv *csv.Writer }

func newReviewTable(w io.Writer) *table {
	t := &table{csv.NewWriter(w)}
	t.csv.UseCRLF = true
	t.csv.Write(reviewHead) // end tells its error
	return t
}

// add writes a principal's lines.
func (t *table) add(p wire.Review) error {
	own := []string{
		p.Principal, p.Kind, p.Service, p.Environment, grantsText(p.Grants), strings.Join(p.Factors, " "),
		stamp(p.Created), stamp(p.Disabled), date(p.LastUsed), date(p.LastRead),
	}
	if len(p.Credentials) == 0 {
		return t.line(append(own, make([]string, len(reviewHead)-reviewColumns)...))
	}
	for _, c := range p.Credentials {
		line := append(own[:reviewColumns:reviewColumns], c.ID, c.Kind, c.Source, grantsText(c.Grants),
			stamp(c.Created), stamp(c.Expires), stamp(c.Revoked), date(c.LastUsed))
		if err := t.line(line); err != nil {
			return err
		}
	}
	return nil
}

// line writes cells that no spreadsheet takes for formulas.
func (t *table) line(cells []string) error {
	for i, c := range cells {
		cells[i] = inert(c)
	}
	return t.csv.Write(cells)
}

// end writes what is left.
func (t *table) end() error {
	t.csv.Flush()
	return t.csv.Error()
}

// inert puts an apostrophe before what a spreadsheet would evaluate: a
// principal may be called "@home" or "-1". A cell that begins with an apostrophe
// gets another, so that one that was put there can be told.
func inert(cell string) string {
	if strings.IndexAny(cell, "=+-@\t\r\n'＝＋－＠") == 0 {
		return "'" + cell
	}
	return cell
}

// grantsText is how the command line writes grants: role, or role=pattern,…
func grantsText(grants []wire.Grant) string {
	words := make([]string, len(grants))
	for i, g := range grants {
		words[i] = g.Role
		if g.Patterns != nil {
			words[i] += "=" + strings.Join(g.Patterns, ",")
		}
	}
	return strings.Join(words, " ")
}

// stamp is a time in a cell, empty for none; date is one of which only the day
// is known.
func stamp(t time.Time) string { return formatted(t, time.RFC3339) }

func date(t time.Time) string { return formatted(t, time.DateOnly) }

func formatted(t time.Time, layout string) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(layout)
}
