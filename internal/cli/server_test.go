package cli_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fastness/internal/cli"
	"fastness/internal/testservers"
	"fastness/internal/teststore"
)

const (
	firstKey  = "first-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	secondKey = "second-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

// deployment is a place with a store, and the server that may run on it.
type deployment struct {
	t       *testing.T
	place   teststore.Place
	env     []string // for the server
	token   string
	address string
	server  *exec.Cmd
	log     *bufio.Reader
}

// start runs `fastness server` with flags and waits until it serves.
func (d *deployment) start(flags ...string) {
	d.t.Helper()
	d.server = exec.Command("fastness", append([]string{"server", "--store", d.place.Setting(), "--listen", "127.0.0.1:0"}, flags...)...)
	d.server.Env = append(os.Environ(), d.env...)
	stderr, err := d.server.StderrPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.server.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(d.stop)
	d.log = bufio.NewReader(stderr)
	line := d.await("serving")
	var entry struct{ Address string }
	if err := json.Unmarshal([]byte(line), &entry); err != nil {
		d.t.Fatalf("%v in %s", err, line)
	}
	d.address = entry.Address
}

// await reads the log up to a line that holds text.
func (d *deployment) await(text string) string {
	d.t.Helper()
	var all strings.Builder
	for {
		line, err := d.log.ReadString('\n')
		all.WriteString(line)
		if err != nil {
			d.t.Fatalf("the log never said %q: %v\n%s", text, err, all.String())
		}
		if strings.Contains(line, text) {
			return line
		}
	}
}

// stop ends the server as a service manager does.
func (d *deployment) stop() {
	d.t.Helper()
	if d.server == nil {
		return
	}
	server := d.server
	d.server = nil
	server.Process.Signal(syscall.SIGTERM)
	rest := new(bytes.Buffer)
	rest.ReadFrom(d.log)
	if err := server.Wait(); err != nil {
		d.t.Errorf("the server ended with %v\n%s", err, rest)
	}
}

// run runs a client command and expects an exit code.
func (d *deployment) run(want int, stdin string, args ...string) (stdout, stderr string) {
	d.t.Helper()
	var out, errs bytes.Buffer
	code := cli.Run(d.t.Context(), args, cli.Env{
		Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs,
		Getenv: func(name string) string {
			return map[string]string{"FASTNESS_ADDR": d.address, "FASTNESS_TOKEN": d.token}[name]
		},
	})
	if code != want {
		d.t.Fatalf("%v exits with %d instead of %d: %s%s", args, code, want, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// deploy makes a store and its first operator.
func deploy(t *testing.T) *deployment {
	d := &deployment{t: t, place: teststore.New(t), env: []string{"SECRETS_MASTER_KEY=" + firstKey}}
	d.token = d.initOperator(t)
	return d
}

func (d *deployment) initOperator(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("fastness", "operator", "init", "--store", d.place.Setting())
	cmd.Env = append(os.Environ(), d.env...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
	}
	return strings.TrimSuffix(string(out), "\n")
}

func TestServerKeepsSecrets(t *testing.T) {
	d := deploy(t)
	d.start("--log-requests")
	d.run(0, "", "tenant", "create", "shop")
	d.run(0, "value", "put", "a", "--tenant", "shop")
	d.await("PUT")

	// The environment of the server does not show its root key.
	environ, err := os.ReadFile("/proc/" + itoa(d.server.Process.Pid) + "/environ")
	if err == nil && bytes.Contains(environ, []byte(firstKey)) {
		t.Error("/proc/PID/environ shows the root key")
	}

	d.stop()
	d.start()
	if got, _ := d.run(0, "", "get", "a", "--tenant", "shop"); got != "value" {
		t.Errorf("after a restart: %q", got)
	}
}

// TestNodesServeTogether: one node's clients see what is done through the other,
// and a command that is watched through one starts again for it.
func TestNodesServeTogether(t *testing.T) {
	if !teststore.Shared() {
		t.Setenv(teststore.Variable, testservers.StartPostgres(t, testservers.Options{}).URL())
	}
	a := deploy(t)
	a.start()
	b := &deployment{t: t, place: a.place, env: a.env, token: a.token}
	b.start()
	a.run(0, "", "tenant", "create", "shop")
	b.run(0, "one", "put", "db", "--tenant", "shop")
	if got, _ := a.run(0, "", "get", "db", "--tenant", "shop"); got != "one" {
		t.Errorf("the other node reads %q", got)
	}

	log := filepath.Join(t.TempDir(), "log")
	watch := exec.Command("fastness", "run", "--watch", "--settle", "100ms", "--secret", "db", "--tenant", "shop", "--",
		"sh", "-c", `echo "up $DB" >> "$0"; while :; do sleep 0.01; done`, log)
	watch.Env = append(os.Environ(), "FASTNESS_ADDR="+b.address, "FASTNESS_TOKEN="+b.token)
	var said bytes.Buffer
	watch.Stdout, watch.Stderr = &said, &said
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		watch.Process.Signal(syscall.SIGTERM)
		watch.Wait()
	})
	awaitFile(t, log, "up one\n")
	a.run(0, "two", "put", "db", "--tenant", "shop")
	awaitFile(t, log, "up one\nup two\n")
	a.run(0, "three", "put", "db", "--tenant", "shop")
	awaitFile(t, log, "up one\nup two\nup three\n")
}

// awaitFile waits until a file holds exactly this.
func awaitFile(t *testing.T, path, want string) {
	t.Helper()
	var got []byte
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if got, _ = os.ReadFile(path); string(got) == want {
			return
		}
	}
	t.Fatalf("%s holds %q, not %q", filepath.Base(path), got, want)
}

// A second process on the embedded store is refused.
func TestEmbeddedStoreIsOneProcess(t *testing.T) {
	d := deploy(t)
	d.start()
	cmd := exec.Command("fastness", "operator", "init", "--store", d.place.Setting())
	cmd.Env = append(os.Environ(), d.env...)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "use") {
		t.Errorf("operator init beside a server: %v, %s", err, out)
	}
}

