package fastness_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// modulePath is what import paths of the house begin with.
const modulePath = "fastness"

// floors says on which floor each package stands, by its folder below the module's root. A package imports only
// packages of lower floors. A package is given a row here in the change that makes it.
var floors = map[string]int{
	"cmd/fastness":              10,
	"examples/rotation-webhook": 10,

	"internal/cli": 9,
	"fastnesstest": 9,
	// For tests alone: up here nothing that is shipped can import it.
	"internal/testservers":            9,
	"internal/testservers/onpostgres": 10,

	"internal/server": 8,

	"internal/api":      7,
	"internal/awsapi":   7,
	"internal/vaultapi": 7,
	"internal/web":      7,
	"client":            7,

	".": 6,

	"internal/notify":   6,
	"internal/rotation": 5,
	"internal/backup":   5,

	"internal/vault":     4,
	"internal/teststore": 4, // for tests alone

	"internal/store/sqlite":    3,
	"internal/store/postgres":  3,
	"internal/store/storetest": 3,
	"internal/dump":            3,

	"internal/store":   2,
	"internal/rootkey": 2,
	"internal/archive": 2,
	"internal/reserve": 2,

	"internal/envelope": 1,
	"internal/audit":    1,
	"internal/policy":   1,
	"internal/identity": 1,
	"internal/wire":     1,

	"internal/awsapi/iam":   1,
	"internal/awsapi/sigv4": 1,

	"internal/secret":    0,
	"internal/secretbuf": 0,
	"internal/schedule":  0,
}

// neighbours are the only imports allowed within one floor: the vocabulary names buffers and schedules.
var neighbours = map[string][]string{
	"internal/secret": {"internal/secretbuf", "internal/schedule"},
}

// reserved names the folders that alone may import a package. A row without folders forbids it everywhere.
var reserved = map[string]struct {
	folders []string
	inTests bool // whether test files are bound too
	reason  string
}{
	"C":             {nil, true, "the binary is static and pure Go"},
	"unsafe":        {[]string{"internal/secretbuf"}, true, "memory is handled in one place"},
	"math/rand":     {nil, false, "randomness is crypto/rand's"},
	"math/rand/v2":  {nil, false, "randomness is crypto/rand's"},
	"crypto/aes":    {[]string{"internal/envelope", "internal/secretbuf"}, false, "ciphers are called behind the envelopes"},
	"crypto/cipher": {[]string{"internal/envelope", "internal/secretbuf"}, false, "ciphers are called behind the envelopes"},
}

// TestLayout holds the tree to the rules above, whatever build tags its files carry.
func TestLayout(t *testing.T) {
	files, err := readTree(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range checkLayout(files) {
		t.Error(finding)
	}
}

// sourceFile is what the rules look at in one Go file.
type sourceFile struct {
	path    string // slash-separated, from the module's root
	name    string // of the package
	doc     string // the package comment, empty when there is none
	imports []string
	skips   []int // lines that mention a test's Skip, SkipNow or Skipf
}

func (f sourceFile) folder() string { return path.Dir(f.path) }
func (f sourceFile) isTest() bool   { return strings.HasSuffix(f.path, "_test.go") }

// readTree reads every Go file that the go command could be told to build: all but testdata and the folders that
// it ignores by name.
func readTree(tree fs.FS) ([]sourceFile, error) {
	var files []sourceFile
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch base := entry.Name(); {
		case entry.IsDir() && name != "." && (base == "testdata" || base[0] == '.' || base[0] == '_'):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		file, err := readFile(tree, name)
		files = append(files, file)
		return err
	})
	return files, err
}

