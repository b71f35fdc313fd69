package awsapi

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fastness/internal/secret"
)

const testAccount = secret.AccountNumber("123456789012")

// TestSuffixVector pins the suffix: another one would change every ARN.
func TestSuffixVector(t *testing.T) {
	var id secret.ID
	for i := range id {
		id[i] = byte(i)
	}
	if got := suffix(id); got != suffixVector {
		t.Errorf("%s, want %s", got, suffixVector)
	}
	if got := suffixOf(id, secret.AWS{Suffix: "AbCdEf"}); got != "AbCdEf" {
		t.Errorf("%s of a secret that brings its own", got)
	}
}

func TestParseSecretID(t *testing.T) {
	id := secret.NewID()
	own := suffix(id)
	prefix := arnPrefix("us-east-1", testAccount)
	for _, test := range []struct {
		in   string
		want secretRef
		err  bool
	}{
		{in: "db", want: secretRef{name: "db"}},
		{in: "team/db-main_1+2=3.4@5!", want: secretRef{name: "team/db-main_1+2=3.4@5!"}},
		{in: "db-" + own, want: secretRef{name: secret.Name("db-" + own)}},
		{in: prefix + "db-" + own, want: secretRef{name: "db", suffix: own, region: "us-east-1"}},
		{in: prefix + "db", want: secretRef{name: "db", region: "us-east-1"}},
		{in: prefix + "team/db", want: secretRef{name: "team/db", region: "us-east-1"}},
		{in: prefix + "db-secret", want: secretRef{name: "db", suffix: "secret", region: "us-east-1"}},
		{in: prefix + "my-secret-" + own, want: secretRef{name: "my-secret", suffix: own, region: "us-east-1"}},
		{in: prefix + "db-sec_et", want: secretRef{name: "db-sec_et", region: "us-east-1"}},
		{in: prefix + "-secret", want: secretRef{name: "-secret", region: "us-east-1"}},
		{in: arnPrefix("us-east-1", "210987654321") + "db", want: secretRef{name: "db", region: "us-east-1", foreign: true}},
		{in: strings.Replace(prefix, "arn:aws:", "arn:aws-cn:", 1) + "db", want: secretRef{name: "db", region: "us-east-1", foreign: true}},
		{in: "", err: true},
		{in: "a b", err: true},
		{in: "ä", err: true},
		{in: strings.Repeat("a", 513), err: true},
		{in: "arn:aws:s3:::bucket", err: true},
		{in: "arn:aws:secretsmanager:us-east-1:123456789012:secret", err: true},
		{in: "arn:aws:secretsmanager:us-east-1:123456789012:key:db", err: true},
		{in: prefix, err: true},
		{in: prefix + "a b", err: true},
	} {
		got, err := parseSecretID(testAccount, test.in)
		if (err != nil) != test.err || got != test.want {
			t.Errorf("%q: %+v, %v; want %+v", test.in, got, err, test.want)
		}
		if test.err && !errors.Is(err, errSecretName) {
			t.Errorf("%q: %v", test.in, err)
		}
	}
	if r := (secretRef{name: "db", suffix: own}); !r.names(id, secret.AWS{}) || r.names(secret.NewID(), secret.AWS{}) {
		t.Error("a suffix names another secret")
	}
}

