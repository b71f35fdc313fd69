package vault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// keptVersions is how many versions of a policy are kept.
const keptVersions = 10

// Policies is a caller's handle to the policies of one tenant. It works on a
// suspended tenant for operators only.
type Policies struct {
	session *Session
}

// Policies is the handle to the tenant's own policies.
func (s *Session) Policies() *Policies { return &Policies{s} }

// PolicyInfo is what is told of a policy, or of one version of it.
type PolicyInfo struct {
	Name    string
	Version int64
	Bytes   int
	SHA256  string    // of the text, in hexadecimal
	Created time.Time // when this version came to be
}

// Policy is a version of a policy.
type Policy struct {
	PolicyInfo
	Text       string
	Statements []policy.StatementInfo
	Versions   []PolicyInfo // those that are kept, newest first
}

func policyInfo(name string, row policyRow) PolicyInfo {
	return PolicyInfo{Name: name, Version: row.Version, Bytes: len(row.Text), SHA256: textHash(row.Text), Created: row.Created}
}

// textHash names a policy's text.
func textHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// entry begins the entry of an act on a policy.
func (p *Policies) entry(a audit.Action) audit.Entry { return p.session.entry(a, "") }

// view runs f over a snapshot, for those who may change policies and for those
// who review who may do what, and records it.
func (p *Policies) view(ctx context.Context, e audit.Entry, f func(r store.Reader, t *store.Tenant) error) error {
	s := p.session
	err := s.vault.store.View(ctx, func(r store.Reader) error {
		t, err := s.administered(r)
		if err != nil {
			return err
		}
		if err := s.authorize(r, t, policy.Review); err != nil && s.authorize(r, t, policy.ManagePolicies) != nil {
			return err
		}
		return f(r, t)
	})
	return s.vault.conclude(ctx, e, err)
}

// Get tells a version of a policy; version 0 is the one in force.
func (p *Policies) Get(ctx context.Context, name string, version int64) (Policy, error) {
	var found Policy
	e := p.entry(audit.PolicyRead)
	if err := policy.CheckName("name", name); err != nil {
		return found, p.session.vault.refuse(ctx, e, err)
	}
	e.Detail = "policy " + name
	err := p.view(ctx, e, func(r store.Reader, t *store.Tenant) (err error) {
		found, err = readVersion(r, t.ID, name, version)
		return err
	})
	return settled(found, err)
}

func readVersion(r store.Reader, t secret.TenantID, name string, version int64) (found Policy, err error) {
	d, err := r.Documents().Document(t, policyKind, name)
	if err == nil && version != 0 {
		d, err = r.Documents().Document(t, policyVersionKind, versionID(name, version))
	}
	if err != nil {
		return found, err
	}
	row, err := decodeDocument[policyRow](d)
	if err != nil {
		return found, err
	}
	found.PolicyInfo, found.Text = policyInfo(name, row), row.Text
	if text, err := row.text(name); err == nil { // of another release perhaps: then only the text is told
		found.Statements = text.Statements()
	}
	found.Versions, err = readVersions(r, t, name)
	return found, err
}

// readVersions tells of the versions of a policy that are kept, newest first.
func readVersions(r store.Reader, t secret.TenantID, name string) ([]PolicyInfo, error) {
	kept, err := r.Documents().Documents(t, policyVersionKind, name+"/", "", keptVersions)
	if err != nil {
		return nil, err
	}
	all := make([]PolicyInfo, len(kept))
	for i, d := range kept {
		row, err := decodeDocument[policyRow](d)
		if err != nil {
			return nil, err
		}
		all[len(kept)-1-i] = policyInfo(name, row)
	}
	return all, nil
}

// versionID is the id of the document of a version: ids sort as numbers do.
func versionID(name string, version int64) string { return fmt.Sprintf("%s/%018d", name, version) }

// List tells of the policies in force, by name.
func (p *Policies) List(ctx context.Context, limit int, cursor string) (Page[PolicyInfo], error) {
	var page Page[PolicyInfo]
	s, e := p.session, p.entry(audit.PolicyList)
	limit, err := pageSize(limit)
	if err != nil {
		return page, s.vault.refuse(ctx, e, err)
	}
	scope := "policies\x00" + string(s.tenant)
	after, err := s.vault.parseCursor(scope, cursor)
	if err != nil {
		return page, s.vault.refuse(ctx, e, err)
	}
	err = p.view(ctx, e, func(r store.Reader, t *store.Tenant) error {
		rows, err := r.Documents().Documents(t.ID, policyKind, "", after, limit+1)
		if err != nil {
			return err
		}
		page = Page[PolicyInfo]{Items: []PolicyInfo{}}
		if len(rows) > limit {
			rows = rows[:limit]
			page.Next = s.vault.cursor(scope, rows[limit-1].ID)
		}
		for _, d := range rows {
			row, err := decodeDocument[policyRow](d)
			if err != nil {
				return err
			}
			page.Items = append(page.Items, policyInfo(d.ID, row))
		}
		return nil
	})
	return settled(page, err)
}

// PolicyPut is a new version of a policy.
type PolicyPut struct {
	Name string
	Text string
	// Expected is the version that must be in force; 0 for none. Nil does not ask.
	Expected *int64
}

