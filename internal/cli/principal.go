package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/store"
)

func (a *app) principalCommand() *cobra.Command {
	return group("principal", "Make and manage people, services and operators",
		a.principalCreateCommand(), a.principalListCommand(), a.principalShowCommand(), a.principalUpdateCommand(),
		a.principalStateCommand("disable", "Refuse all credentials of a principal",
			"Refuse all credentials of a principal from now on, on every node, until it is enabled again.", (*client.Principals).Disable),
		a.principalStateCommand("enable", "Let a disabled principal in again",
			"Let the credentials of a disabled principal in again: those that are neither revoked nor expired.", (*client.Principals).Enable),
		a.principalPasswordCommand(), a.principalDeleteCommand())
}

// principals is the handle that the flags name.
func (f *credentialFlags) principals(ctx context.Context, a *app) (*client.Principals, error) {
	if f.operator {
		o, err := a.operator()
		if err != nil {
			return nil, err
		}
		return o.Principals(), nil
	}
	s, err := a.session(ctx)
	if err != nil {
		return nil, err
	}
	return s.Principals(), nil
}

func checkPrincipal(name string) error {
	if err := identity.CheckPrincipal(name); err != nil {
		return usagef("%v", err)
	}
	return nil
}

// principalFlags describe a new principal.
type principalFlags struct {
	whose   credentialFlags
	kind    string
	grants  grantFlags
	holder  attributeFlags
	subject string
}

func (f *principalFlags) spec(name string) (spec client.PrincipalSpec, err error) {
	spec = client.PrincipalSpec{Name: name, Subject: f.subject}
	if err := checkPrincipal(name); err != nil {
		return spec, err
	}
	switch f.kind {
	case store.Service.String():
	case store.Person.String():
		spec.Kind = store.Person
	default:
		return spec, usagef("--kind: person or service")
	}
	if spec.Grants, err = f.grants.parse(); err != nil {
		return spec, err
	}
	spec.Service, spec.Environment, err = f.holder.parse()
	return spec, err
}

func (a *app) principalCreateCommand() *cobra.Command {
	var f principalFlags
	cmd := a.command("create NAME", "Make a principal", func(ctx context.Context, args []string) error {
		spec, err := f.spec(args[0])
		if err != nil {
			return err
		}
		principals, err := f.whose.principals(ctx, a)
		if err != nil {
			return err
		}
		return a.answerPrincipal(principals.Create(ctx, spec))
	})
	cmd.Long = `Make a person or a service of a tenant, or an operator of the deployment. It has
no credentials yet: see "fastness token create" and "fastness accesskey create".

Its grants bound what each of its credentials may do; without any, that is left
to each credential. Grants are written as for "fastness token create". Service
and environment, which a secret's access policy asks for, are a service's alone.`
	cmd.Example = `fastness principal create shop-web --service shop --environment prod --grant reader=shop/*
fastness principal create alice@example.com --kind person --grant writer
fastness principal create bob --operator`
	cmd.Flags().StringVar(&f.kind, "kind", store.Service.String(), "person or service")
	cmd.Flags().StringVar(&f.subject, "subject", "", "how an identity provider names a person")
	f.grants.add(cmd)
	f.holder.add(cmd)
	f.whose.add(cmd)
	return cmd
}

// answerPrincipal shows a principal, or returns the error that stood in the way.
func (a *app) answerPrincipal(p client.PrincipalInfo, err error) error {
	if err != nil {
		return err
	}
	return a.answer(func(w io.Writer) error {
		var s sheet
		s.add("principal", p.Name)
		s.add("kind", p.Kind.String())
		s.add("state", principalState(p))
		s.add("grants", grants(p.Grants))
		s.add("service", p.Service)
		s.add("environment", string(p.Environment))
		s.add("subject", p.Subject)
		s.add("created", when(p.Created))
		s.add("last used", day(p.LastUsed))
		s.add("last read", day(p.LastRead))
		s.add("credentials", fmt.Sprint(p.Credentials))
		return s.write(w)
	})
}

func principalState(p client.PrincipalInfo) string {
	if p.Disabled.IsZero() {
		return "enabled"
	}
	return "disabled since " + when(p.Disabled)
}

func (a *app) principalListCommand() *cobra.Command {
	var whose credentialFlags
	var pages pageFlags
	cmd := a.command("list", "List principals", func(ctx context.Context, _ []string) error {
		principals, err := whose.principals(ctx, a)
		if err != nil {
			return err
		}
		return printList(ctx, a, listing[client.PrincipalInfo]{
			flags: pages, none: "no principals",
			head: []string{"NAME", "KIND", "GRANTS", "STATE", "CREDENTIALS", "LAST USED", "LAST READ"},
			fetch: func(limit int, cursor string) (client.Page[client.PrincipalInfo], error) {
				return principals.List(ctx, limit, cursor)
			},
			row: func(p client.PrincipalInfo) []string {
				return []string{p.Name, p.Kind.String(), orDash(grants(p.Grants)), principalState(p), fmt.Sprint(p.Credentials),
					orDash(day(p.LastUsed)), orDash(day(p.LastRead))}
			},
		})
	})
	cmd.Long = `List the people and services of a tenant, or the operators, disabled ones too,
with the days on which they last used a credential and last read a value.`
	cmd.Example = `fastness principal list
fastness principal list --operator
fastness principal list --json | jq -r '.items[] | select(.lastUsed == null) | .name'`
	whose.add(cmd)
	pages.add(cmd)
	return cmd
}

