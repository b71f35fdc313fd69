package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"fastness/client"
	"fastness/internal/secret"
)

// exitStatus ends the program with a code of its own, saying nothing more.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// codedError has an exit code of its own.
type codedError struct {
	err  error
	code int
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// report prints an error for people and returns its exit code.
func (a *app) report(err error) int {
	if err == nil {
		return exitDone
	}
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	fmt.Fprintf(a.env.Stderr, "fastness: %s\n", clean(describe(err)))
	if h := hint(err); h != "" {
		fmt.Fprintf(a.env.Stderr, "  hint: %s\n", h)
	}
	var answer *client.Error
	if errors.As(err, &answer) && answer.CorrelationID != "" {
		id := clean(answer.CorrelationID)
		fmt.Fprintf(a.env.Stderr, "  id:   %s (the audit log tells more under it)\n", id)
		if answer.Explain != "" { // its words are the server's; the command is ours
			fmt.Fprintf(a.env.Stderr, "  why:  fastness access explain --denial %s (for administrators and auditors%s)\n", id, ifRefused(err))
		}
	}
	return exitCode(err)
}

// ifRefused bounds what can be explained: what is hidden from its caller looks
// like what is not there.
func ifRefused(err error) string {
	if errors.Is(err, secret.ErrNotFound) {
		return ", if it is there and hidden"
	}
	return ""
}

// describe is an error's text, with the cause of a failed connection in place
// of the many layers around it.
func describe(err error) string {
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" && dial.Addr != nil {
		return fmt.Sprintf("cannot reach %s: %v", dial.Addr, errors.Unwrap(dial))
	}
	if errors.Is(err, context.Canceled) {
		return errInterrupted.Error()
	}
	return err.Error()
}

func exitCode(err error) int {
	var usage *usageError
	var coded *codedError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, secret.ErrNotFound):
		return exitNotFound
	case errors.Is(err, secret.ErrUnauthenticated), errors.Is(err, secret.ErrAccessDenied),
		errors.Is(err, secret.ErrMFARequired), errors.Is(err, errNoToken):
		return exitDenied
	}
	return exitFailed
}

// hints say, for errors that people meet, what gets them on.
var hints = []struct {
	is   error
	text string
}{
	{errNoToken, "`fastness login`, or export FASTNESS_TOKEN=…; `fastness dev` prints a token"},
	{errNoTenant, "say which with --tenant NAME or FASTNESS_TENANT"},
	{secret.ErrUnauthenticated, "what was shown is unknown, expired, revoked or wrong; a login ends by itself: `fastness login`"},
	{secret.ErrAccessDenied, "administrators and auditors of the tenant see which rule decided: hand them the id below"},
	{secret.ErrMFARequired, "give your second factor with `fastness mfa verify`; `fastness mfa enroll totp` adds one"},
	{secret.ErrNotFound, "names are case-sensitive; `fastness list` shows those that you may see"},
	{secret.ErrDeleted, "`fastness restore NAME` brings it back"},
	{secret.ErrTooMany, "wait as long as it says; if bad credentials are the reason, put the token right first"},
	{secret.ErrQuota, "`fastness quota show` tells what is used; an operator changes quotas"},
	{secret.ErrSuspended, "an operator brings it back with `fastness tenant resume NAME`"},
	{secret.ErrUnavailable, "nothing was changed unless `fastness audit list` says so; try again"},
	{secret.ErrUnknownOutcome, "look whether it was done; `fastness audit list` tells, under the id below"},
	{secret.ErrDecryption, "every other secret is unharmed; an older version may open: `fastness versions NAME`"},
	{syscall.ECONNREFUSED, "is the server running? `fastness dev` starts one; FASTNESS_ADDR says where to look"},
	{context.DeadlineExceeded, "--timeout gives it longer"},
}

func hint(err error) string {
	for _, h := range hints {
		if h.is == secret.ErrNotFound && secret.Of(err).Detail != secret.ErrNotFound.Detail {
			continue // it says itself what there is not
		}
		if errors.Is(err, h.is) {
			return h.text
		}
	}
	var usage *usageError
	if errors.As(err, &usage) {
		return "--help after any command shows how it is used, with examples"
	}
	return ""
}
