package policy_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"fastness/internal/policy"
	"fastness/internal/secret"
)

// The published schema is the one that policies are validated against.
func TestSchemaIsPublished(t *testing.T) {
	published, err := os.ReadFile("../../docs/fastness.cedarschema")
	if err != nil {
		t.Fatal(err)
	}
	if string(published) != policy.Schema() {
		t.Error("docs/fastness.cedarschema is not internal/policy/fastness.cedarschema")
	}
}

func TestStatementIDs(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       string // ids and effects
	}{
		{"freeze", `forbid(principal, action, resource);`, "freeze forbid"},
		{"a-1", `permit(principal, action, resource); forbid(principal, action, resource);`, "a-1/1 permit, a-1/2 forbid"},
		{"a", `@id("x") permit(principal, action, resource);`, "a/x permit"},
		{"a", `@id("x") permit(principal, action, resource); permit(principal, action, resource);`, "a/x permit, a/2 permit"},
		{"a", `@note("Bob's") permit(principal, action, resource);`, "a permit"},
	} {
		text, err := policy.ParseText(tc.name, tc.text)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range text.Statements() {
			got = append(got, s.ID+" "+s.Effect)
		}
		if strings.Join(got, ", ") != tc.want || text.Name() != tc.name || text.Source() != tc.text {
			t.Errorf("%s: got %q, want %s", tc.text, got, tc.want)
		}
	}
}

