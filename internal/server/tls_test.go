package server_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fastness/internal/server"
)

// writePair makes a self-signed certificate with the serial number.
func writePair(t *testing.T, dir string, serial int64) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// handshake connects and returns the state, or the error.
func handshake(s *server.Server, c *tls.Config) (tls.ConnectionState, error) {
	c.InsecureSkipVerify = true
	conn, err := tls.Dial("tcp", s.Addr().String(), c)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	return conn.ConnectionState(), nil
}

func serial(t *testing.T, s *server.Server) int64 {
	t.Helper()
	state, err := handshake(s, &tls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return state.PeerCertificates[0].SerialNumber.Int64()
}

func TestTLS(t *testing.T) {
	cert, key := writePair(t, t.TempDir(), 1)
	s, token := start(t, server.Config{Listen: "127.0.0.1:0", Certificate: cert, Key: key})
	state, err := handshake(s, &tls.Config{NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 || state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("version %x, curve %v, protocol %q", state.Version, state.CurveID, state.NegotiatedProtocol)
	}
	if _, err := handshake(s, &tls.Config{MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 was accepted")
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	if !strings.HasPrefix(s.URL(), "https://") {
		t.Errorf("URL %s", s.URL())
	}
	if status, body := fetch(t, client, "GET", s.URL()+"/api/v1/whoami", token, ""); status != 200 {
		t.Errorf("whoami: %d %s", status, body)
	}
	old, _ := start(t, server.Config{Certificate: cert, Key: key, TLS12: true})
	if state, err := handshake(old, &tls.Config{MaxVersion: tls.VersionTLS12}); err != nil || state.Version != tls.VersionTLS12 {
		t.Errorf("TLS 1.2 where it is allowed: %v", err)
	}
}

// TestNoHTTP2: what begins as HTTP/2 begins is refused by HTTP/1, with TLS and
// without, whatever was negotiated.
func TestNoHTTP2(t *testing.T) {
	cert, key := writePair(t, t.TempDir(), 1)
	plain, _ := start(t, server.Config{Listen: "127.0.0.1:0"})
	secure, _ := start(t, server.Config{Listen: "127.0.0.1:0", Certificate: cert, Key: key})
	for name, dial := range map[string]func() (net.Conn, error){
		"plain": func() (net.Conn, error) { return net.Dial("tcp", plain.Addr().String()) },
		"TLS": func() (net.Conn, error) {
			return tls.Dial("tcp", secure.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1", "h2"}})
		},
	} {
		c, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		// The preface, and an empty frame of settings.
		if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c)
		if !bytes.HasPrefix(answer, []byte("HTTP/1.1 4")) && !bytes.HasPrefix(answer, []byte("HTTP/1.1 505")) {
			t.Errorf("%s: the answer to HTTP/2 is %q, %v", name, answer, err)
		}
	}
}

// TestTLSOffLoopback: with a certificate any address will do.
func TestTLSOffLoopback(t *testing.T) {
	cert, key := writePair(t, t.TempDir(), 1)
	start(t, server.Config{Listen: "0.0.0.0:0", Certificate: cert, Key: key})
}

func TestCertificateReloads(t *testing.T) {
	dir := t.TempDir()
	cert, key := writePair(t, dir, 1)
	var out logs
	s, _ := start(t, server.Config{Certificate: cert, Key: key, Logger: slog.New(slog.NewTextHandler(&out, nil))})
	if got := serial(t, s); got != 1 {
		t.Fatalf("serial %d", got)
	}
	writePair(t, dir, 2)
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := serial(t, s); got != 2 {
		t.Errorf("after Reload: serial %d", got)
	}
	good, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err == nil {
		t.Error("a broken key was accepted")
	} else if strings.Contains(err.Error(), "not a key") {
		t.Errorf("the error quotes the file: %v", err)
	}
	if got := serial(t, s); got != 2 {
		t.Errorf("with a broken key: serial %d", got)
	}
	if err := os.WriteFile(key, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err != nil {
		t.Error(err)
	}
}

// TestCertificateFollowsFiles: without being told, a handshake finds a new pair.
func TestCertificateFollowsFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := writePair(t, dir, 1)
	var out logs
	k, err := server.NewKeyPair(cert, key, slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	current := func() []byte {
		k.Forget()
		pair, err := k.Get()
		if err != nil {
			t.Fatal(err)
		}
		return pair.Certificate[0]
	}
	first := current()
	if !bytes.Equal(first, current()) {
		t.Error("the certificate changed without its files")
	}
	os.Remove(key)
	if !bytes.Equal(first, current()) || !strings.Contains(out.String(), "keeping the old TLS certificate") {
		t.Error("a missing file was not survived, or not told")
	}
	writePair(t, dir, 2)
	if bytes.Equal(first, current()) {
		t.Error("the new pair was not found")
	}
}

// TestClientCertificates: asked for when configured, never demanded, and handed
// on to the API by a connection that is not crypto/tls's own type.
func TestClientCertificates(t *testing.T) {
	cert, key := writePair(t, t.TempDir(), 1)
	client, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, asks := range []bool{true, false} {
		s, token := start(t, server.Config{Listen: "127.0.0.1:0", Certificate: cert, Key: key, ClientCertificates: asks})
		asked := false
		config := &tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked = true
			return &client, nil
		}}
		transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
		request, err := http.NewRequest("POST", s.URL()+"/api/v1/tenants/default/auth/cert", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if asked != asks || response.StatusCode != http.StatusUnauthorized {
			t.Errorf("asks %v: the client was asked: %v, status %d", asks, asked, response.StatusCode)
		}
		// Who has none, or is not asked, comes in by a token as ever.
		request, err = http.NewRequest("GET", s.URL()+"/api/v1/whoami", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		plain := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
		if response, err = plain.RoundTrip(request); err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("without a certificate: %d", response.StatusCode)
		}
	}
}
