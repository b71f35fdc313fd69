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
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

func (a *app) tokenCommand() *cobra.Command {
	return group("token", "Make, list and revoke tokens", a.tokenCreateCommand(), a.tokenListCommand(), a.tokenRevokeCommand())
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

// tokenFlags describe a new token.
type tokenFlags struct {
	credentialFlags
	grants                        []string
	service, environment, expires string
}

func (a *app) tokenCreateCommand() *cobra.Command {
	var f tokenFlags
	cmd := a.command("create PRINCIPAL", "Make a token", func(ctx context.Context, args []string) error {
		spec, err := f.spec(args[0])
		if err != nil {
			return err
		}
		credentials, err := f.credentials(ctx, a)
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
	cmd.Long = `Make a token for a person or a service, and print it, alone on stdout. It is
told only now.

A grant is a role over names: admin, writer, reader, rotator or auditor, then
the patterns after "=", in which * stands for any text; without patterns all
names.
A token may have several grants. --service and --environment are what a
secret's access policy asks for.`
	cmd.Example = `fastness token create ci --grant reader=ci/*
fastness token create shop-web --grant reader=shop/*,common/* --service shop --environment prod --expires 30d
fastness token create alice --grant writer --grant auditor > alice.token
fastness token create bob --operator`
	cmd.Flags().StringArrayVar(&f.grants, "grant", nil, "a role and its names (`ROLE[=PATTERN,…]`); give it several times")
	cmd.Flags().StringVar(&f.service, "service", "", "the service that the token is for (`NAME`)")
	cmd.Flags().StringVar(&f.environment, "environment", "", "where it runs: dev, staging or prod")
	cmd.Flags().StringVar(&f.expires, "expires", "", "how long it lives: 30d, 12h, 15m; default for ever (`TIME`)")
	f.add(cmd)
	return cmd
}

func (f *tokenFlags) spec(principal string) (spec client.TokenSpec, err error) {
	spec = client.TokenSpec{Principal: principal, Service: f.service}
	if err := identity.CheckPrincipal(principal); err != nil {
		return spec, usagef("%v", err)
	}
	if spec.Environment, err = secret.ParseEnvironment(f.environment); err != nil {
		return spec, usagef("--environment: %v", err)
	}
	if f.expires != "" {
		if spec.TTL, err = identity.ParseDuration(f.expires); err != nil {
			return spec, usagef("--expires: %v", err)
		}
	}
	for _, word := range f.grants {
		role, patterns, named := strings.Cut(word, "=")
		g := policy.Grant{Role: policy.Role(role)}
		if named {
			g.Patterns = strings.Split(patterns, ",")
		}
		spec.Grants = append(spec.Grants, g)
	}
	switch {
	case f.operator && len(spec.Grants) > 0:
		return spec, usagef("an operator has no grants: leave --grant out")
	case f.operator:
		return spec, nil
	case len(spec.Grants) == 0:
		return spec, usagef("say what the token may do: --grant admin, writer, reader, rotator or auditor")
	}
	if err := policy.ValidateGrants(spec.Grants); err != nil {
		return spec, usagef("--grant: %v", err)
	}
	return spec, nil
}

// showNewToken prints the token alone, so that it can go into a file.
func (a *app) showNewToken(w io.Writer, id string, token *secretbuf.Buffer, expires time.Time) error {
	if _, err := token.WriteTo(w); err != nil {
		return err
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return err
	}
	life := "It does not expire."
	if !expires.IsZero() {
		life = "It expires at " + when(expires) + "."
	}
	a.note("This token is told only now. %s Revoke it with: fastness token revoke %s", life, clean(id))
	return nil
}

func (a *app) tokenListCommand() *cobra.Command {
	var whose credentialFlags
	var pages pageFlags
	cmd := a.command("list", "List tokens and access keys", func(ctx context.Context, _ []string) error {
		credentials, err := whose.credentials(ctx, a)
		if err != nil {
			return err
		}
		return printList(ctx, a, listing[client.TokenInfo]{
			flags: pages, none: "no credentials",
			head: []string{"ID", "KIND", "PRINCIPAL", "GRANTS", "STATE", "LAST USED", "CREATED"},
			fetch: func(limit int, cursor string) (client.Page[client.TokenInfo], error) {
				return credentials.List(ctx, limit, cursor)
			},
			row: func(t client.TokenInfo) []string {
				kind := "token"
				if t.Kind == store.AccessKey {
					kind = "access key"
				}
				return []string{t.ID, kind, t.Principal, orDash(grants(t.Grants)), tokenState(t), orDash(day(t.LastUsed)), when(t.Created)}
			},
		})
	})
	cmd.Long = "List a tenant's tokens and access keys, revoked ones too. What is secret of them is never listed."
	cmd.Example = `fastness token list
fastness token list --operator
fastness token list --json`
	whose.add(cmd)
	pages.add(cmd)
	return cmd
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
