package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

const key = "0123456789abcdef"

// The rotator that the server has and this receiver rotate a credential.
func TestRotation(t *testing.T) {
	r := &receiver{key: []byte(key), target: &memory{}, now: time.Now, pending: func(v string) ([]byte, error) { return []byte("value of " + v), nil }}
	server := httptest.NewServer(r)
	defer server.Close()
	rotator, err := rotation.Parse("webhook", []byte(`{"url":"`+server.URL+`","signingKey":"k"}`), rotation.Network{PrivateWebhooks: true})
	if err != nil {
		t.Fatal(err)
	}
	signingKey := key
	job := &rotation.Job{SecretID: "arn", Token: secret.VersionID("v2"), Lookup: func(context.Context, string) (*secretbuf.Buffer, error) {
		return secretbuf.Take([]byte(signingKey)), nil
	}}
	ctx := context.Background()
	if err := rotator.Test(ctx, job, rotation.Pending); !errors.Is(err, rotation.ErrUnverified) {
		t.Errorf("before it is set: %v", err)
	}
	value, err := rotator.Make(ctx, job)
	if err != nil || value.Len() == 0 {
		t.Fatal(err)
	}
	job.Pending = value
	for range 2 {
		if err := errors.Join(rotator.Set(ctx, job), rotator.Test(ctx, job, rotation.Pending), rotator.(rotation.Finisher).Finish(ctx, job)); err != nil {
			t.Fatal(err)
		}
	}
	signingKey = "fedcba9876543210"
	if err := rotator.Set(ctx, job); !errors.Is(err, rotation.ErrRefused) {
		t.Errorf("signed with another key: %v", err)
	}
	r.now = func() time.Time { return time.Now().Add(6 * time.Minute) }
	signingKey = key
	if err := rotator.Set(ctx, job); !errors.Is(err, rotation.ErrRefused) {
		t.Errorf("six minutes old: %v", err)
	}
}

func TestUnsigned(t *testing.T) {
	r := &receiver{key: []byte(key), target: &memory{}, now: time.Now}
	for _, body := range []string{`{"Step":"setSecret","ClientRequestToken":"v"}`, strings.Repeat("x", maxBody+1)} {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
		if w.Code/100 != 4 {
			t.Errorf("%.20s: %d", body, w.Code)
		}
	}
}

// The pending version is read by its label, and must be the one that is meant.
func TestFetch(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.EscapedPath() != "/api/v1/tenants/acme/secrets/billing%2Fapi-key/value" || r.URL.RawQuery != "stage=pending" || r.Header.Get("Authorization") != "Bearer fst_x" {
			t.Errorf("%s %s", r.URL, r.Header.Get("Authorization"))
		}
		w.Write([]byte(`{"name":"billing/api-key","value":"v","version":"2","versionId":"token"}`))
	}))
	defer server.Close()
	read := fetch(server.URL, "acme", "fst_x", "billing/api-key")
	if value, err := read("token"); err != nil || string(value) != "v" {
		t.Errorf("%s, %v", value, err)
	}
	if _, err := read("other"); err == nil {
		t.Error("another version is taken")
	}
}
