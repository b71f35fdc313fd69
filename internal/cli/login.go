package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/identity"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// loginFlags say how to log in.
type loginFlags struct {
	issuer            string
	device, noBrowser bool
	user              string
	tokenFile         string
	cert, key         string
	redirect          string
}

func (a *app) loginCommand() *cobra.Command {
	var f loginFlags
	cmd := a.command("login", "Log in, and keep a token that ends by itself", func(ctx context.Context, _ []string) error {
		return a.login(ctx, f)
	})
	cmd.Long = `Log in to a tenant. The token that this gives ends by itself; it is kept in a
file that only you can read, for the commands that follow, until "fastness
logout". A token in FASTNESS_TOKEN or --token-file wins over it.

Without flags, your browser shows the page of the tenant's OpenID provider; where
there is no browser, --device shows a code to enter on another device. --user asks
for the password of a local account, or reads it from stdin. If the tenant wants a
second factor at login, its code is asked for.

A service shows what its platform gave it: --jwt-file a token of an issuer that
the tenant trusts ("fastness issuer"), --cert and --key a client certificate
("fastness ca"). With --json the answer is printed, too, with the token.`
	cmd.Example = `fastness login --tenant shop
fastness login --tenant shop --device
fastness login --tenant shop --user alice
fastness login --tenant shop --jwt-file /var/run/secrets/tokens/fastness
fastness login --tenant shop --cert svid.pem --key svid.key`
	flags := cmd.Flags()
	flags.StringVar(&f.issuer, "issuer", "", "the tenant's `NAME` for the issuer, if it trusts several")
	flags.BoolVar(&f.device, "device", false, "log in on another device")
	flags.BoolVar(&f.noBrowser, "no-browser", false, "only print the address of the page")
	flags.StringVar(&f.redirect, "redirect-port", "0", "`PORT` on loopback that the provider sends the browser back to; 0 takes a free one")
	flags.StringVar(&f.user, "user", "", "log in with the password of this person (`NAME`)")
	flags.StringVar(&f.tokenFile, "jwt-file", "", "`FILE` with a token of an issuer (- for stdin)")
	flags.StringVar(&f.cert, "cert", "", "PEM `FILE` with a client certificate and what leads to its authority")
	flags.StringVar(&f.key, "key", "", "PEM `FILE` with the private key of --cert")
	cmd.MarkFlagsMutuallyExclusive("device", "user", "jwt-file", "cert")
	cmd.MarkFlagsRequiredTogether("cert", "key")
	return cmd
}

func (a *app) login(ctx context.Context, f loginFlags) error {
	config, err := a.clientConfig()
	if err != nil {
		return err
	}
	config.Address = firstOf(a.address(), defaultAddr)
	tenant := config.Tenant
	if tenant == "" {
		return errNoTenant
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return fmt.Errorf("reading --cert and --key: %w", err)
		}
		config.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	}
	guest, err := client.NewGuest(config)
	if err != nil {
		return err
	}
	defer guest.Close()
	made, err := a.enter(ctx, guest, tenant, f)
	if err != nil {
		return err
	}
	defer made.Token.Release()
	if err := a.saveSession(savedSession{Address: config.Address, Tenant: string(made.Tenant), Token: made.Token}); err != nil {
		return err
	}
	if a.global.json {
		return a.printReply()
	}
	a.note("logged in to %s as %s until %s", clean(string(made.Tenant)), clean(made.Principal), when(made.Expires))
	return a.unlock(ctx, config, made)
}

// enter shows what the flags say there is to show.
func (a *app) enter(ctx context.Context, guest *client.Guest, tenant secret.TenantName, f loginFlags) (*client.NewSession, error) {
	switch {
	case f.cert != "":
		return guest.Certificate(ctx, tenant)
	case f.user != "":
		return a.enterByPassword(ctx, guest, tenant, f.user)
	case f.tokenFile != "":
		token, err := a.readSecret(f.tokenFile, "the token", identity.MaxJWT)
		if err != nil {
			return nil, err
		}
		defer token.Release()
		return guest.Token(ctx, tenant, f.issuer, token)
	}
	provider, err := a.provider(ctx, guest, tenant, f.issuer)
	if err != nil {
		return nil, err
	}
	token, err := a.idToken(ctx, provider, f)
	if err != nil {
		return nil, err
	}
	defer token.Release()
	return guest.Token(ctx, tenant, provider.Name, token)
}

