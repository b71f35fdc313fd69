package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"testing"
	"time"

	"fastness/internal/testservers"
)

// TestDatabaseOutage takes the database from a server: both fronts answer 503
// with Retry-After and readiness is red. With the database both come back.
func TestDatabaseOutage(t *testing.T) {
	database := testservers.StartPostgres(t, testservers.Options{})
	k := newLink(t, database.Address())
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(database.Admin, testservers.AdminPassword), Host: k.Addr().String(), Path: "postgres", RawQuery: "sslmode=disable",
	}
	d := &deployment{store: u.String()}
	var made struct{ Token string }
	if err := json.Unmarshal(runServerSide(t, "operator", "init", "--store", d.store, "--json").succeed(t), &made); err != nil {
		t.Fatal(err)
	}
	d.token = made.Token
	d.serve(t)
	d.on(t, "", "", "tenant", "create", "shop").succeed(t)
	d.on(t, "shop", "before", "put", "a").succeed(t)
	native := &api{base: d.server.address, token: d.token}
	value := "/api/v1/tenants/shop/secrets/a/value"

	k.set(linkCut)
	d.server.until(t, "readiness lost", func() bool { return !isReady(d.server.address) })
	for range 3 {
		for method, body := range map[string]any{http.MethodGet: nil, http.MethodPut: map[string]string{"value": "lost"}} {
			ans := native.do(t, http.StatusServiceUnavailable, method, value, body)
			if ans.header.Get("Retry-After") == "" || ans.code() != "unavailable" {
				t.Errorf("%s: Retry-After %q: %s", method, ans.header.Get("Retry-After"), ans.body)
			}
		}
		status, header, body := callAWS(t, d.server.address)
		if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || !bytes.Contains(body, []byte("InternalServiceError")) {
			t.Errorf("AWS front: %d, Retry-After %q: %s", status, header.Get("Retry-After"), body)
		}
	}
	if r, err := http.Get(d.server.address + "/healthz"); err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("liveness: %v, error %v", r, err)
	} else {
		r.Body.Close()
	}

	k.set(linkOpen)
	d.server.until(t, "readiness", func() bool { return isReady(d.server.address) })
	if got := d.on(t, "shop", "", "get", "a").succeed(t); string(got) != "before" {
		t.Errorf("after the outage the secret holds %q", got)
	}
	d.on(t, "shop", "after", "put", "a").succeed(t)
	r, err := http.Get(d.server.address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	metrics, err := io.ReadAll(r.Body)
	if err != nil || !regexp.MustCompile(`(?m)^fastness_store_retries_total \d+$`).Match(metrics) {
		t.Errorf("no count of retries in the metrics, error %v", err)
	}
}

// callAWS asks the AWS front with a signature of nobody, which it cannot know
// without the database.
func callAWS(t *testing.T, address string) (int, http.Header, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/", bytes.NewReader([]byte(`{"SecretId":"a"}`)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "secretsmanager.GetSecretValue")
	now := time.Now().UTC()
	date := now.Format("20060102")
	r.Header.Set("X-Amz-Date", now.Format("20060102T150405Z"))
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=FSKA2V6MZQK4H7YX5R3A/%s/us-east-1/secretsmanager/aws4_request, "+
		"SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=%064d", date, 0))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, body
}