func TestRootKeyChanges(t *testing.T) {
	d := deploy(t)
	d.start()
	d.run(0, "", "tenant", "create", "shop")
	d.run(0, "value", "put", "a", "--tenant", "shop")
	if _, stderr := d.run(1, "", "key", "rotate", "--root"); !strings.Contains(stderr, "SECRETS_MASTER_KEY_PREVIOUS") {
		t.Errorf("without a new key: %s", stderr)
	}
	d.stop()
	d.env = []string{"SECRETS_MASTER_KEY=" + secondKey, "SECRETS_MASTER_KEY_PREVIOUS=" + firstKey}
	d.start()
	if got, _ := d.run(0, "", "key", "rotate", "--root"); !strings.Contains(got, "re-wrapped") {
		t.Errorf("rotated: %s", got)
	}
	d.stop()
	d.env = []string{"SECRETS_MASTER_KEY=" + secondKey}
	d.start()
	if got, _ := d.run(0, "", "get", "a", "--tenant", "shop"); got != "value" {
		t.Errorf("under the new key: %q", got)
	}
}

func TestServerSpeaksTLS(t *testing.T) {
	d := deploy(t)
	cert, key := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	writeCertificate(t, cert, key)
	d.start("--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(d.address, "https://") {
		t.Fatalf("serving at %s", d.address)
	}
	if _, stderr := d.run(1, "", "tenant", "list"); !strings.Contains(stderr, "certificate") {
		t.Errorf("an unknown authority: %s", stderr)
	}
	d.run(0, "", "tenant", "list", "--ca-file", cert)

	// After a hangup the new pair is served, over new connections.
	writeCertificate(t, cert, key)
	d.server.Process.Signal(syscall.SIGHUP)
	deadline := time.Now().Add(10 * time.Second)
	for {
		var errs bytes.Buffer
		code := cli.Run(t.Context(), []string{"tenant", "list", "--ca-file", cert}, cli.Env{Stderr: &errs, Getenv: func(name string) string {
			return map[string]string{"FASTNESS_ADDR": d.address, "FASTNESS_TOKEN": d.token}[name]
		}})
		if code == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the new certificate is not served: %s", errs.String())
		}
	}
}

func itoa(n int) string { return big.NewInt(int64(n)).String() }

