package dump_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"fastness/internal/dump"
	"fastness/internal/store"
)

// vectors returns the lines of the published rows, one of each kind.
func vectors(t testing.TB) [][]byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "rows.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
}

// TestVectors holds the form of rows to what has been published: each parses,
// and is written to the same bytes again.
func TestVectors(t *testing.T) {
	seen := make(map[string]bool)
	for _, line := range vectors(t) {
		r, err := dump.ParseRow(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		seen[r.Kind()] = true
		again, err := r.Append(nil)
		if err != nil || !bytes.Equal(bytes.TrimSpace(again), bytes.TrimSpace(line)) {
			t.Errorf("written again, error %v:\n%s%s", err, line, again)
		}
	}
	if n := reflect.TypeFor[dump.Row]().NumField(); len(seen) != n {
		t.Errorf("%d of %d kinds of row are published", len(seen), n)
	}
}

// TestRowsHaveAllFields finds a field that was added to a row of the store and is
// in no published line: it does not travel, or nobody has said so.
func TestRowsHaveAllFields(t *testing.T) {
	text := string(bytes.Join(vectors(t), nil))
	for _, row := range []any{store.Tenant{}, store.TenantKey{}, store.Principal{}, store.Credential{}, store.Document{}, store.Secret{}, store.Version{}, store.Consumer{}, store.Run{}, store.Checkpoint{}, dump.Head{}, dump.Archive{}} {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(row)) {
			if !strings.Contains(text, `"`+f.Name+`":`) {
				t.Errorf("%T.%s is in no published row", row, f.Name)
			}
		}
	}
}

func TestParseRowRefuses(t *testing.T) {
	for _, line := range []string{
		"", "{}", "null", "[]", "{", `{"none":{}}`, `{"tree":{"Size":1,"Root":"AA=="}}`, `{"meta":{"Key":"a","Data":null},"tile":{}}`,
		`{"tenant":{"ID":"00"}}`, `{"secret":{"Tenant":"00000000000000000000000000000000"}}`, `{"key":{}}`, `{"principal":{}}`, `{"credential":{}}`,
		`{"document":{}}`, `{"version":{}}`, `{"consumer":{}}`, `{"run":{}}`, `{"checkpoint":{}}`, `{"batch":{"First":0,"Places":"","Records":[]}}`,
		`{"pending":{"Number":1,"Records":["AA=="]}}`, `{"meta":{"Key":"a","Data":"","More":1}}`, `{"meta":{"Key":"a","Data":""}} {}`,
		`{"credential":{"Tenant":"00000000000000000000000000000000","Hash":"AA==","ID":"x"}}`,
	} {
		if _, err := dump.ParseRow([]byte(line)); !errors.Is(err, dump.ErrFormat) {
			t.Errorf("%s: error is %v, want ErrFormat", line, err)
		}
	}
}

// TestAppendKeepsTexts: what JSON cannot hold is refused, not replaced.
func TestAppendKeepsTexts(t *testing.T) {
	for text, fits := range map[string]bool{"\xff": false, "a\xc3": false, "\\\xff": false, "\ufffd": true, `\ufffd`: true, `\\ufffd`: true, "ü": true} {
		if _, err := (&dump.Row{Meta: &dump.Meta{Key: text}}).Append(nil); (err == nil) != fits {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

func FuzzParseRow(f *testing.F) {
	for _, line := range vectors(f) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := dump.ParseRow(line)
		if err != nil {
			return
		}
		once, err := r.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := dump.ParseRow(once)
		if err != nil {
			t.Fatalf("%s is written, and not read: %v", once, err)
		}
		if twice, err := again.Append(nil); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s\nis written again as\n%s", once, twice)
		}
	})
}
