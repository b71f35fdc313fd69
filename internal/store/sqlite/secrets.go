package sqlite

import (
	"bytes"
	"errors"
	"fmt"

	"fastness/internal/schedule"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// secrets reads one tenant's secrets.
type secrets struct {
	*reader
	tenant secret.TenantID
}

// query returns a statement with the tenant as its first parameter.
func (r secrets) query(name string) *stmt {
	return r.reader.query(name).blob(1, r.tenant[:])
}

// secretColumns is the number of columns of the part of that name.
const secretColumns = 22

func scanSecret(s *stmt, col int) (*store.Secret, error) {
	out := &store.Secret{
		Name:         secret.Name(s.string(col + 1)),
		Labels:       make(map[secret.Label]secret.Version, 2),
		Last:         secret.Version(s.int64(col + 5)),
		Versions:     int(s.int64(col + 19)),
		Revision:     s.int64(col + 6),
		Created:      s.timeAt(col + 10),
		Changed:      s.timeAt(col + 11),
		LastRotated:  s.timeAt(col + 12),
		NextRotation: s.timeAt(col + 13),
		Deletion:     s.timeAt(col + 14),
		WorkAt:       s.timeAt(col + 21),
	}
	s.fixed(col, out.ID[:])
	for i, l := range mainLabels {
		if n := s.int64(col + 2 + i); n != 0 {
			out.Labels[l] = secret.Version(n)
		}
	}
	return out, scanMetadata(s, col, out)
}

// mainLabels are the labels with a column each, in that order.
var mainLabels = [...]secret.Label{secret.Current, secret.Previous, secret.Pending}

func scanMetadata(s *stmt, col int, out *store.Secret) (err error) {
	m := &out.Metadata
	if m.Algorithm, err = s.algorithmAt(col + 7); err != nil {
		return err
	}
	m.RotationRequired = s.int64(col+8) != 0
	m.RotationInterval = schedule.Interval(s.string(col + 9))
	m.Description = s.string(col + 15)
	if err := s.jsonAt(col+16, &out.Labels); err != nil {
		return err
	}
	if err := s.jsonAt(col+17, &m.Tags); err != nil {
		return err
	}
	if err := s.jsonAt(col+18, &m.AccessPolicy); err != nil {
		return err
	}
	return s.jsonAt(col+20, &out.AWS)
}

// versionColumns is the number of columns of the part of that name.
const versionColumns = 9

// scanVersion reads a version with its ciphertext.
func scanVersion(s *stmt, col int) (*store.Version, error) {
	v, sealed, err := scanListedVersion(s, col)
	if err == nil {
		v.Ciphertext = bytes.Clone(sealed)
	}
	return v, err
}

// scanListedVersion reads a version without its ciphertext, which it returns
// beside it, valid until the next step.
func scanListedVersion(s *stmt, col int) (v *store.Version, ciphertext []byte, err error) {
	v = &store.Version{
		Number:   secret.Version(s.int64(col)),
		ID:       s.versionIDAt(col + 1),
		Kind:     secret.Kind(s.int64(col + 2)),
		Key:      uint32(s.int64(col + 4)),
		Created:  s.timeAt(col + 5),
		LastRead: int32(s.int64(col + 8)),
	}
	if v.Algorithm, err = s.algorithmAt(col + 3); err != nil {
		return nil, nil, err
	}
	content, err := unpad(s.view(col + 7))
	n := s.int64(col + 6)
	if err != nil || n > int64(len(content)) {
		return nil, nil, fmt.Errorf("reading version %d: cell is cut short", v.Number)
	}
	v.Envelope = bytes.Clone(content[:n])
	return v, content[n:], nil
}

func (r secrets) Secret(name secret.Name) (*store.Secret, error) {
	return row(r.query("secret").text(2, string(name)), scanSecret)
}

// Find takes one statement for the usual selectors. A label without a column
// takes two: the first tells where it is.
func (r secrets) Find(name secret.Name, sel store.Selector, principal string) (*store.Secret, *store.Version, error) {
	s, number := "find", sel.Number
	if sel.Number == 0 && sel.ID == "" && sel.Label != "" && sel.Label != secret.Current {
		found, err := r.Secret(name)
		if err != nil {
			return nil, nil, err
		}
		if number = found.Labels[sel.Label]; number == 0 {
			return found, nil, store.ErrAbsent
		}
	} else if sel.Number == 0 && sel.ID != "" {
		s = "find_by_id"
	}
	q := r.query(s).text(2, string(name)).optionalText(3, principal)
	if s == "find_by_id" {
		q.versionID(4, sel.ID)
	} else {
		q.optional(4, int64(number))
	}
	found, v, err := scanFound(q)
	if err == nil && !selected(found, v, sel) {
		return found, nil, store.ErrAbsent
	}
	return found, v, err
}

func scanFound(s *stmt) (*store.Secret, *store.Version, error) {
	defer s.reset()
	if err := s.one(); err != nil {
		return nil, nil, err
	}
	found, err := scanSecret(s, 0)
	if err != nil {
		return nil, nil, err
	}
	if s.isNull(secretColumns) {
		return found, nil, store.ErrAbsent
	}
	v, err := scanVersion(s, secretColumns)
	if err != nil {
		return nil, nil, err
	}
	v.CallerRead = int32(s.int64(secretColumns + versionColumns))
	return found, v, nil
}

// selected reports whether all that the selector names is true of the version.
func selected(s *store.Secret, v *store.Version, sel store.Selector) bool {
	return (sel.Number == 0 || sel.Number == v.Number) &&
		(sel.ID == "" || sel.ID == v.ID) &&
		(sel.Label == "" || s.Labels[sel.Label] == v.Number)
}

func (r secrets) Versions(id secret.ID, after secret.Version, limit int) ([]*store.Version, error) {
	return rows(r.query("version_list").blob(2, id[:]).int(3, int64(after)).limit(4, limit),
		func(s *stmt, col int) (*store.Version, error) {
			v, _, err := scanListedVersion(s, col)
			return v, err
		})
}

func (r secrets) Version(id secret.ID, number secret.Version) (*store.Version, error) {
	return row(r.query("version").blob(2, id[:]).int(3, int64(number)), scanVersion)
}

func (r secrets) List(q store.Query) ([]*store.Secret, error) {
	name := "secret_list"
	switch {
	case q.Deleted:
		name = "secret_list_deleted"
	case !q.DueBefore.IsZero():
		name = "secret_list_due"
	}
	s := r.query(name).text(2, firstOf(q.Prefix, string(q.After))).text(3, afterPrefix(q.Prefix)).limit(4, q.Limit)
	if name == "secret_list_due" {
		s.time(5, q.DueBefore)
	}
	return rows(s, scanSecret)
}

// firstOf returns the first text with the prefix behind after.
func firstOf(prefix, after string) string {
	if after != "" && after >= prefix {
		return after + "\x00"
	}
	return prefix
}

// afterPrefix returns a text that sorts after all valid UTF-8 with the prefix.
func afterPrefix(prefix string) string { return prefix + "\xff" }

func (r secrets) NotUnderKey(number uint32, after store.VersionRef, limit int) ([]store.VersionRef, error) {
	return rows(r.query("version_walk").
		blob(2, after.Secret[:]).int(3, int64(after.Number)).int(4, int64(number)).limit(5, limit),
		func(s *stmt, col int) (ref store.VersionRef, err error) {
			s.fixed(col, ref.Secret[:])
			ref.Number = secret.Version(s.int64(col + 1))
			return ref, nil
		})
}

func (r secrets) Consumers(id secret.ID) ([]store.Consumer, error) {
	return rows(r.query("consumer_list").blob(2, id[:]), func(s *stmt, col int) (store.Consumer, error) {
		return store.Consumer{
			Principal: s.string(col),
			Version:   secret.Version(s.int64(col + 1)),
			Day:       int32(s.int64(col + 2)),
		}, nil
	})
}

func (r secrets) Usage() (store.Usage, error) {
	u, err := row(r.query("usage"), func(s *stmt, col int) (store.Usage, error) {
		return store.Usage{Secrets: s.int64(col), Versions: s.int64(col + 1), Bytes: s.int64(col + 2)}, nil
	})
	if errors.Is(err, store.ErrAbsent) {
		return store.Usage{}, nil // who is not there has nothing
	}
	return u, err
}

// secretWriter changes one tenant's secrets.
type secretWriter struct {
	*tx
	tenant secret.TenantID
}

// write returns a statement with the tenant and a secret's id as its first
// parameters.
func (w secretWriter) write(name string, id secret.ID) *stmt {
	return w.tx.write(name).blob(1, w.tenant[:]).blob(2, id[:])
}

func (w secretWriter) query(name string, id secret.ID) *stmt {
	return w.tx.query(name).blob(1, w.tenant[:]).blob(2, id[:])
}

func (w secretWriter) Create(s *store.Secret) error {
	return change(bindSecret(w.write("secret_create", s.ID), s))
}

func (w secretWriter) Update(s *store.Secret) error {
	err := swap(bindSecret(w.write("secret_update", s.ID), s), func() *stmt { return w.query("secret_exists", s.ID) })
	if err == nil {
		s.Revision++
	}
	return err
}

// bindSecret sets what secret_create and secret_update have in common, from ?3 on.
func bindSecret(q *stmt, s *store.Secret) *stmt {
	others := make(map[secret.Label]secret.Version)
	for l, v := range s.Labels {
		others[l] = v
	}
	q.text(3, string(s.Name))
	for i, l := range mainLabels {
		q.optional(4+i, int64(s.Labels[l]))
		delete(others, l)
	}
	m := &s.Metadata
	return q.int(7, int64(s.Last)).int(8, s.Revision).
		algorithm(9, m.Algorithm).int(10, bit(m.RotationRequired)).text(11, string(m.RotationInterval)).
		time(12, s.Created).time(13, s.Changed).time(14, s.LastRotated).time(15, s.NextRotation).
		time(16, s.Deletion).optionalText(17, m.Description).
		json(18, others, len(others) == 0).json(19, m.Tags, len(m.Tags) == 0).
		json(20, m.AccessPolicy, m.AccessPolicy.IsZero()).int(21, int64(s.Versions)).
		json(22, s.AWS, s.AWS.IsZero()).time(23, s.WorkAt)
}

func (w secretWriter) Purge(id secret.ID) error {
	for _, name := range []string{"purge_cells", "purge_versions", "purge_consumers"} {
		if _, err := w.write(name, id).run(); err != nil {
			return err
		}
	}
	return change(w.write("purge_secret", id))
}

func (w secretWriter) AddVersion(id secret.ID, v *store.Version) error {
	cell, err := w.putCell(v.Envelope, v.Ciphertext)
	if err != nil {
		return err
	}
	err = change(w.write("version_add", id).
		int(3, int64(v.Number)).versionID(4, v.ID).int(5, int64(v.Kind)).algorithm(6, v.Algorithm).
		int(7, int64(v.Key)).time(8, v.Created).int(9, cell).int(10, int64(len(v.Envelope))).
		int(11, int64(len(v.Envelope)+len(v.Ciphertext))))
	if err != nil {
		return errors.Join(err, w.clearCell(cell)) // the operation may go on without it
	}
	return nil
}

// cell returns the cell of a version.
func (w secretWriter) cell(id secret.ID, n secret.Version) (int64, error) {
	return row(w.query("version_cell", id).int(3, int64(n)), number)
}

func (w secretWriter) Rewrap(id secret.ID, v *store.Version, old []byte) error {
	there, err := w.Secrets(w.tenant).Version(id, v.Number)
	if err != nil {
		return err
	}
	if !bytes.Equal(there.Envelope, old) {
		return store.ErrStale
	}
	cell, err := w.cell(id, v.Number)
	if err != nil {
		return err
	}
	if cell, err = w.replaceCell(cell, v.Envelope, there.Ciphertext); err != nil {
		return err
	}
	return change(w.write("version_rewrap", id).
		int(3, int64(v.Number)).int(4, cell).int(5, int64(len(v.Envelope))).algorithm(6, v.Algorithm).int(7, int64(v.Key)).
		int(8, int64(len(v.Envelope)+len(there.Ciphertext))))
}

func (w secretWriter) DeleteVersion(id secret.ID, number secret.Version) error {
	cell, err := w.cell(id, number)
	if err != nil {
		return err
	}
	if err := w.clearCell(cell); err != nil {
		return err
	}
	if _, err := w.write("version_delete_consumers", id).int(3, int64(number)).run(); err != nil {
		return err
	}
	return change(w.write("version_delete", id).int(3, int64(number)))
}

func (w secretWriter) Touch(ref store.VersionRef, principal string, day int32) error {
	if principal == "" {
		return fmt.Errorf("noting a read: no principal")
	}
	at := func(q *stmt) *stmt { return q.int(3, int64(ref.Number)) }
	if err := change(at(w.write("touch", ref.Secret)).text(4, principal).int(5, int64(day))); err != nil {
		return err
	}
	const rows = secret.MaxConsumers + 1 // and the one for all of them
	full, err := at(w.query("touch_full", ref.Secret)).int(4, rows).exists()
	if err != nil || !full {
		return err
	}
	_, err = at(w.write("touch_trim", ref.Secret)).text(4, principal).int(5, secret.MaxConsumers).run()
	return err
}
