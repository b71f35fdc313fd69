package main_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// sdk is AWS's SDK for Go with an access key. Its connections stay open.
func (s *subject) sdk(t testing.TB, secretAccessKey string) *secretsmanager.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: s.target.tls}
	t.Cleanup(transport.CloseIdleConnections)
	return secretsmanager.New(secretsmanager.Options{
		BaseEndpoint: aws.String(s.url), Region: "us-east-1", HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider(s.accessKeyID, secretAccessKey, ""), RetryMaxAttempts: 1,
	})
}

// byAWS stores and reads values through the front for AWS's clients: as text and
// binary, one by one and in a batch, made by the server, and refused.
func (s *subject) byAWS(t testing.TB, suite *suite, times int) {
	t.Helper()
	ctx, c, stranger := t.Context(), s.sdk(t, s.secretAccessKey), s.sdk(t, "not"+s.secretAccessKey[3:])
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for n := range times {
		text, binary := aws.String(fmt.Sprintf("aws/text/%d", n)), aws.String(fmt.Sprintf("aws/binary/%d", n))
		_, err := c.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: text, SecretString: aws.String(suite.value(*text))})
		must(err)
		_, err = c.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: binary, SecretBinary: []byte(suite.value(*binary))})
		must(err)
		_, err = c.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: text, SecretString: aws.String(suite.value(*text))})
		must(err)
		_, err = c.UpdateSecret(ctx, &secretsmanager.UpdateSecretInput{SecretId: binary, SecretString: aws.String(suite.long(*binary, 20_000))})
		must(err)
		for _, id := range []*string{text, binary} {
			for _, stage := range []string{"AWSCURRENT", "AWSPREVIOUS"} {
				_, err = c.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: id, VersionStage: &stage})
				must(err)
			}
		}
		_, err = c.BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{*text, *binary}})
		must(err)
		made, err := c.GetRandomPassword(ctx, &secretsmanager.GetRandomPasswordInput{})
		must(err)
		suite.learned(kindValue, "password made for AWS", []byte(*made.RandomPassword))

		taken := &secretsmanager.CreateSecretInput{Name: text, SecretString: aws.String(suite.value("refused"))}
		var exists *types.ResourceExistsException
		if _, err := c.CreateSecret(ctx, taken); !errors.As(err, &exists) {
			t.Fatalf("creating %s twice: %v", *text, err)
		}
		if _, err := stranger.CreateSecret(ctx, taken); err == nil {
			t.Fatal("a wrong signature is accepted")
		}
	}
	for _, day := range []time.Time{time.Now(), time.Now().Add(-time.Minute)} { // the load may pass midnight
		suite.learned("SigV4 signing key", day.UTC().Format("of 20060102"), signingKey(s.secretAccessKey, day))
	}
}

// signingKey derives the key with which an access key signs on a day.
func signingKey(secretAccessKey string, day time.Time) []byte {
	key := []byte("AWS4" + secretAccessKey)
	for _, part := range []string{day.UTC().Format("20060102"), "us-east-1", "secretsmanager", "aws4_request"} {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(part))
		key = m.Sum(nil)
	}
	return key
}
