package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"fastness/internal/audit"
	"fastness/internal/envelope"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

// Reading is an opened version. The receiver releases Value.
type Reading struct {
	ID        secret.ID
	Name      secret.Name
	Version   secret.Version
	VersionID secret.VersionID
	Labels    []secret.Label // sorted
	Kind      secret.Kind
	Created   time.Time
	Value     *secretbuf.Buffer
}

// found is what a read takes from the snapshot.
type found struct {
	tenant  *store.Tenant
	secret  *store.Secret
	version *store.Version
	key     *heldKey
}

// Get opens a version: the selected one, or the one labelled AWSCURRENT. The
// read is durable in the audit log when Get returns.
func (s *Session) Get(ctx context.Context, name secret.Name, sel store.Selector) (*Reading, error) {
	e := s.entry(audit.Read, name)
	f, err := s.find(ctx, name, sel)
	defer f.key.release()
	var value *secretbuf.Buffer
	if err == nil {
		value, err = f.open()
	}
	if err == nil || errors.Is(err, secret.ErrDecryption) {
		e.Version = f.version.Number.String()
	}
	if err != nil {
		return nil, s.vault.conclude(ctx, e, err)
	}
	if err := s.recordRead(ctx, e, f); err != nil {
		value.Release()
		return nil, err
	}
	return f.reading(value), nil
}

// reading is what a read answers with.
func (f found) reading(value *secretbuf.Buffer) *Reading {
	return &Reading{
		ID: f.secret.ID, Name: f.secret.Name, Version: f.version.Number, VersionID: f.version.ID, Kind: f.version.Kind,
		Labels: labelsOf(f.secret, f.version.Number), Created: f.version.Created, Value: value,
	}
}

// find takes one snapshot of everything that a read needs, or finds all of it
// among what is kept.
func (s *Session) find(ctx context.Context, name secret.Name, sel store.Selector) (f found, err error) {
	if f, ok := s.findKnown(name, sel); ok {
		return f, nil
	}
	keep, epoch := s.keeper(name, sel), s.vault.rules.before()
	err = s.vault.store.View(ctx, func(r store.Reader) error {
		f.key.release() // of a run that failed
		f = found{}
		store.LookAhead(r, func(r store.Reader) { s.foresee(r, name, sel) })
		var err error
		if f.tenant, err = s.known(r); err != nil {
			return err
		}
		j, err := s.ruler(r, f.tenant)
		if err != nil {
			return err
		}
		s.vault.rules.confirm(f.tenant.ID, j.rules, epoch)
		if err := j.allow(policy.Read, unseen(name)); err != nil {
			return err // as in load
		}
		f.secret, f.version, err = r.Secrets(f.tenant.ID).Find(name, sel, s.caller.principal)
		if err := j.readable(name, f.secret, err); err != nil {
			return err
		}
		f.key, err = s.vault.key(r, f.tenant.ID, f.version.Key, f.version.Algorithm)
		return err
	})
	if err == nil {
		keep(f)
	}
	return f, err
}

// foresee makes the looks of find, if it is known before it where they go.
func (s *Session) foresee(r store.Reader, name secret.Name, sel store.Selector) {
	if s.caller.tenant != s.tenant {
		return
	}
	id := s.caller.tenantID
	r.Tenants().ByName(s.tenant)
	readSettings(r, id)
	r.Secrets(id).Find(name, sel, s.caller.principal)
}

// keeper returns what keeps the rows that a read will find. It must be called
// before they are read, and keeps nothing for a tenant that is not known yet.
func (s *Session) keeper(name secret.Name, sel store.Selector) func(found) {
	versions := &s.vault.versions
	t, ok := s.vault.tenants.get(s.tenant)
	if !ok {
		return func(found) {}
	}
	key := versionKey{t.ID, name, sel, s.caller.principal}
	epoch := versions.epoch(key)
	return func(f found) {
		if f.tenant.ID == t.ID && len(f.version.Ciphertext) <= maxKnownValue {
			versions.put(key, epoch, knownVersion{f.secret, f.version})
		}
	}
}

// findKnown finds what a read needs among what is kept, and decides as find
// does. What it refuses or misses is left to the snapshot.
func (s *Session) findKnown(name secret.Name, sel store.Selector) (f found, ok bool) {
	t, err := s.admitKnown()
	if err != nil {
		return f, false
	}
	rules, ok := s.vault.rules.get(t.ID)
	if !ok {
		return f, false
	}
	row, ok := s.vault.versions.get(versionKey{t.ID, name, sel, s.caller.principal})
	if !ok || !s.rulerBy(rules).mayRead(row.secret) {
		return f, false
	}
	v := row.version
	key := s.vault.keys.get(keyRef{t.ID, v.Key, v.Algorithm == secret.HybridQuantum})
	if key == nil {
		return f, false
	}
	return found{tenant: t, secret: row.secret, version: v, key: key}, true
}

