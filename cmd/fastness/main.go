// Command fastness keeps secrets of many tenants: the server and the command
// line in one. Package cli holds everything.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"fastness/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks the command to end, the second one ends it.
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Run(ctx, os.Args[1:], cli.System()))
}
