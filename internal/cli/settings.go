package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"fastness/internal/identity"
	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/store/postgres"
)

// serverConfig is what the settings of `fastness server` say.
type serverConfig struct {
	dir                   string // of the embedded store
	database              string // URL of a store that nodes share, instead of dir
	keyFile, keyPrevious  string
	listen, metricsListen string
	certificate, key      string
	tls12                 bool
	connections           int
	grace                 time.Duration
	region                string
	regions               []string // further ones
	logFormat             string
	logLevel              slog.Level
	logRequests           bool
	anchor                string
	quotas                secret.Quotas // of every tenant
	clientCertificates    bool
	proxies               identity.Proxies
	webAuthn              identity.RelyingParty
	loopbackIssuers       bool
	rotationWorker        bool
	backups               backupConfig
	rotationNetwork       rotation.Network
	diskReserve           int64 // bytes
	diskAlarm             int64
}

// setting is a row of the one table from which come the configuration file's
// keys, the flags, the environment variables, the help and the documentation.
type setting struct {
	key     string // as in the file; a dot stands before the keys of a table
	initial string // what holds when nobody says anything
	word    string // stands for the value in the help; empty for true or false
	help    string
	set     func(c *serverConfig, value string) error
}

// flag is the setting's flag, without dashes in front.
func (s *setting) flag() string { return strings.NewReplacer("_", "-", ".", "-").Replace(s.key) }