func TestWords(t *testing.T) {
	for in, want := range map[string][]string{
		"":                nil,
		"  ":              nil,
		"-":               nil,
		"one two":         {"one", "two"},
		"MySecretName":    {"my", "secret", "name"},
		"my/secret":       {"my", "secret"},
		"my-secret-name":  {"my", "secret", "name"},
		"my/secret-name":  {"my/secret-name"},
		"my_Secret":       {"my", "secret"},
		"team@example":    {"team", "example"},
		"prodDB":          {"prod", "db"},
		"lower case.text": {"lower", "case", "text"},
	} {
		if diff := cmp.Diff(want, words(in)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
}

func TestFilters(t *testing.T) {
	s := filtered{
		name: "prod/DbMain", description: "The Main database of Orders", primaryRegion: "eu-west-1", owningService: "rds",
		tags: map[string]string{"Team": "Blue", "cost-center": "4711"},
	}
	one := func(key string, values ...string) []filter { return []filter{{key, values}} }
	for _, test := range []struct {
		filters []filter
		want    bool
	}{
		{nil, true},
		{one("name", "prod/"), true},
		{one("name", "Prod/"), false},
		{one("name", "Main"), false},
		{one("name", "dev/", "prod/Db"), true},
		{one("name", "!dev/"), true},
		{one("name", "!prod/"), false},
		{one("name", ""), true},
		{one("description", "main"), true},
		{one("description", "MAIN data"), true},
		{one("description", "orders main"), true},
		{one("description", "base"), false},
		{one("description", "!orders"), false},
		{one("description", "!invoices"), true},
		{one("tag-key", "Te"), true},
		{one("tag-key", "te"), false},
		{one("tag-key", "!Team"), false},
		{one("tag-key", "!Other"), true},
		{one("tag-value", "Blue"), true},
		{one("tag-value", "47"), true},
		{one("tag-value", "blue"), false},
		{one("primary-region", "eu-"), true},
		{one("primary-region", "us-"), false},
		{one("owning-service", "rds"), true},
		{one("owning-service", "!rds"), false},
		{one("all", "blue"), true},
		{one("all", "center"), true},
		{one("all", "dbm"), false},
		{one("all", "database"), true},
		{one("all", "database blue"), false},
		{one("all", "nothing"), false},
		{one("all", "!nothing"), true},
		{append(one("name", "prod"), one("tag-key", "Team")...), true},
		{append(one("name", "prod"), one("tag-key", "Other")...), false},
	} {
		if got := s.matches(test.filters); got != test.want {
			t.Errorf("%v: %v", test.filters, got)
		}
	}
	if (filtered{name: "x"}).matches(one("description", "x")) {
		t.Error("a secret without description matches one")
	}
	if !(filtered{name: "x"}).matches(one("description", "!x")) {
		t.Error("a secret without description does not lack one")
	}
}

func TestCheckFilters(t *testing.T) {
	for _, test := range []struct {
		filters []filter
		want    string
	}{
		{[]filter{{"name", []string{"a"}}}, ""},
		{[]filter{{"", []string{"a"}}}, typeInvalidParameter},
		{[]filter{{"colour", []string{"a"}}}, typeValidation},
		{[]filter{{"name", nil}}, typeInvalidParameter},
		{[]filter{{"name", make([]string, 11)}}, typeValidation},
		{[]filter{{"name", []string{"a#"}}}, typeValidation},
		{[]filter{{"name", []string{strings.Repeat("a", 513)}}}, typeValidation},
		{slices.Repeat([]filter{{"name", []string{"a"}}}, 11), typeValidation},
	} {
		err := checkFilters(test.filters)
		var f *fault
		if errors.As(err, &f); (f == nil) != (test.want == "") || f != nil && f.Type != test.want {
			t.Errorf("%v: %v", test.filters, err)
		}
	}
}

// TestPasswords draws under random switches and looks at what comes.
func TestPasswords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		length := rapid.Int64Range(4, 40).Draw(t, "length")
		require := rapid.Bool().Draw(t, "require")
		r := passwordRequest{
			PasswordLength: &length, RequireEachIncludedType: &require,
			ExcludeCharacters: rapid.StringOfN(rapid.RuneFrom([]rune(lowercase+uppercase+numbers+punctuation+" ")), 0, 30, -1).Draw(t, "excluded"),
			ExcludeNumbers:    rapid.Bool().Draw(t, "numbers"), ExcludePunctuation: rapid.Bool().Draw(t, "punctuation"),
			ExcludeUppercase: rapid.Bool().Draw(t, "uppercase"), ExcludeLowercase: rapid.Bool().Draw(t, "lowercase"),
			IncludeSpace: rapid.Bool().Draw(t, "space"),
		}
		types := map[string]bool{lowercase: r.ExcludeLowercase, uppercase: r.ExcludeUppercase, numbers: r.ExcludeNumbers, punctuation: r.ExcludePunctuation, " ": !r.IncludeSpace}
		got, err := r.make()
		if err != nil {
			for characters, out := range types {
				if !out && strings.Trim(characters, r.ExcludeCharacters) != "" {
					t.Fatal(err)
				}
			}
			return
		}
		defer got.Release()
		b := got.Bytes()
		if int64(len(b)) != length {
			t.Fatalf("%d characters", len(b))
		}
		for characters, out := range types {
			has := bytes.ContainsAny(b, characters)
			left := strings.IndexFunc(characters, func(c rune) bool { return !strings.ContainsRune(r.ExcludeCharacters, c) }) >= 0
			if out && has {
				t.Fatalf("holds one of %q", characters)
			}
			if !out && left && require && !has && characters != " " {
				t.Fatalf("holds none of %q", characters)
			}
		}
		if r.ExcludeCharacters != "" && bytes.ContainsAny(b, r.ExcludeCharacters) {
			t.Fatal("holds an excluded character")
		}
	})
}

