package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"fastness/internal/dump"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// Verify proves a backup by restoring it.
type Verify struct {
	File
	Keys     Keys         // the root key; empty if the backup brings it along for recovery
	Vault    *vault.Vault // the deployment's, instead of Keys; nil otherwise
	Scratch  string       // folder for the store that is made and removed; empty: the system's
	Progress func(Stage)
	Logger   *slog.Logger
}

// Verified is what a backup holds.
type Verified struct {
	vault.Inspection
	Created time.Time
	Tenant  secret.TenantName // empty: the whole deployment
	Rows    int64
	Counts  map[string]int64
}

// Run restores the backup into a scratch store, reads it back, compares every
// row, opens every sealed part, and computes the log anew.
func (v Verify) Run(ctx context.Context) (out *Verified, err error) {
	dir, err := os.MkdirTemp(v.Scratch, "fastness-verify-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := Place{Dir: dir}.open(ctx, v.Logger)
	if err != nil {
		return nil, err
	}
	out, err = v.into(ctx, s)
	return out, errors.Join(err, s.Close())
}

func (v Verify) into(ctx context.Context, s store.Store) (*Verified, error) {
	var h header
	loader, err := dump.NewLoader(ctx, s, "verify")
	if err != nil {
		return nil, err
	}
	tell := stage(v.Progress, "restoring into a scratch store", 0)
	want, err := v.read(func(got header) error { h = got; return nil }, func(r *dump.Row) error {
		tell()
		return loader.Row(r)
	})
	if err != nil {
		return nil, err
	}
	if _, err := loader.Flush(); err != nil {
		return nil, err
	}
	var keys Keys
	if v.Vault == nil {
		var owned bool
		if keys, owned, err = v.Keys.of(h, v.Identities); err != nil {
			return nil, err
		}
		if owned {
			defer keys.release()
		}
	}
	check := inspection{vault: v.Vault, master: keys.Current, previous: keys.Previous, counters: true, tenant: h.Tenant,
		deployment: h.Deployment, check: h.Check, progress: stage(v.Progress, "checking", want.Rows)}
	err = s.Snapshot(ctx, func(r store.Reader) error {
		got, err := check.run(r)
		if err == nil && got.Sum != want.Sum {
			err = fmt.Errorf("%w: %s", ErrDifferent, differences(want.Counts(), got.Counts()))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &Verified{Inspection: check.found, Created: h.Created, Tenant: h.Tenant, Rows: want.Rows, Counts: want.Counts()}, nil
}
