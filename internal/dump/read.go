package dump

import (
	"math"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
)

const (
	// page is how many rows are read at once; of versions, whose values may have
	// 64 KiB each, fewer.
	page, versionPage = 500, 100
	// leafPage is how many leaves' batches are read at once.
	leafPage = 2048
)

// Read hands out every row of a store, of a snapshot, in the order of dumps.
// yield may keep the rows.
func Read(r store.Reader, yield func(*Row) error) error {
	kept, _, err := store.ReadArchive(r)
	if err != nil {
		return err
	}
	d := reading{r, yield, kept.Size}
	if err := d.metas(); err != nil {
		return err
	}
	if err := d.owned(secret.TenantID{}); err != nil {
		return err
	}
	if err := d.runs(""); err != nil {
		return err
	}
	if err := d.tenants(); err != nil {
		return err
	}
	return d.log()
}

// ReadTenant hands out the rows of one tenant, without its part of the log,
// which belongs to the deployment.
func ReadTenant(r store.Reader, name secret.TenantName, yield func(*Row) error) error {
	t, err := r.Tenants().ByName(name)
	if err != nil {
		return err
	}
	d := reading{r, yield, 0}
	if err := yield(&Row{Tenant: &Tenant{ID(t.ID), t}}); err != nil {
		return err
	}
	return d.tenant(t.ID)
}

type reading struct {
	store.Reader
	yield    func(*Row) error
	archived int64 // how many entries of the log
}

// pages calls next for pages until one is not full, and yields each of their
// items as a row.
func pages[T any](d reading, size int, next func(last *T, limit int) ([]T, error), row func(T) *Row) error {
	var last *T
	for {
		items, err := next(last, size)
		if err != nil {
			return err
		}
		for _, item := range items {
			if err := d.yield(row(item)); err != nil {
				return err
			}
		}
		if len(items) < size {
			return nil
		}
		last = &items[len(items)-1]
	}
}

// or returns what p points to, or the zero value.
func or[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func (d reading) metas() error {
	list, err := d.Rows().Metas()
	if err != nil {
		return err
	}
	for _, m := range list {
		if m.Key == store.MetaLoading {
			continue
		}
		if err := d.yield(&Row{Meta: &Meta{m.Key, m.Data}}); err != nil {
			return err
		}
	}
	return nil
}

func (d reading) tenants() error {
	var after secret.TenantName
	for {
		list, err := d.Tenants().List(after, page)
		if err != nil {
			return err
		}
		for _, t := range list {
			if err := d.yield(&Row{Tenant: &Tenant{ID(t.ID), t}}); err != nil {
				return err
			}
			if err := d.tenant(t.ID); err != nil {
				return err
			}
			if err := d.runs(t.Name); err != nil {
				return err
			}
			after = t.Name
		}
		if len(list) < page {
			return nil
		}
	}
}

// tenant reads what a tenant has.
func (d reading) tenant(t secret.TenantID) error {
	keys, err := d.Tenants().Keys(t)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := d.yield(&Row{Key: &Key{ID(t), k}}); err != nil {
			return err
		}
	}
	if err := d.owned(t); err != nil {
		return err
	}
	if err := d.secrets(t); err != nil {
		return err
	}
	if err := d.versions(t); err != nil {
		return err
	}
	return d.consumers(t)
}

// owned reads what tenants and the deployment have alike.
func (d reading) owned(t secret.TenantID) error {
	err := pages(d, page, func(last **store.Principal, limit int) ([]*store.Principal, error) {
		after := ""
		if last != nil {
			after = (*last).Name
		}
		return d.Principals().List(t, after, limit)
	}, func(p *store.Principal) *Row { return &Row{Principal: &Principal{ID(t), p}} })
	if err != nil {
		return err
	}
	err = pages(d, page, func(last **store.Credential, limit int) ([]*store.Credential, error) {
		after := ""
		if last != nil {
			after = (*last).ID
		}
		return d.Credentials().List(t, after, limit)
	}, func(c *store.Credential) *Row { return &Row{Credential: &Credential{ID(t), c.Hash[:], c}} })
	if err != nil {
		return err
	}
	return pages(d, page, func(last **store.Document, limit int) ([]*store.Document, error) {
		var after store.DocumentRef
		if last != nil {
			after = store.DocumentRef{Kind: (*last).Kind, ID: (*last).ID}
		}
		return d.Rows().Documents(t, after, limit)
	}, func(doc *store.Document) *Row { return &Row{Document: &Document{ID(t), doc}} })
}

