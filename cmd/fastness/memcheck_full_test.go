//go:build memcheck

package main_test

import (
	"path/filepath"
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

// leaks are the build tags that switch one measure off each, for this test
// alone. With any of them the same check must find something: a measure whose
// absence nobody notices is not needed, or not tested.
var leaks = []leak{
	{tag: "leak_ciphers"},
	{tag: "leak_collect"},
	{tag: "leak_drain"},
	{tag: "leak_environ"},
	{tag: "leak_erase"},
	{tag: "leak_guard"},
	{tag: "leak_reads"},
	{tag: "leak_release"},
	{tag: "leak_replies"},
	{tag: "leak_scrub"},
	{tag: "leak_strings"},
	{tag: "leak_tls_reads", encrypted: true},
	{tag: "leak_tls_records", encrypted: true},
	{tag: "leak_tls_writes", encrypted: true},
}

// leak is such a tag.
type leak struct {
	tag       string // "leak_" and the measure's name
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
			hits := 0
			for _, r := range idle {
				hits += r.hits()
				t.Logf("%s:\n%s", r.where, s.examples(r))
			}
			if hits == 0 {
				t.Error("nothing is found although the measure is off")
			}
		})
	}
}
