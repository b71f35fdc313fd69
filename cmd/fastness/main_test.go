// The tests of this folder know Fastness from outside only: they build the
// binary once, start it as people and machines do, and kill it as power cuts
// do. What they look into with the house's own packages is what is meant to be
// looked into: an exported audit log.
package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program is the fastness that TestMain built, in the folder built.
var program, built string

// roleVariable makes this test binary another program: benchmarks want their
// loader, and the server they compare with, in processes of their own.
const roleVariable = "FASTNESS_TEST_ROLE"

// roles are those programs.
var roles = map[string]func() error{}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := roles[role](); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "fastness-test-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	built, program = dir, filepath.Join(dir, "fastness")
	if err := buildProgram(program); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// buildProgram builds fastness as the Makefile does, whatever this test itself
// was built with. flags are further ones of go build.
func buildProgram(to string, flags ...string) error { return buildWith("runtimesecret", to, flags...) }

// buildWith is buildProgram with these of Go's experiments.
func buildWith(experiment, to string, flags ...string) error {
	flags = append([]string{"build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-X fastness/internal/cli.version=test", "-o", to}, flags...)
	build := exec.Command("go", append(flags, ".")...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOEXPERIMENT="+experiment)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building fastness: %w\n%s", err, out)
	}
	return nil
}

// environment is this process's without what would configure Fastness, and
// with a home of its own.
func environment(home string, more ...string) []string {
	env := []string{"HOME=" + home}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "FASTNESS_") && !strings.HasPrefix(v, "SECRETS_") && !strings.HasPrefix(v, "HOME=") {
			env = append(env, v)
		}
	}
	return append(env, more...)
}
