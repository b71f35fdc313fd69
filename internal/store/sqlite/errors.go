package sqlite

import (
	"fmt"
	"strings"

	sqlite3 "modernc.org/sqlite/lib"

	"fastness/internal/store"
)

// Error is what SQLite said. It stands behind the store's own errors as their
// cause; its text names tables and columns, never a value.
type Error struct {
	Code int // extended result code
	Msg  string
}

// Error returns SQLite's text with its code.
func (e *Error) Error() string { return fmt.Sprintf("sqlite: %s (%d)", e.Msg, e.Code) }

// translate is the one place where result codes become the store's errors.
func translate(rc int32, msg string) error {
	err := &Error{Code: int(rc), Msg: msg}
	switch rc {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return fmt.Errorf("%w: %w", store.ErrTaken, err)
	case sqlite3.SQLITE_CONSTRAINT_NOTNULL:
		// A statement looked up a tenant's number and found none.
		if strings.HasSuffix(msg, ".tenant") {
			return fmt.Errorf("%w: %w", store.ErrAbsent, err)
		}
	}
	if spoils(rc) {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}

// spoils reports whether an error is of the database and not of the statement.
// SQLite may have rolled back the whole transaction after it, and even where
// it has not, what was done so far is not to be committed.
func spoils(rc int32) bool {
	switch rc & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CORRUPT,
		sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM,
		sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT,
		sqlite3.SQLITE_ABORT, sqlite3.SQLITE_INTERNAL, sqlite3.SQLITE_NOLFS:
		return true
	}
	return false
}
