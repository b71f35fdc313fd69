package secret_test

import (
	"encoding/hex"
	"errors"
	"math"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"fastness/internal/secret"
)

// parseCase is an input and what is made of it: want is nil if it is accepted.
type parseCase struct {
	in   string
	want *secret.Error
}

// testParse runs the cases; what is accepted must come out as it went in.
func testParse[T ~string](t *testing.T, field string, parse func(string) (T, error), cases []parseCase) {
	t.Helper()
	for _, tc := range cases {
		got, err := parse(tc.in)
		switch {
		case tc.want == nil && (err != nil || string(got) != tc.in):
			t.Errorf("%q: got %q, %v", tc.in, got, err)
		case tc.want != nil && (!errors.Is(err, tc.want) || got != "" || secret.Of(err).Field != field):
			t.Errorf("%q: got %q, %v, want %s for %s", tc.in, got, err, tc.want.Code, field)
		}
	}
}

func TestParseName(t *testing.T) {
	cases := []parseCase{
		{"a", nil}, {"db/password", nil}, {"A-Z_a.z+0=9@x!y", nil}, {"//", nil}, {"../a", nil}, {"...", nil}, {"-", nil},
		{"/", secret.ErrInvalid}, {".", secret.ErrInvalid}, {"..", secret.ErrInvalid},
		{"", secret.ErrLimit},
		{"a b", secret.ErrInvalid}, {" a", secret.ErrInvalid}, {"a\x00", secret.ErrInvalid}, {"a\n", secret.ErrInvalid}, {"a%2Fb", secret.ErrInvalid}, {"a%00", secret.ErrInvalid},
		{"a\\b", secret.ErrInvalid}, {"a*", secret.ErrInvalid}, {"a?b", secret.ErrInvalid}, {"a#b", secret.ErrInvalid}, {"a:b", secret.ErrInvalid}, {"a~", secret.ErrInvalid},
		{"é", secret.ErrInvalid}, {"\u0430", secret.ErrInvalid}, {"a\u2215b", secret.ErrInvalid}, {"\uff0e\uff0e", secret.ErrInvalid}, {"\xff", secret.ErrInvalid},
	}
	short := append(cases, parseCase{strings.Repeat("x", 255), nil}, parseCase{strings.Repeat("x", 256), secret.ErrLimit}, parseCase{strings.Repeat("x", 513), secret.ErrLimit})
	testParse(t, "name", secret.ParseNativeName, short)
	long := append(cases, parseCase{strings.Repeat("x", 512), nil}, parseCase{strings.Repeat("x", 513), secret.ErrLimit})
	testParse(t, "name", secret.ParseName, long)
}

func TestParseTenantName(t *testing.T) {
	testParse(t, "tenant", secret.ParseTenantName, []parseCase{
		{"a", nil}, {"acme-2", nil}, {"0", nil}, {"-", nil}, {strings.Repeat("x", 63), nil},
		{"", secret.ErrLimit}, {strings.Repeat("x", 64), secret.ErrLimit},
		{"Acme", secret.ErrInvalid}, {"a_b", secret.ErrInvalid}, {"a.b", secret.ErrInvalid}, {"..", secret.ErrInvalid}, {"a/b", secret.ErrInvalid},
		{"a b", secret.ErrInvalid}, {"a\n", secret.ErrInvalid}, {"a\x00", secret.ErrInvalid}, {"é", secret.ErrInvalid}, {"\uff41", secret.ErrInvalid}, {"\xff", secret.ErrInvalid},
	})
}

func TestParseVersionID(t *testing.T) {
	token := strings.Repeat("x", 31)
	testParse(t, "requestToken", secret.ParseVersionID, []parseCase{
		{token + "x", nil}, {token + "~", nil}, {token + "!", nil}, {strings.Repeat("x", 64), nil}, {string(secret.NewVersionID()), nil},
		{"", secret.ErrLimit}, {token, secret.ErrLimit}, {strings.Repeat("x", 65), secret.ErrLimit},
		{token + " ", secret.ErrInvalid}, {token + "\x7f", secret.ErrInvalid}, {token + "\x00", secret.ErrInvalid}, {token + "é", secret.ErrInvalid},
	})
}

func TestParseLabel(t *testing.T) {
	testParse(t, "stage", secret.ParseLabel, []parseCase{
		{"AWSCURRENT", nil}, {"blue", nil}, {"Current", nil}, {"a b", nil}, {"größe", nil}, {strings.Repeat("é", 256), nil},
		{"", secret.ErrLimit}, {strings.Repeat("x", 257), secret.ErrLimit},
		{"a\nb", secret.ErrInvalid}, {"a\tb", secret.ErrInvalid}, {"a\x00", secret.ErrInvalid}, {"a\u009b", secret.ErrInvalid}, {"a\u202eb", secret.ErrInvalid}, {"\xff", secret.ErrInvalid},
	})
	for short, want := range map[string]secret.Label{"current": secret.Current, "previous": secret.Previous, "pending": secret.Pending} {
		if got, err := secret.ParseLabel(short); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", short, got, err, want)
		}
	}
}

