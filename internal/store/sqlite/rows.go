package sqlite

import (
	"fmt"
	"math"
	"time"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// rowReader lists rows for those who read all of them.
type rowReader struct{ *reader }

func (r rowReader) Metas() ([]store.MetaRow, error) {
	return rows(r.query("meta_list"), func(s *stmt, col int) (store.MetaRow, error) {
		value, err := s.cellAt(col + 1)
		return store.MetaRow{Key: s.string(col), Data: value}, err
	})
}

func (r rowReader) Secrets(t secret.TenantID, after secret.Name, limit int) ([]*store.Secret, error) {
	return rows(r.query("secret_rows").blob(1, t[:]).text(2, string(after)).limit(3, limit), scanSecret)
}

func (r rowReader) Versions(t secret.TenantID, after store.VersionRef, limit int) ([]*store.VersionRow, error) {
	q := r.query("version_rows").blob(1, t[:]).blob(2, after.Secret[:]).int(3, int64(after.Number)).limit(4, limit)
	return rows(q, func(s *stmt, col int) (*store.VersionRow, error) {
		v, err := scanVersion(s, col)
		if err != nil {
			return nil, err
		}
		out := &store.VersionRow{Version: *v}
		s.fixed(col+versionColumns, out.Secret[:])
		return out, nil
	})
}

func (r rowReader) Consumers(t secret.TenantID, after store.ConsumerRow, limit int) ([]store.ConsumerRow, error) {
	q := r.query("consumer_rows").blob(1, t[:]).
		blob(2, after.Secret[:]).int(3, int64(after.Version)).text(4, after.Principal).limit(5, limit)
	return rows(q, func(s *stmt, col int) (c store.ConsumerRow, err error) {
		s.fixed(col, c.Secret[:])
		c.Version, c.Principal, c.Day = secret.Version(s.int64(col+1)), s.string(col+2), int32(s.int64(col+3))
		return c, nil
	})
}

func (r rowReader) Documents(owner secret.TenantID, after store.DocumentRef, limit int) ([]*store.Document, error) {
	return rows(r.query("document_rows").blob(1, owner[:]).text(2, after.Kind).text(3, after.ID).limit(4, limit),
		documents(r).of(owner))
}

func (r rowReader) Runs(t secret.TenantName, after uint64, limit int) ([]store.RunRow, error) {
	if after > math.MaxInt64 {
		return nil, nil
	}
	return rows(r.query("run_rows").text(1, string(t)).int(2, int64(after)).limit(3, limit),
		func(s *stmt, col int) (store.RunRow, error) {
			return store.RunRow{
				Run:  store.Run{First: uint64(s.int64(col)), Count: int(s.int64(col + 1)), Indices: s.bytes(col + 2)},
				Last: s.int64(col + 3), Hash: s.hashAt(col + 4),
			}, nil
		})
}

func (r rowReader) Tiles(from audit.TileID, limit int) ([]store.Tile, error) {
	key, err := tileKey(from)
	if err != nil {
		return nil, err
	}
	return rows(r.query("tile_rows").int(1, key).limit(2, limit), func(s *stmt, col int) (store.Tile, error) {
		return store.Tile{ID: tileOf(s.int64(col)), Data: s.bytes(col + 1)}, nil
	})
}

func (r rowReader) Checkpoints(after int64, limit int) ([]store.Checkpoint, error) {
	return rows(r.query("checkpoint_rows").int(1, after).limit(2, limit), func(s *stmt, col int) (store.Checkpoint, error) {
		c, err := scanCheckpoint(s, col)
		return *c, err
	})
}

func (r rowReader) Held(now time.Time) ([]store.Lease, error) {
	return rows(r.query("lease_live").time(1, now), func(s *stmt, col int) (store.Lease, error) {
		return store.Lease{Name: s.string(col), Holder: s.string(col + 1), Expires: s.timeAt(col + 2)}, nil
	})
}

// rowWriter adds rows as they are.
type rowWriter struct{ *tx }

func (w rowWriter) Consumer(t secret.TenantID, c store.ConsumerRow) error {
	return change(w.write("consumer_add").blob(1, t[:]).blob(2, c.Secret[:]).int(3, int64(c.Version)).
		text(4, c.Principal).int(5, int64(c.Day)))
}

func (w rowWriter) Batch(b store.PlacedBatch) error {
	number, err := w.addBatch(b.Records)
	if err != nil {
		return err
	}
	_, err = w.write("place_add").int(1, b.First).int(2, number).blob(3, b.Places).run()
	return err
}

func (w rowWriter) Pending(_ int64, records []audit.Record) error {
	_, err := w.addBatch(records)
	return err
}

// addBatch adds records behind all that are there, which gives them the number
// that they must have.
func (w rowWriter) addBatch(records []audit.Record) (int64, error) {
	last, err := row(w.query("batch_last"), number)
	if err != nil {
		return 0, err
	}
	var blob []byte
	for _, r := range records {
		blob = audit.AppendBatch(blob, r)
	}
	w.batches = true
	_, err = w.write("batch_add").int(1, last+1).blob(2, pad(blob, 0)).run()
	return last + 1, err
}

func (w rowWriter) Run(t secret.TenantName, r store.RunRow) error {
	_, err := w.write("run_add").text(1, string(t)).int(2, int64(r.First)).int(3, int64(r.Count)).
		int(4, r.Last).blob(5, r.Hash[:]).blob(6, r.Indices).run()
	return err
}

func (w rowWriter) Tile(t store.Tile) error {
	key, err := tileKey(t.ID)
	if err != nil {
		return err
	}
	_, err = w.write("tile_add").int(1, key).blob(2, t.Data).run()
	return err
}

func (w rowWriter) Tree(s store.TreeState) error {
	n, err := w.write("tree_set").int(1, s.Size).blob(2, s.Root[:]).run()
	if err == nil && n == 0 {
		err = fmt.Errorf("setting the tree: %w", store.ErrStale)
	}
	return err
}

func (w rowWriter) Checkpoint(c store.Checkpoint) error {
	_, err := w.write("checkpoint_copy").int(1, c.Size).blob(2, c.Root[:]).time(3, c.Created).blob(4, c.Note).run()
	return err
}
