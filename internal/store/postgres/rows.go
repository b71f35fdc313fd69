package postgres

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// rowReader lists rows for those who read all of them.
type rowReader struct{ *reader }

// Metas sorts by itself: texts compare as the database was made to.
func (r rowReader) Metas() ([]store.MetaRow, error) {
	list, err := rows(r.session, "meta_list", func(row pgx.CollectableRow) (m store.MetaRow, err error) {
		return m, row.Scan(&m.Key, &m.Data)
	})
	slices.SortFunc(list, func(a, b store.MetaRow) int { return cmp.Compare(a.Key, b.Key) })
	return list, err
}

func (r rowReader) Secrets(t secret.TenantID, after secret.Name, limit int) ([]*store.Secret, error) {
	return rows(r.session, "secret_rows", scanSecret, t[:], []byte(after), max(limit, 0))
}

func (r rowReader) Versions(t secret.TenantID, after store.VersionRef, limit int) ([]*store.VersionRow, error) {
	return rows(r.session, "version_rows", func(row pgx.CollectableRow) (*store.VersionRow, error) {
		var v versionRow
		var id []byte
		columns := v.columns()
		columns[len(columns)-1] = &id // in the place of the last read
		if err := row.Scan(columns...); err != nil {
			return nil, err
		}
		version, err := v.version()
		if err != nil {
			return nil, err
		}
		return &store.VersionRow{Secret: secret.ID(id), Version: *version}, nil
	}, t[:], after.Secret[:], int64(after.Number), max(limit, 0))
}

func (r rowReader) Consumers(t secret.TenantID, after store.ConsumerRow, limit int) ([]store.ConsumerRow, error) {
	return rows(r.session, "consumer_rows", func(row pgx.CollectableRow) (c store.ConsumerRow, err error) {
		var id, principal []byte
		if err := row.Scan(&id, &c.Version, &principal, &c.Day); err != nil {
			return c, err
		}
		c.Secret, c.Principal = secret.ID(id), string(principal)
		return c, nil
	}, t[:], after.Secret[:], int64(after.Version), []byte(after.Principal), max(limit, 0))
}

func (r rowReader) Documents(owner secret.TenantID, after store.DocumentRef, limit int) ([]*store.Document, error) {
	return rows(r.session, "document_rows", documents(r).of(owner), owner[:], []byte(after.Kind), []byte(after.ID), max(limit, 0))
}

func (r rowReader) Runs(t secret.TenantName, after uint64, limit int) ([]store.RunRow, error) {
	if after > math.MaxInt64 {
		return nil, nil
	}
	return rows(r.session, "run_rows", func(row pgx.CollectableRow) (out store.RunRow, err error) {
		var b []byte
		err = row.Scan(&out.First, &out.Count, &out.Indices, &out.Last, &b)
		out.Hash = hash(b)
		return out, err
	}, string(t), int64(after), max(limit, 0))
}

func (r rowReader) Tiles(from audit.TileID, limit int) ([]store.Tile, error) {
	return rows(r.session, "tile_rows", func(row pgx.CollectableRow) (t store.Tile, err error) {
		return t, row.Scan(&t.ID.Level, &t.ID.N, &t.Data)
	}, int64(from.Level), from.N, max(limit, 0))
}

func (r rowReader) Checkpoints(after int64, limit int) ([]store.Checkpoint, error) {
	return rows(r.session, "checkpoint_rows", func(row pgx.CollectableRow) (store.Checkpoint, error) {
		c, err := scanCheckpoint(row)
		return *c, err
	}, after, max(limit, 0))
}

func (r rowReader) Held(now time.Time) ([]store.Lease, error) {
	return rows(r.session, "lease_live", func(row pgx.CollectableRow) (l store.Lease, err error) {
		var expires *int64
		err = row.Scan(&l.Name, &l.Holder, &expires)
		l.Expires = moment(expires)
		return l, err
	}, now.UnixMilli())
}

// rowWriter adds rows as they are.
type rowWriter struct{ *tx }

// put runs a statement that is to add a row.
func (w rowWriter) put(name string, args ...any) error {
	n, err := w.exec(name, args...)
	if err == nil && n == 0 {
		err = store.ErrTaken
	}
	return err
}

func (w rowWriter) Consumer(t secret.TenantID, c store.ConsumerRow) error {
	version := []any{t[:], c.Secret[:], int64(c.Version)}
	return w.add("consumer_add", append(version, []byte(c.Principal), int64(c.Day)), "version_exists", version...)
}

func (w rowWriter) Batch(b store.PlacedBatch) error {
	return w.put("batch_copy", b.First, b.First+1, notNil(b.Places), appendBatch(nil, b.Records))
}

func (w rowWriter) Pending(number int64, records []audit.Record) error {
	return w.put("pending_copy", number, appendBatch(nil, records))
}

func (w rowWriter) Run(t secret.TenantName, r store.RunRow) error {
	return w.put("run_copy", string(t), int64(r.First), int64(r.Count), r.Last, r.Hash[:], notNil(r.Indices))
}

func (w rowWriter) Tile(t store.Tile) error {
	return w.put("tile_copy", int64(t.ID.Level), t.ID.N, notNil(t.Data))
}

func (w rowWriter) Tree(s store.TreeState) error {
	n, err := w.exec("tree_set", s.Size, s.Root[:])
	if err == nil && n == 0 {
		err = fmt.Errorf("setting the tree: %w", store.ErrStale)
	}
	return err
}

func (w rowWriter) Checkpoint(c store.Checkpoint) error {
	return w.put("checkpoint_copy", c.Size, c.Root[:], millis(c.Created), c.Note)
}