// variable is the setting's environment variable.
func (s *setting) variable() string {
	return "FASTNESS_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

// shown is what may be told of a value: the URL of a store can hold a password.
func (s *setting) shown(value string) string {
	if s.key != "store" {
		return value
	}
	scheme, rest, _ := strings.Cut(value, ":")
	if _, host, ok := strings.Cut(rest, "@"); ok {
		return scheme + ":…@" + host
	}
	return value
}

func text(field func(*serverConfig) *string) func(*serverConfig, string) error {
	return func(c *serverConfig, v string) error { *field(c) = v; return nil }
}

func boolean(field func(*serverConfig) *bool) func(*serverConfig, string) error {
	return func(c *serverConfig, v string) error {
		switch v {
		case "true", "false":
			*field(c) = v == "true"
			return nil
		}
		return errors.New("true or false is expected")
	}
}

var settings = append([]setting{
	{"store", "", "STORE", "where everything is kept: sqlite:FOLDER, or a URL of PostgreSQL, postgres://…", setStore},
	{"listen", "127.0.0.1:8420", "HOST:PORT", "where to answer; plain HTTP is refused on any address but loopback",
		text(func(c *serverConfig) *string { return &c.listen })},
	{"tls_cert", "", "FILE", "PEM certificate chain; read again when it changes, and on SIGHUP",
		text(func(c *serverConfig) *string { return &c.certificate })},
	{"tls_key", "", "FILE", "PEM private key of tls_cert", text(func(c *serverConfig) *string { return &c.key })},
	{"tls_12", "false", "", "accept TLS 1.2 too, which has no post-quantum key exchange",
		boolean(func(c *serverConfig) *bool { return &c.tls12 })},
	{"tls_client_certs", "false", "", "ask clients for a certificate, which \"fastness login --cert\" trades for a token",
		boolean(func(c *serverConfig) *bool { return &c.clientCertificates })},
	{"trusted_proxies", "", "NETWORKS", "networks of proxies whose X-Forwarded-For tells where a client is; in a list, or with commas between",
		setProxies},
	{"proxy_client_cert", "", "HEADER", "where trusted_proxies tell a client's certificate, and take out what clients send: X-Forwarded-Client-Cert or Client-Cert",
		setProxyClientCert},
	{"webauthn_id", "", "DOMAIN", "the domain that security keys are bound to; never change it once some are enrolled",
		text(func(c *serverConfig) *string { return &c.webAuthn.ID })},
	{"webauthn_origins", "", "URLS", "origins of the pages on which security keys are shown; in a list, or with commas between", setOrigins},
	{"loopback_issuers", "false", "", "let tenants trust issuers on this very machine, and there without TLS",
		boolean(func(c *serverConfig) *bool { return &c.loopbackIssuers })},
	{"master_key_file", "", "FILE", "the root key, instead of SECRETS_MASTER_KEY; not for others to read",
		text(func(c *serverConfig) *string { return &c.keyFile })},
	{"master_key_previous_file", "", "FILE", "the old root key while it is being changed, beside master_key_file",
		text(func(c *serverConfig) *string { return &c.keyPrevious })},
	{"region", "us-east-1", "NAME", "the region in ARNs", text(func(c *serverConfig) *string { return &c.region })},
	{"regions", "", "NAMES", "all regions of the AWS protocol, the one in ARNs first; in a list, or with commas between; instead of region",
		setRegions},
	{"metrics_listen", "", "HOST:PORT", "answer /metrics here, to anybody who reaches it; otherwise on listen, to loopback only",
		text(func(c *serverConfig) *string { return &c.metricsListen })},
	{"max_connections", "4096", "N", "connections open at once; more wait", setConnections},
	{"shutdown_grace", "15s", "TIME", "how long requests may still take once the server is told to stop", setGrace},
	{"log_format", "json", "FORM", "json or text", setLogFormat},
	{"log_level", "info", "LEVEL", "debug, info, warn or error", setLogLevel},
	{"log_requests", "false", "", "log every request at level info", boolean(func(c *serverConfig) *bool { return &c.logRequests })},
	{"rotation.worker", "true", "", "rotate secrets that are due; of several nodes one at a time does",
		boolean(func(c *serverConfig) *bool { return &c.rotationWorker })},
	{"rotation.private_webhooks", "false", "", "let webhooks be at private and loopback addresses, and there without TLS",
		boolean(func(c *serverConfig) *bool { return &c.rotationNetwork.PrivateWebhooks })},
	{"audit.anchor", "", "PLACE", "where each checkpoint is sent: file:PATH or an https URL",
		text(func(c *serverConfig) *string { return &c.anchor })},
	{"disk_reserve", "64MiB", "SIZE", "room kept on the disk of the embedded store, for \"fastness reserve release\" when it is full; 0 for none",
		setSize(func(c *serverConfig) *int64 { return &c.diskReserve })},
	{"disk_alarm", "1GiB", "SIZE", "say that the disk of the embedded store fills up when less is free; 0 for never",
		setSize(func(c *serverConfig) *int64 { return &c.diskAlarm })},
	{"backup.schedule", "", "TIME", "back up and verify this often, on one node: 24h; empty for never",
		setBackupEvery},
	{"backup.directory", "", "FOLDER", "where scheduled backups go; on another machine's disk, at best",
		text(func(c *serverConfig) *string { return &c.backups.dir })},
	{"backup.recipients", "", "RECIPIENTS", "age recipients who can decrypt scheduled backups; in a list, or with commas between", setBackupRecipients},
	{"backup.keep", "14", "N", "how many scheduled backups are kept", setBackupKeep},
}, quotaSettings()...)

// quotaSettings are the quotas that hold for every tenant.
func quotaSettings() (rows []setting) {
	var none secret.Quotas
	for quota := range none.All() {
		rows = append(rows, setting{"quota_" + snake(quota), "", "N", "of every tenant, at most so many " + quotaHelp[quota], setQuota(quota)})
	}
	return rows
}

func setQuota(quota string) func(*serverConfig, string) error {
	return func(c *serverConfig, text string) (err error) {
		for name, v := range c.quotas.All() {
			if name == quota && text != "" {
				*v, err = parseQuota(text)
			}
		}
		return err
	}
}

// regionForm is that of the names of regions in the AWS protocol.
var regionForm = regexp.MustCompile(`^([a-z]+-)+[0-9]+$`)

func setRegions(c *serverConfig, v string) error {
	if v == "" {
		return nil
	}
	all := strings.Split(v, ",")
	for i, region := range all {
		if !regionForm.MatchString(region) || len(region) > 32 || slices.Contains(all[:i], region) {
			return errors.New("names as us-east-1, each once, are expected")
		}
	}
	c.region, c.regions = all[0], all[1:]
	return nil
}

// storeSettings are those that a command needs which opens the store itself.
var storeSettings = []string{"store", "master_key_file", "master_key_previous_file", "region", "regions"}

func setStore(c *serverConfig, v string) error {
	scheme, rest, ok := strings.Cut(v, ":")
	switch {
	case v == "": // asked for later, where it is needed
	case postgres.IsURL(v):
		c.database = v
	case !ok || scheme != "sqlite" || rest == "":
		return errors.New("sqlite:FOLDER or postgres://… is expected")
	default:
		c.dir = rest
	}
	return nil
}

func setConnections(c *serverConfig, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > 1<<20 {
		return errors.New("a whole number from 1 is expected")
	}
	c.connections = n
	return nil
}

func setProxies(c *serverConfig, v string) error {
	c.proxies.Networks = nil
	for _, text := range list(v) {
		p, err := netip.ParsePrefix(text)
		if err != nil || p.Masked() != p || p.Addr().Is4In6() {
			return errors.New("networks are expected: 10.0.0.0/8, 192.0.2.7/32")
		}
		c.proxies.Networks = append(c.proxies.Networks, p)
	}
	return nil
}

func setProxyClientCert(c *serverConfig, v string) error {
	c.proxies.ClientCert = http.CanonicalHeaderKey(v)
	return c.proxies.Validate()
}

func setOrigins(c *serverConfig, v string) error {
	c.webAuthn.Origins = list(v)
	return nil
}

// list splits text at commas; the empty text is an empty list.
func list(v string) (items []string) {
	for item := range strings.SplitSeq(v, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

func setGrace(c *serverConfig, v string) error {
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 || d > time.Hour {
		return errors.New("a time is expected: 15s, 1m")
	}
	c.grace = d
	return nil
}

func setLogFormat(c *serverConfig, v string) error {
	if v != "json" && v != "text" {
		return errors.New("json or text is expected")
	}
	c.logFormat = v
	return nil
}

func setLogLevel(c *serverConfig, v string) error {
	if c.logLevel.UnmarshalText([]byte(v)) != nil || !slices.Contains([]string{"debug", "info", "warn", "error"}, v) {
		return errors.New("debug, info, warn or error is expected")
	}
	return nil
}

// settingFlags collects a command's flags for settings, and the file.
type settingFlags struct {
	file  string
	given map[string]*string
}

// add gives the command a flag for each setting of the table that is named;
// for all of them if none is.
func (f *settingFlags) add(cmd *cobra.Command, names ...string) {
	f.given = make(map[string]*string)
	cmd.Flags().StringVar(&f.file, "config", "", "TOML `FILE` with the settings; flags and variables win over it")
	for i := range settings {
		s := &settings[i]
		if len(names) > 0 && !slices.Contains(names, s.key) {
			continue
		}
		value := new(string)
		usage := s.help
		if s.word != "" {
			usage = fmt.Sprintf("`%s`: %s", s.word, s.help)
		}
		if s.initial != "" {
			usage += fmt.Sprintf(" (default %s)", s.initial)
		}
		cmd.Flags().StringVar(value, s.flag(), "", usage)
		if s.word == "" {
			cmd.Flags().Lookup(s.flag()).NoOptDefVal = "true"
		}
		f.given[s.key] = value
	}
}

// load takes each setting from the flag, the variable, the file or the table,
// the first that has it.
func (f *settingFlags) load(cmd *cobra.Command, getenv func(string) string) (serverConfig, error) {
	var c serverConfig
	file := map[string]string{}
	if path := firstOf(f.file, getenv("FASTNESS_CONFIG")); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return c, fmt.Errorf("reading the configuration: %w", err)
		}
		if file, err = parseConfig(path, text); err != nil {
			return c, err
		}
	}
	for i := range settings {
		s := &settings[i]
		value, from := s.initial, s.key
		if v, ok := file[s.key]; ok {
			value, from = v, s.key+" in the configuration file"
		}
		if v := getenv(s.variable()); v != "" {
			value, from = v, s.variable()
		}
		if v, ok := f.given[s.key]; ok && cmd.Flags().Changed(s.flag()) {
			value, from = *v, "--"+s.flag()
		}
		if err := s.set(&c, value); err != nil {
			return c, usagef("%s: %s: %v", from, quote(s.shown(value)), err)
		}
	}
	if c.clientCertificates && c.certificate == "" {
		return c, usagef("tls_client_certs: without TLS there are no client certificates; see proxy_client_cert")
	}
	if c.proxies.ClientCert != "" && len(c.proxies.Networks) == 0 {
		return c, usagef("proxy_client_cert: say which proxies are believed: trusted_proxies")
	}
	if (c.webAuthn.ID == "") != (len(c.webAuthn.Origins) == 0) {
		return c, usagef("webauthn_id and webauthn_origins: give both, or neither")
	}
	if b := c.backups; b.every > 0 && (b.dir == "" || len(b.recipients) == 0) {
		return c, usagef("backup.schedule: say with backup.directory and backup.recipients where to, and who can decrypt it")
	}
	if err := c.quotas.Validate(); err != nil {
		return c, usagef("quota_%s: %s", snake(secret.Of(err).Field), secret.Of(err).Detail)
	}
	return c, nil
}

// parseConfig reads the file into the table's keys. A key that the table does
// not have is an error that names it.
func parseConfig(path string, text []byte) (map[string]string, error) {
	var tree map[string]any
	if err := toml.Unmarshal(text, &tree); err != nil {
		var at *toml.DecodeError
		if errors.As(err, &at) {
			line, column := at.Position()
			return nil, usagef("%s:%d:%d: %v", clean(path), line, column, at)
		}
		return nil, usagef("%s: %v", clean(path), err)
	}
	values := make(map[string]string)
	if err := flatten(values, "", tree); err != nil {
		return nil, usagef("%s: %v", clean(path), err)
	}
	return values, nil
}

// flatten brings tables into the form "table.key".
func flatten(values map[string]string, prefix string, tree map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		key := prefix + name
		if table, ok := tree[name].(map[string]any); ok {
			if err := flatten(values, key+".", table); err != nil {
				return err
			}
			continue
		}
		s := findSetting(key)
		if s == nil {
			return fmt.Errorf("unknown key %s; known are %s", quote(key), strings.Join(settingKeys(), ", "))
		}
		switch v := tree[name].(type) {
		case string:
			values[key] = v
		case int64, bool:
			values[key] = fmt.Sprint(v)
		case []any:
			text, err := joined(v)
			if err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			values[key] = text
		default:
			return fmt.Errorf("%s: text, a whole number, true or false is expected, or a list of texts", key)
		}
	}
	return nil
}

// joined brings a list of texts into the form that a flag has.
func joined(list []any) (string, error) {
	texts := make([]string, len(list))
	for i, v := range list {
		text, ok := v.(string)
		if !ok || strings.Contains(text, ",") {
			return "", errors.New("a list of texts without commas is expected")
		}
		texts[i] = text
	}
	return strings.Join(texts, ","), nil
}

func findSetting(key string) *setting {
	for i := range settings {
		if settings[i].key == key {
			return &settings[i]
		}
	}
	return nil
}

func settingKeys() []string {
	keys := make([]string, len(settings))
	for i := range settings {
		keys[i] = settings[i].key
	}
	return keys
}