// writeCertificate makes a self-signed certificate for 127.0.0.1.
func writeCertificate(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "fastness test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestQuotaSettings: flags, variables and the file set quotas of every tenant,
// which bind beside the tenant's own.
func TestQuotaSettings(t *testing.T) {
	d := deploy(t)
	file := filepath.Join(t.TempDir(), "fastness.toml")
	if err := os.WriteFile(file, []byte("quota_secrets = 1\nquota_versions = 100\nquota_principals = 50\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.env = append(d.env, "FASTNESS_QUOTA_SECRETS=2", "FASTNESS_QUOTA_REQUEST_RATE=1000")
	d.start("--config", file, "--quota-versions", "3")
	d.run(0, "", "tenant", "create", "shop")
	d.run(0, "", "quota", "set", "shop", "--secrets", "9", "--principals", "5")
	out, _ := d.run(0, "", "quota", "show", "shop", "--json")
	if want := `"effective":{"secrets":2,"versions":3,"principals":5,"requestRate":1000,"requestBurst":1000}`; !strings.Contains(out, want) {
		t.Errorf("%s lacks %s", out, want)
	}
	for _, name := range []string{"a", "b"} {
		d.run(0, "v", "put", name, "--tenant", "shop")
	}
	if _, stderr := d.run(1, "v", "put", "c", "--tenant", "shop"); !strings.Contains(stderr, "secrets: the quota is 2: 2 in use") {
		t.Error(stderr)
	}
}

// TestRegionSettings: a list in the file, or text with commas elsewhere; the
// first is the one in ARNs.
func TestRegionSettings(t *testing.T) {
	d := deploy(t)
	file := filepath.Join(t.TempDir(), "fastness.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []string{`["eu-west-1", "eu-west-1"]`, `["eu-west-1,us-east-1"]`, `["Europe"]`, `[1]`, `"eu-west-1,"`} {
		write("regions = " + bad)
		if _, stderr := d.run(2, "", "server", "--config", file); !strings.Contains(stderr, "regions") {
			t.Errorf("%s: %s", bad, stderr)
		}
	}
	write(`regions = ["eu-west-1", "us-east-1"]`)
	d.start("--config", file)
	if out, _ := d.run(0, "", "tenant", "create", "shop", "--json"); !strings.Contains(out, `"region":"eu-west-1"`) {
		t.Error(out)
	}
}

// TestIdentitySettings: lists of networks and origins, and settings that need one
// another.
func TestIdentitySettings(t *testing.T) {
	d := deploy(t)
	file := filepath.Join(t.TempDir(), "fastness.toml")
	for text, want := range map[string]string{
		`trusted_proxies = ["10.0.0.0/8", "10.1.2.3/8"]`:                                  "networks are expected",
		`trusted_proxies = "10.0.0.1"`:                                                    "networks are expected",
		`trusted_proxies = ["::ffff:10.0.0.0/104"]`:                                       "networks are expected",
		`proxy_client_cert = "Client-Cert"`:                                               "trusted_proxies",
		"trusted_proxies = \"10.0.0.0/8\"\nproxy_client_cert = \"X-Client-Cert\"":         "X-Forwarded-Client-Cert or Client-Cert",
		`tls_client_certs = true`:                                                         "without TLS",
		`webauthn_id = "vault.example.com"`:                                               "give both",
		`webauthn_origins = ["https://vault.example.com"]`:                                "give both",
		"webauthn_id = \"vault.example.com\"\nwebauthn_origins = \"https://example.org\"": "origin",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("fastness", "server", "--store", d.place.Setting(), "--listen", "127.0.0.1:0", "--config", file)
		cmd.Env = append(os.Environ(), d.env...)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, %s", text, err, out)
		}
	}
	if err := os.WriteFile(file, []byte(`
trusted_proxies = ["10.0.0.0/8", "2001:db8::/32"]
proxy_client_cert = "x-forwarded-client-cert"
webauthn_id = "vault.example.com"
webauthn_origins = ["https://vault.example.com", "https://admin.vault.example.com"]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	d.start("--config", file, "--loopback-issuers")
	d.run(0, "", "tenant", "create", "shop")
	d.run(0, "", "issuer", "put", "ci", "--tenant", "shop", "--url", "http://127.0.0.1:1", "--audience", "a", "--match", "sub=x", "--principal", "x")
}
