package cli

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"fastness"
	"fastness/internal/awsapi"
	"fastness/internal/notify"
	"fastness/internal/rootkey"
	"fastness/internal/rotation"
	"fastness/internal/secretbuf"
	"fastness/internal/server"
)

func (a *app) serverCommand() *cobra.Command {
	var flags settingFlags
	var cmd *cobra.Command
	cmd = a.command("server", "Run the server", func(ctx context.Context, _ []string) error {
		c, err := flags.load(cmd, a.env.Getenv)
		if err != nil {
			return err
		}
		return a.server(ctx, c)
	})
	cmd.Long = `Run the server in the foreground, until SIGINT or SIGTERM; requests in flight
are then let end. SIGHUP reads the certificate again.

The root key is in SECRETS_MASTER_KEY, at least 64 characters, or in the file
that master_key_file names. Lose it, and nothing that is stored opens again.

Each setting is a key of the configuration file, a flag and a variable; a flag
wins over a variable, and that over the file. A key that is not known is an
error.`
	cmd.Example = `SECRETS_MASTER_KEY="$(cat root.key)" fastness server --store sqlite:/var/lib/fastness
fastness server --config /etc/fastness/fastness.toml
PGPASSFILE=/etc/fastness/pgpass fastness server --store 'postgres://fastness@db1,db2/fastness?sslmode=verify-full'
fastness server --config fastness.toml --listen 0.0.0.0:8420 --tls-cert tls.crt --tls-key tls.key`
	flags.add(cmd)
	return cmd
}

func (a *app) server(ctx context.Context, c serverConfig) error {
	v, log, err := a.openVault(ctx, c, false)
	if err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	stopBackups := c.backups.start(ctx, v, log)
	var worker *rotation.Worker
	if c.rotationWorker {
		worker = rotation.NewWorker(v, c.rotationNetwork, log, nil)
		worker.Grace = c.grace
	}
	err = serve(ctx, server.Config{
		Vault: v, Worker: worker, Notifier: notify.NewWorker(v, c.rotationNetwork, log, nil), Network: c.rotationNetwork, Listen: c.listen, Certificate: c.certificate, Key: c.key, TLS12: c.tls12,
		ClientCertificates: c.clientCertificates, Proxies: c.proxies,
		Disk:          server.Disk{Dir: c.dir, Reserve: c.diskReserve, Alarm: c.diskAlarm},
		MetricsListen: c.metricsListen, MaxConnections: c.connections, Grace: c.grace,
		Logger: log, LogRequests: c.logRequests,
		Front: awsFront(awsapi.Config{Vault: v, Regions: c.regions, Logger: log, LogRequests: c.logRequests, Proxies: c.proxies, Network: c.rotationNetwork}),
	}, hangups, func(s *server.Server) error {
		log.Info("serving", "address", s.URL(), "version", version)
		return nil
	})
	stopBackups()
	return errors.Join(err, v.Close())
}

// serve listens, tells the address to ready, and serves until ctx ends. On
// each of hangups it reads the certificate again.
func serve(ctx context.Context, c server.Config, hangups <-chan os.Signal, ready func(*server.Server) error) error {
	collectLess()
	s, err := server.Listen(c)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	if err := ready(s); err != nil {
		return errors.Join(err, s.Close(), <-served)
	}
	for {
		select {
		case err := <-served:
			return errors.Join(err, s.Close())
		case <-hangups:
			if err := s.Reload(); err != nil {
				c.Logger.Error("reading the certificate again", "error", err.Error())
			}
		case <-ctx.Done():
			// The signal has ended ctx, so the grace needs a context of its own.
			grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.Grace)
			defer cancel()
			return errors.Join(s.Shutdown(grace), <-served)
		}
	}
}

// awsFront makes the front for the AWS protocol, which answers POST /.
func awsFront(c awsapi.Config) func(func(method, route string) func(code string, took time.Duration)) http.Handler {
	return func(metrics func(method, route string) func(string, time.Duration)) http.Handler {
		c.Metrics = metrics
		return awsapi.New(c)
	}
}

// serverGOGC lets the heap of a server grow to four times what is live, some
// tens of megabytes, before it is collected. What is live is small, so that
// at Go's default a busy server collects all the time: a tenth of a read.
const serverGOGC = 300

// collectLess sets serverGOGC, unless the operator has set GOGC.
func collectLess() {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(serverGOGC)
	}
}

// openVault opens the store that the settings name. once is for a command
// that does one thing with it.
func (a *app) openVault(ctx context.Context, c serverConfig, once bool) (*fastness.Vault, *slog.Logger, error) {
	log := a.logger(c)
	harden(log)
	keys, err := masterKeys(c)
	if err != nil {
		return nil, nil, err
	}
	defer keys.Release()
	if c.dir == "" && c.database == "" {
		return nil, nil, usagef("say where to keep the data: --store sqlite:FOLDER, or --store postgres://…")
	}
	config := fastness.Config{
		Dir: c.dir, Store: c.database, MasterKey: keys.Current, PreviousMasterKey: keys.Previous,
		Region: c.region, Logger: log, Quotas: c.quotas, NoBackground: once,
		LoopbackIssuers: c.loopbackIssuers, RelyingParty: c.webAuthn,
	}
	if c.anchor != "" {
		if config.Anchor, err = fastness.ParseAnchor(c.anchor); err != nil {
			return nil, nil, usagef("%v", err)
		}
	}
	v, err := fastness.Open(ctx, config)
	return v, log, err
}

// harden protects the memory of a process that works with keys, and tells the
// operator where that is less than Fastness promises.
func harden(log *slog.Logger) {
	if err := secretbuf.Harden(); err != nil {
		log.Warn("core dumps are not ruled out", "error", err.Error())
	}
	if secretbuf.Erasing != "runtime" {
		log.Warn("this build does not erase all that cryptography leaves in memory: build with GOEXPERIMENT=runtimesecret", "erases", secretbuf.Erasing)
	}
	if guard := secretbuf.Guard(); guard != "memfd_secret" {
		log.Warn("keys are in memory that root can read: the kernel has no memfd_secret, or RLIMIT_MEMLOCK is used up", "guard", guard)
	}
}

// masterKeys takes the root key from where the settings say. It runs before
// anything else could look at the environment.
func masterKeys(c serverConfig) (keys rootkey.Keys, err error) {
	if c.keyFile == "" {
		return rootkey.FromEnv()
	}
	if keys.Current, err = rootkey.FromFile(c.keyFile); err != nil || c.keyPrevious == "" {
		return keys, err
	}
	if keys.Previous, err = rootkey.FromFile(c.keyPrevious); err != nil {
		keys.Release()
		return rootkey.Keys{}, err
	}
	return keys, nil
}

func (a *app) logger(c serverConfig) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.logLevel}
	if c.logFormat == "text" {
		return slog.New(slog.NewTextHandler(a.env.Stderr, options))
	}
	return slog.New(slog.NewJSONHandler(a.env.Stderr, options))
}
