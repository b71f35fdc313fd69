package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"fastness"
	"fastness/internal/awsapi"
	"fastness/internal/notify"
	"fastness/internal/rootkey"
	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/server"
	"fastness/internal/wire"
)

// devGrace is short: whoever stops a development server waits for it.
const devGrace = 3 * time.Second

// The fixed parts of a development server.
const (
	devTenant  = "default"
	devKeyFile = "root.key"
)

func (a *app) devCommand() *cobra.Command {
	var dir, listen string
	cmd := a.command("dev", "Run a server for development", func(ctx context.Context, _ []string) error {
		// Closing the terminal ends it too, with its folder.
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
		defer stop()
		log := a.logger(serverConfig{logFormat: "text", logLevel: slog.LevelWarn})
		harden(log)
		if dir != "" {
			return a.dev(ctx, log, dir, listen)
		}
		temporary, err := os.MkdirTemp("", "fastness-dev-")
		if err != nil {
			return fmt.Errorf("making a folder for the data: %w", err)
		}
		return errors.Join(a.dev(ctx, log, temporary, listen), os.RemoveAll(temporary))
	})
	cmd.Long = `Run a server for development, in the foreground. It makes a root key and a
tenant "default" by itself, and prints an operator's token and the access key of
the tenant's administrator.

Without --data it keeps everything in a fresh folder that it removes at the end.
Started again on the same --data it keeps the access key, prints a new token and
revokes the last one.

The root key lies beside the data, where it protects nothing: this is not for
production. Use "fastness server" there.

With --json the first line of stdout, printed once the server answers, is one
object: {"address","tenant","token","accessKeyId","secretAccessKey","accountId",
"region"}.`
	cmd.Example = `fastness dev
fastness dev --data ~/.fastness-dev --listen 127.0.0.1:9000
fastness dev --json`
	cmd.Flags().StringVar(&dir, "data", "", "keep the data in this `FOLDER`")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8420", "answer at `HOST:PORT`, on loopback; port 0 takes a free one")
	return cmd
}

func (a *app) dev(ctx context.Context, log *slog.Logger, dir, listen string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the folder for the data: %w", err)
	}
	key, err := rootkey.FromOrMakeFile(filepath.Join(dir, devKeyFile))
	if err != nil {
		return err
	}
	defer key.Release()
	v, err := fastness.Open(ctx, fastness.Config{
		Dir: dir, MasterKey: key, Logger: log, LoopbackIssuers: true, RelyingParty: devRelyingParty(listen),
	})
	if err != nil {
		return err
	}
	key.Release()
	return errors.Join(a.serveDev(ctx, log, v, listen), v.Close())
}

// devNetwork lets webhooks be programs on the developer's machine.
var devNetwork = rotation.Network{PrivateWebhooks: true}

// devRelyingParty is as whom the server meets security keys: pages on it, if its
// port is known beforehand.
func devRelyingParty(listen string) (rp fastness.RelyingParty) {
	_, port, err := net.SplitHostPort(listen)
	if err == nil && port != "0" {
		rp = fastness.RelyingParty{ID: "localhost", Origins: []string{"http://localhost:" + port}}
	}
	return rp
}

func (a *app) serveDev(ctx context.Context, log *slog.Logger, v *fastness.Vault, listen string) error {
	caller := v.Local(fastness.Origin{UserAgent: "fastness-dev/" + version, CorrelationID: secret.NewUUID()})
	made, err := v.Operator(caller).DevTenant(ctx, devTenant)
	if err != nil {
		return err
	}
	defer made.Release()
	worker := rotation.NewWorker(v, devNetwork, log, nil)
	worker.Grace = devGrace
	return serve(ctx, server.Config{
		Vault: v, Worker: worker, Notifier: notify.NewWorker(v, devNetwork, log, nil), Network: devNetwork, Listen: listen, Logger: log, Grace: devGrace, Front: awsFront(awsapi.Config{Vault: v, Logger: log, Network: devNetwork}),
	}, nil, func(s *server.Server) error {
		d := devInfo{s.URL(), wire.TenantCreated{
			Tenant: string(made.Name), Token: made.Token, AccessKeyID: made.AccessKeyID,
			SecretAccessKey: made.SecretAccessKey, AccountID: string(made.Account), Region: made.Region,
		}}
		defer made.Release()
		if a.global.json {
			return a.printWire(d)
		}
		return a.greet(d)
	})
}

// devInfo is what `dev --json` prints.
type devInfo struct {
	Address string `json:"address"`
	wire.TenantCreated
}

func wireLine(v any) (*secretbuf.Buffer, error) {
	var b secretbuf.Builder
	if err := wire.Append(&b, v); err != nil {
		b.Release()
		return nil, err
	}
	b.AppendString("\n")
	return b.Buffer(), nil
}

// greet tells a person how to go on.
func (a *app) greet(d devInfo) error {
	var b secretbuf.Builder
	defer b.Release()
	b.AppendString(fmt.Sprintf(`Fastness is answering at %s
For development only: the root key lies beside the data.

In another terminal:

  export FASTNESS_ADDR=%s
  export FASTNESS_TENANT=%s
  export FASTNESS_TOKEN=`, d.Address, d.Address, d.Tenant))
	b.Append(d.Token.Bytes()...)
	b.AppendString(`

  echo -n "my first secret" | fastness put hello
  fastness get hello
  fastness audit list

Stop with Ctrl-C.
`)
	_, err := io.Writer(a.env.Stdout).Write(b.Bytes())
	return err
}
