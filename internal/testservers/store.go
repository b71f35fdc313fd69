package testservers

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
)

// storePostgres is for many tests at once that do not test how durable it is.
var storePostgres = slices.Concat(quietPostgres, []string{"-c", "synchronous_commit=off", "-c", "full_page_writes=off",
	"-c", "max_connections=500", "-c", "shared_buffers=128MB"})

// OnPostgres runs a program, and all that it starts, with an environment
// variable set to the URL of a PostgreSQL that ends with it. It returns the
// program's exit code.
func OnPostgres(variable, program string, args ...string) int {
	// Who interrupts us interrupts the program too; we are to outlive it.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupts)
	s, err := startPostgres(Options{Args: storePostgres})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer s.process.remove()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), variable+"="+s.URL())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	var exit *exec.ExitError
	switch err := cmd.Run(); {
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// URL is where Admin finds a PostgreSQL's database.
func (s *Server) URL() string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(s.Admin, AdminPassword), Host: s.Address(), Path: "postgres", RawQuery: "sslmode=disable"}
	return u.String()
}
