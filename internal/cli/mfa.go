package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/secretbuf"
)

func (a *app) mfaCommand() *cobra.Command {
	return group("mfa", "Enrol and give second factors",
		group("enroll", "Add a second factor", a.mfaTOTPCommand()),
		a.mfaConfirmCommand(), a.mfaVerifyCommand(), a.mfaListCommand(), a.mfaRecoveryCommand(), a.mfaRemoveCommand())
}

func (a *app) mfaTOTPCommand() *cobra.Command {
	var name string
	cmd := a.command("totp", "Add an authenticator for one-time codes", func(ctx context.Context, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		made, err := c.Factors().EnrolTOTP(ctx, name)
		if err != nil {
			return err
		}
		defer made.URI.Release()
		if a.global.json {
			return a.printReply()
		}
		if err := a.showURI(made.URI); err != nil {
			return err
		}
		if !a.env.IsTerminal(a.env.Stdin) {
			a.note("end it within ten minutes with the first code: fastness mfa confirm %s", clean(made.ID))
			return nil
		}
		code, err := a.hidden(ctx, "First code: ")
		if err != nil {
			return err
		}
		defer code.Release()
		return a.confirmFactor(ctx, c, made.ID, code)
	})
	cmd.Long = `Add an authenticator that makes one-time codes (RFC 6238) to your second factors.
Scan the code, or enter the secret in the address below it, and give the first
code. With the first factor you get ten recovery codes, each of which works once:
keep them where the authenticator is not.

Beside a factor that you have, another is only added once you have given it; a
first one is added right after a login.`
	cmd.Example = `fastness mfa enroll totp --name phone
fastness mfa enroll totp --json | jq -r .uri`
	cmd.Flags().StringVar(&name, "name", "", "what you call it (`TEXT`)")
	return cmd
}

// showURI draws the code that an authenticator scans, and what is in it.
func (a *app) showURI(uri *secretbuf.Buffer) error {
	if a.env.IsTerminal(a.env.Stdout) {
		drawing, err := drawQR(uri)
		if err != nil {
			return err
		}
		defer drawing.Release()
		if _, err := drawing.WriteTo(a.env.Stdout); err != nil {
			return err
		}
	}
	if _, err := uri.WriteTo(a.env.Stdout); err != nil {
		return err
	}
	_, err := io.WriteString(a.env.Stdout, "\n")
	return err
}

// confirmFactor gives the first code, and shows the recovery codes if there are
// any.
func (a *app) confirmFactor(ctx context.Context, c *client.Client, id string, code *secretbuf.Buffer) error {
	codes, err := c.Factors().Confirm(ctx, id, code)
	if err != nil {
		return err
	}
	defer codes.Release()
	return a.answer(func(w io.Writer) error {
		a.note("the authenticator is added, and counts as given")
		return a.showCodes(w, codes)
	})
}

func (a *app) showCodes(w io.Writer, codes *secretbuf.Buffer) error {
	if codes == nil {
		return nil
	}
	a.note("Recovery codes, told only now. Each works once, in the place of a one-time code:")
	_, err := codes.WriteTo(w)
	return err
}

func (a *app) mfaConfirmCommand() *cobra.Command {
	cmd := a.command("confirm ID", "End an enrolment with the first code", func(ctx context.Context, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		code, err := a.hidden(ctx, "First code: ")
		if err != nil {
			return err
		}
		defer code.Release()
		return a.confirmFactor(ctx, c, args[0], code)
	})
	cmd.Long = `End the enrolment of an authenticator that "fastness mfa enroll totp" began off a
terminal, with its first code, read from stdin. Recovery codes are printed, one a
line.`
	cmd.Example = "fastness mfa confirm fct_2v6mzqk4h7yx5r3a < code"
	return cmd
}

func (a *app) mfaVerifyCommand() *cobra.Command {
	cmd := a.command("verify", "Give a one-time or a recovery code", func(ctx context.Context, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		return a.giveCode(ctx, c)
	})
	cmd.Long = `Give a code of your authenticator, or a recovery code. It counts for some minutes,
with this login or token alone: for what a secret's access policy wants a second
factor for, and for changing your factors. A code works once. The code is asked
for, or read from stdin.`
	cmd.Example = "fastness mfa verify"
	return cmd
}

