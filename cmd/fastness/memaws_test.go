package main_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
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

// wrongByAWS sends values through the front for AWS's clients in places where
// none belongs, or that break around one, and reads some that are not there.
func (c *canaries) wrongByAWS(s *subject) {
	c.t.Helper()
	creds := aws.Credentials{AccessKeyID: s.accessKeyID, SecretAccessKey: s.secretAccessKey}
	send := func(operation, body string) {
		c.t.Helper()
		r, err := http.NewRequest(http.MethodPost, s.url+"/", strings.NewReader(body))
		if err != nil {
			c.t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "secretsmanager."+operation)
		sum := sha256.Sum256([]byte(body))
		if err := v4.NewSigner().SignHTTP(c.t.Context(), creds, r, hex.EncodeToString(sum[:]), "secretsmanager", "us-east-1", time.Now()); err != nil {
			c.t.Fatal(err)
		}
		response, err := (&http.Client{Timeout: patience}).Do(r)
		if err != nil {
			c.t.Fatal(err)
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err != nil {
			c.t.Fatal(err)
		}
		c.saw("answer to "+operation, fmt.Appendf(nil, "%v %s", response.Header, answer))
	}
	const token = `"ClientRequestToken":"aaaaaaaa-0000-4000-8000-000000000001"`
	for _, operation := range []string{"CreateSecret", "PutSecretValue", "UpdateSecret", "GetSecretValue", "BatchGetSecretValue", "ListSecrets",
		"RotateSecret", "PutResourcePolicy", "TagResource", "UpdateSecretVersionStage", "Unknown"} {
		for i, form := range append([]string{
			`{"Name":"aws/misplaced",` + token + `,"SecretString":{"%s":1}}`, `{"Name":"aws/misplaced",` + token + `,"SecretString":["%s"]}`,
			`{"SecretId":"aws/misplaced",` + token + `,"SecretBinary":"%s"}`, `{"SecretId":"aws/none",` + token + `,"SecretString":"%s"}`,
			`{"SecretId":"aws/misplaced",` + token + `,"SecretString":"%[1]s","SecretBinary":"%[1]s"}`, `{"SecretId":["%s"]}`,
			`{"SecretId":"aws/misplaced","ResourcePolicy":{"%s":1}}`, `{"SecretId":"aws/misplaced","Tags":["%s"]}`, `{"NextToken":{"%s":1}}`,
		}, misplaced...) {
			send(operation, fmt.Sprintf(form, jsonEscaped([]byte(c.value(fmt.Sprintf("%s by AWS %d", operation, i))), false)))
		}
	}
}
