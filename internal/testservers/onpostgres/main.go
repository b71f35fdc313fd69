// Command onpostgres runs a program, such as go test, beside a PostgreSQL of its
// own on which the tests then keep what they store.
package main

import (
	"fmt"
	"os"

	"fastness/internal/testservers"
	"fastness/internal/teststore"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: onpostgres PROGRAM [ARGUMENT...]")
		os.Exit(2)
	}
	os.Exit(testservers.OnPostgres(teststore.Variable, os.Args[1], os.Args[2:]...))
}
