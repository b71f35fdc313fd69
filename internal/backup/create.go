package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"filippo.io/age"

	"fastness/internal/dump"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// Create makes a backup: a snapshot of a store, encrypted, in one file.
type Create struct {
	Path       string
	Recipients []age.Recipient // who can open it; at least one
	// Recovery are those who can open it without the root key: it brings along
	// the root key's material, encrypted to them once more. Nil for nobody.
	Recovery []age.Recipient
	Keys     Keys              // only looked at for recovery
	Tenant   secret.TenantName // empty: the whole deployment
	Progress func(Stage)
	Logger   *slog.Logger
	Now      func() time.Time // nil: time.Now
}

// Created is what a backup has.
type Created struct {
	Created time.Time
	Rows    int64
	Counts  map[string]int64
}

var errNoRecipient = errors.New("a backup needs at least one recipient")

// FromPlace backs up the store at a place, on which a server may be at work.
func (c Create) FromPlace(ctx context.Context, p Place) (*Created, error) {
	s, err := p.openSource(ctx, false, c.Logger)
	if err != nil {
		return nil, err
	}
	out, err := c.From(ctx, s)
	return out, errors.Join(err, s.Close())
}

// From backs up an open store. There is either a whole file of the name at the
// end, or none.
func (c Create) From(ctx context.Context, s store.Snapshotter) (out *Created, err error) {
	if len(c.Recipients) == 0 {
		return nil, errNoRecipient
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	err = s.Snapshot(ctx, func(r store.Reader) error {
		out, err = c.write(r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("backing up: %w", err)
	}
	return out, nil
}

func (c Create) write(r store.Reader) (*Created, error) {
	h, err := c.header(r)
	if err != nil {
		return nil, err
	}
	w, err := newFileWriter(c.Path, *h, c.Recipients)
	if err != nil {
		return nil, err
	}
	tell := stage(c.Progress, "backing up", 0)
	row := func(row *dump.Row) error {
		tell()
		return w.row(row)
	}
	if c.Tenant == "" {
		err = dump.Read(r, row)
	} else {
		err = dump.ReadTenant(r, c.Tenant, row)
	}
	if err != nil {
		w.discard()
		return nil, err
	}
	if err := w.finish(); err != nil {
		w.discard()
		return nil, err
	}
	return &Created{Created: h.Created, Rows: w.digest.Rows, Counts: w.digest.Counts()}, nil
}

func (c Create) header(r store.Reader) (*header, error) {
	if _, err := r.Meta(store.MetaLoading); err == nil {
		return nil, vault.ErrLoading
	}
	h := &header{Format: format, Created: c.Now().UTC().Truncate(time.Millisecond), Tenant: c.Tenant}
	var err error
	if h.Deployment, h.Check, err = vault.Deployment(r); err != nil {
		return nil, err
	}
	if len(c.Recovery) == 0 {
		return h, nil
	}
	if err := vault.ProveRoot(h.Deployment, h.Check, c.Keys.Current, c.Keys.Previous); err != nil {
		return nil, err
	}
	h.Recovery, err = c.Keys.seal(c.Recovery)
	return h, err
}