func (a *app) principalShowCommand() *cobra.Command {
	cmd := a.principalStateCommand("show", "Show a principal", "Show a principal. Its credentials are listed by \"fastness token list --principal NAME\".",
		(*client.Principals).Get)
	cmd.Example = `fastness principal show shop-web
fastness principal show bob --operator`
	return cmd
}

// principalStateCommand is a command that takes a name and shows a principal.
func (a *app) principalStateCommand(verb, short, long string,
	do func(*client.Principals, context.Context, string) (client.PrincipalInfo, error)) *cobra.Command {
	var whose credentialFlags
	cmd := a.command(verb+" NAME", short, func(ctx context.Context, args []string) error {
		if err := checkPrincipal(args[0]); err != nil {
			return err
		}
		principals, err := whose.principals(ctx, a)
		if err != nil {
			return err
		}
		return a.answerPrincipal(do(principals, ctx, args[0]))
	})
	cmd.Long = long
	cmd.Example = "fastness principal " + verb + " shop-web"
	whose.add(cmd)
	return cmd
}

// principalUpdateFlags say what of a principal is to change: those that were
// given.
type principalUpdateFlags struct {
	grants   grantFlags
	noGrants bool
	holder   attributeFlags
	subject  string
}

func (f *principalUpdateFlags) patch(given func(flag string) bool) (patch client.PrincipalPatch, err error) {
	if patch.Grants, err = f.grants.parse(); err != nil {
		return patch, err
	}
	service, environment, err := f.holder.parse()
	if err != nil {
		return patch, err
	}
	if given("service") {
		patch.Service = &service
	}
	if given("environment") {
		patch.Environment = &environment
	}
	if given("subject") {
		patch.Subject = &f.subject
	}
	switch {
	case f.noGrants && patch.Grants != nil:
		return patch, usagef("give --grant or --no-grants, not both")
	case f.noGrants:
		patch.Grants = []policy.Grant{}
	}
	if patch.Grants == nil && patch.Service == nil && patch.Environment == nil && patch.Subject == nil {
		return patch, usagef("nothing to change: give --grant, --no-grants, --service, --environment or --subject")
	}
	return patch, nil
}

func (a *app) principalUpdateCommand() *cobra.Command {
	var f principalUpdateFlags
	var cmd *cobra.Command
	cmd = a.command("update NAME", "Change a principal's grants and attributes", func(ctx context.Context, args []string) error {
		if err := checkPrincipal(args[0]); err != nil {
			return err
		}
		patch, err := f.patch(cmd.Flags().Changed)
		if err != nil {
			return err
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		return a.answerPrincipal(s.Principals().Update(ctx, args[0], patch))
	})
	cmd.Long = `Change what a tenant's principal may do, and what it is. The next request by any
of its credentials is decided by that. --grant replaces all its grants;
--no-grants leaves them to each credential. An empty attribute is taken away.`
	cmd.Example = `fastness principal update shop-web --grant reader=shop/* --grant rotator=shop/db/*
fastness principal update shop-web --environment staging
fastness principal update legacy --service ""`
	f.grants.add(cmd)
	cmd.Flags().BoolVar(&f.noGrants, "no-grants", false, "leave grants to each credential")
	f.holder.add(cmd)
	cmd.Flags().StringVar(&f.subject, "subject", "", "how an identity provider names a person")
	return cmd
}

func (a *app) principalDeleteCommand() *cobra.Command {
	var whose credentialFlags
	var yes bool
	cmd := a.command("delete NAME", "Delete a principal and its credentials", func(ctx context.Context, args []string) error {
		if err := checkPrincipal(args[0]); err != nil {
			return err
		}
		principals, err := whose.principals(ctx, a)
		if err != nil {
			return err
		}
		if err := a.confirm(ctx, yes, fmt.Sprintf("Delete %s with all its credentials?", args[0])); err != nil {
			return err
		}
		if err := principals.Delete(ctx, args[0]); err != nil {
			return err
		}
		return a.done("deleted %s", args[0])
	})
	cmd.Long = `Delete a principal with all its tokens, access keys and second factors. What it
did stays in the audit log. To refuse it for a while, disable it instead.`
	cmd.Example = `fastness principal delete shop-web
fastness principal delete bob --operator --yes`
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	whose.add(cmd)
	return cmd
}
