package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// Variables that clients read.
const (
	envAddr   = "FASTNESS_ADDR"
	envToken  = "FASTNESS_TOKEN"
	envTenant = "FASTNESS_TENANT"
)

const (
	defaultAddr = "http://127.0.0.1:8420"
	// defaultTimeout is for a whole call with its retries: somewhat more than
	// the 10 s that the server gives a request.
	defaultTimeout = 15 * time.Second
	// maxTokenFile is far more than a token has, in case of trailing newlines.
	maxTokenFile = 4096
)

// app is one run of the program: what its commands share.
type app struct {
	env     Env
	stderr  any // env.Stderr before it was wrapped, to ask whether it is a terminal
	global  globalFlags
	running bool // a command's own code has begun
	api     *client.Client

	mu    sync.Mutex        // guards reply: some commands make calls in parallel
	reply *secretbuf.Buffer // the API's last answer, if --json wants it
}

// globalFlags are the flags of every command that speaks to a server.
type globalFlags struct {
	addr, tokenFile, tenant, caFile string
	timeout                         time.Duration
	json                            bool
}

func (a *app) close() {
	a.reply.Release()
	if a.api != nil {
		a.api.Close()
	}
}

// command makes a cobra command that runs f. Positional arguments are what
// the words after the first in use say.
func (a *app) command(use, short string, f func(ctx context.Context, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  takes(use),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.running = true
			if err := a.env.Harden(); err != nil {
				a.note("core dumps are not ruled out: %v", err)
			}
			return about(cmd, args, f(cmd.Context(), args))
		},
	}
}

// about says which secret or tenant an answer of the server was about, which
// the answer does not repeat.
func about(cmd *cobra.Command, args []string, err error) error {
	var answer *client.Error
	if len(args) > 0 && strings.Contains(cmd.Use, "NAME") && errors.As(err, &answer) {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return err
}

// group makes a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%s has no command of that name; see fastness %s --help", cmd.CommandPath(), cmd.Name())
			}
			return fmt.Errorf("say which command of %s; see fastness %s --help", cmd.CommandPath(), cmd.Name())
		},
	}
	g.AddCommand(commands...)
	return g
}

// client returns the client of the server that flags and environment name. It
// is made on first use, because not every command needs one.
func (a *app) client() (*client.Client, error) {
	if a.api != nil {
		return a.api, nil
	}
	config, err := a.clientConfig()
	if err != nil {
		return nil, err
	}
	token, err := a.credential(&config)
	if err != nil {
		return nil, err
	}
	defer token.Release()
	config.Token = token
	a.api, err = client.New(config)
	return a.api, err
}

// clientConfig is what flags and environment say of a client, but for its
// address and its token.
func (a *app) clientConfig() (config client.Config, err error) {
	config = client.Config{Timeout: a.global.timeout, UserAgent: "fastness-cli/" + version, OnReply: a.keepReply}
	if config.Tenant, err = a.tenantName(); err != nil {
		return config, err
	}
	if a.global.caFile != "" {
		if config.RootCAs, err = os.ReadFile(a.global.caFile); err != nil {
			return config, fmt.Errorf("reading the file of --ca-file: %w", err)
		}
	}
	return config, nil
}

// token reads the credential. There is no flag for the token itself: other
// users of the machine see arguments.
func (a *app) token() (*secretbuf.Buffer, error) {
	if a.global.tokenFile == "" {
		text := a.env.Getenv(envToken)
		if text == "" {
			return nil, errNoToken
		}
		return secretbuf.Take([]byte(text)), nil
	}
	f, err := os.Open(a.global.tokenFile)
	if err != nil {
		return nil, fmt.Errorf("reading the token file: %w", err)
	}
	defer f.Close()
	token, err := secretbuf.ReadAll(f, maxTokenFile)
	if err != nil {
		return nil, fmt.Errorf("reading the token file: %w", err)
	}
	return trimLines(token), nil
}

// trimLines takes line ends off the end of b.
func trimLines(b *secretbuf.Buffer) *secretbuf.Buffer {
	n := b.Len()
	for n > 0 && (b.Bytes()[n-1] == '\n' || b.Bytes()[n-1] == '\r') {
		n--
	}
	b.Truncate(n)
	return b
}

// tenantName is the tenant that flags or environment name; empty for the
// token's own.
func (a *app) tenantName() (secret.TenantName, error) {
	text := firstOf(a.global.tenant, a.env.Getenv(envTenant))
	if text == "" {
		return "", nil
	}
	name, err := secret.ParseTenantName(text)
	if err != nil {
		return "", usagef("tenant %s: %v", quote(text), err)
	}
	return name, nil
}

// session returns the handle to the tenant's secrets.
func (a *app) session(ctx context.Context) (*client.Session, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	tenant, err := c.Tenant(ctx)
	if errors.Is(err, client.ErrNoTenant) {
		return nil, errNoTenant
	}
	if err != nil {
		return nil, err
	}
	return c.Session(tenant), nil
}

// operator returns the handle to the deployment.
func (a *app) operator() (*client.Operator, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	return c.Operator(), nil
}

// note tells a person something that is not the answer. With --json it keeps
// quiet: a script has asked.
func (a *app) note(format string, args ...any) {
	if !a.global.json {
		fmt.Fprintf(a.env.Stderr, format+"\n", args...)
	}
}

// parseName checks a secret's name given as an argument.
func parseName(s string) (secret.Name, error) {
	name, err := secret.ParseName(s)
	if err != nil {
		return "", usagef("%s is no name of a secret: %v", quote(s), err)
	}
	return name, nil
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// quote shows text of an argument, bounded and fit for a terminal.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "…"
	}
	return `"` + clean(s) + `"`
}

// openInput opens a file, or gives the stream for "-".
func openInput(path string, stdin io.Reader) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(stdin), nil
	}
	return os.Open(path)
}
