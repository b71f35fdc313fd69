package fastness_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// soundTree keeps every rule, and comes near to breaking each: what is exempt stands in it.
var soundTree = map[string]string{
	"fastness.go":                       "// Package fastness is the library.\npackage fastness\n\nimport _ \"fastness/internal/vault\"",
	"fastness_test.go":                  "package fastness_test\n\nimport (\n\t_ \"fastness\"\n\t_ \"fastness/internal/cli\"\n\t_ \"math/rand/v2\"\n)",
	"cmd/fastness/main.go":              "// Command fastness keeps secrets.\npackage main\n\nimport _ \"fastness/internal/cli\"",
	"cmd/fastness/bench_test.go":        "//go:build bench\n\npackage main_test",
	"internal/cli/cli.go":               "// Package cli is the command line.\npackage cli\n\nimport _ \"fastness\"",
	"internal/vault/vault.go":           "// Package vault is the service.\npackage vault\n\nimport _ \"fastness/internal/envelope\"",
	"internal/vault/second.go":          "package vault",
	"internal/envelope/envelope.go":     "//go:build linux\n\n// Package envelope seals.\npackage envelope\n\nimport (\n\t_ \"crypto/aes\"\n\t_ \"crypto/cipher\"\n)",
	"internal/secret/secret.go":         "// Package secret names things.\npackage secret\n\nimport (\n\t_ \"fastness/internal/schedule\"\n\t_ \"fastness/internal/secretbuf\"\n)",
	"internal/secret/skipper.go":        "package secret\n\nvar _ = reader.Skip",
	"internal/secretbuf/guard_linux.go": "// Package secretbuf guards.\npackage secretbuf\n\nimport _ \"unsafe\"",
	"internal/schedule/schedule.go":     "// Package schedule waits.\npackage schedule\n\nimport _ \"fastnessing/elsewhere\"",
	"internal/audit/testdata/broken.go": "not Go, and not ours to read",
	"internal/.hidden/hidden.go":        "not Go, and not ours to read",
	"oddities/oddities_test.go":         "package oddities_test",
}

