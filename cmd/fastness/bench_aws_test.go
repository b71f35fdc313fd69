//go:build bench

package main_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"fastness"
)

// awsBench is a server with a filled tenant, and both ways into it.
type awsBench struct {
	*server
	host  string
	api   *api
	creds aws.Credentials
}

func startAWSBench(t *testing.T) *awsBench {
	t.Helper()
	dir := t.TempDir()
	v := openVault(t, dir)
	tenant, err := v.Operator(v.Local(fastness.Origin{})).CreateTenant(t.Context(), "shop", fastness.AES256GCM)
	if err != nil {
		t.Fatal(err)
	}
	defer tenant.Release()
	inParallel(t, benchSecrets, func(ctx context.Context, n int) error {
		return putOne(ctx, v.Session(v.Local(fastness.Origin{}), "shop"), secretName(n))
	})
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	b := &awsBench{server: startServer(t, dir)}
	b.host = strings.TrimPrefix(b.address, "http://")
	b.api = &api{base: b.address, token: string(tenant.Token.Bytes())}
	b.creds = aws.Credentials{AccessKeyID: tenant.AccessKeyID, SecretAccessKey: string(tenant.SecretAccessKey.Bytes())}
	return b
}

// signed writes a request of the AWS protocol as a loader sends it.
func (b *awsBench) signed(t *testing.T, operation, body string) []byte {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, b.address+"/", bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "secretsmanager."+operation)
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), b.creds, r, hex.EncodeToString(sum[:]), "secretsmanager", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestBenchAWS compares reads through the AWS protocol, signatures verified,
// with those through the native API; and a batch with a single read.
func TestBenchAWS(t *testing.T) {
	b := startAWSBench(t)
	natives := make([][]byte, benchSecrets)
	for n := range natives {
		natives[n] = b.api.request(http.MethodGet, valuePath("shop", string(secretName(n))), "")
	}
	awsReads := func() [][]byte {
		all := make([][]byte, benchSecrets)
		for n := range all {
			all[n] = b.signed(t, "GetSecretValue", fmt.Sprintf(`{"SecretId":%q}`, secretName(n)))
		}
		return all
	}
	batches := func() [][]byte {
		all := make([][]byte, benchSecrets/20)
		for n := range all {
			var ids []string
			for i := range 20 {
				ids = append(ids, fmt.Sprintf("%q", secretName(n*20+i)))
			}
			all[n] = b.signed(t, "BatchGetSecretValue", `{"SecretIdList":[`+strings.Join(ids, ",")+`]}`)
		}
		return all
	}
	load(t, job{Address: b.host, Connections: 64, Duration: benchDuration, Requests: natives})    // warm, and the day's
	load(t, job{Address: b.host, Connections: 64, Duration: benchDuration, Requests: awsReads()}) // first reads
	var ratios, ours, theirs, costs []float64
	disturbed := quietRounds(t, b.process, nil, func() func() {
		j := job{Address: b.host, Connections: 64, Warmup: benchWarmup, Duration: benchDuration}
		j.Requests = natives
		native := load(t, j)
		j.Requests = awsReads()
		single := load(t, j)
		j.Requests = batches()
		batch := load(t, j)
		return func() {
			theirs, ours = append(theirs, native.rate()), append(ours, single.rate())
			ratios, costs = append(ratios, single.rate()/native.rate()), append(costs, batch.rate()/single.rate())
		}
	})
	m, best := medianAndBest(theirs)
	figure(t, true, "GET value, 64 connections", fmt.Sprintf("%.0f (%.0f)/s", m, best), "")
	m, best = medianAndBest(ours)
	figure(t, true, "GetSecretValue, 64 connections", fmt.Sprintf("%.0f (%.0f)/s", m, best), "")
	m, best = medianAndBest(ratios)
	figure(t, m >= 0.75, "GetSecretValue: ratio", fmt.Sprintf("%.2f (%.2f)%s", m, best, disturbed), ">= 0.75")
	m, best = medianAndBest(costs)
	figure(t, 1/m <= 4, "BatchGetSecretValue of 20: cost in single reads", fmt.Sprintf("%.2f (%.2f)%s", 1/m, 1/best, disturbed), "<= 4")
}
