package vault

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// Detail is an Info with what the AWS protocol tells besides.
type Detail struct {
	secret.Info
	AWS secret.AWS
	// IDs are those of the versions that have labels.
	IDs map[secret.Version]secret.VersionID
	// Rotation is how the secret rotates by itself; nil if it does not.
	Rotation *Rotation
}

// Detail tells a secret's metadata and the ids of its labelled versions. Its
// LastRead is the latest of any of those.
func (s *Session) Detail(ctx context.Context, name secret.Name) (Detail, error) {
	var d Detail
	err := s.look(ctx, audit.Describe, name, func(r store.Reader, t *store.Tenant) error {
		sec, err := s.load(r, t, policy.Describe, name)
		if err != nil {
			return err
		}
		d, err = detail(r, t, sec)
		return err
	})
	return settled(d, err)
}

// detail joins a secret's row with those of its labelled versions.
func detail(r store.Reader, t *store.Tenant, sec *store.Secret) (Detail, error) {
	d := Detail{Info: infoOf(sec), AWS: sec.AWS.Clone(), IDs: make(map[secret.Version]secret.VersionID, len(sec.Labels))}
	for _, n := range sec.Labels {
		if d.IDs[n] != "" {
			continue
		}
		v, err := r.Secrets(t.ID).Version(sec.ID, n)
		if err != nil {
			return d, err
		}
		d.IDs[n] = v.ID
		if read := dayTime(v.LastRead); read.After(d.LastRead) {
			d.LastRead = read
		}
		if n == d.Version {
			d.VersionID, d.Kind = v.ID, v.Kind
		}
	}
	if sec.WorkAt.IsZero() {
		return d, nil
	}
	row, err := readRotation(r, t.ID, sec.ID)
	if errors.Is(err, store.ErrAbsent) {
		return d, nil
	}
	d.Rotation = &row.Rotation
	return d, err
}

// Order is what a list of details is ordered by; names decide among equals.
type Order int

// The orders.
const (
	ByName Order = iota
	ByCreated
	ByChanged
	ByRead
)

// DetailQuery asks for secrets. The zero value asks for the first page of all
// that are not deleted, by name.
type DetailQuery struct {
	// Match picks secrets by their rows; nil picks all. It must be quick, and not
	// change the row.
	Match func(*store.Secret) bool
	// Key tells the query from others in cursors: the text of what Match asks.
	Key        string
	Order      Order
	Descending bool
	Deleted    bool // those in their recovery window too
	Limit      int  // 1 to secret.MaxPage; 0 is secret.DefaultPage
	Cursor     string
}

// Details tells the secrets that the caller may list. Each page looks at all
// of a tenant's rows and keeps no more than it returns, so that it is ordered by
// what is true when it is asked for.
func (s *Session) Details(ctx context.Context, q DetailQuery) (Page[Detail], error) {
	var page Page[Detail]
	limit, err := pageSize(q.Limit)
	if err != nil {
		return page, s.Refused(ctx, audit.List, "", err)
	}
	kind := fmt.Sprintf("details\x00%s\x00%d%t%t\x00%s", s.tenant, q.Order, q.Descending, q.Deleted, q.Key)
	position, err := s.vault.parseCursor(kind, q.Cursor)
	if err != nil {
		return page, s.Refused(ctx, audit.List, "", err)
	}
	err = s.look(ctx, audit.List, "", func(r store.Reader, t *store.Tenant) error {
		page = Page[Detail]{Items: []Detail{}}
		found := &selection{query: q, limit: limit + 1, after: parsePlace(position)}
		if err := s.selectDetails(r, t, found); err != nil {
			return err
		}
		rows := found.sorted()
		if len(rows) > limit {
			rows = rows[:limit]
			page.Next = s.vault.cursor(kind, rows[limit-1].place().String())
		}
		for _, row := range rows {
			d, err := detail(r, t, row.sec)
			if err != nil {
				return err
			}
			page.Items = append(page.Items, d)
		}
		return nil
	})
	return settled(page, err)
}

