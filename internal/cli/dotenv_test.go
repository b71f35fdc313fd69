package cli_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fastness/internal/cli"
)

func TestParseDotenv(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want []cli.Pair
	}{
		"nothing":        {"", nil},
		"comments":       {"# one\n\n  # two\r\n\t\n", nil},
		"plain":          {"A=1\nB = two words  \n", []cli.Pair{{Name: "A", Value: "1"}, {Name: "B", Value: "two words"}}},
		"no newline":     {"A=1", []cli.Pair{{Name: "A", Value: "1"}}},
		"carriage":       {"A=1\r\nB=2\r\n", []cli.Pair{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}}},
		"byte order":     {"\ufeffA=1", []cli.Pair{{Name: "A", Value: "1"}}},
		"export":         {"export A=1\nexport  B=2\nexport=3", []cli.Pair{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}, {Name: "export", Value: "3"}}},
		"remark":         {"A=1 # one\nB=2#3\nC=#", []cli.Pair{{Name: "A", Value: "1"}, {Name: "B", Value: "2#3"}, {Name: "C"}}},
		"equals":         {"A==b=c=", []cli.Pair{{Name: "A", Value: "=b=c="}}},
		"single":         {`A='a "b" \n $c' # x`, []cli.Pair{{Name: "A", Value: `a "b" \n $c`}}},
		"single lines":   {"A='one\ntwo'\nB=3", []cli.Pair{{Name: "A", Value: "one\ntwo"}, {Name: "B", Value: "3"}}},
		"double":         {`A="tab\t nl\n cr\r q\" b\\ d\$ t\` + "`" + ` 'x'"`, []cli.Pair{{Name: "A", Value: "tab\t nl\n cr\r q\" b\\ d$ t` 'x'"}}},
		"double lines":   {"A=\"one\ntwo\" # x\n", []cli.Pair{{Name: "A", Value: "one\ntwo"}}},
		"not expanded":   {`A=$HOME/${x}` + "\nB=\"`id`\"", []cli.Pair{{Name: "A", Value: "$HOME/${x}"}, {Name: "B", Value: "`id`"}}},
		"secret's names": {"db/password=x\nA.B-c_d@e+f!=y", []cli.Pair{{Name: "db/password", Value: "x"}, {Name: "A.B-c_d@e+f!", Value: "y"}}},
		"quote inside":   {`A=it's`, []cli.Pair{{Name: "A", Value: "it's"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := cli.ParseDotenv([]byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseDotenvRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"A=1\nsecretword":       "line 2: expected NAME=VALUE",
		"=secretword":           "line 1: the text before '=' is not a name",
		"secret word=x":         "line 1: the text before '=' is not a name",
		"A='secretword":         "line 1: the quote of A is never closed",
		"\nA=\"\n\nsecretword":  "line 2: the quote of A is never closed",
		"A='x' secretword":      "line 1: text after the closing quote of A",
		"A=\"x\n\" secretword":  "line 2: text after the closing quote of A",
		`A="secretword\q"`:      "line 1: unknown escape in A",
		`A="secretword\`:        "line 1: unknown escape in A",
		"A=secretword\nB=\nA=2": "line 3: A was already given on line 1",
		"A=secretword\xff":      "not valid UTF-8",
	} {
		pairs, err := cli.ParseDotenv([]byte(in))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %q", in, pairs, err, want)
		} else if strings.Contains(err.Error(), "secretword") {
			t.Errorf("%q: the error shows a value: %v", in, err)
		}
	}
}

// texts are values that a dotenv file can hold.
func texts() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringN(1, 40, 200),
		rapid.StringMatching("[ab'\"\\\\$`#= \n\r\t]{1,12}"),
	).Filter(func(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) })
}

func TestDotenvGoesRound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []cli.Pair
		for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[A-Z_][A-Z0-9_]{0,8}`), 0, 5, rapid.ID).Draw(t, "names") {
			want = append(want, cli.Pair{Name: name, Value: texts().Draw(t, "value")})
		}
		text, err := cli.AppendDotenv(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := cli.ParseDotenv([]byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q (-want +got):\n%s", text, diff)
		}
	})
}

// TestShellReadsDotenv has a real shell source what is written.
func TestShellReadsDotenv(t *testing.T) {
	for _, value := range []string{"plain", "two words", "it's", `"both' quotes"`, "$HOME `id` $(id)", "it's $HOME `id` \\n", "a\nb", "it's\na\ttab", `\`, `'\`, "!x'"} {
		text, err := cli.AppendDotenv([]cli.Pair{{Name: "V", Value: value}})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-c", text+`printf %s "$V"`)
		out, err := cmd.Output()
		if err != nil || string(out) != value {
			t.Errorf("%q became %q, %v", value, out, err)
		}
	}
}

func TestDotenvRefusesBinary(t *testing.T) {
	for _, value := range []string{"a\x00b", "\xff"} {
		if _, err := cli.AppendDotenv([]cli.Pair{{Name: "A", Value: value}}); err == nil {
			t.Errorf("%q is written", value)
		}
	}
}

func FuzzParseDotenv(f *testing.F) {
	for _, seed := range []string{
		"", "A=1\n", "export A='x'\n# c\nB=\"y\\n\"", "A=\"\n", "A='", "=", "\ufeffA=1\r\n", "A=1 # c", "A=\"\\", "a/b=c=d", "A\x00=\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		before := bytes.Clone(src)
		pairs, err := cli.ParseDotenv(src)
		if !bytes.Equal(src, before) {
			t.Fatal("the parser changed its input")
		}
		if err != nil {
			if len(pairs) > 0 {
				t.Fatal("pairs beside an error")
			}
			return
		}
		seen := map[string]bool{}
		for _, p := range pairs {
			if p.Name == "" || seen[p.Name] || strings.ContainsAny(p.Name, "= \t\n'\"") {
				t.Fatalf("name %q", p.Name)
			}
			seen[p.Name] = true
		}
		text, err := cli.AppendDotenv(pairs)
		if err != nil {
			return // a zero byte
		}
		again, err := cli.ParseDotenv([]byte(text))
		if err != nil {
			t.Fatalf("%q from %q: %v", text, src, err)
		}
		if diff := cmp.Diff(pairs, again); diff != "" {
			t.Fatalf("%q from %q (-want +got):\n%s", text, src, diff)
		}
	})
}
