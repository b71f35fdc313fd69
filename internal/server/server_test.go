package server_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fastness/internal/identity"
	"fastness/internal/secretbuf"
	"fastness/internal/server"
	"fastness/internal/teststore"
	"fastness/internal/vault"
)

// logs collects what is logged.
type logs struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// openVault opens a vault that is empty.
func openVault(t *testing.T) (*vault.Vault, string) {
	t.Helper()
	master := secretbuf.Take([]byte("a test's root key is at least sixty-four characters long, is it not?"))
	defer master.Release()
	v, err := vault.Open(t.Context(), vault.Config{Store: teststore.Open(t), Master: master, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	token, err := v.Operator(v.Local(vault.Origin{})).InitToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer token.Token.Release()
	return v, string(token.Token.Bytes())
}

// start serves until the test ends. It returns the operator's token.
func start(t *testing.T, c server.Config) (s *server.Server, token string) {
	t.Helper()
	c.Vault, token = openVault(t)
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := server.Listen(c)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s, token
}

// fetch sends a request and returns status and body.
func fetch(t *testing.T, client *http.Client, method, url, token, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		request.Body = nil
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(b)
}

func TestServes(t *testing.T) {
	s, token := start(t, server.Config{})
	client := http.DefaultClient
	for path, want := range map[string]string{"/healthz": `{"status":"alive"}`, "/readyz": `{"status":"ready"}`} {
		if status, body := fetch(t, client, "GET", s.URL()+path, "", ""); status != 200 || strings.TrimSpace(body) != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
		if status, _ := fetch(t, client, "POST", s.URL()+path, "", ""); status != 405 {
			t.Errorf("POST %s: %d", path, status)
		}
	}
	if status, body := fetch(t, client, "GET", s.URL()+"/api/v1/whoami", token, ""); status != 200 || !strings.Contains(body, `"operator":true`) {
		t.Errorf("whoami: %d %s", status, body)
	}
	for _, path := range []string{"/", "/nowhere", "/healthz/", "//healthz", "/api/v1/../../healthz"} {
		if status, body := fetch(t, client, "GET", s.URL()+path, token, ""); status != 404 && status != 400 || !strings.Contains(body, "correlationId") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, _ := fetch(t, client, "POST", s.URL()+"/", token, "{}"); status != 404 {
		t.Errorf("POST / without a front: %d", status)
	}
}

func TestFront(t *testing.T) {
	s, _ := start(t, server.Config{Front: func(metrics func(string, string) func(string, time.Duration)) http.Handler {
		observe := metrics("POST", "aws GetSecretValue")
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			observe("", time.Millisecond)
			io.WriteString(w, r.Header.Get("X-Amz-Target"))
		})
	}})
	request, err := http.NewRequest("POST", s.URL()+"/", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Amz-Target", "secretsmanager.GetSecretValue")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); string(body) != "secretsmanager.GetSecretValue" {
		t.Errorf("front answered %q", body)
	}
	if status, _ := fetch(t, http.DefaultClient, "GET", s.URL()+"/", "", ""); status != 404 {
		t.Errorf("GET /: %d", status)
	}
	if _, body := fetch(t, http.DefaultClient, "GET", s.URL()+"/metrics", "", ""); !strings.Contains(body, `route="aws GetSecretValue"`) {
		t.Error("the front's requests are not counted")
	}
}

// TestPanicInFront: the connection is cut and the log says no more than that.
func TestPanicInFront(t *testing.T) {
	var out logs
	s, _ := start(t, server.Config{
		Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Front: func(func(string, string) func(string, time.Duration)) http.Handler {
			return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("planted") })
		},
	})
	if _, err := http.Post(s.URL()+"/", "application/json", strings.NewReader("{}")); err == nil {
		t.Error("the panic was answered")
	}
	if log := out.String(); strings.Contains(log, "planted") || !strings.Contains(log, "panic in a handler") {
		t.Errorf("log: %s", log)
	}
}

