package awsapi_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"fastness/internal/awsapi"
	"fastness/internal/identity"
)

// forwarding adds what a proxy adds.
type forwarding struct{ lines []string }

func (f forwarding) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header["X-Forwarded-For"] = f.lines
	return http.DefaultTransport.RoundTrip(r)
}

// TestPolicyBehindProxy: aws:SourceIp is the client that a trusted proxy tells.
func TestPolicyBehindProxy(t *testing.T) {
	s := newService(t)
	behind := httptest.NewServer(awsapi.New(awsapi.Config{
		Vault: s.vault, Logger: slog.New(slog.DiscardHandler),
		Proxies: identity.Proxies{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}))
	t.Cleanup(behind.Close)
	c := s.tenant("acme")
	c.create(t, "s", "1")
	id := aws.String("s")
	must(c.PutResourcePolicy(ctx, &sm.PutResourcePolicyInput{SecretId: id, ResourcePolicy: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny",
		"Principal":"*","Action":"secretsmanager:Get*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}}]}`)}))(t)
	for _, tc := range []struct {
		server *httptest.Server
		lines  []string
		denied bool
	}{
		{behind, []string{"192.0.2.7"}, false},
		{behind, []string{"192.0.2.7, 198.51.100.1"}, true},
		{behind, []string{"192.0.2.7", "198.51.100.1"}, true},
		{behind, nil, true},
		{s.http, []string{"192.0.2.7"}, true},
	} {
		client := sm.New(sm.Options{
			Region: "us-east-1", BaseEndpoint: aws.String(tc.server.URL), RetryMaxAttempts: 1, HTTPClient: &http.Client{Transport: forwarding{tc.lines}},
			Credentials: credentials.NewStaticCredentialsProvider(c.keyID, c.secret, ""),
		})
		err := errOf(client.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: id}))
		if tc.denied {
			want(t, err, "AccessDeniedException", "")
		} else if err != nil {
			t.Errorf("%q: %v", tc.lines, err)
		}
	}
}
