//go:build memcheck

package main_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMemcheck is the check in full: `make memcheck`.
func TestMemcheck(t *testing.T) {
	for name, encrypted := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			s, idle, busy := checkMemory(t, program, encrypted, full)
			expectNothing(t, s, idle, busy, full.connections)
		})
	}
}

// TestMemcheckUsers is the same for programs that use the Go client or the
// library.
func TestMemcheckUsers(t *testing.T) {
	t.Run("client, plain", func(t *testing.T) { checkClient(t, false, full) })
	t.Run("client, TLS", func(t *testing.T) { checkClient(t, true, full) })
	t.Run("library", func(t *testing.T) { checkLibrary(t, full) })
}

// leaks are the build tags that switch one measure off each, for this test
// alone. With any of them the same check must find something: a measure whose
// absence nobody notices is not needed, or not tested.
var leaks = []leak{
	{tag: "leak_ciphers", shows: "DEK"},
	{tag: "leak_collect", shows: "hybrid private key"},
	{tag: "leak_drain", shows: kindValue},
	{tag: "leak_environ", shows: "root key"},
	{tag: "leak_erase", shows: "DEK"},
	{tag: "leak_guard", shows: "KEK"},
	{tag: "leak_headers", shows: "token"},
	{tag: "leak_json", shows: kindValue},
	{tag: "leak_reads", shows: kindValue},
	{tag: "leak_release", shows: kindValue},
	{tag: "leak_replies", shows: kindValue},
	{tag: "leak_scrub", shows: kindValue},
	{tag: "leak_strings", shows: "token"},
	{tag: "leak_tls_reads", shows: kindValue, encrypted: true},
	{tag: "leak_tls_records", shows: kindValue, encrypted: true},
	{tag: "leak_tls_writes", shows: kindValue, encrypted: true},
}

// leak is such a tag.
type leak struct {
	tag       string // "leak_" and the measure's name
	shows     string // what kind of plant must be found without it
	encrypted bool   // whether it takes TLS to show
}

// TestMemcheckLeaks builds Fastness without each measure in turn.
func TestMemcheckLeaks(t *testing.T) {
	load := full
	load.cores = false
	for _, l := range leaks {
		t.Run(l.tag, func(t *testing.T) {
			build := filepath.Join(t.TempDir(), "fastness")
			if err := buildProgram(build, "-tags="+l.tag); err != nil {
				t.Fatal(err)
			}
			s, idle, _ := checkMemory(t, build, l.encrypted, load)
			found := idle[0].kinds[l.shows]
			if found.whole+found.parts == 0 {
				t.Errorf("nothing of kind %s is found although the measure is off", l.shows)
			}
			t.Logf("%s:\n%s", idle[0].where, s.examples(idle[0]))
		})
	}
}

// TestMemcheckKnowsLeaks holds the table to the tags that the code has.
func TestMemcheckKnowsLeaks(t *testing.T) {
	want := map[string]bool{}
	tag := regexp.MustCompile(`\bleak_\w+`)
	err := filepath.WalkDir("../../internal", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		source, err := os.ReadFile(path)
		for line := range strings.Lines(string(source)) {
			if strings.HasPrefix(line, "//go:build ") {
				for _, name := range tag.FindAllString(line, -1) {
					want[name] = true
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leaks {
		if !want[l.tag] {
			t.Errorf("no file has the tag %s", l.tag)
		}
		delete(want, l.tag)
	}
	for name := range want {
		t.Errorf("the tag %s is not tried", name)
	}
}
