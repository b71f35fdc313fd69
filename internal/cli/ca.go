package cli

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/identity"
)

func (a *app) caCommand() *cobra.Command {
	return group("ca", "Trust client certificates, and bind whom they name",
		a.caPutCommand(), a.caListCommand(), a.caShowCommand(), a.caDeleteCommand())
}

// caFlags describe a CA.
type caFlags struct {
	bundle, trustDomain, session string
	bindings                     bindingFlags
}

func (f *caFlags) authority(name string) (ca identity.Authority, err error) {
	ca = identity.Authority{Name: name, TrustDomain: f.trustDomain}
	if err := readInto(f.bundle, &ca.Bundle); err != nil {
		return ca, fmt.Errorf("reading --bundle: %w", err)
	}
	if f.session != "" {
		if ca.Session, err = identity.ParseDuration(f.session); err != nil {
			return ca, usagef("--session: 15m or 12h is expected")
		}
	}
	if ca.Bindings, err = f.bindings.parse(); err != nil {
		return ca, err
	}
	if err := ca.Validate(); err != nil {
		return ca, usagef("%v", err)
	}
	return ca, nil
}

func (a *app) caPutCommand() *cobra.Command {
	var f caFlags
	cmd := a.command("put NAME", "Trust a CA's client certificates, or change for what", func(ctx context.Context, args []string) error {
		ca, err := f.authority(args[0])
		if err != nil {
			return err
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		return a.answerCA(s.Authorities().Put(ctx, ca, nil))
	})
	cmd.Long = `Trust the client certificates of a CA: whoever shows one over TLS is the principal
that the first matching binding names, and gets a token of the tenant's that ends
soon, and not after the certificate. The CA of that name is replaced as a whole.

The claims of a certificate are its names: dns, uri and email, and its serial
number. With --trust-domain it must be an X.509-SVID of that SPIFFE trust domain,
and there are spiffe.id and spiffe.path besides.`
	cmd.Example = `fastness ca put mesh --bundle ca.pem --match dns=web.shop.internal --principal shop-web
fastness ca put spire --bundle bundle.pem --trust-domain acme.example --match 'spiffe.id=spiffe://acme.example/ns/shop/sa/*' \
  --principal '{spiffe.id}' --create --environment prod --grant reader=shop/*`
	flags := cmd.Flags()
	flags.StringVar(&f.bundle, "bundle", "", "PEM `FILE` with the CA's certificates")
	flags.StringVar(&f.trustDomain, "trust-domain", "", "the SPIFFE trust domain that it is of (`NAME`)")
	flags.StringVar(&f.session, "session", "", "how long what is given in exchange lives: 1m to 12h; default 15m (`TIME`)")
	f.bindings.add(cmd)
	return cmd
}

func (a *app) answerCA(p client.Provided[client.Authority], err error) error {
	if err != nil {
		return err
	}
	return a.answer(func(w io.Writer) error {
		var s sheet
		s.add("ca", p.Provider.Name)
		s.add("trust domain", p.Provider.TrustDomain)
		s.add("session", p.Provider.Lifetime().String())
		addBindings(&s, p.Provider.Bindings)
		s.add("changed", when(p.Changed))
		return s.write(w)
	})
}

func (a *app) caListCommand() *cobra.Command {
	cmd := a.command("list", "List the CAs whose client certificates a tenant trusts", func(ctx context.Context, _ []string) error {
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		all, err := s.Authorities().List(ctx)
		if err != nil {
			return err
		}
		return a.answer(func(w io.Writer) error {
			if len(all) == 0 {
				a.note("no CAs")
				return nil
			}
			t := newTable("NAME", "TRUST DOMAIN", "BINDINGS", "CHANGED")
			for _, p := range all {
				t.add(p.Provider.Name, orDash(p.Provider.TrustDomain), fmt.Sprint(len(p.Provider.Bindings)), when(p.Changed))
			}
			return t.flush(w)
		})
	})
	cmd.Long = "List the CAs whose client certificates a tenant trusts."
	cmd.Example = "fastness ca list"
	return cmd
}

func (a *app) caShowCommand() *cobra.Command {
	cmd := a.command("show NAME", "Show a CA", func(ctx context.Context, args []string) error {
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		return a.answerCA(s.Authorities().Get(ctx, args[0]))
	})
	cmd.Long = "Show a CA, and whom it vouches for. --json prints its certificates, too."
	cmd.Example = "fastness ca show mesh --json | jq -r .bundle"
	return cmd
}

func (a *app) caDeleteCommand() *cobra.Command {
	var yes bool
	cmd := a.command("delete NAME", "Trust a CA no more", func(ctx context.Context, args []string) error {
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		if err := a.confirm(ctx, yes, fmt.Sprintf("Trust %s no more, and end all that it vouched for?", quote(args[0]))); err != nil {
			return err
		}
		if err := s.Authorities().Delete(ctx, args[0]); err != nil {
			return err
		}
		return a.done("deleted %s", args[0])
	})
	cmd.Long = "Trust a CA no more. The tokens that were given in exchange for its certificates end at once."
	cmd.Example = "fastness ca delete mesh --yes"
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func sorted(words []string) []string {
	slices.Sort(words)
	return words
}
