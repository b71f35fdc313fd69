package fastness_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"testing"
)

// secretbufPath is the package that alone may make other things of secret bytes.
const secretbufPath = modulePath + "/internal/secretbuf"

// stringsAllowed are the functions that make a string of secret bytes all the same, with why. One that does so no
// more fails the test too.
var stringsAllowed = map[string]string{
	"(*fastness/internal/cli.app).policySchemaCommand": "the published schema of policies",
	"fastness/client.authorization":                    "net/http takes a header's value as a string; Close overwrites it",
	"fastness/fastnesstest.Get":                        "importers' tests compare text",
	"fastness/internal/audit.ParseKeySet":              "public keys arrive in a body that is wiped as all are",
	"fastness/internal/cli.environment":                "a child's environment is made of strings",
}

// fieldsAllowed are the fields that sound secret and are not, or cannot be a buffer, with why.
var fieldsAllowed = map[string]string{
	"fastness/examples/rotation-webhook.event.ClientRequestToken": "a version's id",
	"fastness/examples/rotation-webhook.event.RotationToken":      "a rotation's id",
	"fastness/client.redactRequest.Secret":                        "a secret's name",
	"fastness/internal/api.RedactRequest.Secret":                  "a secret's name",
	"fastness/internal/api.call.values":                           "segments of a path",
	"fastness/internal/audit.Filter.Secret":                       "a secret's name",
	"fastness/internal/cli.filterFlags.secret":                    "a secret's name",
	"fastness/internal/cli.runFlags.secrets":                      "secrets' names",
	"fastness/internal/cli.valueFlags.token":                      "a request token, which becomes a version's id",
	"fastness/internal/store.TenantKey.KEMSeed":                   "wrapped by the root key",
	"fastness/internal/vault.Caller.credential":                   "a credential's id",
	"fastness/internal/vault.ListQuery.TagValue":                  "a tag's value",
	"fastness/internal/wire.PutRequest.RequestToken":              "becomes a version's id",
	"fastness/internal/wire.RotateRequest.RequestToken":           "becomes a version's id",
}

// TestSecretsStayBytes follows secret bytes through the code: nothing outside package secretbuf may turn them into a
// string, which cannot be wiped, nor hand them to code that does; and no field that carries a secret may be of a
// type that is not wiped.
func TestSecretsStayBytes(t *testing.T) {
	l, err := listPackages()
	if err != nil {
		t.Fatal(err)
	}
	packages, err := l.checkModule()
	if err != nil {
		t.Fatal(err)
	}
	findings := lintSecrets(packages)
	for _, f := range unexplained(findings, stringsAllowed, fieldsAllowed) {
		t.Error(f)
	}
}

// finding is a place that breaks a rule.
type finding struct {
	subject string // a function or a field
	text    string
}

// unexplained returns what is left of the findings, and allowances that allow nothing.
func unexplained(findings []finding, allowed ...map[string]string) []string {
	var left []string
	used := map[string]bool{}
	for _, f := range findings {
		if !slices.ContainsFunc(allowed, func(m map[string]string) bool { return m[f.subject] != "" }) {
			left = append(left, f.text)
		}
		used[f.subject] = true
	}
	for _, m := range allowed {
		for subject := range m {
			if !used[subject] {
				left = append(left, subject+": is allowed what it does not do; take the row out")
			}
		}
	}
	slices.Sort(left)
	return left
}

// listing is what the go command says of the module's packages and of those that they import.
type listing struct {
	files   *token.FileSet
	exports map[string]string // files with type information, by import path
	own     []listedPackage
	gc      types.Importer
}

type listedPackage struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

// listPackages has the go command compile whatever is not in its cache.
func listPackages() (*listing, error) {
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	l := &listing{files: token.NewFileSet(), exports: map[string]string{}}
	for d := json.NewDecoder(out); ; {
		var p listedPackage
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		l.exports[p.ImportPath] = p.Export
		if _, ok := folderOf(p.ImportPath); ok {
			l.own = append(l.own, p)
		}
	}
	l.gc = importer.ForCompiler(l.files, "gc", func(path string) (io.ReadCloser, error) { return os.Open(l.exports[path]) })
	return l, cmd.Wait()
}

// checkedPackage is a package with its syntax and types.
type checkedPackage struct {
	path  string
	files []*ast.File
	*types.Info
	*token.FileSet
}

func (l *listing) checkModule() (packages []*checkedPackage, err error) {
	for _, p := range l.own {
		var files []*ast.File
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(l.files, path.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			files = append(files, file)
		}
		checked, err := l.check(p.ImportPath, files)
		if err != nil {
			return nil, err
		}
		packages = append(packages, checked)
	}
	return packages, nil
}

func (l *listing) check(path string, files []*ast.File) (*checkedPackage, error) {
	info := &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
		Selections: map[*ast.SelectorExpr]*types.Selection{}, Instances: map[*ast.Ident]types.Instance{},
	}
	config := types.Config{Importer: l.gc}
	if _, err := config.Check(path, l.files, files, info); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &checkedPackage{path, files, info, l.files}, nil
}

// lintSecrets applies both rules.
func lintSecrets(packages []*checkedPackage) []finding {
	flow := &flow{secret: map[string]bool{}}
	for changed := true; changed; {
		before := len(flow.secret)
		for _, p := range packages {
			if p.path != secretbufPath {
				flow.spread(p)
			}
		}
		changed = len(flow.secret) > before
	}
	var findings []finding
	for _, p := range packages {
		if p.path != secretbufPath {
			findings = append(findings, flow.judge(p)...)
			findings = append(findings, judgeFields(p)...)
		}
	}
	return findings
}
