package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"fastness/internal/audit"
	"fastness/internal/secret"
)

// story is a log with an older checkpoint of size 10 that was handed out to
// acme, a redacted entry, and both kinds of bundle, made in the order tenant,
// whole.
type story struct {
	*fixture
	older         []byte
	tenant, whole []byte
}

func newStory(t testing.TB) *story {
	t.Helper()
	s := &story{fixture: newFixture(t)}
	s.fill(t, 10)
	s.older = s.checkpoint(t)
	s.add(t, audit.Entry{TenantID: "acme", Action: audit.AuditCheckpoint, UserID: "auditor", TreeSize: 10})
	s.fill(t, 9)
	s.recs[5] = s.recs[5].Redact()
	s.add(t, audit.Entry{TenantID: "acme", Action: audit.AuditRedact, UserID: "admin", Detail: "5"})
	s.tenant = s.export(t, "acme", "nonce-1", 0)
	s.whole = s.export(t, "", "nonce-2", 0)
	return s
}

func verify(b []byte, ks audit.KeySet, o audit.Options) (*audit.Report, error) {
	return audit.Verify(bytes.NewReader(b), ks, o)
}

func TestVerifyTenant(t *testing.T) {
	s := newStory(t)
	r, err := verify(s.tenant, s.keys, audit.Options{Since: s.older, Nonce: "nonce-1"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Tenant != "acme" || r.Tenants != 1 || r.Redacted != 1 || r.Redactions != 1 || r.Since != 10 ||
		r.Entries < 10 || r.Nonce != "nonce-1" || r.Origin != origin {
		t.Errorf("%+v", r)
	}
	if c, err := audit.OpenCheckpoint([]byte(r.Checkpoint), s.keys); err != nil || c.Size != r.Size || c.Root != r.Root {
		t.Errorf("the report's checkpoint: %v", err)
	}
}

func TestVerifyWhole(t *testing.T) {
	s := newStory(t)
	r, err := verify(s.whole, s.keys, audit.Options{Since: s.older, Nonce: "nonce-2"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Tenant != "" || r.Tenants != 3 || r.Entries != s.size() || r.Redacted != 1 || r.LastIndex != s.size()-1 ||
		!r.From.Before(r.To) || r.Root != s.tree.Hash {
		t.Errorf("%+v", r)
	}
}

func TestVerifySizes(t *testing.T) {
	for n := range 40 {
		f := newFixture(t)
		f.fill(t, n)
		for _, tenant := range []secret.TenantName{"acme", "beta", ""} {
			if _, err := verify(f.export(t, tenant, "", 0), f.keys, audit.Options{}); err != nil {
				t.Fatalf("%d entries before, tenant %q: %v", n, tenant, err)
			}
		}
	}
}

func TestVerifyAcrossTiles(t *testing.T) {
	f := newFixture(t)
	f.fill(t, 700)
	older := f.checkpoint(t)
	f.fill(t, 900)
	for _, tenant := range []secret.TenantName{"beta", ""} {
		if _, err := verify(f.export(t, tenant, "n", 700), f.keys, audit.Options{Since: older}); err != nil {
			t.Errorf("tenant %q: %v", tenant, err)
		}
	}
}

func TestVerifySince(t *testing.T) {
	s := newStory(t)
	empty := newFixture(t)
	zero := empty.checkpoint(t)
	s.fill(t, 5)
	atFive := s.checkpoint(t)
	s.fill(t, 5)
	continuing := s.export(t, "acme", "", 0)
	held := s.export(t, "acme", "", sizeOf(t, atFive))
	later := s.checkpoint(t)
	fork := s.fork(t, int(s.size())-8)
	fork.fill(t, 2)
	forkAt10 := fork.checkpoint(t)
	fork.fill(t, int(s.size()-fork.size()))
	forkNow := fork.checkpoint(t)
	whole := s.export(t, "", "", 0)
	now := s.checkpoint(t)
	forkWhole := s.fork(t, 3)
	forkWhole.fill(t, 3)

	tests := []struct {
		name          string
		bundle, since []byte
		want          audit.Kind
	}{
		{"an empty log", s.tenant, zero, ""},
		{"handed out before", s.tenant, s.older, ""},
		{"named by the export", held, atFive, ""},
		{"not named", continuing, atFive, audit.NoConsistency},
		{"bundle is older", s.tenant, later, audit.TruncatedTail},
		{"fork at a size handed out", s.tenant, forkAt10, audit.ForkedTree},
		{"fork of the same size", held, forkNow, audit.ForkedTree},
		{"whole: empty log", s.whole, zero, ""},
		{"whole: any size", whole, atFive, ""},
		{"whole: same size", whole, now, ""},
		{"whole: bundle is older", s.whole, later, audit.TruncatedTail},
		{"whole: fork", s.whole, forkAt10, audit.ForkedTree},
		{"whole: fork of the same size", whole, forkWhole.checkpoint(t), audit.ForkedTree},
		{"broken checkpoint", s.tenant, s.older[:len(s.older)-9], audit.Malformed},
		{"unsigned checkpoint", s.tenant, s.older[:bytes.Index(s.older, []byte("— "))], audit.MissingEd25519},
		{"half signed checkpoint", s.tenant, s.older[:bytes.LastIndex(s.older, []byte("— "))], audit.MissingMLDSA},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := verify(tt.bundle, s.keys, audit.Options{Since: tt.since})
			f := wantKind(t, err, tt.want)
			if tt.want == audit.NoConsistency && !strings.Contains(f.Text, "fastness audit export --since FILE") {
				t.Errorf("%v does not say what to do", f)
			}
		})
	}
}

func sizeOf(t testing.TB, note []byte) int64 {
	t.Helper()
	c, err := audit.ParseCheckpoint(note)
	if err != nil {
		t.Fatal(err)
	}
	return c.Size
}

// edit replaces the only occurrence of old in a line.
func edit(t testing.TB, line []byte, old, new string) []byte {
	t.Helper()
	if n := bytes.Count(line, []byte(old)); n != 1 {
		t.Fatalf("%d times %q in %s", n, old, line)
	}
	return bytes.Replace(line, []byte(old), []byte(new), 1)
}

// lines splits a bundle; each line keeps its newline.
func lines(b []byte) [][]byte { return slices.DeleteFunc(bytes.SplitAfter(b, []byte("\n")), isEmpty) }

func isEmpty(b []byte) bool { return len(b) == 0 }

// entriesOf tells how many entries a bundle's header promises.
func entriesOf(t testing.TB, ls [][]byte) int {
	t.Helper()
	var h struct{ Entries int }
	if err := json.Unmarshal(ls[0], &h); err != nil {
		t.Fatal(err)
	}
	return h.Entries
}

// promise makes the header promise d more entries, and a whole bundle's size with it.
func promise(t testing.TB, ls [][]byte, d int) {
	n := entriesOf(t, ls)
	ls[0] = edit(t, ls[0], fmt.Sprintf(`"entries":%d,`, n), fmt.Sprintf(`"entries":%d,`, n+d))
	if !bytes.Contains(ls[0], []byte(`"tenant"`)) {
		ls[0] = edit(t, ls[0], fmt.Sprintf(`"size":%d,`, n), fmt.Sprintf(`"size":%d,`, n+d))
	}
}

// tampering changes a bundle's lines; entries are lines 1 to n.
type tampering struct {
	name   string
	change func(t testing.TB, ls [][]byte, n int) [][]byte
	tenant audit.Kind // what a tenant's bundle fails with
	whole  audit.Kind // what a whole deployment's bundle fails with
}

func replace(at int, old, new string) func(testing.TB, [][]byte, int) [][]byte {
	return func(t testing.TB, ls [][]byte, n int) [][]byte {
		i := (at + len(ls)) % len(ls) // -1 is the last line
		ls[i] = edit(t, ls[i], old, new)
		return ls
	}
}

// inCheckpoint changes the note in the last line.
func inCheckpoint(change func(t testing.TB, note string) string) func(testing.TB, [][]byte, int) [][]byte {
	return func(t testing.TB, ls [][]byte, n int) [][]byte {
		var c struct {
			Checkpoint string `json:"checkpoint"`
		}
		if err := json.Unmarshal(ls[len(ls)-1], &c); err != nil {
			t.Fatal(err)
		}
		c.Checkpoint = change(t, c.Checkpoint)
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		ls[len(ls)-1] = append(b, '\n')
		return ls
	}
}

func sigEdit(f func(text, ed, ml string) string) func(testing.TB, [][]byte, int) [][]byte {
	return inCheckpoint(func(t testing.TB, note string) string {
		text, ed, ml := sigLines(t, []byte(note))
		return f(text, ed, ml)
	})
}

var tamperings = []tampering{
	{"untouched", func(t testing.TB, ls [][]byte, n int) [][]byte { return ls }, "", ""},

	{"public field changed", replace(3, `"version":"1"`, `"version":"2"`), audit.ChangedEntry, audit.ChangedEntry},
	{"result changed", replace(3, `"result":"success"`, `"result":"failed"`), audit.ChangedEntry, audit.ChangedEntry},
	{"time changed", replace(3, `.123456789Z"`, `.123456780Z"`), audit.ChangedEntry, audit.ChangedEntry},
	{"previous hash too long", replace(3, `"prev":"`, `"prev":"AA`), audit.Malformed, audit.Malformed},
	{"salt changed", func(t testing.TB, ls [][]byte, n int) [][]byte {
		return changeValue(t, ls, 3, "leafSalt")
	}, audit.ChangedEntry, audit.ChangedEntry},
	{"prev changed", func(t testing.TB, ls [][]byte, n int) [][]byte {
		return changeValue(t, ls, 3, "prev")
	}, audit.ChangedEntry, audit.ChangedEntry},
	{"personal salt changed", func(t testing.TB, ls [][]byte, n int) [][]byte {
		return changeValue(t, ls, 3, "personalSalt")
	}, audit.BadCommitment, audit.BadCommitment},
	{"commitment changed", func(t testing.TB, ls [][]byte, n int) [][]byte {
		return changeValue(t, ls, 3, "commitment")
	}, audit.BadCommitment, audit.BadCommitment},
	{"principal changed", replace(3, `"userId":"alice"`, `"userId":"mallory"`), audit.BadCommitment, audit.BadCommitment},
	{"secret changed", replace(3, `"secretName":"db/password"`, `"secretName":"db"`), audit.BadCommitment, audit.BadCommitment},

	{"entry removed", func(t testing.TB, ls [][]byte, n int) [][]byte {
		promise(t, ls, -1)
		return slices.Delete(ls, 4, 5)
	}, audit.RemovedEntry, audit.RemovedEntry},
	{"entry removed, header as it was", func(t testing.TB, ls [][]byte, n int) [][]byte {
		return slices.Delete(ls, 4, 5)
	}, audit.RemovedEntry, audit.RemovedEntry},
	{"first entry removed", func(t testing.TB, ls [][]byte, n int) [][]byte {
		promise(t, ls, -1)
		return slices.Delete(ls, 1, 2)
	}, audit.RemovedEntry, audit.RemovedEntry},
	{"three entries removed", func(t testing.TB, ls [][]byte, n int) [][]byte {
		promise(t, ls, -3)
		return slices.Delete(ls, 2, 5)
	}, audit.RemovedEntry, audit.RemovedEntry},
	{"neighbours swapped", func(t testing.TB, ls [][]byte, n int) [][]byte {
		ls[3], ls[4] = ls[4], ls[3]
		return ls
	}, audit.ReorderedPair, audit.ReorderedPair},
	{"distant pair swapped", func(t testing.TB, ls [][]byte, n int) [][]byte {
		ls[2], ls[n-1] = ls[n-1], ls[2]
		return ls
	}, audit.ReorderedPair, audit.ReorderedPair},
	{"entry twice", func(t testing.TB, ls [][]byte, n int) [][]byte {
		return slices.Insert(ls, 4, bytes.Clone(ls[3]))
	}, audit.ReorderedPair, audit.ReorderedPair},
	{"one entry more than promised", func(t testing.TB, ls [][]byte, n int) [][]byte {
		return slices.Insert(ls, n+1, bytes.Clone(ls[n]))
	}, audit.Malformed, audit.Malformed},

	{"last entry removed", func(t testing.TB, ls [][]byte, n int) [][]byte {
		promise(t, ls, -1)
		return slices.Delete(ls, n, n+1)
	}, audit.TruncatedTail, audit.TruncatedTail},
	{"last entry removed, header as it was", func(t testing.TB, ls [][]byte, n int) [][]byte {
		return slices.Delete(ls, n, n+1)
	}, audit.TruncatedTail, audit.TruncatedTail},
	{"cut between lines", func(t testing.TB, ls [][]byte, n int) [][]byte { return ls[:5] }, audit.TruncatedTail, audit.TruncatedTail},
	{"cut within a line", func(t testing.TB, ls [][]byte, n int) [][]byte {
		ls[5] = ls[5][:40]
		return ls[:6]
	}, audit.TruncatedTail, audit.TruncatedTail},
	{"checkpoint gone", func(t testing.TB, ls [][]byte, n int) [][]byte { return ls[:len(ls)-1] }, audit.TruncatedTail, audit.TruncatedTail},
	{"nothing left", func(t testing.TB, ls [][]byte, n int) [][]byte { return nil }, audit.TruncatedTail, audit.TruncatedTail},

	{"Ed25519 line gone", sigEdit(func(text, ed, ml string) string { return text + ml }), audit.MissingEd25519, audit.MissingEd25519},
	{"Ed25519 signature changed", sigEdit(func(text, ed, ml string) string { return text + flip(ed) + ml }), audit.BadEd25519, audit.BadEd25519},
	{"ML-DSA line gone", sigEdit(func(text, ed, ml string) string { return text + ed }), audit.MissingMLDSA, audit.MissingMLDSA},
	{"ML-DSA signature changed", sigEdit(func(text, ed, ml string) string { return text + ed + flip(ml) }), audit.BadMLDSA, audit.BadMLDSA},
	{"no signatures", sigEdit(func(text, ed, ml string) string { return text }), audit.MissingEd25519, audit.MissingEd25519},
	{"signature lines swapped", sigEdit(func(text, ed, ml string) string { return text + ml + ed }), audit.SecondForm, audit.SecondForm},
	{"a foreign signature line more", sigEdit(func(text, ed, ml string) string {
		return text + ed + ml + "— witness.example AAAAAAAA\n"
	}), audit.SecondForm, audit.SecondForm},

	{"nonce in the header changed", func(t testing.TB, ls [][]byte, n int) [][]byte {
		ls[0] = edit(t, ls[0], `"nonce":"nonce-`, `"nonce":"other-`)
		return ls
	}, audit.NonceMismatch, audit.NonceMismatch},
	{"time of export changed", func(t testing.TB, ls [][]byte, n int) [][]byte {
		return retime(t, ls)
	}, audit.SecondForm, audit.NonceMismatch},
	{"root in the header changed", func(t testing.TB, ls [][]byte, n int) [][]byte {
		return changeValue(t, ls, 0, "root")
	}, audit.ChangedEntry, audit.ForkedTree},
	{"other origin", replace(0, `"origin":"log.example/audit"`, `"origin":"log.example/other"`), audit.WrongOrigin, audit.WrongOrigin},
	{"other format", replace(0, `bundle/1`, `bundle/2`), audit.Malformed, audit.Malformed},
	{"no entries", func(t testing.TB, ls [][]byte, n int) [][]byte {
		ls[0] = edit(t, ls[0], fmt.Sprintf(`"entries":%d`, n), `"entries":0`)
		return ls
	}, audit.Malformed, audit.Malformed},

	{"space in the header", replace(0, `"nonce":`, `"nonce": `), audit.SecondForm, audit.SecondForm},
	{"space in an entry", replace(3, `{"index":`, `{ "index":`), audit.SecondForm, audit.SecondForm},
	{"fields swapped", func(t testing.TB, ls [][]byte, n int) [][]byte {
		ls[3] = edit(t, ls[3], `"ipAddress":"192.0.2.7","userAgent":"curl/8.5"`, `"userAgent":"curl/8.5","ipAddress":"192.0.2.7"`)
		return ls
	}, audit.SecondForm, audit.SecondForm},
	{"escaped letter", replace(3, `"userId":"alice"`, `"userId":"\u0061lice"`), audit.SecondForm, audit.SecondForm},
	{"field twice", replace(3, `"userId":`, `"userId":"bob","userId":`), audit.SecondForm, audit.SecondForm},
	{"field in other case", replace(3, `"userId":`, `"userID":`), audit.SecondForm, audit.SecondForm},
	{"field more", replace(3, `"userId":`, `"more":1,"userId":`), audit.SecondForm, audit.SecondForm},
	{"empty field more", replace(3, `"version":"1"`, `"version":"1","oldVersion":""`), audit.SecondForm, audit.SecondForm},
	{"number with exponent", replace(3, `"version":"1"`, `"version":"1","count":0e1`), audit.Malformed, audit.Malformed},
	{"space in the last line", replace(-1, `{"checkpoint":`, `{"checkpoint" :`), audit.SecondForm, audit.SecondForm},
	{"newline missing at the end", func(t testing.TB, ls [][]byte, n int) [][]byte {
		ls[len(ls)-1] = bytes.TrimSuffix(ls[len(ls)-1], []byte("\n"))
		return ls
	}, audit.SecondForm, audit.SecondForm},
	{"newline more at the end", func(t testing.TB, ls [][]byte, n int) [][]byte {
		return append(ls, []byte("\n"))
	}, audit.SecondForm, audit.SecondForm},
	{"checkpoint twice", func(t testing.TB, ls [][]byte, n int) [][]byte {
		return append(ls, ls[len(ls)-1])
	}, audit.SecondForm, audit.SecondForm},
	{"carriage returns", func(t testing.TB, ls [][]byte, n int) [][]byte {
		return [][]byte{bytes.ReplaceAll(slices.Concat(ls...), []byte("\n"), []byte("\r\n"))}
	}, audit.SecondForm, audit.SecondForm},
	{"line of other kind", func(t testing.TB, ls [][]byte, n int) [][]byte {
		return slices.Insert(ls, len(ls)-1, []byte("{}\n"))
	}, audit.Malformed, audit.Malformed},
	{"endless line", func(t testing.TB, ls [][]byte, n int) [][]byte {
		return slices.Insert(ls, 2, bytes.Repeat([]byte("a"), 1<<20))
	}, audit.Malformed, audit.Malformed},
	{"salt too short", replace(3, `"leafSalt":"`, `"leafSalt":"AAAA","x":"`), audit.SecondForm, audit.SecondForm},
}

// changeValue changes the first character of a base64 value.
func changeValue(t testing.TB, ls [][]byte, at int, field string) [][]byte {
	t.Helper()
	i := bytes.Index(ls[at], []byte(`"`+field+`":"`))
	if i < 0 {
		t.Fatalf("no %q in %s", field, ls[at])
	}
	i += len(field) + 4
	if ls[at][i] == 'A' {
		ls[at][i] = 'B'
	} else {
		ls[at][i] = 'A'
	}
	return ls
}

// retime moves the time of export by a nanosecond.
func retime(t testing.TB, ls [][]byte) [][]byte {
	t.Helper()
	ls[0] = edit(t, ls[0], `456789Z"`, `456788Z"`)
	return ls
}

func TestTampering(t *testing.T) {
	s := newStory(t)
	bundles := []struct {
		name  string
		bytes []byte
		want  func(tampering) audit.Kind
	}{
		{"tenant", s.tenant, func(x tampering) audit.Kind { return x.tenant }},
		{"whole", s.whole, func(x tampering) audit.Kind { return x.whole }},
	}
	for _, b := range bundles {
		for _, x := range tamperings {
			t.Run(b.name+"/"+x.name, func(t *testing.T) {
				ls := lines(bytes.Clone(b.bytes))
				changed := slices.Concat(x.change(t, ls, entriesOf(t, ls))...)
				_, err := verify(changed, s.keys, audit.Options{})
				wantKind(t, err, b.want(x))
			})
		}
	}
}