// mayRead reports whether the caller may read the secret, and it is not
// deleted. What may be read once it was looked up may be looked up.
func (j ruler) mayRead(sec *store.Secret) bool {
	return sec.Deletion.IsZero() && j.rules.Decide(j.request(policy.Read, present(sec))) == policy.Allow && j.session.pass(sec) == nil
}

// readable decides on a read once the look-up has ended with err; sec is nil
// if there is no such secret.
func (j ruler) readable(name secret.Name, sec *store.Secret, err error) error {
	switch {
	case err != nil && !errors.Is(err, store.ErrAbsent):
		return err
	case sec == nil:
		return cmp.Or(j.allow(policy.Read, absent(name, nil)), error(secret.ErrNotFound))
	}
	if refused := j.allow(policy.Read, present(sec)); refused != nil {
		return refused
	}
	if refused := j.session.pass(sec); refused != nil {
		return refused
	}
	switch {
	case !sec.Deletion.IsZero():
		return secret.ErrDeleted
	case err != nil:
		return secret.ErrNotFound
	}
	return nil
}

// open opens the version that was found.
func (f found) open() (*secretbuf.Buffer, error) {
	b := envelope.Binding{Tenant: f.tenant.ID, Secret: f.secret.ID, Version: f.version.ID}
	return envelope.Open(f.key.kek, b, envelope.Sealed{Envelope: f.version.Envelope, Ciphertext: f.version.Ciphertext})
}

// recordRead makes the read durable, together with the days on which the
// version and the reader were last part of one, where that is news.
func (s *Session) recordRead(ctx context.Context, e audit.Entry, f found) error {
	today := day(s.vault.now())
	if f.version.CallerRead >= today && (s.caller.credential == "" || s.caller.lastRead >= today) {
		return s.vault.conclude(ctx, e, nil)
	}
	ref := store.VersionRef{Secret: f.secret.ID, Number: f.version.Number}
	return s.vault.change(ctx, e, func(tx store.Tx, _ *audit.Entry) error {
		if err := s.caller.noteRead(tx, today); err != nil || f.version.CallerRead >= today {
			return err
		}
		err := tx.EditSecrets(f.tenant.ID).Touch(ref, s.caller.principal, today)
		if errors.Is(err, store.ErrAbsent) {
			return nil // purged meanwhile: the read came first
		}
		return err
	})
}

func labelsOf(sec *store.Secret, n secret.Version) []secret.Label {
	labels := []secret.Label{}
	for l, v := range sec.Labels {
		if v == n {
			labels = append(labels, l)
		}
	}
	slices.Sort(labels)
	return labels
}

// Describe tells a secret's metadata.
func (s *Session) Describe(ctx context.Context, name secret.Name) (secret.Info, error) {
	var info secret.Info
	err := s.look(ctx, audit.Describe, name, func(r store.Reader, t *store.Tenant) error {
		sec, err := s.load(r, t, policy.Describe, name)
		if err != nil {
			return err
		}
		info, err = describe(r, t, sec)
		return err
	})
	return settled(info, err)
}

// describe joins a secret's row with its current version's.
func describe(r store.Reader, t *store.Tenant, sec *store.Secret) (secret.Info, error) {
	info := infoOf(sec)
	if info.Version == 0 {
		return info, nil
	}
	v, err := r.Secrets(t.ID).Version(sec.ID, info.Version)
	if err != nil {
		return info, err
	}
	info.VersionID, info.Kind, info.LastRead = v.ID, v.Kind, dayTime(v.LastRead)
	return info, nil
}

func infoOf(sec *store.Secret) secret.Info {
	return secret.Info{
		Name: sec.Name, ID: sec.ID, Metadata: sec.Metadata, Labels: sec.Labels, Version: sec.Labels[secret.Current],
		Created: sec.Created, Changed: sec.Changed, LastRotated: sec.LastRotated, NextRotation: sec.NextRotation,
		Deletion: sec.Deletion,
	}
}

// Page is a part of a list. Next is where the next one begins; empty at the end.
type Page[T any] struct {
	Items []T
	Next  string
}

// ListQuery asks for secrets. The zero value asks for the first page of all
// that are not deleted.
type ListQuery struct {
	Prefix   string
	TagKey   string // only those with this tag
	TagValue string // and this value of it, unless empty
	Due      bool   // only those whose required rotation is due
	Deleted  bool   // only those in their recovery window
	Limit    int    // 1 to secret.MaxPage; 0 is secret.DefaultPage
	Cursor   string // a page's Next
}

