package fastness_test

import (
	"go/ast"
	"go/parser"
	"strings"
	"testing"
)

// probe begins a package that the linter looks at in place of the module.
const probe = `package probe

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

var (
	_ = bytes.Clone
	_ = base64.StdEncoding
	_ = hex.EncodeToString
	_ = fmt.Sprint
	_ = slog.Info
	_ strings.Builder
	_ secret.Name
	b *secretbuf.Buffer
	m secretbuf.Builder
	k *secretbuf.Key
)
`

// TestSecretLintRules breaks one rule at a time and expects exactly that to be found.
func TestSecretLintRules(t *testing.T) {
	l, err := listPackages()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, source string
		want         string // part of the only finding; empty for none
	}{
		{"buffer to string", `func f() string { return string(b.Bytes()) }`, "probe.f converts secret bytes to string"},
		{"builder to string", `func f() string { return string(m.Bytes()) }`, "converts"},
		{"part of a builder", `func f() string { return string(m.Extend(3)[1:]) }`, "converts"},
		{"to a named string", `func f() secret.Name { return secret.Name(b.Bytes()) }`, "converts secret bytes to fastness/internal/secret.Name"},
		{"only to compare", `func f() bool { return string(b.Bytes()) == "x" }`, "converts"},
		{"in a method", `type t struct{}; func (t) f() string { return string(b.Bytes()) }`, "(fastness/internal/probe.t).f converts"},
		{"in a variable", `var s = string(b.Bytes())`, "probe variables converts"},
		{"through a variable", `func f() string { x := b.Bytes(); y := (x)[:2]; return string(y) }`, "converts"},
		{"through var", `func f() string { var x = b.Bytes(); return string(x) }`, "converts"},
		{"through an assignment", `func f() string { var x []byte; x = b.Bytes(); return string(x) }`, "converts"},
		{"through an array", `func f() string { x := [4]byte(b.Bytes()); return string(x[:]) }`, "converts"},
		{"through append", `func f() string { x := append([]byte("a"), b.Bytes()...); return string(x) }`, "converts"},
		{"through a copy", `func f() string { return string(bytes.Clone(b.Bytes())) }`, "converts"},
		{"through a part", `func f() string { _, x, _ := bytes.Cut(b.Bytes(), nil); return string(x) }`, "converts"},
		{"through a parameter", `func f(x []byte) string { return string(x) }; func g() { f(b.Bytes()) }`, "probe.f converts"},
		{"through a variadic parameter", `func f(n int, x ...byte) string { return string(x) }; func g() { f(1, b.Bytes()...) }`, "probe.f converts"},
		{"through a result", `func f() (int, []byte) { return 1, b.Bytes() }; func g() string { _, x := f(); return string(x) }`, "probe.g converts"},
		{"through two functions", `func f(x []byte) string { return g(x) }; func g(y []byte) string { return string(y) }; func h() { f(m.Bytes()) }`, "probe.g converts"},
		{"through a method", `type t struct{}; func (t) f(x []byte) string { return string(x) }; func g() { t{}.f(b.Bytes()) }`, "converts"},
		{"through a generic function", `func f[T any](x []byte, t T) string { return string(x) }; func g() { f[int](b.Bytes(), 1) }`, "converts"},
		{"in a closure", `func f() func() string { x := b.Bytes(); return func() string { return string(x) } }`, "converts"},
		{"a lent key", `func f() (s string) { k.Use(func(key []byte) { s = string(key) }); return s }`, "converts"},
		{"a lent key in hexadecimal", `func f() (s string) { k.Use(func(key []byte) { s = hex.EncodeToString(key[:4]) }); return s }`, "makes text of secret bytes by encoding/hex.EncodeToString"},
		{"base64", `func f() string { return base64.StdEncoding.EncodeToString(b.Bytes()) }`, "makes text"},
		{"printed", `func f() { fmt.Printf("%s", b.Bytes()) }`, "hands secret bytes to fmt.Printf"},
		{"in an error", `func f() error { x := b.Bytes(); return fmt.Errorf("%d: %q", 1, x[:3]) }`, "hands secret bytes to fmt.Errorf"},
		{"logged", `func f() { slog.Info("x", "value", b.Bytes()) }`, "hands secret bytes to log/slog.Info"},
		{"in a strings.Builder", `func f() { var s strings.Builder; s.Write(b.Bytes()) }`, "keeps secret bytes by (*strings.Builder).Write"},
		{"in a bytes.Buffer", `func f() { var s bytes.Buffer; b.WriteTo(&s) }`, "keeps secret bytes in a *bytes.Buffer"},

		{"other bytes", `func f(x []byte) string { return string(x) }; func g() { f([]byte("x")) }`, ""},
		{"another function's parameter", `func f(x []byte) string { return string(x) }; func g(x []byte) { _ = len(x) }; func h() { g(b.Bytes()) }`, ""},
		{"one byte", `func f() int { return int(b.Bytes()[0]) }`, ""},
		{"the length", `func f() string { return fmt.Sprint(len(b.Bytes()), b.Len()) }`, ""},
		{"the buffer itself", `func f() string { return fmt.Sprint(b, &m, k) }`, ""},
		{"bytes to bytes", `func f() bool { return bytes.Equal(b.Bytes(), m.Bytes()) }`, ""},
		{"a shadowed name", `func f() string { x := b.Bytes(); _ = x; { x := []byte("y"); return string(x) } }`, ""},
		{"other results", `func f() (string, []byte) { return "x", b.Bytes() }; func g() string { s, _ := f(); return s }`, ""},

		{"a value as string", `type t struct { Value string }`, "fastness/internal/probe.t.Value carries a secret as string"},
		{"several, as bytes", `type t struct { oldPasswords [][]byte }`, "carries"},
		{"behind a pointer", `type t struct { token *string }`, "carries"},
		{"in a map", `type t struct { secrets map[string]string }`, "carries"},
		{"of a named type", `type text string; type t struct { apiToken text }`, "carries"},
		{"in a struct within", `type t struct { inner struct { seed []byte } }`, "seed carries"},
		{"in a function's own type", `func f() { type t struct { SecretAccessKey string } }`, "carries"},
		{"a value in a buffer", `type t struct { Value, token *secretbuf.Buffer; seed *secretbuf.Key; list []*secretbuf.Buffer }`, ""},
		{"a name of the vocabulary", `type t struct { Secret secret.Name; Token secret.VersionID }`, ""},
		{"a number", `type t struct { token int; values bool }`, ""},
		{"another name", `type t struct { Name string; SecretName string; TokenFile string }`, ""},
		{"a function", `type t struct { value func() string }`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			file, err := parser.ParseFile(l.files, c.name, probe+c.source, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			p, err := l.check(modulePath+"/internal/probe", []*ast.File{file})
			if err != nil {
				t.Fatal(err)
			}
			switch got := unexplained(lintSecrets([]*checkedPackage{p})); {
			case c.want == "" && len(got) > 0:
				t.Errorf("findings %q", got)
			case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)):
				t.Errorf("findings %q, want only one with %q", got, c.want)
			}
		})
	}
}

// TestSecretLintAllowances: an allowance takes away what it names, and nothing else; one too many is a finding.
func TestSecretLintAllowances(t *testing.T) {
	found := []finding{{"a.F", "a.F: text"}, {"a.T.X", "a.T.X: field"}}
	got := unexplained(found, map[string]string{"a.F": "why"}, map[string]string{"a.T.Y": "why"})
	if len(got) != 2 || got[0] != "a.T.X: field" || !strings.HasPrefix(got[1], "a.T.Y: is allowed") {
		t.Errorf("left are %q", got)
	}
}