// readSecret reads a file, or stdin for "-", without the line end after it.
func (a *app) readSecret(path, what string, limit int) (*secretbuf.Buffer, error) {
	in, err := openInput(path, a.env.Stdin)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	defer in.Close()
	b, err := secretbuf.ReadAll(in, limit+2)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	return trimLines(b), nil
}

func (a *app) enterByPassword(ctx context.Context, guest *client.Guest, tenant secret.TenantName, user string) (*client.NewSession, error) {
	if err := checkPrincipal(user); err != nil {
		return nil, err
	}
	password, err := a.hidden(ctx, "Password of "+clean(user)+": ")
	if err != nil {
		return nil, err
	}
	defer password.Release()
	return guest.Password(ctx, tenant, user, password)
}

// hidden asks for one line that does not show; off a terminal it is read from
// stdin.
func (a *app) hidden(ctx context.Context, text string) (*secretbuf.Buffer, error) {
	if !a.env.IsTerminal(a.env.Stdin) {
		return await(ctx, func() (*secretbuf.Buffer, error) { return a.readSecret("-", "stdin", secret.MaxValue) })
	}
	restore, err := a.raw()
	if err != nil {
		return nil, err
	}
	defer restore()
	return a.promptHidden(ctx, text)
}

// provider is the OpenID provider to log in by.
func (a *app) provider(ctx context.Context, guest *client.Guest, tenant secret.TenantName, name string) (client.LoginProvider, error) {
	m, err := guest.Methods(ctx, tenant)
	if errors.Is(err, client.ErrNotFound) {
		return client.LoginProvider{}, &codedError{errors.New("nobody logs in to this tenant by a provider, or there is no such tenant; a local account logs in with --user NAME"), exitNotFound}
	}
	if err != nil {
		return client.LoginProvider{}, err
	}
	var names []string
	for _, p := range m.Providers {
		if p.Name == name || name == "" && len(m.Providers) == 1 {
			return p, nil
		}
		names = append(names, clean(p.Name))
	}
	return client.LoginProvider{}, usagef("say by which provider: --issuer %s", strings.Join(names, " or "))
}

// unlock asks for the second factor that a tenant wants at login.
func (a *app) unlock(ctx context.Context, config client.Config, made *client.NewSession) error {
	if !made.Locked {
		return nil
	}
	config.Token = made.Token
	c, err := client.New(config)
	if err != nil {
		return err
	}
	defer c.Close()
	state, err := c.Factors().List(ctx)
	if err != nil {
		return err
	}
	if len(state.Factors) == 0 {
		a.note("this tenant wants a second factor, and you have none yet: fastness mfa enroll totp")
		return nil
	}
	if !a.env.IsTerminal(a.env.Stdin) {
		a.note("nothing works before your second factor: fastness mfa verify")
		return nil
	}
	return a.giveCode(ctx, c)
}

// giveCode asks for a code and gives it.
func (a *app) giveCode(ctx context.Context, c *client.Client) error {
	code, err := a.hidden(ctx, "Code: ")
	if err != nil {
		return err
	}
	defer code.Release()
	until, err := c.Factors().Verify(ctx, code)
	if err != nil {
		return err
	}
	return a.answer(func(io.Writer) error {
		a.note("your second factor counts until %s", when(until))
		return nil
	})
}

func (a *app) logoutCommand() *cobra.Command {
	cmd := a.command("logout", "End the login, and forget it", func(ctx context.Context, _ []string) error {
		s, err := a.loadSession()
		switch {
		case errors.Is(err, os.ErrNotExist):
			return a.done("nobody was logged in")
		case err != nil:
			return errors.Join(err, a.dropSession())
		}
		defer s.Token.Release()
		return errors.Join(a.endSession(ctx, s), a.dropSession())
	})
	cmd.Long = `End the token of the last login on the server, and remove the file that holds it.
The file is removed even if the server cannot be reached; the token then ends by
itself. A token in FASTNESS_TOKEN is not touched.`
	cmd.Example = "fastness logout"
	return cmd
}

// endSession revokes a login's token. One that has ended already is no error.
func (a *app) endSession(ctx context.Context, s savedSession) error {
	config, err := a.clientConfig()
	if err != nil {
		return err
	}
	config.Address, config.Token = s.Address, s.Token
	c, err := client.New(config)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Logout(ctx); err != nil && !errors.Is(err, client.ErrUnauthenticated) {
		return err
	}
	return a.done("logged out")
}

// loginTime is how long a person has to log in elsewhere.
const loginTime = 10 * time.Minute