// readFile parses a file as far as the rules need: bodies only where a test can be skipped.
func readFile(tree fs.FS, name string) (sourceFile, error) {
	source, err := fs.ReadFile(tree, name)
	if err != nil {
		return sourceFile{}, err
	}
	positions := token.NewFileSet()
	parsed, err := parser.ParseFile(positions, name, source, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return sourceFile{}, err
	}
	file := sourceFile{path: name, name: parsed.Name.Name, doc: parsed.Doc.Text()}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return sourceFile{}, fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
		}
		file.imports = append(file.imports, imported)
	}
	if file.isTest() || slices.Contains(file.imports, "testing") {
		file.skips, err = findSkips(positions, name, source)
	}
	return file, err
}

// findSkips names the lines where any value's Skip, SkipNow or Skipf is reached for, called or not.
func findSkips(positions *token.FileSet, name string, source []byte) ([]int, error) {
	parsed, err := parser.ParseFile(positions, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var lines []int
	ast.Inspect(parsed, func(node ast.Node) bool {
		if selector, ok := node.(*ast.SelectorExpr); ok {
			switch selector.Sel.Name {
			case "Skip", "SkipNow", "Skipf":
				lines = append(lines, positions.Position(selector.Sel.Pos()).Line)
			}
		}
		return true
	})
	return lines, nil
}

// checkLayout returns a sentence for every place where the files break a rule.
func checkLayout(files []sourceFile) []string {
	var findings []string
	packages := make(map[string][]sourceFile) // what is built without tests, by folder
	for _, file := range files {
		if !file.isTest() {
			packages[file.folder()] = append(packages[file.folder()], file)
			findings = append(findings, checkFloors(file)...)
		}
		findings = append(findings, checkReserved(file)...)
		for _, line := range file.skips {
			findings = append(findings, fmt.Sprintf("%s:%d: skips a test: what it needs is a requirement, its absence a failure", file.path, line))
		}
	}
	for folder, files := range packages {
		if _, ok := floors[folder]; !ok {
			findings = append(findings, fmt.Sprintf("%s: stands on no floor: give it a row", folder))
		}
		if !hasOpeningComment(folder, files) {
			findings = append(findings, fmt.Sprintf("%s: no file opens with a comment %q", folder, opening(folder, files[0])))
		}
	}
	slices.Sort(findings)
	return findings
}

// checkFloors holds one file's imports to the table. A missing row of the file's own package is reported once a
// package, not here.
func checkFloors(file sourceFile) []string {
	floor, ok := floors[file.folder()]
	if !ok {
		return nil
	}
	var findings []string
	for _, imported := range file.imports {
		target, ok := folderOf(imported)
		if !ok || slices.Contains(neighbours[file.folder()], target) {
			continue
		}
		switch below, ok := floors[target]; {
		case !ok:
			findings = append(findings, fmt.Sprintf("%s: imports %s, which stands on no floor", file.path, imported))
		case below > floor:
			findings = append(findings, fmt.Sprintf("%s: imports %s upwards, from floor %d to %d", file.path, imported, floor, below))
		case below == floor:
			findings = append(findings, fmt.Sprintf("%s: imports its neighbour %s on floor %d", file.path, imported, floor))
		}
	}
	return findings
}

// folderOf returns the folder of an import path of this module.
func folderOf(imported string) (folder string, ok bool) {
	if imported == modulePath {
		return ".", true
	}
	return strings.CutPrefix(imported, modulePath+"/")
}

func checkReserved(file sourceFile) []string {
	var findings []string
	for _, imported := range file.imports {
		rule, ok := reserved[imported]
		if !ok || file.isTest() && !rule.inTests || slices.Contains(rule.folders, file.folder()) {
			continue
		}
		findings = append(findings, fmt.Sprintf("%s: imports %s: %s", file.path, imported, rule.reason))
	}
	return findings
}

func hasOpeningComment(folder string, files []sourceFile) bool {
	return slices.ContainsFunc(files, func(f sourceFile) bool { return strings.HasPrefix(f.doc, opening(folder, f)) })
}

// opening is how the comment of a package begins, by Go's convention.
func opening(folder string, file sourceFile) string {
	if file.name == "main" {
		return "Command " + path.Base(folder) + " "
	}
	return "Package " + file.name + " "
}