func TestRefusesPlainHTTPOffLoopback(t *testing.T) {
	v, _ := openVault(t)
	for _, c := range []server.Config{
		{Listen: "0.0.0.0:0"}, {Listen: ":0"}, {Listen: "[::]:0"}, {Listen: "192.0.2.1:8420"},
		{Listen: "127.0.0.1:0", MetricsListen: "0.0.0.0:0"},
	} {
		c.Vault = v
		s, err := server.Listen(c)
		if err == nil {
			s.Close()
			t.Fatalf("%+v was accepted", c)
		}
		if !strings.Contains(err.Error(), "plain HTTP") || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("error does not help: %v", err)
		}
	}
	for _, c := range []server.Config{
		{Listen: "nowhere"}, {Listen: "127.0.0.1:99999"}, {Listen: "127.0.0.1:0", Certificate: "cert.pem"},
		{Listen: "127.0.0.1:0", Certificate: "/nowhere/cert.pem", Key: "/nowhere/key.pem"},
	} {
		c.Vault = v
		if s, err := server.Listen(c); err == nil {
			s.Close()
			t.Errorf("%+v was accepted", c)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := server.Listen(server.Config{Vault: v, Listen: taken.Addr().String()}); err == nil {
		t.Error("a taken address was accepted")
	}
	if s, err := server.Listen(server.Config{Vault: v, Listen: "localhost:0"}); err != nil {
		t.Errorf("localhost: %v", err)
	} else if err := s.Close(); err != nil {
		t.Errorf("closing a server that never served: %v", err)
	}
}

func TestMetrics(t *testing.T) {
	s, token := start(t, server.Config{})
	fetch(t, http.DefaultClient, "POST", s.URL()+"/api/v1/tenants", token, `{"tenant":"planted"}`)
	fetch(t, http.DefaultClient, "PUT", s.URL()+"/api/v1/tenants/planted/secrets/planted/value", token, `{"value":"planted"}`)
	fetch(t, http.DefaultClient, "GET", s.URL()+"/api/v1/tenants/planted/secrets/none/value?stage=planted", token, "")
	fetch(t, http.DefaultClient, "GET", s.URL()+"/planted", token, "")
	fetch(t, http.DefaultClient, "GET", s.URL()+"/api/v1/whoami", "fst_planted", "")
	fetch(t, http.DefaultClient, "PUT", s.URL()+"/api/v1/tenants/planted/quotas", token, `{"secrets":1}`)
	fetch(t, http.DefaultClient, "POST", s.URL()+"/api/v1/tenants/planted/secrets", token, `{"name":"planted-2","value":"planted"}`)
	status, body := fetch(t, http.DefaultClient, "GET", s.URL()+"/metrics", "", "")
	if status != 200 {
		t.Fatalf("metrics: %d", status)
	}
	for _, want := range []string{
		`fastness_http_requests_total{method="PUT",result="ok",route="/api/v1/tenants/{tenant}/secrets/{name}/value"} 1`,
		`fastness_http_requests_total{method="GET",result="not_found",route="/api/v1/tenants/{tenant}/secrets/{name}/value"} 1`,
		`fastness_http_requests_total{method="",result="not_found",route="unknown"} 1`,
		`fastness_http_request_seconds_count{route="/api/v1/tenants/{tenant}/secrets/{name}/value"} 2`,
		"fastness_store_up 1", "fastness_store_data_bytes ", "fastness_store_wal_bytes ", "fastness_store_group_commits_total ",
		"fastness_store_grouped_operations_total ", "fastness_audit_entries ", "fastness_tenants 1", "fastness_tenant_keys_in_memory ",
		`fastness_refusals_total{kind="credential"} 1`, `fastness_refusals_total{kind="secrets"} 1`, `fastness_refusals_total{kind="requestRate"} 0`,
		"process_resident_memory_bytes ", "go_goroutines ",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if strings.Contains(body, "planted") {
		t.Error("metrics hold a name or a value")
	}
}

// TestMetricsAreNotForEverybody: on the main listener they are this machine's.
func TestMetricsAreNotForEverybody(t *testing.T) {
	s, _ := start(t, server.Config{})
	for peer, want := range map[string]int{"127.0.0.1:1": 200, "[::1]:1": 200, "192.0.2.1:1": 404, "[2001:db8::1]:1": 404, "nonsense": 404} {
		request := httptest.NewRequest("GET", "/metrics", nil)
		request.RemoteAddr = peer
		recorder := httptest.NewRecorder()
		s.Handler().ServeHTTP(recorder, request)
		if recorder.Code != want {
			t.Errorf("peer %s: %d, want %d", peer, recorder.Code, want)
		}
	}
	// Behind a proxy on this machine not everybody is on it.
	behind, _ := start(t, server.Config{Proxies: identity.Proxies{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	for client, want := range map[string]int{"": 200, "192.0.2.1": 404, "127.0.0.1, 192.0.2.1": 404} {
		request := httptest.NewRequest("GET", "/metrics", nil)
		request.RemoteAddr = "127.0.0.1:1"
		request.Header.Set("X-Forwarded-For", client)
		recorder := httptest.NewRecorder()
		behind.Handler().ServeHTTP(recorder, request)
		if recorder.Code != want {
			t.Errorf("client %q: %d, want %d", client, recorder.Code, want)
		}
	}
	own, _ := start(t, server.Config{MetricsListen: "127.0.0.1:0"})
	if status, _ := fetch(t, http.DefaultClient, "GET", own.URL()+"/metrics", "", ""); status != 404 {
		t.Errorf("metrics on the main listener: %d", status)
	}
	base := "http://" + own.MetricsAddr().String()
	if status, body := fetch(t, http.DefaultClient, "GET", base+"/metrics", "", ""); status != 200 || !strings.Contains(body, "fastness_") {
		t.Errorf("metrics on their own listener: %d", status)
	}
	if status, _ := fetch(t, http.DefaultClient, "GET", base+"/api/v1/whoami", "", ""); status != 404 {
		t.Errorf("API on the metrics listener: %d", status)
	}
}

func TestHeaderLimit(t *testing.T) {
	s, _ := start(t, server.Config{})
	for size, want := range map[int]int{server.MaxHeader - 300: 200, server.MaxHeader + 300: 431} {
		request, err := http.NewRequest("GET", s.URL()+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Long", strings.Repeat("x", size))
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("header of %d bytes: %d, want %d", size, response.StatusCode, want)
		}
	}
}

// TestSlowRequests: whoever sends too slowly is told so or cut off.
func TestSlowRequests(t *testing.T) {
	s, token := start(t, server.Config{RequestTimeout: 200 * time.Millisecond})
	dial := func(text string) *bufio.Reader {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		return bufio.NewReader(conn)
	}
	slowBody := dial("POST /api/v1/tenants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\nContent-Length: 100\r\n\r\n{")
	response, err := http.ReadResponse(slowBody, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != 408 || !strings.Contains(string(body), `"code":"timeout"`) || !response.Close {
		t.Errorf("slow body: %d %v %s", response.StatusCode, response.Close, body)
	}
	slowHeader := dial("GET /healthz HTTP/1.1\r\nHo")
	if b, err := io.ReadAll(slowHeader); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 400 ") {
		t.Errorf("slow header: %v %q", err, b)
	}
}

// TestConnectionsAreBounded: above the bound, connections wait.
func TestConnectionsAreBounded(t *testing.T) {
	s, _ := start(t, server.Config{MaxConnections: 2})
	open := func() (net.Conn, *bufio.Reader) {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		return conn, bufio.NewReader(conn)
	}
	answered := func(conn net.Conn, r *bufio.Reader, patience time.Duration) bool {
		conn.SetReadDeadline(time.Now().Add(patience))
		response, err := http.ReadResponse(r, nil)
		if err != nil {
			return false
		}
		io.Copy(io.Discard, response.Body)
		return response.StatusCode == 200
	}
	first, r1 := open()
	second, r2 := open()
	if !answered(first, r1, 10*time.Second) || !answered(second, r2, 10*time.Second) {
		t.Fatal("the first two were not answered")
	}
	third, r3 := open()
	if answered(third, r3, 100*time.Millisecond) {
		t.Error("a third connection was served")
	}
	first.Close()
	if !answered(third, bufio.NewReader(third), 10*time.Second) {
		t.Error("the third connection was not served after the first had gone")
	}
}

func TestReadiness(t *testing.T) {
	var probes atomic.Int32
	var failure error
	h := server.NewReadiness(func(context.Context) error { probes.Add(1); return failure })
	status := func() int {
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, httptest.NewRequest("GET", "/readyz", nil))
		return recorder.Code
	}
	for range 10 {
		if got := status(); got != 200 {
			t.Errorf("ready: %d", got)
		}
	}
	if n := probes.Load(); n != 1 {
		t.Errorf("ten questions made %d probes", n)
	}
	failure = errors.New("disk full")
	h = server.NewReadiness(func(context.Context) error { return failure })
	if got := status(); got != 503 {
		t.Errorf("not ready: %d", got)
	}
}

// TestGracefulStop: a stream ends, requests in flight are answered, Run returns.
func TestGracefulStop(t *testing.T) {
	v, token := openVault(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	listening, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listening.Addr().String()
	listening.Close()
	done := make(chan error, 1)
	var out logs
	go func() {
		done <- server.Run(ctx, server.Config{Vault: v, Listen: address, Logger: slog.New(slog.NewTextHandler(&out, nil))})
	}()
	request, err := http.NewRequest("GET", "http://"+address+"/api/v1/audit/tail?after=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	var response *http.Response
	for range 200 {
		if response, err = http.DefaultClient.Do(request); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	cancel()
	if _, err := io.ReadAll(response.Body); err != nil {
		t.Errorf("the stream did not end well: %v", err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Run: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Run did not return")
	}
	if strings.Contains(out.String(), token) {
		t.Error("the token is in the log")
	}
}

// TestStopCutsOff: what does not end within the grace is cut off, and said so.
func TestStopCutsOff(t *testing.T) {
	v, _ := openVault(t)
	block := make(chan struct{})
	defer close(block)
	entered := make(chan struct{})
	s, err := server.Listen(server.Config{Vault: v, Listen: "127.0.0.1:0",
		Front: func(func(string, string) func(string, time.Duration)) http.Handler {
			return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(entered); <-block })
		}})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	go http.Post(s.URL()+"/", "application/json", strings.NewReader("{}"))
	<-entered
	grace, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(grace); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	recorder := httptest.NewRecorder()
	s.Handler().ServeHTTP(recorder, httptest.NewRequest("GET", "/readyz", nil))
	if recorder.Code != 503 || !strings.Contains(recorder.Body.String(), "stopping") {
		t.Errorf("readiness of a stopped server: %d %s", recorder.Code, recorder.Body)
	}
}
