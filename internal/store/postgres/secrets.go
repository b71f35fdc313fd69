package postgres

import (
	"errors"
	"maps"

	"github.com/jackc/pgx/v5"

	"fastness/internal/schedule"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// secrets reads one tenant's secrets.
type secrets struct {
	*reader
	tenant secret.TenantID
}

// secretRow is the part secret_columns.
type secretRow struct {
	id, name                                                      []byte
	main                                                          [len(mainLabels)]*int64
	last, revision, algorithm, versions                           int64
	rotationRequired                                              bool
	rotationInterval                                              string
	created, changed, lastRotated, nextRotation, deletion, workAt *int64
	description                                                   *string
	labels, tags, accessPolicy, aws                               []byte
}

// mainLabels are the labels with a column each, in that order.
var mainLabels = [...]secret.Label{secret.Current, secret.Previous, secret.Pending}

func (r *secretRow) columns() []any {
	return []any{
		&r.id, &r.name, &r.main[0], &r.main[1], &r.main[2], &r.last, &r.revision, &r.algorithm,
		&r.rotationRequired, &r.rotationInterval, &r.created, &r.changed, &r.lastRotated, &r.nextRotation,
		&r.deletion, &r.description, &r.labels, &r.tags, &r.accessPolicy, &r.versions, &r.aws, &r.workAt,
	}
}

func (r *secretRow) secret() (*store.Secret, error) {
	out := &store.Secret{
		ID: secret.ID(r.id), Name: secret.Name(r.name),
		Labels: make(map[secret.Label]secret.Version, 2), Last: secret.Version(r.last), Versions: int(r.versions),
		Created: moment(r.created), Changed: moment(r.changed), LastRotated: moment(r.lastRotated),
		NextRotation: moment(r.nextRotation), Deletion: moment(r.deletion), WorkAt: moment(r.workAt), Revision: r.revision,
	}
	for i, l := range mainLabels {
		if n := r.main[i]; n != nil {
			out.Labels[l] = secret.Version(*n)
		}
	}
	m := &out.Metadata
	m.RotationRequired, m.RotationInterval = r.rotationRequired, schedule.Interval(r.rotationInterval)
	m.Description = textOf(r.description)
	var err error
	m.Algorithm, err = algorithmOf(r.algorithm)
	return out, errors.Join(err, parseJSON(r.labels, &out.Labels), parseJSON(r.tags, &m.Tags),
		parseJSON(r.accessPolicy, &m.AccessPolicy), parseJSON(r.aws, &out.AWS))
}

func scanSecret(row pgx.CollectableRow) (*store.Secret, error) {
	var r secretRow
	if err := row.Scan(r.columns()...); err != nil {
		return nil, err
	}
	return r.secret()
}

// versionRow is the part version_columns, all of which is NULL where a version
// was looked for beside its secret and there is none.
type versionRow struct {
	number, kind, algorithm, key, created, lastRead *int64
	id                                              *string
	envelope, ciphertext                            []byte
}

func (r *versionRow) columns() []any {
	return []any{&r.number, &r.id, &r.kind, &r.algorithm, &r.key, &r.created, &r.envelope, &r.ciphertext, &r.lastRead}
}

func (r *versionRow) version() (*store.Version, error) {
	algorithm, err := algorithmOf(*r.algorithm)
	return &store.Version{
		Number: secret.Version(*r.number), ID: secret.VersionID(*r.id), Kind: secret.Kind(*r.kind), Algorithm: algorithm,
		Key: uint32(*r.key), Envelope: r.envelope, Ciphertext: r.ciphertext, Created: moment(r.created), LastRead: dayOf(r.lastRead),
	}, err
}

func dayOf(n *int64) int32 {
	if n == nil {
		return 0
	}
	return int32(*n)
}

func scanVersion(row pgx.CollectableRow) (*store.Version, error) {
	var r versionRow
	if err := row.Scan(r.columns()...); err != nil {
		return nil, err
	}
	return r.version()
}

// found is what Find reads: a secret, and its version or none.
type found struct {
	secret  *store.Secret
	version *store.Version
}

func scanFound(row pgx.CollectableRow) (f found, err error) {
	var s secretRow
	var v versionRow
	var callerRead *int64
	if err := row.Scan(append(append(s.columns(), v.columns()...), &callerRead)...); err != nil {
		return f, err
	}
	if f.secret, err = s.secret(); err != nil || v.number == nil {
		return f, err
	}
	if f.version, err = v.version(); err == nil {
		f.version.CallerRead = dayOf(callerRead)
	}
	return f, err
}

func (r secrets) Secret(name secret.Name) (*store.Secret, error) {
	return row(r.session, "secret"+r.held, scanSecret, r.tenant[:], []byte(name))
}

// Find takes one statement for the usual selectors. A label without a column
// takes two: the first tells where it is. So does a transaction that writes: a
// statement that waited for a lock joins rows of two moments.
func (r secrets) Find(name secret.Name, sel store.Selector, principal string) (*store.Secret, *store.Version, error) {
	labelled := sel.Number == 0 && sel.ID == "" && sel.Label != "" && sel.Label != secret.Current
	query, which := "find", any(optional(int64(sel.Number)))
	if sel.Number == 0 && sel.ID != "" {
		query, which = "find_by_id", string(sel.ID)
	}
	if labelled || r.held != "" {
		sec, err := r.Secret(name)
		if err != nil {
			return nil, nil, err
		}
		if labelled && sec.Labels[sel.Label] == 0 {
			return sec, nil, store.ErrAbsent
		}
		if labelled {
			which = optional(int64(sec.Labels[sel.Label]))
		}
	}
	f, err := row(r.session, query, scanFound, r.tenant[:], []byte(name), []byte(principal), which)
	switch {
	case err != nil:
		return nil, nil, err
	case f.version == nil || !selected(f.secret, f.version, sel):
		return f.secret, nil, store.ErrAbsent
	}
	return f.secret, f.version, nil
}

// selected reports whether all that the selector names is true of the version.
func selected(s *store.Secret, v *store.Version, sel store.Selector) bool {
	return (sel.Number == 0 || sel.Number == v.Number) &&
		(sel.ID == "" || sel.ID == v.ID) &&
		(sel.Label == "" || s.Labels[sel.Label] == v.Number)
}

func (r secrets) Versions(id secret.ID, after secret.Version, limit int) ([]*store.Version, error) {
	return rows(r.session, "version_list", scanVersion, r.tenant[:], id[:], int64(after), max(limit, 0))
}

func (r secrets) Version(id secret.ID, number secret.Version) (*store.Version, error) {
	return row(r.session, "version", scanVersion, r.tenant[:], id[:], int64(number))
}

func (r secrets) List(q store.Query) ([]*store.Secret, error) {
	name, args := "secret_list", []any{r.tenant[:], firstOf(q.Prefix, string(q.After)), afterPrefix(q.Prefix), max(q.Limit, 0)}
	switch {
	case q.Deleted:
		name = "secret_list_deleted"
	case !q.DueBefore.IsZero():
		name, args = "secret_list_due", append(args, q.DueBefore.UnixMilli())
	}
	return rows(r.session, name, scanSecret, args...)
}

// firstOf returns the first text with the prefix behind after.
func firstOf(prefix, after string) []byte {
	if after != "" && after >= prefix {
		return append([]byte(after), 0)
	}
	return []byte(prefix)
}

// afterPrefix returns what sorts after all valid UTF-8 with the prefix.
func afterPrefix(prefix string) []byte { return append([]byte(prefix), 0xff) }

func (r secrets) NotUnderKey(number uint32, after store.VersionRef, limit int) ([]store.VersionRef, error) {
	return rows(r.session, "version_walk", func(row pgx.CollectableRow) (ref store.VersionRef, err error) {
		var id []byte
		if err := row.Scan(&id, &ref.Number); err != nil {
			return ref, err
		}
		ref.Secret = secret.ID(id)
		return ref, nil
	}, r.tenant[:], after.Secret[:], int64(after.Number), int64(number), max(limit, 0))
}

func (r secrets) Consumers(id secret.ID) ([]store.Consumer, error) {
	return rows(r.session, "consumer_list", func(row pgx.CollectableRow) (c store.Consumer, err error) {
		var principal []byte
		err = row.Scan(&principal, &c.Version, &c.Day)
		c.Principal = string(principal)
		return c, err
	}, r.tenant[:], id[:])
}

func (r secrets) Usage() (store.Usage, error) {
	u, err := r.usage(r.tenant)
	return store.Usage{Secrets: u.secrets, Versions: u.versions, Bytes: u.bytes}, err
}

// secretWriter changes one tenant's secrets.
type secretWriter struct {
	*tx
	tenant secret.TenantID
}

func (w secretWriter) Create(s *store.Secret) error {
	args, err := w.args(s)
	if err != nil {
		return err
	}
	if err := w.add("secret_create", args, "owner_exists", w.tenant[:]); err != nil {
		return err
	}
	w.count(w.tenant, counts{secrets: 1})
	return nil
}

func (w secretWriter) Update(s *store.Secret) error {
	args, err := w.args(s)
	if err != nil {
		return err
	}
	err = w.swap("secret_update", args, "secret_exists", w.tenant[:], s.ID[:])
	if err == nil {
		w.raise(&s.Revision)
	}
	return err
}

// args are the parameters of secret_create and secret_update.
func (w secretWriter) args(s *store.Secret) ([]any, error) {
	others := maps.Clone(s.Labels)
	args := []any{w.tenant[:], s.ID[:], []byte(s.Name)}
	for _, l := range mainLabels {
		args = append(args, optional(int64(s.Labels[l])))
		delete(others, l)
	}
	m := &s.Metadata
	algorithm, err := algorithmNumber(m.Algorithm)
	if err != nil {
		return nil, err
	}
	labels, err1 := jsonText(others, len(others) == 0)
	tags, err2 := jsonText(m.Tags, len(m.Tags) == 0)
	policy, err3 := jsonText(m.AccessPolicy, m.AccessPolicy.IsZero())
	aws, err4 := jsonText(s.AWS, s.AWS.IsZero())
	return append(args, int64(s.Last), s.Revision, algorithm, m.RotationRequired, string(m.RotationInterval),
		millis(s.Created), millis(s.Changed), millis(s.LastRotated), millis(s.NextRotation), millis(s.Deletion),
		optionalText(m.Description), labels, tags, policy, int64(s.Versions),
		aws, millis(s.WorkAt)), errors.Join(err1, err2, err3, err4)
}

// Purge takes who read what with the versions.
func (w secretWriter) Purge(id secret.ID) error {
	gone, err := row(w.session, "purge_versions", func(row pgx.CollectableRow) (c counts, err error) {
		return c, row.Scan(&c.versions, &c.bytes)
	}, w.tenant[:], id[:])
	if err != nil {
		return err
	}
	if err := w.change("purge_secret", w.tenant[:], id[:]); err != nil {
		return err
	}
	w.count(w.tenant, counts{secrets: -1, versions: -gone.versions, bytes: -gone.bytes})
	return nil
}

func (w secretWriter) AddVersion(id secret.ID, v *store.Version) error {
	algorithm, err := algorithmNumber(v.Algorithm)
	if err != nil {
		return err
	}
	err = w.add("version_add", []any{
		w.tenant[:], id[:], int64(v.Number), string(v.ID), int64(v.Kind), algorithm, int64(v.Key), millis(v.Created),
		notNil(v.Envelope), notNil(v.Ciphertext),
	}, "secret_exists", w.tenant[:], id[:])
	if err == nil {
		w.count(w.tenant, counts{versions: 1, bytes: int64(len(v.Envelope) + len(v.Ciphertext))})
	}
	return err
}

func (w secretWriter) Rewrap(id secret.ID, v *store.Version, old []byte) error {
	algorithm, err := algorithmNumber(v.Algorithm)
	if err != nil {
		return err
	}
	err = w.swap("version_rewrap", []any{w.tenant[:], id[:], int64(v.Number), notNil(v.Envelope), algorithm, int64(v.Key), notNil(old)},
		"version_exists", w.tenant[:], id[:], int64(v.Number))
	if err == nil {
		w.count(w.tenant, counts{bytes: int64(len(v.Envelope) - len(old))})
	}
	return err
}

func (w secretWriter) DeleteVersion(id secret.ID, n secret.Version) error {
	size, err := row(w.session, "version_delete", number, w.tenant[:], id[:], int64(n))
	if err == nil {
		w.count(w.tenant, counts{versions: -1, bytes: -size})
	}
	return err
}

func (w secretWriter) Touch(ref store.VersionRef, principal string, day int32) error {
	if principal == "" {
		return errors.New("noting a read: no principal")
	}
	who := []byte(principal)
	version := []any{w.tenant[:], ref.Secret[:], int64(ref.Number)}
	if err := w.change("touch", append(version, who, int64(day))...); err != nil {
		return err
	}
	const rows = secret.MaxConsumers + 1 // and the one for all of them
	full, err := w.exists("touch_full", append(version, rows)...)
	if err != nil || !full {
		return err
	}
	_, err = w.exec("touch_trim", append(version, who, secret.MaxConsumers)...)
	return err
}
