package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"fastness/internal/store"
)

func TestTranslate(t *testing.T) {
	state := func(code string) error {
		return &pgconn.PgError{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: code}
	}
	for name, c := range map[string]struct{ err, want error }{
		"serialization":      {state("40001"), errConflict},
		"deadlock":           {state("40P01"), errConflict},
		"unique":             {state("23505"), errConflict},
		"foreign key":        {state("23503"), errConflict},
		"standby":            {state("25006"), store.ErrUnavailable},
		"lock timeout":       {state("55P03"), store.ErrUnavailable},
		"statement timeout":  {state("57014"), store.ErrUnavailable},
		"shutdown":           {state("57P01"), store.ErrUnavailable},
		"starting up":        {state("57P03"), store.ErrUnavailable},
		"disk full":          {state("53100"), store.ErrUnavailable},
		"connections":        {state("53300"), store.ErrUnavailable},
		"input and output":   {state("58030"), store.ErrUnavailable},
		"damage":             {state("XX001"), store.ErrUnavailable},
		"connection failure": {state("08006"), store.ErrUnavailable},
		"login":              {state("28P01"), store.ErrUnavailable},
		"unknown resolution": {state("08007"), store.ErrUnknownOutcome},
		"unknown completion": {state("40003"), store.ErrUnknownOutcome},
		"session ended":      {&pgconn.PgError{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "25P03"}, store.ErrUnavailable},
		"end of file":        {io.ErrUnexpectedEOF, store.ErrUnavailable},
		"reset":              {&net.OpError{Op: "read", Err: errors.New("connection reset by peer")}, store.ErrUnavailable},
		"our deadline":       {context.DeadlineExceeded, store.ErrUnavailable},
		"canceled":           {context.Canceled, context.Canceled},
		"translated already": {errClosed, store.ErrUnavailable},
	} {
		if got := translate(c.err); !errors.Is(got, c.want) || !errors.Is(got, c.err) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if translate(nil) != nil {
		t.Error("no error became one")
	}
	for _, code := range []string{"42601", "22021", ""} {
		got := translate(state(code))
		for _, e := range []error{errConflict, store.ErrUnavailable, store.ErrUnknownOutcome, store.ErrTaken, store.ErrAbsent} {
			if errors.Is(got, e) {
				t.Errorf("%q: %v", code, got)
			}
		}
	}
}

// TestRefused tells the errors after which a commit cannot have happened from
// those after which it may have.
func TestRefused(t *testing.T) {
	e := func(severity, code string) error {
		return &pgconn.PgError{Severity: severity, SeverityUnlocalized: severity, Code: code}
	}
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"conflict":             {e("ERROR", "40001"), true},
		"constraint":           {e("ERROR", "23505"), true},
		"statement timeout":    {e("ERROR", "57014"), true},
		"shutdown":             {e("FATAL", "57P01"), false},
		"crash of another":     {e("FATAL", "57P02"), false},
		"panic":                {e("PANIC", "XX000"), false},
		"unknown resolution":   {e("ERROR", "08007"), false},
		"unknown completion":   {e("ERROR", "40003"), false},
		"connection exception": {e("ERROR", "08006"), false},
		"end of file":          {io.ErrUnexpectedEOF, false},
		"our deadline":         {context.DeadlineExceeded, false},
	} {
		if got := refused(c.err); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