// What the schema lets authors say.
func TestValidTexts(t *testing.T) {
	for _, text := range []string{
		`permit(principal == Person::"alice", action in Action::"writer", resource) when { resource.name like "app/*" };`,
		`permit(principal is Service, action == Action::"read", resource)
		 when { resource.hasTag("team") && principal has service && resource.getTag("team") == principal.service };`,
		`forbid(principal, action, resource) unless { context has mfaAge && context.mfaAge < 300 };`,
		`forbid(principal, action, resource is Secret) when { resource.name like "prod/*" }
		 unless { context has sourceAddress && context.sourceAddress.isInRange(ip("10.0.0.0/8")) };`,
		`forbid(principal is Person, action, resource) when { context.time.toTime() > duration("18h") };`,
		`forbid(principal, action == Action::"purge", resource in Tenant::"shop");`,
		`permit(principal, action in [Action::"list", Action::"auditor"], resource == Secret::"a");`,
		`permit(principal, action in Action::"admin", resource) when { principal has environment && principal.environment == "prod" };`,
		`permit(principal, action == Action::"review", resource is Tenant);`,
		"// a comment with \"one quote\n@id(\"x\")\npermit(principal, action, resource); // (((((",
	} {
		if _, err := policy.ParseText("p", text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestInvalidTexts(t *testing.T) {
	const all = "permit(principal, action, resource)"
	for _, tc := range []struct{ name, text, want string }{
		{"nothing", " // nothing\n", "text: at least one statement"},
		{"syntax", all + ";\n\n  forbid(principal action, resource);", "text: line 3, column 26: , is expected"},
		{"an unfinished statement", all, "text: line 1, column 36: ; is expected"},
		{"no effect", "\nallow(principal, action, resource);", "text: line 2, column 6: permit or forbid is expected"},
		{"a template", "permit(principal == ?principal, action, resource);", "text: line 1, column 22: "},
		{"NUL", "permit\x00", "text: line 1, column 1: invalid character NUL"},
		{"not UTF-8", "permit\xff", "text: not valid UTF-8"},
		{"an open string", `permit(principal == Person::"a`, "text: line 1, column 29: a string is not closed"},
		{"a bad escape", all + ` when { resource.name like "\q" };`, "a bad escape in a string"},
		{"a wrong word", all + ` if { true };`, "; is expected"},
		{"no method", all + ` when { context.time.plus(1) };`, "no such method"},
		{"no function", all + ` when { plus(1) };`, "no such function"},
		{"no expression", all + ` when { };`, "an expression is expected"},
		{"a record", all + ` when { {a: 1, a: 2} == 3 };`, "a key stands twice"},
		{"annotations", `@id("a") @id("b") ` + all + `;`, "an annotation stands twice"},
		{"arguments", all + ` when { context.time.isEmpty(1) };`, "no arguments expected"},
		{"unknown action", "\n\npermit(principal, action == Action::\"reed\", resource);", "text: line 3, column 1: unrecognized action `Action::\"reed\"`"},
		{"unknown type", `permit(principal == User::"a", action, resource);`, "text: line 1, column 1: unrecognized entity type `User`"},
		{"unknown attribute", all + ` when { resource.owner == "a" };`, "attribute `owner`"},
		{"unguarded attribute", all + ` when { context.mfaAge < 3 };`, "mfaAge"},
		{"unguarded tag", all + ` when { resource.getTag("team") == "a" };`, "tag"},
		{"a name of a tenant", all + ` when { resource.name like "a*" };`, "name"},
		{"another type", all + ` when { context.time < 3 };`, "text: line 1, column 1: a datetime is compared with a number"},
		{"a bad address", `permit(principal, action, resource) when { context has sourceAddress && context.sourceAddress.isInRange(ip("10.0.0.0/40")) };`, "10.0.0.0/40"},
		{"a bad time", all + ` when { context.time < datetime("yesterday") };`, "yesterday"},
		{"an impossible pair", `permit(principal, action == Action::"read", resource is Tenant);`, "unable to find an applicable action"},
		{"not a condition", all + ` when { 3 };`, "unexpected type"},
		{"a bad id", `@id("No 1") ` + all + ";", "text: line 1, column 1: @id: 1 to 63 characters of a-z, 0-9 and '-', not only digits"},
		{"a number as id", `@id("2") ` + all + ";", "not only digits"},
		{"the same id twice", `@id("a") ` + all + ";\n" + `@id("a") ` + all + ";", `text: line 2, column 1: another statement has the id "p/a"`},
		{"many findings", all + " when { " + strings.Repeat("resource.owner == 1 && ", 50) + "true };", "; and "},
	} {
		_, err := policy.ParseText("p", tc.text)
		if err == nil || !strings.Contains(err.Error(), tc.want) || !errors.Is(err, secret.ErrInvalid) {
			t.Errorf("%s: got %v, want %s", tc.name, err, tc.want)
		}
		if err != nil && (len(err.Error()) > 600 || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %q is no line", tc.name, err)
		}
	}
}

// TestSyntaxErrorsQuoteNothing: what is no policy may be a value that somebody
// put there by mistake.
func TestSyntaxErrorsQuoteNothing(t *testing.T) {
	const value = "Hunter2"
	const statement = "permit(principal, action, resource)"
	for _, at := range []string{
		"%s", "@%s", "@id(%s)", "permit %s", "permit(%s", "permit(principal %s", "permit(principal == %s", "permit(principal is %s::%s",
		"permit(principal == %s::\"a\", %s", "permit(principal, action in [%s", statement + "%s", statement + " when %s",
		statement + " when { %s %s };", statement + " when { %s() };", statement + " when { context.%s() };", statement + " when { {%s: 1, %s: 1} };",
		statement + " when { context.time.%s };", statement + " when { \"\\%s\" };", statement + " when { ip(%s };", statement + "; %s", "\"%s", "/*%s", "%s\x00", "'%s'", "`%s`",
		"@%s(\"a\") @%s(\"a\") " + statement + ";",
	} {
		if _, err := policy.ParseText("p", strings.ReplaceAll(at, "%s", value)); err == nil || strings.Contains(err.Error(), value) {
			t.Errorf("%s: %v", at, err)
		}
	}
}

func TestTextLimits(t *testing.T) {
	const statement = "permit(principal, action, resource);\n"
	for _, tc := range []struct{ name, text, want string }{
		{"a megabyte", strings.Repeat(statement, 1<<20/len(statement)), "text: limit: at most 16384 bytes"},
		{"a byte too many", strings.Repeat(" ", policy.MaxText-len(statement)+1) + statement, "text: limit: at most 16384 bytes"},
		{"brackets", "permit(principal, action, resource) when {" + strings.Repeat("(", 7000), "text: limit: at most 50 brackets and ifs within each other"},
		{"ifs", "permit(principal, action, resource) when {" + strings.Repeat("if ", 5000), "text: limit: at most 50 brackets and ifs within each other"},
	} {
		_, err := policy.ParseText("p", tc.text)
		if err == nil || err.Error() != tc.want || !errors.Is(err, secret.ErrLimit) {
			t.Errorf("%s: got %v, want %s", tc.name, err, tc.want)
		}
	}
	if _, err := policy.ParseText("p", strings.Repeat(" ", policy.MaxText-len(statement))+statement); err != nil {
		t.Errorf("as long as may be: %v", err)
	}
	chain := "permit(principal, action, resource is Secret) when { " + strings.Repeat(`resource.name == "a" || `, 300) + "false };"
	if _, err := policy.ParseText("p", chain); err == nil || !strings.Contains(err.Error(), "more than 250 expressions within each other") {
		t.Errorf("a long chain: %v", err)
	}
}

func TestPolicyNames(t *testing.T) {
	for _, name := range []string{"", "-a", "A", "a b", "a/b", "é", strings.Repeat("a", 64), "a\n"} {
		if _, err := policy.ParseText(name, "permit(principal, action, resource);"); !errors.Is(err, secret.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestSetLimits(t *testing.T) {
	parse := func(name, text string) *policy.Text {
		parsed, err := policy.ParseText(name, text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	var many, large []*policy.Text
	for i := range 4 {
		many = append(many, parse(fmt.Sprint("a", i), strings.Repeat("permit(principal,action,resource);", 250)))
	}
	for i := range policy.MaxTexts / policy.MaxText {
		const statement = "permit(principal,action,resource);"
		large = append(large, parse(fmt.Sprint("a", i), statement+strings.Repeat(" ", policy.MaxText-len(statement))))
	}
	one := parse("one", "permit(principal, action, resource);")
	for _, tc := range []struct {
		texts []*policy.Text
		want  string
	}{
		{many, ""},
		{append(many, one), "policies: limit: at most 1000 statements in all policies of a tenant"},
		{large, ""},
		{append(large, one), "policies: limit: at most 262144 bytes of text in all policies of a tenant"},
	} {
		_, err := policy.NewSet("t", policy.Settings{}, tc.texts...)
		if tc.want == "" && err != nil || tc.want != "" && (!errors.Is(err, secret.ErrLimit) || err.Error() != tc.want) {
			t.Errorf("got %v, want %s", err, tc.want)
		}
	}
}

// The worst texts within the limits are parsed and validated in time.
func TestTextCost(t *testing.T) {
	fill := func(unit string) string { return strings.Repeat(unit, (policy.MaxText-300)/len(unit)) }
	nested := func(open, core, shut string, n int) string {
		return strings.Repeat(open, n) + core + strings.Repeat(shut, n)
	}
	const head, tail = "permit(principal, action, resource is Secret) when { ", " };"
	for _, text := range []string{
		fill("permit(principal,action,resource);"),
		fill("permit(principal,action,resource)when{context.time<datetime(\"2026-01-01\")};"),
		head + nested("(", "true", ")", 48) + tail,
		head + nested("!(", "true", ")", 48) + tail,
		head + nested("(if resource.hasTag(\"a\") then ", "true", " else false)", 24) + tail,
		head + nested("(if ", "resource.hasTag(\"a\")", " then true else false)", 24) + tail,
		head + nested("(if true then resource.getTag(", "\"a\"", ") == \"b\" else false)", 16) + tail,
		head + "resource.getTag(" + nested("if true then ", "\"a\"", " else \"b\"", 45) + ") == \"c\"" + tail,
		head + "resource.hasTag(" + nested("if true then ", "\"a\"", " else \"b\"", 45) + ")" + tail,
		head + nested("if true then ", "resource.getTag(\"a\") == \"b\"", " else false", 45) + tail,
		head + nested("resource.hasTag(resource.getTag(", "\"a\"", "))", 1) + tail,
		head + nested("[", "1", "]", 48) + " == [[1]]" + tail,
		head + strings.Repeat("!", 240) + "true" + tail,
		head + "[" + fill("\"abcdefgh\",") + "\"a\"].contains(resource.name)" + tail,
		head + nested("(resource.hasTag(\"a\") || ", "true", ")", 48) + tail,
		head + nested("(resource.hasTag(\"a\") && ", "true", " || principal has service)", 48) + tail,
		fill(head + `resource.hasTag("a") && resource.getTag("b") == "c"` + tail),
	} {
		start := time.Now()
		_, err := policy.ParseText("p", text)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%.60s took %v", text, took)
		} else {
			t.Logf("%.60s… took %v (%v)", text, took, err)
		}
	}
}

func FuzzParseText(f *testing.F) {
	for _, seed := range []string{
		`permit(principal, action, resource);`,
		`@id("a") forbid(principal is Person, action in [Action::"read"], resource == Secret::"a\"b") when { context has mfaAge && context.mfaAge > -1 } unless { [1, 2].contains(3) };`,
		`permit(principal, action, resource is Secret) when { if resource.hasTag("a") then resource.getTag("a") like "*\*" else {a: 1}.a == 1 };`,
		"// (\n\"",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		text, err := policy.ParseText("p", source)
		if err != nil {
			if !errors.Is(err, secret.ErrInvalid) && !errors.Is(err, secret.ErrLimit) {
				t.Errorf("%v is neither sentinel", err)
			}
			return
		}
		set, err := policy.NewSet("t", policy.Settings{}, text)
		if err != nil {
			t.Fatal(err)
		}
		// Whatever was accepted can be decided on, and means the same in its canonical form.
		var canonical strings.Builder
		for _, s := range text.Statements() {
			canonical.WriteString(s.Text + "\n")
		}
		r := request(policy.Subject{Kind: policy.Person, Name: "alice", MFA: now}, policy.Read, "a/b", map[string]string{"a": "b"})
		set.Decide(r)
		again, err := policy.ParseText("p", canonical.String())
		if err != nil {
			return // the canonical form may be longer, or its strings written with more escapes
		}
		other, err := policy.NewSet("t", policy.Settings{}, again)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := set.Decide(r), other.Decide(r); a != b {
			t.Errorf("%v, but its canonical form %v", a, b)
		}
	})
}

// request is one on a secret that is there.
func request(s policy.Subject, a policy.Action, name secret.Name, tags map[string]string) *policy.Request {
	return &policy.Request{
		Caller: policy.NewCaller(s), Action: a, Time: now, Address: "10.1.2.3",
		Secret: policy.Secret{Name: name, Look: policy.Present, Tags: tags},
	}
}