// List tells the secrets that the caller may list, by name. A page is a
// moment's truth: what is added or removed between pages neither repeats nor
// hides another secret.
func (s *Session) List(ctx context.Context, q ListQuery) (Page[secret.Info], error) {
	var page Page[secret.Info]
	limit, err := pageSize(q.Limit)
	if err != nil {
		return page, s.Refused(ctx, audit.List, "", err)
	}
	if err := q.validate(); err != nil {
		return page, s.Refused(ctx, audit.List, "", err)
	}
	kind := fmt.Sprintf("secrets\x00%s\x00%s\x00%q%q\x00%t%t", s.tenant, q.Prefix, q.TagKey, q.TagValue, q.Due, q.Deleted)
	after, err := s.vault.parseCursor(kind, q.Cursor)
	if err != nil {
		return page, s.Refused(ctx, audit.List, "", err)
	}
	err = s.look(ctx, audit.List, "", func(r store.Reader, t *store.Tenant) error {
		page = Page[secret.Info]{Items: []secret.Info{}}
		return s.list(r, t, q, secret.Name(after), limit, kind, &page)
	})
	return settled(page, err)
}

func (q ListQuery) validate() error {
	if len(q.Prefix) > secret.MaxName {
		return secret.Limited("prefix", fmt.Sprintf("at most %d characters", secret.MaxName))
	}
	// A name may begin with what alone is none.
	if rest := strings.Trim(q.Prefix, "./"); rest != "" {
		if _, err := secret.ParseName(rest); err != nil {
			return secret.Invalid("prefix", "the beginning of a name: only A-Z, a-z, 0-9 and / _ + = . @ - ! are allowed")
		}
	}
	if utf8.RuneCountInString(q.TagKey) > secret.MaxTagKey {
		return secret.Limited("tagKey", fmt.Sprintf("at most %d characters", secret.MaxTagKey))
	}
	if utf8.RuneCountInString(q.TagValue) > secret.MaxTagValue {
		return secret.Limited("tagValue", fmt.Sprintf("at most %d characters", secret.MaxTagValue))
	}
	if err := secret.CheckText("tagKey", q.TagKey); err != nil {
		return err
	}
	return secret.CheckText("tagValue", q.TagValue)
}

// listScan is how many rows a page may look at for each that it returns, so
// that a filter which hides nearly all cannot hold a reader for long: such a
// page is short, with a cursor to go on.
const listScan = 20

func (s *Session) list(r store.Reader, t *store.Tenant, q ListQuery, after secret.Name, limit int, kind string, page *Page[secret.Info]) error {
	j, err := s.ruler(r, t)
	if err != nil {
		return err
	}
	query := store.Query{Prefix: q.Prefix, After: after, Deleted: q.Deleted, Limit: limit + 1}
	if q.Due {
		query.DueBefore = s.vault.now()
	}
	for scanned := 0; ; {
		rows, err := r.Secrets(t.ID).List(query)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if len(page.Items) == limit || scanned >= limit*listScan {
				page.Next = s.vault.cursor(kind, string(query.After))
				return nil
			}
			query.After = row.Name
			scanned++
			if !tagged(row, q) || !j.mayList(row) {
				continue
			}
			info, err := describe(r, t, row)
			if err != nil {
				return err
			}
			page.Items = append(page.Items, info)
		}
		if len(rows) < query.Limit {
			return nil
		}
	}
}

func tagged(row *store.Secret, q ListQuery) bool {
	if q.TagKey == "" {
		return true
	}
	v, ok := row.Metadata.Tags[q.TagKey]
	return ok && (q.TagValue == "" || v == q.TagValue)
}

func pageSize(n int) (int, error) {
	switch {
	case n == 0:
		return secret.DefaultPage, nil
	case n < 1 || n > secret.MaxPage:
		return 0, secret.Limited("limit", "1 to 500 items a page")
	}
	return n, nil
}

// Versions tells a secret's versions by number.
func (s *Session) Versions(ctx context.Context, name secret.Name, limit int, cursor string) (Page[secret.VersionInfo], error) {
	var page Page[secret.VersionInfo]
	limit, err := pageSize(limit)
	if err != nil {
		return page, s.Refused(ctx, audit.Describe, name, err)
	}
	kind := "versions\x00" + string(s.tenant) + "\x00" + string(name)
	after, err := s.vault.parseVersionCursor(kind, cursor)
	if err != nil {
		return page, s.Refused(ctx, audit.Describe, name, err)
	}
	err = s.look(ctx, audit.Describe, name, func(r store.Reader, t *store.Tenant) error {
		page = Page[secret.VersionInfo]{Items: []secret.VersionInfo{}}
		sec, err := s.load(r, t, policy.Describe, name)
		if err != nil {
			return err
		}
		rows, err := r.Secrets(t.ID).Versions(sec.ID, after, limit+1)
		if err != nil {
			return err
		}
		if len(rows) > limit {
			rows = rows[:limit]
			page.Next = s.vault.cursor(kind, rows[limit-1].Number.String())
		}
		for _, row := range rows {
			page.Items = append(page.Items, versionInfo(sec, row))
		}
		return nil
	})
	return settled(page, err)
}

func versionInfo(sec *store.Secret, v *store.Version) secret.VersionInfo {
	return secret.VersionInfo{
		Version: v.Number, ID: v.ID, Kind: v.Kind, Algorithm: v.Algorithm,
		Labels: labelsOf(sec, v.Number), Created: v.Created, LastRead: dayTime(v.LastRead),
	}
}
