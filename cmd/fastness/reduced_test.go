package main_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestReducedBuildSaysSo: a server that was built without the experiment erases
// less than it should, and says so at its start. One that was built with it has
// nothing to say.
func TestReducedBuildSaysSo(t *testing.T) {
	t.Parallel()
	const says = "this build does not erase all that cryptography leaves in memory"
	reduced := filepath.Join(t.TempDir(), "fastness")
	if err := buildWith("", reduced); err != nil {
		t.Fatal(err)
	}
	for build, want := range map[string]bool{reduced: true, program: false} {
		p := startBuild(t, build, []string{"SECRETS_MASTER_KEY=" + masterKey},
			"server", "--store", "sqlite:"+t.TempDir(), "--listen", freeAddress(t))
		p.until(t, "its address", func() bool { return strings.Contains(p.stderr.String(), "serving") })
		if said := strings.Contains(p.stderr.String(), says); said != want {
			t.Errorf("%s: says that its promise is reduced: %t, want %t", build, said, want)
		}
		p.stop(t)
	}
}
