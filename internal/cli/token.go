package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

func (a *app) tokenCommand() *cobra.Command {
	return group("token", "Make, list, rotate and revoke tokens",
		a.tokenCreateCommand(), a.tokenListCommand(), a.tokenRotateCommand(), a.tokenRevokeCommand())
}

// credentialFlags say whose credentials are meant.
type credentialFlags struct{ operator bool }

func (f *credentialFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.operator, "operator", false, "the deployment's operators, not a tenant's principals")
}

func (f *credentialFlags) credentials(ctx context.Context, a *app) (*client.Credentials, error) {
	if f.operator {
		o, err := a.operator()
		if err != nil {
			return nil, err
		}
		return o.Credentials(), nil
	}
	s, err := a.session(ctx)
	if err != nil {
		return nil, err
	}
	return s.Credentials(), nil
}

// tokenFlags describe a new token or access key.
type tokenFlags struct {
	grants  grantFlags
	holder  attributeFlags
	expires string
}

func (f *tokenFlags) add(cmd *cobra.Command) {
	f.grants.add(cmd)
	f.holder.add(cmd)
	cmd.Flags().StringVar(&f.expires, "expires", "", "how long it lives: 30d, 12h, 15m; default for ever (`TIME`)")
}

func (f *tokenFlags) spec(principal string) (spec client.TokenSpec, err error) {
	spec = client.TokenSpec{Principal: principal}
	if err := identity.CheckPrincipal(principal); err != nil {
		return spec, usagef("%v", err)
	}
	if spec.Service, spec.Environment, err = f.holder.parse(); err != nil {
		return spec, err
	}
	if f.expires != "" {
		if spec.TTL, err = identity.ParseDuration(f.expires); err != nil {
			return spec, usagef("--expires: %v", err)
		}
	}
	spec.Grants, err = f.grants.parse()
	return spec, err
}

func (a *app) tokenCreateCommand() *cobra.Command {
	var f tokenFlags
	var whose credentialFlags
	cmd := a.command("create PRINCIPAL", "Make a token", func(ctx context.Context, args []string) error {
		spec, err := f.spec(args[0])
		if err != nil {
			return err
		}
		if whose.operator && len(spec.Grants) > 0 {
			return usagef("an operator has no grants: leave --grant out")
		}
		credentials, err := whose.credentials(ctx, a)
		if err != nil {
			return err
		}
		made, err := credentials.Create(ctx, spec)
		if err != nil {
			return err
		}
		defer made.Token.Release()
		return a.answer(func(w io.Writer) error { return a.showNewToken(w, made.ID, made.Token, made.Expires) })
	})
	cmd.Long = `Make a token for a principal, and print it, alone on stdout. It is told only
now. A principal that is not there is made with it, as a service; see also
"fastness principal create".

A grant is a role over names: admin, writer, reader, rotator or auditor, then
the patterns after "=", in which * stands for any text; without patterns all
names. A token may have several grants. They narrow those of the principal,
which it has where it has none of its own.`
	cmd.Example = `fastness token create ci --grant reader=ci/*
fastness token create shop-web --grant reader=shop/*,common/* --service shop --environment prod --expires 30d
fastness token create alice --grant writer --grant auditor > alice.token
fastness token create bob --operator`
	f.add(cmd)
	whose.add(cmd)
	return cmd
}

// showNewToken prints the token alone, so that it can go into a file.
func (a *app) showNewToken(w io.Writer, id string, token *secretbuf.Buffer, expires time.Time) error {
	if _, err := token.WriteTo(w); err != nil {
		return err
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return err
	}
	a.note("This token is told only now. %s Revoke it with: fastness token revoke %s", lifeOf(expires), clean(id))
	return nil
}

// lifeOf says when a credential ends.
func lifeOf(expires time.Time) string {
	if expires.IsZero() {
		return "It does not expire."
	}
	return "It expires at " + when(expires) + "."
}

func (a *app) tokenListCommand() *cobra.Command {
	var whose credentialFlags
	var pages pageFlags
	var q client.CredentialQuery
	cmd := a.command("list", "List tokens and access keys", func(ctx context.Context, _ []string) error {
		return a.listCredentials(ctx, whose, pages, q)
	})
	cmd.Long = "List a tenant's tokens and access keys, those that have ended too. What is secret of them is never listed."
	cmd.Example = `fastness token list
fastness token list --principal ci
fastness token list --operator
fastness token list --json`
	cmd.Flags().StringVar(&q.Principal, "principal", "", "only those of this principal (`NAME`)")
	whose.add(cmd)
	pages.add(cmd)
	return cmd
}

