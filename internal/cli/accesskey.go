package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/store"
)

func (a *app) accessKeyCommand() *cobra.Command {
	return group("accesskey", "Make, list, rotate and revoke access keys for the AWS protocol",
		a.accessKeyCreateCommand(), a.accessKeyListCommand(), a.accessKeyRotateCommand(), a.accessKeyRevokeCommand())
}

func (a *app) accessKeyCreateCommand() *cobra.Command {
	var f tokenFlags
	cmd := a.command("create PRINCIPAL", "Make an access key", func(ctx context.Context, args []string) error {
		spec, err := f.spec(args[0])
		if err != nil {
			return err
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		made, err := s.Credentials().CreateAccessKey(ctx, spec)
		if err != nil {
			return err
		}
		return a.showNewAccessKey(made)
	})
	cmd.Long = `Make an access key for a principal, as AWS's tools take it: an id and a secret,
with which requests are signed. The secret is told only now. A principal that is
not there is made with it, as a service.

Grants are as for "fastness token create": they narrow those of the principal,
which the key has where it has none of its own.`
	cmd.Example = `fastness accesskey create ci --grant reader=ci/*
fastness accesskey create shop-web --expires 90d --json`
	f.add(cmd)
	return cmd
}

// showNewAccessKey prints a secret, which never passes through a string.
func (a *app) showNewAccessKey(k *client.NewAccessKey) error {
	defer k.Secret.Release()
	return a.answer(func(w io.Writer) error {
		fmt.Fprintf(w, "principal:          %s\naccess key id:      %s\nsecret access key:  ", clean(k.Principal), clean(k.ID))
		_, err1 := k.Secret.WriteTo(w)
		_, err2 := io.WriteString(w, "\n")
		a.note("The secret is told only now. %s Revoke it with: fastness accesskey revoke %s", lifeOf(k.Expires), clean(k.ID))
		return errors.Join(err1, err2)
	})
}

func (a *app) accessKeyListCommand() *cobra.Command {
	var pages pageFlags
	kind := store.AccessKey
	q := client.CredentialQuery{Kind: &kind}
	cmd := a.command("list", "List access keys", func(ctx context.Context, _ []string) error {
		return a.listCredentials(ctx, credentialFlags{}, pages, q)
	})
	cmd.Long = "List a tenant's access keys, those that have ended too. Their secrets are never listed."
	cmd.Example = `fastness accesskey list
fastness accesskey list --principal ci --json`
	cmd.Flags().StringVar(&q.Principal, "principal", "", "only those of this principal (`NAME`)")
	pages.add(cmd)
	return cmd
}

func (a *app) accessKeyRotateCommand() *cobra.Command {
	var overlap overlapFlag
	cmd := a.command("rotate ID", "Put a new access key in the place of one", func(ctx context.Context, args []string) error {
		d, err := overlap.parse()
		if err != nil {
			return err
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		made, err := s.Credentials().RotateAccessKey(ctx, args[0], d)
		if err != nil {
			return err
		}
		return a.showNewAccessKey(made)
	})
	cmd.Long = `Make an access key for the same principal, with the same grants, attributes and
span of life as another. The old one ends at once, or after the overlap.`
	cmd.Example = "fastness accesskey rotate FSKA2V6MZQK4H7YX5R3A --overlap 7d"
	overlap.add(cmd)
	return cmd
}

func (a *app) accessKeyRevokeCommand() *cobra.Command {
	cmd := a.command("revoke ID", "Revoke an access key", func(ctx context.Context, args []string) error {
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		if err := s.Credentials().RevokeAccessKey(ctx, args[0]); err != nil {
			return err
		}
		return a.done("revoked %s", args[0])
	})
	cmd.Long = "Revoke an access key by its id. What is signed with it is refused from then on."
	cmd.Example = "fastness accesskey revoke FSKA2V6MZQK4H7YX5R3A"
	return cmd
}
