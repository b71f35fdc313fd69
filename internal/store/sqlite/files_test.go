package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/store/sqlite"
)

// TestMain lets the test binary play the part of another process.
func TestMain(m *testing.M) {
	if part := os.Getenv("FASTNESS_TEST_PART"); part != "" {
		os.Exit(parts[part](os.Getenv("FASTNESS_TEST_DIR")))
	}
	os.Exit(m.Run())
}

// parts are what the other process can do. They return the exit code.
var parts = map[string]func(dir string) int{
	"open":  openPart,
	"write": writePart,
}

// play starts the test binary in a part.
func play(t *testing.T, part, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "FASTNESS_TEST_PART="+part, "FASTNESS_TEST_DIR="+dir)
	return cmd
}

// openPart opens the store and says how that went.
func openPart(dir string) int {
	s, err := sqlite.Open(context.Background(), sqlite.Config{Dir: dir})
	if err != nil {
		fmt.Println(errors.Is(err, store.ErrLocked), err)
		return 1
	}
	s.Close()
	return 0
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	s := open(t, sqlite.Config{Dir: dir})
	if _, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir}); !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("opening again: %v", err)
	}
	out, err := play(t, "open", dir).Output()
	if err == nil || !strings.HasPrefix(string(out), "true") || !strings.Contains(string(out), dir) {
		t.Errorf("another process opened the store: %v, %s", err, out)
	}
	// The refused ones have not harmed the lock.
	if _, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("opening once more: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := play(t, "open", dir).Output(); err != nil {
		t.Errorf("another process cannot open the closed store: %v, %s", err, out)
	}
}

// TestNewerSchema writes the schema's number where SQLite's file format has it
// (user_version, 4 bytes at offset 60).
func TestNewerSchema(t *testing.T) {
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "fastness.db")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(b[60:], []byte{0, 0, 3, 231})
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // refusing leaves no lock behind
		_, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
		if !errors.Is(err, store.ErrNewerSchema) || !strings.Contains(err.Error(), "schema 999") {
			t.Errorf("opening: %v", err)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, b) {
		t.Errorf("the refused store was changed; %v", err)
	}
}

func TestNotADatabase(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "fastness.db"), bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir}); err == nil {
		s.Close()
		t.Error("a file that is no database was opened")
	}
}

func TestFileModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, sqlite.Config{Dir: dir})
	if err := s.Record(t.Context(), record("acme")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 4 { // database, log, its index, lock
		t.Errorf("files are %v", entries)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", e.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v, %v", info.Mode(), err)
	}
}