// TestPasswordIsUniform counts the passwords of two characters out of two types,
// of which both are required: all of them must be about as frequent.
func TestPasswordIsUniform(t *testing.T) {
	two := int64(2)
	r := passwordRequest{PasswordLength: &two, ExcludeUppercase: true, ExcludePunctuation: true,
		ExcludeCharacters: lowercase[3:] + numbers[2:]}
	const draws, kinds = 12_000, 12 // of abc and 01: 3·2 in both orders
	count := map[[2]byte]int{}
	for range draws {
		p, err := r.make()
		if err != nil {
			t.Fatal(err)
		}
		count[[2]byte(p.Bytes())]++
		p.Release()
	}
	if len(count) != kinds {
		t.Fatalf("%d different passwords", len(count))
	}
	chi := 0.0
	for _, n := range count {
		d := float64(n) - draws/kinds
		chi += d * d / (draws / kinds)
	}
	if chi > 40 { // 11 degrees of freedom: one run in 30,000
		t.Errorf("chi-squared is %.1f", chi)
	}
}

func TestPasswordRefusals(t *testing.T) {
	n := func(i int64) *int64 { return &i }
	yes := true
	for _, test := range []struct {
		r    passwordRequest
		want string
	}{
		{passwordRequest{}, ""},
		{passwordRequest{PasswordLength: n(4096)}, ""},
		{passwordRequest{PasswordLength: n(4)}, ""},
		{passwordRequest{PasswordLength: n(0)}, typeValidation},
		{passwordRequest{PasswordLength: n(4097)}, typeValidation},
		{passwordRequest{PasswordLength: n(3)}, typeInvalidParameter},
		{passwordRequest{PasswordLength: n(3), RequireEachIncludedType: &yes}, typeInvalidParameter},
		{passwordRequest{PasswordLength: n(3), ExcludeNumbers: true}, ""},
		{passwordRequest{PasswordLength: n(3), ExcludeCharacters: numbers}, ""},
		{passwordRequest{ExcludeCharacters: strings.Repeat("a", 4097)}, typeValidation},
		{passwordRequest{ExcludeLowercase: true, ExcludeUppercase: true, ExcludeNumbers: true, ExcludePunctuation: true}, typeInvalidParameter},
	} {
		p, err := test.r.make()
		p.Release()
		var f *fault
		if errors.As(err, &f); (f == nil) != (test.want == "") || f != nil && f.Type != test.want {
			t.Errorf("%+v: %v", test.r, err)
		}
	}
}

const suffixVector = "Gsm8wE"