func (a *app) listCredentials(ctx context.Context, whose credentialFlags, pages pageFlags, q client.CredentialQuery) error {
	credentials, err := whose.credentials(ctx, a)
	if err != nil {
		return err
	}
	return printList(ctx, a, listing[client.TokenInfo]{
		flags: pages, none: "no credentials",
		head: []string{"ID", "KIND", "PRINCIPAL", "GRANTS", "STATE", "LAST USED", "CREATED"},
		fetch: func(limit int, cursor string) (client.Page[client.TokenInfo], error) {
			q.Limit, q.Cursor = limit, cursor
			return credentials.List(ctx, q)
		},
		row: func(t client.TokenInfo) []string {
			kind := "token"
			switch {
			case t.Kind == store.AccessKey:
				kind = "access key"
			case t.Source != "":
				kind = t.Source
			}
			return []string{t.ID, kind, t.Principal, orDash(grants(t.Grants)), tokenState(t), orDash(day(t.LastUsed)), when(t.Created)}
		},
	})
}

func grants(gs []policy.Grant) string {
	words := make([]string, len(gs))
	for i, g := range gs {
		words[i] = string(g.Role)
		if len(g.Patterns) > 0 {
			words[i] += "=" + strings.Join(g.Patterns, ",")
		}
	}
	return strings.Join(words, " ")
}

func tokenState(t client.TokenInfo) string {
	switch {
	case !t.Revoked.IsZero():
		return "revoked"
	case t.Expires.IsZero():
		return "live"
	case time.Now().After(t.Expires):
		return "expired"
	}
	return "until " + when(t.Expires)
}

// overlapFlag says how long a credential lives on beside its successor.
type overlapFlag struct{ text string }

func (f *overlapFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.text, "overlap", "0", "how long the old one lives on: 0, 30m, 1h, 7d; at most 30d (`TIME`)")
}

func (f *overlapFlag) parse() (time.Duration, error) {
	if f.text == "0" {
		return 0, nil
	}
	d, err := identity.ParseDuration(f.text)
	if err != nil {
		return 0, usagef("--overlap: 0, or a number and a unit: 30m, 1h or 7d")
	}
	return d, nil
}

func (a *app) tokenRotateCommand() *cobra.Command {
	var whose credentialFlags
	var overlap overlapFlag
	cmd := a.command("rotate ID", "Put a new token in the place of one", func(ctx context.Context, args []string) error {
		d, err := overlap.parse()
		if err != nil {
			return err
		}
		credentials, err := whose.credentials(ctx, a)
		if err != nil {
			return err
		}
		made, err := credentials.Rotate(ctx, args[0], d)
		if err != nil {
			return err
		}
		defer made.Token.Release()
		return a.answer(func(w io.Writer) error { return a.showNewToken(w, made.ID, made.Token, made.Expires) })
	})
	cmd.Long = `Make a token for the same principal, with the same grants, attributes and span
of life as another, and print it, alone on stdout. The old one ends at once, or
after the overlap.`
	cmd.Example = fmt.Sprintf("fastness token rotate %s --overlap 1h\nfastness token rotate %s --operator", "tok_2v6mzqk4h7yx5r3a", "tok_7q3wd5ngzc2t4m6b")
	overlap.add(cmd)
	whose.add(cmd)
	return cmd
}

func (a *app) tokenRevokeCommand() *cobra.Command {
	var whose credentialFlags
	cmd := a.command("revoke ID", "Revoke a token or an access key", func(ctx context.Context, args []string) error {
		credentials, err := whose.credentials(ctx, a)
		if err != nil {
			return err
		}
		if err := credentials.Revoke(ctx, args[0]); err != nil {
			return err
		}
		return a.done("revoked %s", args[0])
	})
	cmd.Long = "Revoke a token or an access key by its id, as \"fastness token list\" shows it. It is refused from then on."
	cmd.Example = fmt.Sprintf("fastness token revoke %s\nfastness token revoke %s --operator", "tok_2v6mzqk4h7yx5r3a", "tok_7q3wd5ngzc2t4m6b")
	whose.add(cmd)
	return cmd
}
