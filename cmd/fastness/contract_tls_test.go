package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTLS pins a connection from end to end: TLS 1.3, the key exchange that
// holds against quantum computers, and a certificate that SIGHUP replaces
// without a restart.
func TestTLS(t *testing.T) {
	dir, files := t.TempDir(), t.TempDir()
	cert, key := filepath.Join(files, "tls.crt"), filepath.Join(files, "tls.key")
	writeCertificate(t, cert, key, 1)
	operator := makeOperator(t, dir)
	address := freeAddress(t)
	s := &server{address: "https://" + address, process: start(t, []string{"SECRETS_MASTER_KEY=" + masterKey},
		"server", "--store", "sqlite:"+dir, "--listen", address, "--tls-cert", cert, "--tls-key", key)}
	s.until(t, "a listener", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})

	state := handshake(t, address, cert)
	if state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 {
		t.Errorf("connected with %s and %v", tls.VersionName(state.Version), state.CurveID)
	}
	if _, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool(t, cert), MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 was accepted")
	}
	if response, err := http.Get("http://" + address + "/healthz"); err == nil {
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			t.Error("plain HTTP was answered")
		}
	}
	env := clientEnv(s.address, operator, "")
	run(t, env, nil, "tenant", "create", "shop").fail(t, 1)
	run(t, env, nil, "tenant", "create", "shop", "--ca-file", cert).succeed(t)
	run(t, env, []byte("value"), "put", "name", "--tenant", "shop", "--ca-file", cert).succeed(t)
	if got := run(t, env, nil, "get", "name", "--tenant", "shop", "--ca-file", cert).succeed(t); string(got) != "value" {
		t.Errorf("got %q", got)
	}

	// A pair that does not fit together leaves the old one in use.
	writeCertificate(t, filepath.Join(files, "other.crt"), key, 2)
	hangUp(t, s)
	s.until(t, "a word about the certificate", func() bool { return strings.Contains(s.stderr.String(), "certificate") })
	if serial := handshake(t, address, cert).PeerCertificates[0].SerialNumber.Int64(); serial != 1 {
		t.Errorf("serial number %d after a pair that does not fit", serial)
	}
	writeCertificate(t, cert, key, 3)
	hangUp(t, s)
	s.until(t, "the new certificate", func() bool {
		return handshake(t, address, cert).PeerCertificates[0].SerialNumber.Int64() == 3
	})
	s.stop(t)
}

func hangUp(t *testing.T, s *server) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// handshake connects as a client of today does by itself. Whether the
// certificate is trusted is not its matter: it may be changing just now.
func handshake(t *testing.T, address, cert string) tls.ConnectionState {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatalf("connecting with %s: %v", cert, err)
	}
	defer c.Close()
	return c.ConnectionState()
}

func pool(t *testing.T, cert string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(text)
	return p
}

// writeCertificate makes a certificate for 127.0.0.1 that signs itself.
func writeCertificate(t *testing.T, cert, key string, serial int64) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: public}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