// ownerFlags say whose factors are meant: one's own, or somebody's.
type ownerFlags struct {
	whose     credentialFlags
	principal string
}

func (f *ownerFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.principal, "principal", "", "those of this person or operator, not your own (`NAME`)")
	f.whose.add(cmd)
}

// principals is the handle to somebody else; nil for oneself.
func (f *ownerFlags) principals(ctx context.Context, a *app) (*client.Principals, error) {
	if f.principal == "" {
		if f.whose.operator {
			return nil, usagef("--operator: say which with --principal")
		}
		return nil, nil
	}
	if err := checkPrincipal(f.principal); err != nil {
		return nil, err
	}
	return f.whose.principals(ctx, a)
}

func (a *app) mfaListCommand() *cobra.Command {
	var owner ownerFlags
	cmd := a.command("list", "List second factors", func(ctx context.Context, _ []string) error {
		others, err := owner.principals(ctx, a)
		if err != nil {
			return err
		}
		if others != nil {
			infos, err := others.Factors(ctx, owner.principal)
			if err != nil {
				return err
			}
			return a.answer(func(w io.Writer) error { return a.showFactors(w, infos) })
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		state, err := c.Factors().List(ctx)
		if err != nil {
			return err
		}
		return a.answer(func(w io.Writer) error {
			switch {
			case state.Locked:
				a.note("nothing else works before one is given: fastness mfa verify")
			case !state.Fresh.IsZero():
				a.note("given; it counts until %s", when(state.Fresh))
			}
			return a.showFactors(w, state.Factors)
		})
	})
	cmd.Long = "List your second factors, or with --principal those of somebody whom you manage."
	cmd.Example = `fastness mfa list
fastness mfa list --principal alice@example.com`
	owner.add(cmd)
	return cmd
}

func (a *app) showFactors(w io.Writer, infos []client.FactorInfo) error {
	if len(infos) == 0 {
		a.note("no second factors")
		return nil
	}
	t := newTable("ID", "TYPE", "NAME", "ADDED", "LAST USED")
	for _, f := range infos {
		name := f.Name
		if f.Type == "recovery" {
			name = fmt.Sprintf("%d codes left", f.Left)
		}
		t.add(f.ID, string(f.Type), orDash(name), when(f.Created), orDash(day(f.LastUsed)))
	}
	return t.flush(w)
}

func (a *app) mfaRecoveryCommand() *cobra.Command {
	cmd := a.command("recovery", "Make recovery codes anew", func(ctx context.Context, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		codes, err := c.Factors().Recover(ctx)
		if err != nil {
			return err
		}
		defer codes.Release()
		return a.answer(func(w io.Writer) error { return a.showCodes(w, codes) })
	})
	cmd.Long = "Make ten recovery codes, one a line. Those that you had work no more. Give your second factor first."
	cmd.Example = "fastness mfa recovery > codes"
	return cmd
}

func (a *app) mfaRemoveCommand() *cobra.Command {
	var owner ownerFlags
	var yes bool
	cmd := a.command("remove ID", "Forget a second factor", func(ctx context.Context, args []string) error {
		others, err := owner.principals(ctx, a)
		if err != nil {
			return err
		}
		question := "Forget this factor?"
		if others != nil {
			question = fmt.Sprintf("Forget this factor of %s, who can then do without it?", clean(owner.principal))
		}
		if err := a.confirm(ctx, yes, question); err != nil {
			return err
		}
		if err := a.removeFactor(ctx, others, owner.principal, args[0]); err != nil {
			return err
		}
		return a.done("removed %s", args[0])
	})
	cmd.Long = `Forget one of your second factors; give one first. With --principal, one of
somebody who has lost it. With the last one go the recovery codes.`
	cmd.Example = `fastness mfa remove fct_2v6mzqk4h7yx5r3a
fastness mfa remove fct_2v6mzqk4h7yx5r3a --principal alice@example.com --yes`
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	owner.add(cmd)
	return cmd
}

// removeFactor removes a factor of one's own, or of somebody else.
func (a *app) removeFactor(ctx context.Context, others *client.Principals, principal, id string) error {
	if others != nil {
		return others.RemoveFactor(ctx, principal, id)
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	return c.Factors().Remove(ctx, id)
}