func (d reading) secrets(t secret.TenantID) error {
	return pages(d, page, func(last **store.Secret, limit int) ([]*store.Secret, error) {
		var after secret.Name
		if last != nil {
			after = (*last).Name
		}
		return d.Rows().Secrets(t, after, limit)
	}, func(s *store.Secret) *Row {
		if len(s.Metadata.Tags) == 0 {
			s.Metadata.Tags = nil // as good as empty, and written alike
		}
		return &Row{Secret: &Secret{ID(t), ID(s.ID), s}}
	})
}

func (d reading) versions(t secret.TenantID) error {
	return pages(d, versionPage, func(last **store.VersionRow, limit int) ([]*store.VersionRow, error) {
		var after store.VersionRef
		if last != nil {
			after = store.VersionRef{Secret: (*last).Secret, Number: (*last).Number}
		}
		return d.Rows().Versions(t, after, limit)
	}, func(v *store.VersionRow) *Row { return &Row{Version: &Version{ID(t), ID(v.Secret), &v.Version}} })
}

func (d reading) consumers(t secret.TenantID) error {
	return pages(d, page, func(last *store.ConsumerRow, limit int) ([]store.ConsumerRow, error) {
		return d.Rows().Consumers(t, or(last), limit)
	}, func(c store.ConsumerRow) *Row { return &Row{Consumer: &Consumer{ID(t), ID(c.Secret), &c.Consumer}} })
}

func (d reading) runs(t secret.TenantName) error {
	err := pages(d, page, func(last *store.RunRow, limit int) ([]store.RunRow, error) {
		return d.Rows().Runs(t, or(last).First, limit)
	}, func(r store.RunRow) *Row { return &Row{Run: &Run{t, r.Last, r.Hash, &r.Run}} })
	if err != nil || d.archived == 0 {
		return err
	}
	return d.head(t)
}

// head reads the tenant's last entry among those that were archived.
func (d reading) head(t secret.TenantName) error {
	first, err := store.FirstFrom(d.Log(), t, d.archived)
	if err != nil || first == 1 {
		return err
	}
	index, err := store.IndexOf(d.Log(), t, first-1)
	if err != nil {
		return err
	}
	hash, err := audit.NewHashReader(d.archived, d.Log()).LeafHash(index)
	if err != nil {
		return err
	}
	return d.yield(&Row{Head: &Head{Tenant: t, Seq: first - 1, Index: index, Hash: hash}})
}

// log reads the log. Checkpoints come first: who follows the tree as it grows
// knows then where to look at it.
func (d reading) log() error {
	tree, err := d.Log().State()
	if err != nil {
		return err
	}
	err = pages(d, page, func(last *store.Checkpoint, limit int) ([]store.Checkpoint, error) {
		after := int64(-1)
		if last != nil {
			after = last.Size
		}
		return d.Rows().Checkpoints(after, limit)
	}, func(c store.Checkpoint) *Row { return &Row{Checkpoint: &Checkpoint{&c}} })
	if err != nil {
		return err
	}
	if err := d.batches(tree.Size); err != nil {
		return err
	}
	if err := d.pending(tree.Size); err != nil {
		return err
	}
	err = pages(d, page, func(last *store.Tile, limit int) ([]store.Tile, error) {
		var from audit.TileID
		if last != nil {
			from = audit.TileID{Level: last.ID.Level, N: last.ID.N + 1}
		}
		return d.Rows().Tiles(from, limit)
	}, func(t store.Tile) *Row { return &Row{Tile: &Tile{t.ID.Level, t.ID.N, t.Data}} })
	if err != nil {
		return err
	}
	return d.yield(&Row{Tree: &Tree{tree.Size, tree.Root}})
}

func (d reading) batches(size int64) error {
	if d.archived > 0 {
		edge, err := audit.Edge(d.archived, d.Log())
		if err != nil {
			return err
		}
		if err := d.yield(&Row{Archive: &Archive{d.archived, edge}}); err != nil {
			return err
		}
	}
	for from := d.archived; from < size; {
		list, err := d.Log().Batches(from, from+leafPage)
		if err != nil {
			return err
		}
		next := from + leafPage
		for _, b := range list {
			if b.First < from {
				continue // the last of the page before, which reaches into this one
			}
			if err := d.yield(&Row{Batch: &Batch{b.First, b.Places, b.Records}}); err != nil {
				return err
			}
		}
		from = next
	}
	return nil
}

// pending reads what waits: about a second's worth while a server runs.
func (d reading) pending(size int64) error {
	list, err := d.Log().Pending(math.MaxInt)
	if err != nil {
		return err
	}
	for i, b := range list {
		if err := d.yield(&Row{Pending: &Pending{size + 1 + int64(i), b.Records}}); err != nil {
			return err
		}
	}
	return nil
}
