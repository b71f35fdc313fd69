package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/secret"
)

func (a *app) tenantCommand() *cobra.Command {
	return group("tenant", "Make and manage tenants",
		a.tenantCreateCommand(), a.tenantListCommand(), a.tenantShowCommand(),
		a.tenantStateCommand("suspend", "Refuse a tenant everything", (*client.Operator).Suspend),
		a.tenantStateCommand("resume", "End a tenant's suspension", (*client.Operator).Resume),
		a.tenantEraseCommand())
}

func parseTenant(s string) (secret.TenantName, error) {
	name, err := secret.ParseTenantName(s)
	if err != nil {
		return "", usagef("%s is no name of a tenant: %v", quote(s), err)
	}
	return name, nil
}

func (a *app) tenantCreateCommand() *cobra.Command {
	var algorithm string
	cmd := a.command("create NAME", "Make a tenant and its administrator", func(ctx context.Context, args []string) error {
		name, err := parseTenant(args[0])
		if err != nil {
			return err
		}
		if algorithm != "" {
			if _, err := secret.ParseAlgorithm(algorithm); err != nil {
				return usagef("--algorithm: %v", err)
			}
		}
		o, err := a.operator()
		if err != nil {
			return err
		}
		made, err := o.CreateTenant(ctx, name, secret.Algorithm(algorithm))
		if err != nil {
			return err
		}
		defer made.Release()
		return a.answer(func(w io.Writer) error { return a.showNewTenant(w, made) })
	})
	cmd.Long = `Make a tenant with a key of its own, and print the credentials of its
administrator: a bearer token for Fastness's own API, and an access key for the
AWS protocol. They are told only now.`
	cmd.Example = `fastness tenant create shop
fastness tenant create vault-of-tomorrow --algorithm hybrid-quantum
fastness tenant create shop --json > shop.json`
	cmd.Flags().StringVar(&algorithm, "algorithm", "", "of its secrets: aes-256-gcm (default) or hybrid-quantum")
	return cmd
}

// showNewTenant prints credentials, which never pass through a string.
func (a *app) showNewTenant(w io.Writer, t *client.NewTenant) error {
	fmt.Fprintf(w, "tenant:             %s\naccount:            %s\nregion:             %s\ntoken:              ", t.Name, t.Account, t.Region)
	_, err1 := t.Token.WriteTo(w)
	fmt.Fprintf(w, "\naccess key id:      %s\nsecret access key:  ", clean(t.AccessKeyID))
	_, err2 := t.SecretAccessKey.WriteTo(w)
	_, err3 := io.WriteString(w, "\n")
	a.note("These credentials are told only now; keep them well.")
	return errors.Join(err1, err2, err3)
}

func (a *app) tenantListCommand() *cobra.Command {
	var pages pageFlags
	cmd := a.command("list", "List tenants", func(ctx context.Context, _ []string) error {
		o, err := a.operator()
		if err != nil {
			return err
		}
		return printList(ctx, a, listing[client.TenantInfo]{
			flags: pages, none: "no tenants",
			head: []string{"NAME", "STATE", "ACCOUNT", "ALGORITHM", "KEY", "CREATED"},
			fetch: func(limit int, cursor string) (client.Page[client.TenantInfo], error) {
				return o.Tenants(ctx, limit, cursor)
			},
			row: func(t client.TenantInfo) []string {
				return []string{string(t.Name), t.State.String(), string(t.Account), string(t.Algorithm), fmt.Sprint(t.Key), when(t.Created)}
			},
		})
	})
	cmd.Long = "List the tenants, erased ones too."
	cmd.Example = `fastness tenant list
fastness tenant list --json | jq -r '.items[] | select(.state == "suspended") | .tenant'`
	pages.add(cmd)
	return cmd
}

func (a *app) tenantShowCommand() *cobra.Command {
	cmd := a.command("show [NAME]", "Show a tenant", func(ctx context.Context, args []string) error {
		s, err := a.sessionOf(ctx, args)
		if err != nil {
			return err
		}
		t, err := s.Tenant(ctx)
		if err != nil {
			return err
		}
		return a.showTenant(t)
	})
	cmd.Long = "Show a tenant; without a name your own."
	cmd.Example = `fastness tenant show shop
fastness tenant show`
	return cmd
}

// sessionOf is the session of the tenant that an argument names, if one does.
func (a *app) sessionOf(ctx context.Context, args []string) (*client.Session, error) {
	if len(args) == 0 {
		return a.session(ctx)
	}
	name, err := parseTenant(args[0])
	if err != nil {
		return nil, err
	}
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	return c.Session(name), nil
}

func (a *app) showTenant(t client.TenantInfo) error {
	return a.answer(func(w io.Writer) error {
		var s sheet
		s.add("tenant", string(t.Name))
		s.add("state", t.State.String())
		s.add("account", string(t.Account))
		s.add("algorithm", string(t.Algorithm))
		s.add("key", fmt.Sprint(t.Key))
		s.add("created", when(t.Created))
		return s.write(w)
	})
}

func (a *app) tenantStateCommand(verb, short string,
	do func(*client.Operator, context.Context, client.TenantName) (client.TenantInfo, error)) *cobra.Command {
	cmd := a.command(verb+" NAME", short, func(ctx context.Context, args []string) error {
		name, err := parseTenant(args[0])
		if err != nil {
			return err
		}
		o, err := a.operator()
		if err != nil {
			return err
		}
		t, err := do(o, ctx, name)
		if err != nil {
			return err
		}
		return a.showTenant(t)
	})
	cmd.Long = short + ". While a tenant is suspended, its callers are refused; its data stays as it is."
	cmd.Example = "fastness tenant " + verb + " shop"
	return cmd
}

func (a *app) tenantEraseCommand() *cobra.Command {
	var yes bool
	cmd := a.command("erase NAME", "Destroy a tenant for ever", func(ctx context.Context, args []string) error {
		name, err := parseTenant(args[0])
		if err != nil {
			return err
		}
		o, err := a.operator()
		if err != nil {
			return err
		}
		if err := a.confirm(ctx, yes, fmt.Sprintf("Destroy the keys and all secrets of the tenant %s for ever?", name)); err != nil {
			return err
		}
		if err := o.Erase(ctx, name); err != nil {
			return err
		}
		return a.done("erased %s", name)
	})
	cmd.Long = `Destroy a tenant's keys, and with them every secret that it ever stored, also
in what is left of it on disk. Backups made before still open until they are
destroyed. Its audit entries stay and verify; its name is never given out
again.`
	cmd.Example = `fastness tenant erase shop
fastness tenant erase shop --yes`
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
