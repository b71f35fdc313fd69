package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"fastness/internal/store"
)

// errConflict is a transaction that met another one and may be run again.
var errConflict = errors.New("transaction met another one")

var errClosed = fmt.Errorf("%w: it is closed", store.ErrUnavailable)

// The SQLSTATEs that mean something to the store, by code or by the class that
// a code begins with.
const (
	stateSerialization = "40001"
	stateDeadlock      = "40P01"
	stateUnique        = "23505"
	stateForeignKey    = "23503"
	stateReadOnly      = "25006"
	stateCanceled      = "57014" // statement_timeout
	stateLockTimeout   = "55P03"
	stateUnknownTx     = "08007"
	stateUnknownCommit = "40003"
	stateNoFunction    = "42883"
	stateNoTable       = "42P01"
)

// classDamage is the class of what the database finds broken within itself.
const classDamage = "XX"

// unavailable are the classes of errors that are of the database and not of
// the statement: connection, insufficient resources, intervention of an
// operator, input and output, and damage within.
var unavailable = map[string]bool{"08": true, "28": true, "53": true, "57": true, "58": true, classDamage: true}

// translate is the one place where the driver's errors become the store's.
//
// Unique and foreign keys are looked at before a row is written. What runs into
// them all the same has met a transaction that was faster, and is told apart
// by being run again.
func translate(err error) error {
	var e *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, store.ErrUnavailable):
		return err
	case errors.Is(err, context.Canceled):
		return err
	case !errors.As(err, &e):
		// Neither an answer of the server nor of ours: the connection.
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	switch e.Code {
	case stateSerialization, stateDeadlock, stateUnique, stateForeignKey:
		return fmt.Errorf("%w: %w", errConflict, err)
	case stateUnknownTx, stateUnknownCommit:
		return fmt.Errorf("%w: %w", store.ErrUnknownOutcome, err)
	case stateReadOnly, stateLockTimeout:
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if fatal(e) || unavailable[e.Code[:min(2, len(e.Code))]] {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}

// refused reports whether an error is the server's word that the transaction
// did not commit. A session that the server ends may have committed before, and
// a lost connection tells nothing, unless it was lost before anything was sent.
func refused(err error) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return pgconn.SafeToRetry(err)
	}
	return severity(e) == "ERROR" && e.Code != stateUnknownTx && e.Code != stateUnknownCommit && e.Code[:min(2, len(e.Code))] != "08"
}

// fatal reports whether the server ended the session with the error: it was
// told to, or the session had forgotten its transaction.
func fatal(e *pgconn.PgError) bool { return severity(e) == "FATAL" || severity(e) == "PANIC" }

// severity is the error's, in English wherever the server tells it.
func severity(e *pgconn.PgError) string { return cmp.Or(e.SeverityUnlocalized, e.Severity) }

// hasState reports whether an error is of a SQLSTATE.
func hasState(err error, code string) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == code
}
