package audit_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fastness/internal/audit"
)

func twoKeys(t testing.TB) audit.KeySet {
	t.Helper()
	return keySet(newSigner(t, 1)).Rotated(4711, newSigner(t, 11).Keys())
}

func TestKeySetRoundTrip(t *testing.T) {
	want := twoKeys(t)
	text, err := want.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	got, err := audit.ParseKeySet(append([]byte("# a comment\n\n"), text...))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestKeySetFor(t *testing.T) {
	ks := twoKeys(t)
	for size, want := range map[int64]int{0: 0, 1: 0, 4711: 0, 4712: 1, 1 << 60: 1} {
		got, ok := ks.For(size)
		if d := cmp.Diff(ks.Ranges[want].Keys, got); !ok || d != "" {
			t.Errorf("size %d: %s", size, d)
		}
	}
	if _, ok := ks.For(-1); ok {
		t.Error("a negative size has keys")
	}
}

func TestParseKeySetIsStrict(t *testing.T) {
	text, err := twoKeys(t).MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	good := string(text)
	edit := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q to edit", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	firstLine := good[strings.Index(good, "0-4711"):strings.Index(good, "4712-")]
	ed := strings.Fields(firstLine)[1]
	tests := map[string]string{
		"empty":            "",
		"no origin":        edit("origin "+origin+"\n", ""),
		"other origin":     edit("origin "+origin, "origin other.example"),
		"origin twice":     edit("origin "+origin, "origin "+origin+"\norigin "+origin),
		"origin with plus": edit("origin "+origin, "origin a+b"),
		"gap":              edit("4712-", "4713-"),
		"overlap":          edit("0-4711", "0-4712"),
		"starts late":      edit("0-4711", "1-4711"),
		"open in middle":   edit("0-4711", "0-"),
		"closed at end":    edit("4712-", "4712-4800"),
		"backwards":        edit("4712-", "4712-12"),
		"leading zero":     edit("0-4711", "00-4711"),
		"no range":         edit("0-4711 ", ""),
		"only one key":     edit(" "+ed, ""),
		"same key twice":   edit(firstLine, "0-4711 "+ed+" "+ed+"\n"),
		"upper case id":    edit("+"+strings.Split(ed, "+")[1], "+"+strings.ToUpper(strings.Split(ed, "+")[1]+"A")),
		"two spaces":       edit("0-4711 ", "0-4711  "),
		"carriage return":  strings.ReplaceAll(good, "\n", "\r\n"),
		"no keys":          "origin " + origin + "\n",
	}
	for name, text := range tests {
		if _, err := audit.ParseKeySet([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestKeySetWritesNoNonsense(t *testing.T) {
	if _, err := (audit.KeySet{Origin: origin}).MarshalText(); err == nil {
		t.Error("a set without keys was written")
	}
}

func FuzzParseKeySet(f *testing.F) {
	text, err := twoKeys(f).MarshalText()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("origin a\n0- a+00000000+AQ== a+00000000+Bg==\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ks, err := audit.ParseKeySet(b)
		if err != nil {
			return
		}
		again, err := ks.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		kept := func(text []byte) (out [][]byte) {
			for line := range bytes.SplitSeq(text, []byte("\n")) {
				if len(line) > 0 && line[0] != '#' {
					out = append(out, line)
				}
			}
			return out
		}
		if d := cmp.Diff(kept(b), kept(again)); d != "" {
			t.Fatal(d)
		}
	})
}
