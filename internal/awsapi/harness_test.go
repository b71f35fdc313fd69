package awsapi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"fastness/internal/awsapi"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store/sqlite"
	"fastness/internal/vault"
)

var ctx = context.Background()

// service is the front over a real vault in a temporary folder.
type service struct {
	t     *testing.T
	vault *vault.Vault
	http  *httptest.Server

	mu  sync.Mutex // guards the rest
	log bytes.Buffer
	now time.Time // zero: the real one
}

const testMaster = "a test's root key is at least sixty-four characters long, is it not?"

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{t: t}
	db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewJSONHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug}))
	master := secretbuf.Take([]byte(testMaster))
	defer master.Release()
	if s.vault, err = vault.Open(t.Context(), vault.Config{Store: db, Master: master, Logger: logger}); err != nil {
		t.Fatal(err)
	}
	s.http = httptest.NewServer(awsapi.New(awsapi.Config{Vault: s.vault, Logger: logger, LogRequests: true, Now: s.clock}))
	t.Cleanup(func() {
		s.http.Close()
		if err := s.vault.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Write takes the log.
func (s *service) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

func (s *service) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func (s *service) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now.IsZero() {
		return time.Now()
	}
	return s.now
}

func (s *service) setClock(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
}

// client is an SDK's, with what its requests are signed with.
type client struct {
	*secretsmanager.Client
	keyID, secret, account string
}

// tenant makes a tenant and its administrator's client.
func (s *service) tenant(name secret.TenantName) *client {
	s.t.Helper()
	made, err := s.vault.Operator(s.vault.Local(vault.Origin{})).CreateTenant(ctx, name, "")
	if err != nil {
		s.t.Fatal(err)
	}
	defer made.Release()
	return s.client(made.AccessKeyID, string(made.SecretAccessKey.Bytes()), string(made.Account))
}

func (s *service) client(keyID, secret, account string) *client {
	return &client{secretsmanager.New(secretsmanager.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(s.http.URL), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, ""),
	}), keyID, secret, account}
}

// session is an operator's handle to a tenant, beside the protocol.
func (s *service) session(tenant secret.TenantName) *vault.Session {
	return s.vault.Session(s.vault.Local(vault.Origin{}), tenant)
}

var _ = policy.Admin

// must returns v, or ends the test.
func must[T any](v T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

func errOf[T any](_ T, err error) error { return err }

// want expects an error of a type and, unless empty, with a message.
func want(tb testing.TB, err error, code, message string) {
	tb.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		tb.Errorf("error %v, want %s", err, code)
		return
	}
	if api.ErrorCode() != code || message != "" && api.ErrorMessage() != message {
		tb.Errorf("error %s: %s\nwant %s: %s", api.ErrorCode(), api.ErrorMessage(), code, message)
	}
}

// answer is what came back to a request made by hand.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request that was signed, or not, by hand.
func (s *service) do(r *http.Request) answer {
	s.t.Helper()
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}
