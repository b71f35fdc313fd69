package awsapi_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"fastness/internal/awsapi"
	"fastness/internal/policy"
	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/teststore"
	"fastness/internal/vault"
)

var ctx = context.Background()

// service is the front over a real vault.
type service struct {
	t     testing.TB
	vault *vault.Vault
	store store.Store
	http  *httptest.Server
	dead  bool // the test has closed the store, so that the vault cannot end well

	mu   sync.Mutex // guards the rest
	log  bytes.Buffer
	now  time.Time // of signatures; zero: the real one
	last time.Time // that the vault was told
}

const testMaster = "a test's root key is at least sixty-four characters long, is it not?"

// testNetwork lets webhooks be servers of the test.
var testNetwork = rotation.Network{PrivateWebhooks: true}

func newService(t testing.TB, regions ...string) *service {
	t.Helper()
	s := &service{t: t}
	s.store = teststore.Open(t)
	logger := slog.New(slog.NewJSONHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug}))
	master := secretbuf.Take([]byte(testMaster))
	defer master.Release()
	var err error
	if s.vault, err = vault.Open(t.Context(), vault.Config{Store: s.store, Master: master, Logger: logger, Now: s.tick}); err != nil {
		t.Fatal(err)
	}
	s.http = httptest.NewServer(awsapi.New(awsapi.Config{Vault: s.vault, Logger: logger, LogRequests: true, Now: s.clock, Regions: regions, Network: testNetwork}))
	t.Cleanup(func() {
		s.http.Close()
		if err := s.vault.Close(); (err != nil) != s.dead {
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

// tick is the vault's clock: no two moments of it are the same, so that what is
// made one after the other is told apart.
func (s *service) tick() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next := s.last.Add(time.Millisecond); time.Now().Before(next) {
		s.last = next
	} else {
		s.last = time.Now()
	}
	return s.last
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
	return s.clientIn("us-east-1", keyID, secret, account)
}

// in is the same client in another region.
func (c *client) in(s *service, region string) *client {
	return s.clientIn(region, c.keyID, c.secret, c.account)
}

func (s *service) clientIn(region, keyID, secret, account string) *client {
	return &client{secretsmanager.New(secretsmanager.Options{
		Region: region, BaseEndpoint: aws.String(s.http.URL), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, ""),
	}), keyID, secret, account}
}

// bind narrows what a tenant's administrator may do.
func (s *service) bind(tenant secret.TenantName, grants ...policy.Grant) {
	s.t.Helper()
	err := s.store.Update(ctx, func(tx store.Tx) error {
		t, err := tx.Tenants().ByName(tenant)
		if err != nil {
			return err
		}
		p, err := tx.Principals().Principal(t.ID, "admin")
		if err != nil {
			return err
		}
		p.Grants = grants
		return tx.EditPrincipals().Update(p)
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

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

// signed makes a request for an operation, with the body as it is, signed by the
// SDK's own signer.
func (s *service) signed(c *client, operation, body string, change ...func(*http.Request)) *http.Request {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.http.URL+"/", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "secretsmanager."+operation)
	for _, f := range change {
		f(r)
	}
	s.sign(c, r, body, s.clock())
	return r
}

func (s *service) sign(c *client, r *http.Request, body string, at time.Time) {
	s.t.Helper()
	sum := sha256.Sum256([]byte(body))
	creds := aws.Credentials{AccessKeyID: c.keyID, SecretAccessKey: c.secret}
	if err := v4.NewSigner().SignHTTP(ctx, creds, r, hex.EncodeToString(sum[:]), "secretsmanager", "us-east-1", at); err != nil {
		s.t.Fatal(err)
	}
}
