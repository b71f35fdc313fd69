// Package backup carries whole stores from one place to another: it moves them
// between databases, backs them up and restores them.
//
// Rows travel as package dump has them, sealed as they are. What arrives is
// opened, every sealed part of it, with the root key, and its log is computed
// anew, before anybody is let at it; a store that is being filled serves nobody.
//
// Start with Move, Create and Restore.
package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"fastness/internal/store"
	"fastness/internal/store/postgres"
	"fastness/internal/store/sqlite"
)

// Place is where a store is: one of the fields is set.
type Place struct {
	Dir string // of an embedded store
	URL string // of a PostgreSQL database
}

// ParsePlace reads a place as settings name it.
func ParsePlace(text string) (Place, error) {
	scheme, rest, ok := strings.Cut(text, ":")
	switch {
	case postgres.IsURL(text):
		return Place{URL: text}, nil
	case !ok || scheme != "sqlite" || rest == "":
		return Place{}, errors.New("sqlite:FOLDER or postgres://… is expected")
	}
	return Place{Dir: rest}, nil
}

// source is a store that is only read.
type source interface {
	store.Snapshotter
	Close() error
}

// openSource opens a store for reading. alone keeps servers away from an
// embedded one; a database is not locked.
func (p Place) openSource(ctx context.Context, alone bool, log *slog.Logger) (source, error) {
	if p.URL != "" {
		return postgres.OpenReadOnly(ctx, postgres.Config{URL: p.URL, Logger: log})
	}
	return sqlite.OpenReadOnly(ctx, p.Dir, alone)
}

// open opens a store, and makes it if it is not there.
func (p Place) open(ctx context.Context, log *slog.Logger) (store.Store, error) {
	if p.URL != "" {
		return postgres.Open(ctx, postgres.Config{URL: p.URL, Logger: log})
	}
	return sqlite.Open(ctx, sqlite.Config{Dir: p.Dir, Logger: log})
}

// ErrServed is a store that a server is at work on.
var ErrServed = errors.New("a server is at work on the store; stop all of them first")

// served wraps what told so.
func served(why string) error { return fmt.Errorf("%w (%s)", ErrServed, why) }
