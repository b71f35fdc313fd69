package main_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// leaks are the build tags that switch one measure off each, for this test
// alone. With any of them the same check must find something: a measure whose
// absence nobody notices is not needed, or not tested.
var leaks = []leak{
	{tag: "leak_ciphers", shows: "DEK", small: true},
	{tag: "leak_collect", shows: "hybrid private key", ending: "hybrid"},
	{tag: "leak_drain", shows: kindValue, ending: "unread"},
	{tag: "leak_environ", shows: "root key"},
	{tag: "leak_erase", shows: "DEK"},
	{tag: "leak_guard", shows: "KEK"},
	{tag: "leak_headers", shows: "token", ending: "refusals", small: true},
	{tag: "leak_json", shows: kindValue, small: true},
	{tag: "leak_reads", shows: kindValue},
	{tag: "leak_release", shows: kindValue},
	{tag: "leak_replies", shows: kindValue},
	{tag: "leak_scrub", shows: kindValue, ending: "closing"},
	{tag: "leak_strings", shows: "token"},
	{tag: "leak_tls_reads", shows: kindValue, encrypted: true, small: true},
	{tag: "leak_tls_records", shows: kindValue, ending: "records", encrypted: true},
	{tag: "leak_tls_writes", shows: kindValue, ending: "answers", encrypted: true},
}

// leak is such a tag.
type leak struct {
	tag       string // "leak_" and the measure's name
	shows     string // what kind of plant must be found without it
	ending    string // that is about it, if one is
	encrypted bool   // whether it takes TLS to show
	small     bool   // whether plain tests try it too: some of each kind
}

// check builds Fastness without the measure and expects to find what it shows.
func (l leak) check(t *testing.T, load scale) {
	t.Helper()
	build := filepath.Join(t.TempDir(), "fastness")
	if err := buildProgram(build, "-tags="+l.tag); err != nil {
		t.Fatal(err)
	}
	load.cores, load.ending = false, l.ending
	s, idle, _ := checkMemory(t, build, l.encrypted, load)
	if found := idle[0].kinds[l.shows]; found.whole+found.parts == 0 {
		t.Errorf("nothing of kind %s is found although the measure is off", l.shows)
	}
	t.Logf("%s:\n%s", idle[0].where, s.examples(idle[0]))
}

// TestMemoryKnowsLeaks holds the table to the tags that the code has.
func TestMemoryKnowsLeaks(t *testing.T) {
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