// detailScan is how many rows are read at a time.
const detailScan = 500

func (s *Session) selectDetails(r store.Reader, t *store.Tenant, found *selection) error {
	j, err := s.ruler(r, t)
	if err != nil {
		return err
	}
	for _, deleted := range []bool{false, true} {
		if deleted && !found.query.Deleted {
			break
		}
		query := store.Query{Deleted: deleted, Limit: detailScan}
		if found.query.Order == ByName && !found.query.Descending {
			query.After = found.after.name
		}
		for {
			rows, err := r.Secrets(t.ID).List(query)
			if err != nil {
				return err
			}
			for _, sec := range rows {
				query.After = sec.Name
				if found.query.Match != nil && !found.query.Match(sec) || !j.mayList(sec) {
					continue
				}
				if err := found.add(r, t, sec); err != nil {
					return err
				}
			}
			if len(rows) < detailScan || found.complete(query.After) {
				break
			}
		}
	}
	return nil
}

// detailPlace is where a secret stands in an ordered list.
type detailPlace struct {
	at   time.Time
	name secret.Name
}

func (p detailPlace) compare(q detailPlace) int {
	return cmp.Or(p.at.Compare(q.at), cmp.Compare(p.name, q.name))
}

// String is the place as a cursor's position.
func (p detailPlace) String() string { return fmt.Sprintf("%d %s", p.at.UnixMilli(), p.name) }

// parsePlace reads what String wrote; the empty text is the zero place.
func parsePlace(s string) detailPlace {
	millis, name, ok := strings.Cut(s, " ")
	var n int64
	if _, err := fmt.Sscan(millis, &n); !ok || err != nil {
		return detailPlace{}
	}
	return detailPlace{time.UnixMilli(n).UTC(), secret.Name(name)}
}

// listed is a row with its place.
type listed struct {
	sec *store.Secret
	at  time.Time
}

func (l listed) place() detailPlace { return detailPlace{l.at, l.sec.Name} }

// selection keeps the first rows behind a place: a heap whose top is the last
// of them.
type selection struct {
	query DetailQuery
	limit int
	after detailPlace
	rows  []listed
}

func (f *selection) before(a, b detailPlace) bool {
	if f.query.Descending {
		a, b = b, a
	}
	return a.compare(b) < 0
}

func (f *selection) add(r store.Reader, t *store.Tenant, sec *store.Secret) error {
	l := listed{sec: sec}
	switch f.query.Order {
	case ByCreated:
		l.at = sec.Created
	case ByChanged:
		l.at = sec.Changed
	case ByRead:
		d, err := detail(r, t, sec)
		if err != nil {
			return err
		}
		l.at = d.LastRead
	}
	if f.after.name != "" && !f.before(f.after, l.place()) {
		return nil
	}
	heap.Push(f, l)
	if len(f.rows) > f.limit {
		heap.Pop(f)
	}
	return nil
}

// complete reports whether no row behind the name can come in: rows are read
// by name.
func (f *selection) complete(name secret.Name) bool {
	return f.query.Order == ByName && !f.query.Descending && len(f.rows) == f.limit && name >= f.rows[0].sec.Name
}

// sorted empties the selection.
func (f *selection) sorted() []listed {
	out := make([]listed, len(f.rows))
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = heap.Pop(f).(listed)
	}
	return out
}

// Len, Less, Swap, Push and Pop are heap.Interface's.
func (f *selection) Len() int           { return len(f.rows) }
func (f *selection) Less(i, j int) bool { return f.before(f.rows[j].place(), f.rows[i].place()) }
func (f *selection) Swap(i, j int)      { f.rows[i], f.rows[j] = f.rows[j], f.rows[i] }
func (f *selection) Push(x any)         { f.rows = append(f.rows, x.(listed)) }
func (f *selection) Pop() any {
	last := f.rows[len(f.rows)-1]
	f.rows = f.rows[:len(f.rows)-1]
	return last
}
