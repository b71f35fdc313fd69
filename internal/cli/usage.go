package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// usageError is a command line that cannot be meant.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}

// takes checks positional arguments against the words of a command's use
// line: "put NAME" takes one, "run -- CMD [ARG...]" any number from one on.
// What was given too much is not shown: it may be a value that somebody hoped
// to pass this way.
func takes(use string) cobra.PositionalArgs {
	var wanted []string
	required, open := 0, false
	for _, word := range strings.Fields(use)[1:] {
		switch {
		case word == "--" || strings.HasPrefix(word, "[flags"):
			continue
		case strings.HasSuffix(word, "...]"):
			open = true
			continue
		case !strings.HasPrefix(word, "["):
			required++
		}
		wanted = append(wanted, strings.Trim(word, "[]"))
	}
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < required:
			return fmt.Errorf("%s is missing: fastness %s", wanted[len(args)], useLine(cmd))
		case len(args) > len(wanted) && !open && len(wanted) == 0:
			return fmt.Errorf("%s takes no arguments", cmd.CommandPath())
		case len(args) > len(wanted) && !open:
			return fmt.Errorf("%s takes %s and nothing more; a value never goes on the command line",
				cmd.CommandPath(), strings.Join(wanted, " and "))
		}
		return nil
	}
}

// useLine is a command's use with the commands above it, without the program.
func useLine(cmd *cobra.Command) string {
	path := strings.TrimPrefix(cmd.CommandPath(), "fastness ")
	_, words, _ := strings.Cut(cmd.Use, " ")
	return strings.TrimSpace(path + " " + words)
}

var (
	errNoToken  = errors.New("no credential: neither FASTNESS_TOKEN nor --token-file is given, and nobody is logged in there")
	errNoTenant = &usageError{err: errors.New("no tenant: an operator's token needs one named")}
)
