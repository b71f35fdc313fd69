package cli_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fastness/internal/cli"
)

func TestParseJSONPairs(t *testing.T) {
	for in, want := range map[string][]cli.Pair{
		`{}`:                               nil,
		` { "b/c" : "x\n\u00e9" , "a":""}`: {{Name: "a"}, {Name: "b/c", Value: "x\né"}},
		`{"a":{"value":"x"},"b":{"valueBase64":"AP8="}}`: {{Name: "a", Value: "x"}, {Name: "b", Value: "\x00\xff", Binary: true}},
		`{"a\"":{"value":"x"}}`:                          {{Name: `a"`, Value: "x"}},
	} {
		got, err := cli.ParseJSONPairs([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", in, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in, diff)
		}
	}
}

func TestParseJSONPairsRefuses(t *testing.T) {
	for _, in := range []string{
		``, `[]`, `"secretword"`, `{"a":"secretword"`, `{"a":"secretword","a":"2"}`, `{"a":"secretword","b":1}`, `{"a":null}`,
		`{"a":"secretword","b":{"value":"secretword"}}`, `{"a":{"value":"secretword"},"b":"secretword"}`,
		`{"a":{"value":"secretword","valueBase64":"AA=="}}`, `{"a":{}}`, `{"a":{"value":"secretword","secretword":1}}`,
		`{"a":{"valueBase64":"secretword!"}}`, `{"a":"secretword"}{}`, "{\"a\":\"secretword\xff\"}", `{"a":"secretword\ud800"}`,
	} {
		pairs, err := cli.ParseJSONPairs([]byte(in))
		if err == nil {
			t.Errorf("%s is read as %v", in, pairs)
		} else if strings.Contains(err.Error(), "secretword") {
			t.Errorf("%s: the error shows a value: %v", in, err)
		}
	}
}

func TestJSONPairsGoRound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []cli.Pair
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[A-Za-z0-9/_+=.@!-]{1,9}`), 0, 5, rapid.ID).Draw(t, "names")
		for _, name := range names {
			p := cli.Pair{Name: name, Binary: rapid.Bool().Draw(t, "binary")}
			if p.Binary {
				p.Value = string(rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "value"))
			} else {
				p.Value = rapid.StringN(1, 40, -1).Filter(utf8.ValidString).Draw(t, "value")
			}
			want = append(want, p)
		}
		text, err := cli.AppendJSONPairs(want)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("%q is no JSON", text)
		}
		got, err := cli.ParseJSONPairs([]byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		byName := map[string]cli.Pair{}
		for _, p := range got {
			byName[p.Name] = p
		}
		for _, p := range want {
			if diff := cmp.Diff(p, byName[p.Name]); diff != "" || len(got) != len(want) {
				t.Fatalf("%q (-want +got):\n%s", text, diff)
			}
		}
	})
}

func FuzzParseJSONPairs(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":"b"}`, `{"a":{"value":"b"}}`, `{"a":{"valueBase64":"AA=="}}`, `{"a\"":{`, `{"a`, `{"\ud83d\ude00":"x"}`, ` {"a" : {"value":"\n"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		pairs, err := cli.ParseJSONPairs(src)
		if err == nil && !json.Valid(src) {
			t.Fatalf("%q is read as %v", src, pairs)
		}
	})
}