func TestParseVersion(t *testing.T) {
	for s, want := range map[string]secret.Version{"1": 1, "10": 10, "9223372036854775807": math.MaxInt64} {
		if got, err := secret.ParseVersion(s); err != nil || got != want || got.String() != s {
			t.Errorf("%q: got %d, %v", s, got, err)
		}
	}
	// The database's integers are signed, hence 63 bits.
	for _, s := range []string{"", "0", "-1", "+1", "01", "1.0", "1e3", " 1", "1 ", "0x1", "1_0", "١", "9223372036854775808", "18446744073709551617", "latest", "\x00"} {
		if got, err := secret.ParseVersion(s); !errors.Is(err, secret.ErrInvalid) || got != 0 {
			t.Errorf("%q: got %d, %v, want ErrInvalid", s, got, err)
		}
	}
}

func TestCheckText(t *testing.T) {
	for _, s := range []string{"", "plain", "two\nlines\tand a tab", "größe €😀", "\u202e"} {
		if err := secret.CheckText("description", s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"\x00", "\r", "\x1b[31m", "\x7f", "\u0085", "\u009b31m", "\xff", "\xed\xa0\x80"} {
		if err := secret.CheckText("description", s); !errors.Is(err, secret.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", s, err)
		}
	}
}

// Whatever is accepted as a line is accepted as text, and as nothing else than
// printable.
func TestCheckLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		if secret.CheckLine("f", s) != nil {
			return
		}
		if err := secret.CheckText("f", s); err != nil {
			t.Fatalf("%q is a line, but no text: %v", s, err)
		}
		if i := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Fatalf("%q: byte %d is not printable", s, i)
		}
	})
}

func TestIDs(t *testing.T) {
	var none secret.TenantID
	if !none.IsZero() || none.String() != strings.Repeat("0", 32) {
		t.Errorf("the deployment's id is %s", none)
	}
	a, b := secret.NewTenantID(), secret.NewTenantID()
	if a == b || a.IsZero() || a.String() != hex.EncodeToString(a[:]) {
		t.Errorf("got %s and %s", a, b)
	}
	if c, d := secret.NewID(), secret.NewID(); c == d || c.String() != hex.EncodeToString(c[:]) {
		t.Errorf("got %s and %s", c, d)
	}
}

func TestAccountNumber(t *testing.T) {
	form, first := regexp.MustCompile(`^[0-9]{12}$`), map[byte]bool{}
	for range 1000 {
		n := secret.NewAccountNumber()
		if !form.MatchString(string(n)) {
			t.Fatalf("got %q", n)
		}
		first[n[0]] = true
	}
	if len(first) != 10 {
		t.Errorf("%d first digits occur, want 10", len(first))
	}
}

func TestUUID(t *testing.T) {
	form, seen := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`), map[string]bool{}
	for range 1000 {
		id := secret.NewUUID()
		if !form.MatchString(id) || seen[id] {
			t.Fatalf("got %q", id)
		}
		seen[id] = true
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"", "db/password", "..", "a//b", "a\x00", "a%2e", "\u0430", "acme-1", "current", "1", "01", "18446744073709551616", "0123456789abcdef0123456789abcdef"} {
		f.Add(s)
	}
	name, tenant := regexp.MustCompile(`\A[A-Za-z0-9/_+=.@!-]{1,512}\z`), regexp.MustCompile(`\A[a-z0-9-]{1,63}\z`)
	token, number := regexp.MustCompile(`\A[!-~]{32,64}\z`), regexp.MustCompile(`\A[1-9][0-9]{0,18}\z`)
	f.Fuzz(func(t *testing.T, s string) {
		n, err := secret.ParseName(s)
		segment := s == "." || s == ".." || s == "/"
		if (err == nil) != (name.MatchString(s) && !segment) || err == nil && string(n) != s {
			t.Errorf("name %q: got %q, %v", s, n, err)
		}
		native, err := secret.ParseNativeName(s)
		if (err == nil) != (n != "" && len(s) <= 255) || err == nil && native != n {
			t.Errorf("native name %q: got %q, %v", s, native, err)
		}
		if te, err := secret.ParseTenantName(s); (err == nil) != tenant.MatchString(s) || err == nil && string(te) != s {
			t.Errorf("tenant %q: got %q, %v", s, te, err)
		}
		if id, err := secret.ParseVersionID(s); (err == nil) != token.MatchString(s) || err == nil && string(id) != s {
			t.Errorf("request token %q: got %q, %v", s, id, err)
		}
		inRange := number.MatchString(s) && (len(s) < 19 || s <= "9223372036854775807")
		if v, err := secret.ParseVersion(s); (err == nil) != inRange || err == nil && v.String() != s {
			t.Errorf("version %q: got %d, %v", s, v, err)
		}
		l, err := secret.ParseLabel(s)
		if err != nil {
			return
		}
		if again, err := secret.ParseLabel(string(l)); err != nil || again != l {
			t.Errorf("label %q: parsed again it is %q, %v", s, again, err)
		}
		if !utf8.ValidString(string(l)) || strings.ContainsAny(string(l), "\n\r\t\x00\x1b") {
			t.Errorf("label %q is accepted", l)
		}
	})
}