// TestLayoutRules breaks the sound tree in one place at a time and expects exactly that place to be named, so that
// TestLayout cannot pass by having looked at nothing.
func TestLayoutRules(t *testing.T) {
	tests := []struct {
		name   string
		change map[string]string // files that replace or join those of soundTree
		want   string            // start of the only finding; empty for none
	}{
		{"nothing changed", nil, ""},
		{"upwards", map[string]string{"internal/vault/up.go": "package vault\n\nimport _ \"fastness/internal/cli\""},
			"internal/vault/up.go: imports fastness/internal/cli upwards, from floor 4 to 9"},
		{"upwards to the root", map[string]string{"internal/vault/up.go": "package vault\n\nimport _ \"fastness\""},
			"internal/vault/up.go: imports fastness upwards, from floor 4 to 6"},
		{"upwards behind a build tag", map[string]string{"internal/vault/up.go": "//go:build plan9 && never\n\npackage vault\n\nimport _ \"fastness\""},
			"internal/vault/up.go: imports fastness upwards"},
		{"neighbour", map[string]string{"internal/envelope/side.go": "package envelope\n\nimport _ \"fastness/internal/audit\""},
			"internal/envelope/side.go: imports its neighbour fastness/internal/audit on floor 1"},
		{"neighbour the wrong way", map[string]string{"internal/secretbuf/side.go": "package secretbuf\n\nimport _ \"fastness/internal/secret\""},
			"internal/secretbuf/side.go: imports its neighbour fastness/internal/secret on floor 0"},
		{"import without a row", map[string]string{"internal/vault/odd.go": "package vault\n\nimport _ \"fastness/oddities\""},
			"internal/vault/odd.go: imports fastness/oddities, which stands on no floor"},
		{"package without a row", map[string]string{"internal/util/util.go": "// Package util has no idea.\npackage util\n\nimport _ \"fastness/internal/cli\""},
			"internal/util: stands on no floor"},
		{"no comment", map[string]string{"internal/audit/audit.go": "package audit"},
			"internal/audit: no file opens with a comment \"Package audit \""},
		{"comment apart from the clause", map[string]string{"internal/audit/audit.go": "// Package audit proves.\n\npackage audit"},
			"internal/audit: no file opens"},
		{"comment of another package", map[string]string{"internal/audit/audit.go": "// Package auditor proves.\npackage audit"},
			"internal/audit: no file opens"},
		{"comment only in a test", map[string]string{"internal/audit/audit.go": "package audit", "internal/audit/audit_test.go": "// Package audit proves.\npackage audit"},
			"internal/audit: no file opens"},
		{"command called a package", map[string]string{"cmd/fastness/main.go": "// Package main keeps secrets.\npackage main"},
			"cmd/fastness: no file opens with a comment \"Command fastness \""},
		{"unsafe", map[string]string{"internal/vault/fast.go": "package vault\n\nimport \"unsafe\""},
			"internal/vault/fast.go: imports unsafe"},
		{"unsafe in a test", map[string]string{"internal/vault/fast_test.go": "package vault_test\n\nimport \"unsafe\""},
			"internal/vault/fast_test.go: imports unsafe"},
		{"cgo", map[string]string{"internal/secretbuf/c.go": "package secretbuf\n\nimport \"C\""},
			"internal/secretbuf/c.go: imports C"},
		{"math/rand", map[string]string{"internal/secretbuf/luck.go": "package secretbuf\n\nimport \"math/rand\""},
			"internal/secretbuf/luck.go: imports math/rand:"},
		{"math/rand/v2", map[string]string{"fastness.go": "// Package fastness is the library.\npackage fastness\n\nimport luck \"math/rand/v2\""},
			"fastness.go: imports math/rand/v2:"},
		{"block cipher", map[string]string{"internal/cli/cipher.go": "package cli\n\nimport \"crypto/aes\""},
			"internal/cli/cipher.go: imports crypto/aes"},
		{"cipher mode", map[string]string{"internal/cli/cipher.go": "package cli\n\nimport . \"crypto/cipher\""},
			"internal/cli/cipher.go: imports crypto/cipher"},
		{"skip", map[string]string{"oddities/oddities_test.go": "package oddities_test\n\nfunc f() {\n\tt.Skip(\"later\")\n}"},
			"oddities/oddities_test.go:4: skips a test"},
		{"skip now", map[string]string{"oddities/oddities_test.go": "package oddities_test\n\nvar leave = s.t.SkipNow"},
			"oddities/oddities_test.go:3: skips a test"},
		{"skip in a helper", map[string]string{"internal/vault/helper.go": "package vault\n\nimport \"testing\"\n\nfunc help(t testing.TB) { t.Skipf(\"%d\", 1) }"},
			"internal/vault/helper.go:5: skips a test"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tree := fstest.MapFS{}
			for _, layer := range []map[string]string{soundTree, test.change} {
				for name, source := range layer {
					tree[name] = &fstest.MapFile{Data: []byte(source)}
				}
			}
			files, err := readTree(tree)
			if err != nil {
				t.Fatal(err)
			}
			switch findings := checkLayout(files); {
			case test.want == "" && len(findings) > 0:
				t.Errorf("findings in a sound tree: %q", findings)
			case test.want != "" && (len(findings) != 1 || !strings.HasPrefix(findings[0], test.want)):
				t.Errorf("findings %q, want only one that starts with %q", findings, test.want)
			}
		})
	}
}

// TestLayoutReadsWholeTree pins which files are looked at, and that one that does not parse is an error.
func TestLayoutReadsWholeTree(t *testing.T) {
	tree := fstest.MapFS{
		"a.go": {Data: []byte("package a")}, "a_test.go": {Data: []byte("package a_test")}, "notes.txt": {},
		"b/c/tagged.go": {Data: []byte("//go:build ignore\n\npackage c")}, "b/testdata/x.go": {}, "_b/x.go": {}, ".git/x.go": {},
	}
	files, err := readTree(tree)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, file := range files {
		got = append(got, file.path)
	}
	if diff := cmp.Diff([]string{"a.go", "a_test.go", "b/c/tagged.go"}, got); diff != "" {
		t.Errorf("files read (-want +got):\n%s", diff)
	}
	tree["b/broken.go"] = &fstest.MapFile{Data: []byte("packag b")}
	if _, err := readTree(tree); err == nil {
		t.Error("a file that does not parse was passed over")
	}
}