// TestPurgedBytes looks for what was deleted in every file of the store. Rows
// of all sizes come and go in random order, so that pages split, merge and
// overflow meanwhile.
func TestPurgedBytes(t *testing.T) {
	dir := t.TempDir()
	s := open(t, sqlite.Config{Dir: dir, CheckpointPages: 64})
	ctx := t.Context()
	m := &marked{live: make(map[string]bool), gone: make(map[string]bool)}
	for i := range m.tenants {
		row := &store.Tenant{ID: secret.NewTenantID(), Name: secret.TenantName(fmt.Sprint("t", i)), Account: secret.NewAccountNumber(), Algorithm: secret.AES256GCM}
		m.tenants[i] = row.ID
		err := s.Update(ctx, func(tx store.Tx) error {
			return errors.Join(tx.EditTenants().Create(row), tx.EditTenants().PutKey(row.ID, &store.TenantKey{Number: 1, KEK: m.mark(60)}))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	erased := m.last
	for range 1500 {
		if err := s.Update(ctx, m.step); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Update(ctx, m.erase); err != nil {
		t.Fatal(err)
	}
	m.drop(erased)
	if err := s.Scrub(ctx); err != nil {
		t.Fatal(err)
	}
	found := marks(t, dir)
	for text := range m.gone {
		if found[text] {
			t.Errorf("%s is still there", text)
		}
	}
	for text := range m.live {
		if !found[text] {
			t.Errorf("%s is not found, though it was not deleted", text)
		}
	}
	t.Logf("%d are gone, %d are live", len(m.gone), len(m.live))
}

// marked fills a store with blobs that are found nowhere else.
type marked struct {
	tenants   [3]secret.TenantID
	secrets   []markedSecret
	documents []markedDocument
	live      map[string]bool
	gone      map[string]bool
	last      string // what mark returned last, as a text to look for
}

type markedSecret struct {
	tenant int
	row    *store.Secret
	texts  map[secret.Version][]string
}

// markedDocument is a document whose sealed part is a mark.
type markedDocument struct {
	tenant int
	row    *store.Document
	text   string
}

// mark returns n bytes that repeat a text.
func (m *marked) mark(n int) []byte {
	m.last = newMark()
	m.live[m.last] = true
	return []byte(strings.Repeat(m.last, n/len(m.last)+1)[:max(n, len(m.last))])
}

func (m *marked) drop(texts ...string) {
	for _, text := range texts {
		delete(m.live, text)
		m.gone[text] = true
	}
}

// stepDocument adds, changes or deletes a document, or lets some expire.
func (m *marked) stepDocument(tx store.Tx) error {
	w := tx.EditDocuments()
	if len(m.documents) < 10 || rand.IntN(3) == 0 {
		d := markedDocument{tenant: rand.IntN(len(m.tenants))}
		d.row = &store.Document{Owner: m.tenants[d.tenant], Kind: "factor", ID: secret.NewUUID(), Key: 1, Created: testTime}
		d.row.Sealed, d.text = m.mark(20+rand.IntN(300)), m.last
		if rand.IntN(4) == 0 {
			d.row.Expires = testTime.Add(time.Hour)
		}
		m.documents = append(m.documents, d)
		return w.Create(d.row)
	}
	i := rand.IntN(len(m.documents))
	d := &m.documents[i]
	switch rand.IntN(10) {
	case 0:
		m.documents = slices.DeleteFunc(m.documents, func(d markedDocument) bool {
			expired := !d.row.Expires.IsZero()
			if expired {
				m.drop(d.text)
			}
			return expired
		})
		_, err := w.Expire(testTime.Add(time.Hour), 1000)
		return err
	case 1, 2, 3:
		m.drop(d.text)
		row := d.row
		m.documents = slices.Delete(m.documents, i, i+1)
		return w.Delete(row.Owner, row.Kind, row.ID)
	}
	m.drop(d.text)
	d.row.Sealed, d.text = m.mark(20+rand.IntN(300)), m.last
	return w.Update(d.row)
}

// step adds a secret, adds, re-wraps or deletes a version, or purges a secret.
func (m *marked) step(tx store.Tx) error {
	if rand.IntN(4) == 0 {
		return m.stepDocument(tx)
	}
	if len(m.secrets) < 20 || rand.IntN(3) == 0 {
		row := &store.Secret{ID: secret.NewID(), Name: secret.Name(secret.NewUUID()), Metadata: secret.Metadata{Algorithm: secret.AES256GCM}}
		m.secrets = append(m.secrets, markedSecret{tenant: rand.IntN(len(m.tenants)), row: row, texts: make(map[secret.Version][]string)})
		if err := tx.EditSecrets(m.tenants[m.secrets[len(m.secrets)-1].tenant]).Create(row); err != nil {
			return err
		}
		return m.add(tx, &m.secrets[len(m.secrets)-1])
	}
	i := rand.IntN(len(m.secrets))
	s := &m.secrets[i]
	w := tx.EditSecrets(m.tenants[s.tenant])
	switch n := secret.Version(1 + rand.IntN(6)); {
	case s.texts[n] == nil:
		return m.add(tx, s)
	case n == 1:
		for _, texts := range s.texts {
			m.drop(texts...)
		}
		id := s.row.ID
		m.secrets = slices.Delete(m.secrets, i, i+1)
		return w.Purge(id)
	case n < 4:
		m.drop(s.texts[n]...)
		delete(s.texts, n)
		return w.DeleteVersion(s.row.ID, n)
	default:
		old := s.texts[n][0]
		v, err := tx.Secrets(m.tenants[s.tenant]).Version(s.row.ID, n)
		if err != nil {
			return err
		}
		envelope := v.Envelope
		v.Envelope = m.mark(20 + rand.IntN(200))
		m.drop(old)
		s.texts[n][0] = m.last
		return w.Rewrap(s.row.ID, v, envelope)
	}
}

// add adds the first version that is not there.
func (m *marked) add(tx store.Tx, s *markedSecret) error {
	n := secret.Version(1)
	for s.texts[n] != nil {
		n++
	}
	v := &store.Version{Number: n, ID: secret.NewVersionID(), Algorithm: secret.AES256GCM}
	v.Envelope = m.mark(90)
	s.texts[n] = []string{m.last}
	v.Ciphertext = m.mark([]int{30, 200, 700, 950, 1100, 4000, 9000, 60000}[rand.IntN(8)])
	s.texts[n] = append(s.texts[n], m.last)
	return tx.EditSecrets(m.tenants[s.tenant]).AddVersion(s.row.ID, v)
}

// erase erases the last tenant.
func (m *marked) erase(tx store.Tx) error {
	last := len(m.tenants) - 1
	for _, s := range m.secrets {
		for _, texts := range s.texts {
			if s.tenant == last {
				m.drop(texts...)
			}
		}
	}
	for _, d := range m.documents {
		if d.tenant == last {
			m.drop(d.text)
		}
	}
	return tx.EditTenants().Erase(m.tenants[last])
}

func newMark() string { return fmt.Sprintf("<mark %016x>", rand.Uint64()) }

var markForm = regexp.MustCompile("<mark [0-9a-f]{16}>")

// marks returns all marks in the files of a folder.
func marks(t *testing.T, dir string) map[string]bool {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range markForm.FindAll(content, -1) {
			found[string(m)] = true
		}
	}
	return found
}

// TestRedactedBytes looks for the personal parts of redacted entries.
func TestRedactedBytes(t *testing.T) {
	dir := t.TempDir()
	s := open(t, sqlite.Config{Dir: dir, CheckpointPages: 64})
	ctx := t.Context()
	const entries = 1000
	var records []audit.Record
	var texts []string
	for len(records) < entries {
		first := len(records)
		for range 1 + rand.IntN(40) {
			texts = append(texts, newMark())
			r, err := audit.NewRecord(audit.Entry{
				Timestamp: testTime, Action: audit.Read, Result: audit.Success, UserID: texts[len(texts)-1], UserAgent: strings.Repeat("x", rand.IntN(200)),
			})
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, r)
		}
		if err := s.Record(ctx, records[first:]...); err != nil {
			t.Fatal(err)
		}
	}
	p := placement(t, s)
	if err := s.Update(ctx, func(tx store.Tx) error { return tx.EditLog().Place(p) }); err != nil {
		t.Fatal(err)
	}
	order := rand.Perm(len(records))
	for _, i := range order[:len(order)/2] {
		err := s.Update(ctx, func(tx store.Tx) error {
			return tx.EditLog().Redact([]store.Redaction{{Index: int64(i), Record: records[i].Redact()}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Scrub(ctx); err != nil {
		t.Fatal(err)
	}
	found := marks(t, dir)
	for _, i := range order[:len(order)/2] {
		if found[texts[i]] {
			t.Errorf("the personal part of entry %d is still there", i)
		}
	}
	// Of the others, some lie across the border of two pages and are not found.
	if len(found) < len(order)/2*9/10 {
		t.Errorf("%d entries of %d are found: the search is wrong", len(found), len(order)/2)
	}
}
