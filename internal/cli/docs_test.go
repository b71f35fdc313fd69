package cli_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fastness/internal/cli"
)

// TestReferenceIsCurrent compares docs/cli.md with the program.
func TestReferenceIsCurrent(t *testing.T) {
	const path = "../../docs/cli.md"
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if code := cli.Run(t.Context(), []string{"docs"}, cli.Env{Stdout: &got}); code != 0 {
		t.Fatalf("docs exits with %d", code)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s is not what `fastness docs` prints; run: fastness docs > docs/cli.md\n%s", path, diff)
	}
}

func TestEveryCommandHasExamples(t *testing.T) {
	for _, c := range cli.Commands() {
		if c.Runs && !strings.Contains(c.Example, "fastness") {
			t.Errorf("%s has no example", c.Path)
		}
	}
}

// TestSettingsAreOneTable checks that names follow from the key.
func TestSettingsAreOneTable(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range cli.Settings() {
		for _, name := range row[1:] {
			if seen[name] {
				t.Errorf("%s stands twice", name)
			}
			seen[name] = true
		}
	}
	for key, want := range map[string][2]string{
		"listen": {"listen", "FASTNESS_LISTEN"}, "audit.anchor": {"audit-anchor", "FASTNESS_AUDIT_ANCHOR"},
		"log_level": {"log-level", "FASTNESS_LOG_LEVEL"}, "master_key_file": {"master-key-file", "FASTNESS_MASTER_KEY_FILE"},
	} {
		found := false
		for _, row := range cli.Settings() {
			found = found || row == [3]string{key, want[0], want[1]}
		}
		if !found {
			t.Errorf("no setting %s with %v", key, want)
		}
	}
}

// TestExampleConfigurationLoads reads the example in deploy as the server does.
func TestExampleConfigurationLoads(t *testing.T) {
	var stderr bytes.Buffer
	env := cli.Env{Stderr: &stderr}
	// Without a root key the server stops once the configuration is read.
	t.Setenv("SECRETS_MASTER_KEY", "")
	code := cli.Run(t.Context(), []string{"server", "--config", "../../deploy/fastness.toml"}, env)
	if want := "fastness: SECRETS_MASTER_KEY environment variable is required\n"; code != 1 || stderr.String() != want {
		t.Errorf("exit %d: %s", code, stderr.String())
	}
}
