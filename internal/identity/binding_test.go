package identity_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fastness/internal/identity"
	"fastness/internal/secret"
)

func claimsOf(t testing.TB, text string) identity.Claims {
	t.Helper()
	claims, err := identity.ParseClaims([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestParseClaimsRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "null": "null", "array": "[]", "text": `"x"`, "two": "{}{}", "open": "{", "comma": `{"a":1,}`,
		"a name twice": `{"a":1,"a":2}`, "twice below": `{"x":{"a":1,"a":2}}`, "twice in an array": `[{"a":1,"a":2}]`,
		"a name in two cases": `{"iss":1,"ISS":2}`, "two cases, by a long s": `{"iss":1,"i\u017fs":2}`, "escaped the same": `{"iss":1,"\u0069ss":2}`,
		"deep":  `{"a":` + strings.Repeat("[", 9) + strings.Repeat("]", 9) + `}`,
		"wide":  `{"a":[` + strings.TrimSuffix(strings.Repeat("1,", 1001), ",") + `]}`,
		"bytes": "{\"a\":\"\xff\"}",
	} {
		if claims, err := identity.ParseClaims([]byte(text)); err == nil {
			t.Errorf("%s: got %v", name, claims)
		} else if strings.Contains(err.Error(), "iss") {
			t.Errorf("%s: the error quotes: %v", name, err)
		}
	}
	claimsOf(t, `{"labels":{"App":1,"app":2}}`)
}

func TestClaimPaths(t *testing.T) {
	claims := claimsOf(t, `{"sub":"s","n":42,"big":12345678901234567890,"f":1.50,"yes":true,"no":false,"null":null,"list":["a",1,true],
		"kubernetes.io":{"namespace":"prod"},"kubernetes":{"io":{"namespace":"trap"}},"objects":[{"a":1},"b"],"empty":[],"a\\b":"slash","":{"":"x"}}`)
	for path, want := range map[string][]string{
		"sub": {"s"}, "n": {"42"}, "big": {"12345678901234567890"}, "f": {"1.50"}, "yes": {"true"}, "no": {"false"},
		"null": nil, "list": {"a", "1", "true"}, `kubernetes\.io.namespace`: {"prod"}, "kubernetes.io.namespace": {"trap"},
		"kubernetes": nil, "absent": nil, "sub.x": nil, "objects": nil, "empty": nil, `a\\b`: {"slash"}, "list.0": nil, "SUB": nil,
	} {
		if got := claims.Texts(path); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestBind(t *testing.T) {
	claims := claimsOf(t, `{"sub":"repo:acme/app:ref:refs/heads/main","repository":"acme/app","ref":"refs/heads/main","env":"prod","groups":["dev","ops"],
		"email":"alice@acme.example","email_verified":true,"level":3,"name":"Alice B","two":["a","b"],"empty":""}`)
	bind := func(b identity.Binding) (identity.Bearer, error) {
		return identity.Bind([]identity.Binding{{Match: map[string][]string{"repository": {"evil/*"}}, Principal: "evil"}, b}, claims)
	}
	match := func(pairs ...string) map[string][]string {
		m := map[string][]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = append(m[pairs[i]], pairs[i+1])
		}
		return m
	}
	yes := match("repository", "acme/app")
	for name, tc := range map[string]struct {
		b    identity.Binding
		want identity.Bearer // zero for a refusal
	}{
		"exact":                 {identity.Binding{Match: yes, Principal: "p"}, identity.Bearer{Principal: "p", Kind: "service"}},
		"glob":                  {identity.Binding{Match: match("repository", "acme/*"), Principal: "p"}, identity.Bearer{Principal: "p", Kind: "service"}},
		"list":                  {identity.Binding{Match: match("ref", "refs/tags/*", "ref", "refs/heads/main"), Principal: "p"}, identity.Bearer{Principal: "p", Kind: "service"}},
		"array":                 {identity.Binding{Match: match("groups", "ops"), Principal: "p"}, identity.Bearer{Principal: "p", Kind: "service"}},
		"boolean and number":    {identity.Binding{Match: match("email_verified", "true", "level", "3"), Principal: "p"}, identity.Bearer{Principal: "p", Kind: "service"}},
		"person by a claim":     {identity.Binding{Match: match("email_verified", "true"), Principal: "{email}", Kind: "person", Create: true}, identity.Bearer{Principal: "alice@acme.example", Kind: "person", Create: true}},
		"attributes":            {identity.Binding{Match: yes, Principal: "gh/{repository}", Service: "{repository}", Environment: "{env}"}, identity.Bearer{Principal: "gh/acme/app", Kind: "service", Service: "acme/app", Environment: secret.Prod}},
		"literal attributes":    {identity.Binding{Match: yes, Principal: "p", Service: "app", Environment: "dev"}, identity.Bearer{Principal: "p", Kind: "service", Service: "app", Environment: secret.Dev}},
		"one of two fails":      {identity.Binding{Match: match("repository", "acme/app", "ref", "refs/heads/prod"), Principal: "p"}, identity.Bearer{}},
		"case":                  {identity.Binding{Match: match("repository", "Acme/App"), Principal: "p"}, identity.Bearer{}},
		"a part":                {identity.Binding{Match: match("repository", "acme/ap"), Principal: "p"}, identity.Bearer{}},
		"absent claim":          {identity.Binding{Match: match("absent", "*"), Principal: "p"}, identity.Bearer{}},
		"no conditions":         {identity.Binding{Principal: "p"}, identity.Bearer{}},
		"no values":             {identity.Binding{Match: map[string][]string{"ref": {}}, Principal: "p"}, identity.Bearer{}},
		"principal absent":      {identity.Binding{Match: yes, Principal: "{absent}"}, identity.Bearer{}},
		"principal of two":      {identity.Binding{Match: yes, Principal: "{two}"}, identity.Bearer{}},
		"principal of an array": {identity.Binding{Match: yes, Principal: "{groups}"}, identity.Bearer{}},
		"principal is empty":    {identity.Binding{Match: yes, Principal: "x{empty}"}, identity.Bearer{}},
		"principal with space":  {identity.Binding{Match: yes, Principal: "{name}"}, identity.Bearer{}},
		"environment unknown":   {identity.Binding{Match: yes, Principal: "p", Environment: "{repository}"}, identity.Bearer{}},
		"service absent":        {identity.Binding{Match: yes, Principal: "p", Service: "{absent}"}, identity.Bearer{}},
	} {
		got, err := bind(tc.b)
		if got.Principal != tc.want.Principal || got.Kind != tc.want.Kind || got.Create != tc.want.Create ||
			got.Service != tc.want.Service || got.Environment != tc.want.Environment {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
		if (err != nil) != (tc.want.Principal == "") || err != nil && !errors.Is(err, secret.ErrUnauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The first that matches decides, also if nothing comes of it.
	first := identity.Binding{Match: yes, Principal: "{absent}"}
	if _, err := identity.Bind([]identity.Binding{first, {Match: yes, Principal: "p"}}, claims); err == nil {
		t.Error("a later binding was used")
	}
	if _, err := identity.Bind([]identity.Binding{{Match: yes, Principal: "{sys}"}}, claimsOf(t, `{"repository":"acme/app","sys":"system"}`)); err == nil {
		t.Error("a reserved name was bound")
	}
}

func TestGlob(t *testing.T) {
	for _, tc := range []struct {
		pattern     string
		match, miss []string
	}{
		{"*", []string{"", "a", "a/b", "*"}, nil},
		{"a", []string{"a"}, []string{"", "A", "aa"}},
		{"refs/heads/*", []string{"refs/heads/", "refs/heads/main", "refs/heads/a/b"}, []string{"refs/tags/x", "xrefs/heads/main"}},
		{"*:ref:*", []string{":ref:", "a:ref:b", "a:ref:b:ref:c"}, []string{":re:", "ref"}},
		{"a*b*c", []string{"abc", "axbxc", "abbc", "abcbc"}, []string{"ac", "acb", "ab"}},
		{`\*`, []string{"*"}, []string{"", "a", `\*`, "**"}},
		{`a\*b`, []string{"a*b"}, []string{"axb", "ab"}},
		{`\\*`, []string{`\`, `\x`}, []string{"", "x"}},
		{`a\`, []string{`a\`}, []string{"a"}},
		{`*\*`, []string{"*", "a*"}, []string{"", "a", "*a"}},
		{"**", []string{"", "a"}, nil},
	} {
		for _, s := range tc.match {
			if !identity.Glob(tc.pattern, s) {
				t.Errorf("%q does not match %q", tc.pattern, s)
			}
		}
		for _, s := range tc.miss {
			if identity.Glob(tc.pattern, s) {
				t.Errorf("%q matches %q", tc.pattern, s)
			}
		}
	}
	start := time.Now()
	if identity.Glob(strings.Repeat("*a", 500)+"b", strings.Repeat("a", 16<<10)) {
		t.Error("matched")
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// matches is the language of patterns by its definition, as slow as it comes.
func matches(pattern, text string) bool {
	switch {
	case pattern == "":
		return text == ""
	case pattern[0] == '*':
		return matches(pattern[1:], text) || text != "" && matches(pattern, text[1:])
	case pattern[0] == '\\' && len(pattern) > 1:
		return text != "" && pattern[1] == text[0] && matches(pattern[2:], text[1:])
	}
	return text != "" && pattern[0] == text[0] && matches(pattern[1:], text[1:])
}

func TestGlobByDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*\\]{0,8}`).Draw(t, "pattern")
		text := rapid.StringMatching(`[ab*\\]{0,10}`).Draw(t, "text")
		if got, want := identity.Glob(pattern, text), matches(pattern, text); got != want {
			t.Fatalf("%q on %q: %v, want %v", pattern, text, got, want)
		}
	})
}

func FuzzParseClaims(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":{"b":[1,true,null,"x"]}}`, `{"a":1,"A":2}`, `[`, `{"kubernetes.io":{"pod":{"name":"p"}}}`} {
		f.Add([]byte(s), "a.b", "x*")
	}
	f.Fuzz(func(t *testing.T, text []byte, path, pattern string) {
		claims, err := identity.ParseClaims(text)
		if err != nil {
			return
		}
		for _, s := range claims.Texts(path) {
			identity.Glob(pattern, s)
		}
	})
}