// Put validates a policy and puts it in force: the next request is decided by
// it. It refuses one by which the caller could no longer change policies.
func (p *Policies) Put(ctx context.Context, put PolicyPut) (Policy, error) {
	var made Policy
	text, err := p.parse(ctx, put)
	if err != nil {
		return made, err
	}
	c := rulesChange{audit: audit.PolicyPut, replaced: put.Name, by: text}
	err = p.session.changeRules(ctx, c, func(tx store.Tx, t secret.TenantID, _ *settingsRow) (string, error) {
		old, err := p.expect(tx, t, put.Name, put.Expected)
		if err != nil {
			return "", err
		}
		row := policyRow{Version: old.Version + 1, Text: put.Text, Created: p.session.vault.now(), Schema: policy.SchemaID()}
		if err := p.store(tx, t, put.Name, row); err != nil {
			return "", err
		}
		made = Policy{PolicyInfo: policyInfo(put.Name, row), Text: put.Text, Statements: text.Statements()}
		made.Versions, err = readVersions(tx, t, put.Name)
		return policyChange(put.Name, old, &row, text), err
	})
	return settled(made, err)
}

// parse validates a policy for a caller who may store it.
func (p *Policies) parse(ctx context.Context, put PolicyPut) (*policy.Text, error) {
	s, e := p.session, p.entry(audit.PolicyPut)
	err := s.vault.store.View(ctx, func(r store.Reader) error {
		t, err := s.administered(r)
		if err != nil {
			return err
		}
		return s.authorize(r, t, policy.ManagePolicies)
	})
	if err != nil {
		return nil, s.vault.conclude(ctx, e, err)
	}
	text, err := policy.ParseText(put.Name, put.Text)
	if err != nil {
		return nil, s.vault.conclude(ctx, e, err)
	}
	return text, nil
}

// Delete ends a policy; its versions are deleted too. With expected, that
// version must be in force.
func (p *Policies) Delete(ctx context.Context, name string, expected *int64) error {
	if err := policy.CheckName("name", name); err != nil {
		return p.session.vault.refuse(ctx, p.entry(audit.PolicyDelete), err)
	}
	c := rulesChange{audit: audit.PolicyDelete, replaced: name}
	return p.session.changeRules(ctx, c, func(tx store.Tx, t secret.TenantID, _ *settingsRow) (string, error) {
		old, err := p.expect(tx, t, name, expected)
		switch {
		case err != nil:
			return "", err
		case old.Version == 0:
			return "", secret.ErrNotFound
		}
		return policyChange(name, old, nil, nil), deletePolicy(tx, t, name)
	})
}

// expect reads a policy, which must have the expected version; one that is not
// there has version 0.
func (p *Policies) expect(r store.Reader, t secret.TenantID, name string, expected *int64) (row policyRow, err error) {
	d, err := r.Documents().Document(t, policyKind, name)
	if err == nil {
		row, err = decodeDocument[policyRow](d)
	}
	if err != nil && !errors.Is(err, store.ErrAbsent) {
		return row, err
	}
	if expected != nil && *expected != row.Version {
		return row, secret.Conflict(fmt.Sprintf("version %d of the policy is in force", row.Version))
	}
	return row, nil
}

// store stores a version, and drops the oldest one.
func (p *Policies) store(tx store.Tx, t secret.TenantID, name string, row policyRow) error {
	for _, at := range []store.DocumentRef{{Kind: policyKind, ID: name}, {Kind: policyVersionKind, ID: versionID(name, row.Version)}} {
		d, err := tx.Documents().Document(t, at.Kind, at.ID)
		if errors.Is(err, store.ErrAbsent) {
			d, err = &store.Document{Owner: t, Kind: at.Kind, ID: at.ID}, nil
		}
		if err == nil {
			err = p.session.vault.putDocument(tx, d, row)
		}
		if err != nil {
			return err
		}
	}
	err := tx.EditDocuments().Delete(t, policyVersionKind, versionID(name, row.Version-keptVersions))
	if errors.Is(err, store.ErrAbsent) {
		return nil
	}
	return err
}

func deletePolicy(tx store.Tx, t secret.TenantID, name string) error {
	versions, err := tx.Documents().Documents(t, policyVersionKind, name+"/", "", keptVersions+1)
	if err != nil {
		return err
	}
	for _, d := range versions {
		if err := tx.EditDocuments().Delete(t, policyVersionKind, d.ID); err != nil {
			return err
		}
	}
	return tx.EditDocuments().Delete(t, policyKind, name)
}

// maxNamedStatements bounds how many statements an entry names.
const maxNamedStatements = 50

// policyChange tells the log what was before and what is now, nil for nothing.
func policyChange(name string, old policyRow, now *policyRow, text *policy.Text) string {
	lines := []string{"policy " + name}
	if old.Version != 0 {
		lines = append(lines, fmt.Sprintf("before: version %d, sha256 %s", old.Version, textHash(old.Text)))
	}
	if now != nil {
		var ids []string
		for _, s := range text.Statements() {
			ids = append(ids, s.Effect+" "+s.ID)
		}
		if n := len(ids) - maxNamedStatements; n > 0 {
			ids = append(ids[:maxNamedStatements], fmt.Sprintf("and %d more", n))
		}
		lines = append(lines, fmt.Sprintf("now: version %d, sha256 %s: %s", now.Version, textHash(now.Text), strings.Join(ids, ", ")))
	}
	return strings.Join(lines, "\n")
}
