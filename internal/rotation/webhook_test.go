package rotation_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/testservers"
)

// hook makes a webhook rotator for a URL and a job for it.
func hook(t *testing.T, url string, n rotation.Network, more string) (rotation.Rotator, *rotation.Job) {
	t.Helper()
	r, err := rotation.Parse("webhook", []byte(`{"url":"`+url+`","signingKey":"hook/key"`+more+`}`), n)
	if err != nil {
		t.Fatal(err)
	}
	return r, &rotation.Job{
		SecretID: "arn:aws:secretsmanager:us-east-1:123456789012:secret:app-AbCdEf", Token: "token-0123456789abcdef0123456789", RotationToken: "rotation",
		Lookup: func(_ context.Context, name string) (*secretbuf.Buffer, error) {
			if name != "hook/key" {
				return nil, secret.ErrNotFound
			}
			return secretbuf.Take([]byte(signingKey)), nil
		},
	}
}

var local = rotation.Network{PrivateWebhooks: true}

// A request has AWS's event for its body and is signed as Standard Webhooks
// has it; a step that is repeated has the same id.
func TestWebhookRequest(t *testing.T) {
	var ids []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		const want = `{"Step":"setSecret","SecretId":"arn:aws:secretsmanager:us-east-1:123456789012:secret:app-AbCdEf",` +
			`"ClientRequestToken":"token-0123456789abcdef0123456789","RotationToken":"rotation"}`
		if string(body) != want || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %s", r.Method, r.Header.Get("Content-Type"), body)
		}
		id, at := r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp")
		m := hmac.New(sha256.New, []byte(signingKey))
		fmt.Fprintf(m, "%s.%s.%s", id, at, body)
		if r.Header.Get("Webhook-Signature") != "v1,"+base64.StdEncoding.EncodeToString(m.Sum(nil)) {
			t.Errorf("the signature is %s", r.Header.Get("Webhook-Signature"))
		}
		if seconds, err := strconv.ParseInt(at, 10, 64); err != nil || time.Since(time.Unix(seconds, 0)).Abs() > time.Minute {
			t.Errorf("the time is %s", at)
		}
		ids = append(ids, id)
	}))
	defer server.Close()
	r, job := hook(t, server.URL, local, "")
	for range 2 {
		if err := r.Set(context.Background(), job); err != nil {
			t.Fatal(err)
		}
	}
	if len(ids) != 2 || ids[0] != ids[1] || ids[0] != "setSecret-token-0123456789abcdef0123456789" {
		t.Errorf("ids %q", ids)
	}
}

// Whatever a receiver answers is of a class, in bounded time and memory, and
// nothing of it comes out.
func TestWebhookAnswers(t *testing.T) {
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); io.WriteString(w, body) }
	}
	never := make(chan struct{})
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   error
	}{
		"yes":         {status(200, `{"ok":true}`), nil},
		"empty":       {status(204, ``), nil},
		"bad request": {status(400, `hunter2`), rotation.ErrRefused},
		"not there":   {status(404, ``), rotation.ErrRefused},
		"busy":        {status(429, ``), rotation.ErrUnreachable},
		"broken":      {status(500, `hunter2`), rotation.ErrUnreachable},
		"garbage":     {status(200, `<html>hunter2`), rotation.ErrRefused},
		"an array":    {status(200, `[]`), rotation.ErrRefused},
		"a gigabyte": {func(w http.ResponseWriter, _ *http.Request) {
			for block := make([]byte, 1<<20); ; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}, rotation.ErrRefused},
		"big header": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 20<<10)) }, rotation.ErrUnreachable},
		"never":      {func(http.ResponseWriter, *http.Request) { <-never }, rotation.ErrUnreachable},
		"half": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "{")
		}, rotation.ErrUnreachable},
		"hang up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, rotation.ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.answer)
			defer server.Close()
			defer func() {
				if name == "never" {
					close(never)
				}
			}()
			r, job := hook(t, server.URL, local, `,"timeoutSeconds":1`)
			err := r.Set(context.Background(), job)
			if !errors.Is(err, c.want) || err != nil && strings.Contains(fmt.Sprint(err, errors.Unwrap(err)), "hunter2") {
				t.Errorf("%v (%v), want %v", err, errors.Unwrap(err), c.want)
			}
			if test := r.Test(context.Background(), job, rotation.Pending); errors.Is(c.want, rotation.ErrRefused) != errors.Is(test, rotation.ErrUnverified) {
				t.Errorf("tested: %v", test)
			}
		})
	}
}

// Redirects are followed where they keep what is asked, and only so many, and
// never to an address that the webhook itself could not be at.
func TestWebhookRedirects(t *testing.T) {
	var reached atomic.Int64
	goal := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err != nil || len(body) == 0 || r.Method != http.MethodPost {
			t.Errorf("%s with %d bytes, %v", r.Method, len(body), err)
		}
		reached.Add(1)
	}))
	defer goal.Close()
	var self *httptest.Server
	self = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/kept":
			http.Redirect(w, r, goal.URL, http.StatusTemporaryRedirect)
		case "/changed":
			http.Redirect(w, r, goal.URL, http.StatusSeeOther)
		case "/loop":
			http.Redirect(w, r, self.URL+"/loop", http.StatusPermanentRedirect)
		case "/metadata":
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusTemporaryRedirect)
		case "/named":
			http.Redirect(w, r, "http://user:x@"+strings.TrimPrefix(goal.URL, "http://"), http.StatusTemporaryRedirect)
		}
	}))
	defer self.Close()
	for path, want := range map[string]error{
		"/kept": nil, "/changed": rotation.ErrRefused, "/loop": rotation.ErrRefused, "/metadata": rotation.ErrMisconfigured, "/named": rotation.ErrRefused,
	} {
		r, job := hook(t, self.URL+path, local, "")
		if err := r.Set(context.Background(), job); !errors.Is(err, want) {
			t.Errorf("%s: %v (%v), want %v", path, err, errors.Unwrap(err), want)
		}
	}
	if reached.Load() != 1 {
		t.Errorf("the goal was reached %d times", reached.Load())
	}
}

// Without the operator's word a webhook is at a public address, by whichever
// name it is called; with it, still at none that gives machines credentials.
func TestWebhookAddresses(t *testing.T) {
	var reached atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer server.Close()
	port := netip.MustParseAddrPort(server.Listener.Addr().String()).Port()
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "127.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "198.18.0.1",
		"[fd00::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::127.0.0.1]", "169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "100.100.100.200", "168.63.129.16",
		"224.0.0.1", "255.255.255.255", "240.0.0.1",
	} {
		r, job := hook(t, fmt.Sprintf("https://%s:%d/", host, port), rotation.Network{}, "")
		if err := r.Set(context.Background(), job); !errors.Is(err, rotation.ErrMisconfigured) && !(host == "localhost" && errors.Is(err, rotation.ErrUnreachable)) {
			t.Errorf("%s: %v (%v)", host, err, errors.Unwrap(err))
		}
	}
	for _, host := range []string{"169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[fd00:ec2::254]", "0.0.0.0", "[::]", "224.0.0.1"} {
		r, job := hook(t, fmt.Sprintf("https://%s:%d/", host, port), local, "")
		if err := r.Set(context.Background(), job); !errors.Is(err, rotation.ErrMisconfigured) {
			t.Errorf("%s, with private addresses allowed: %v (%v)", host, err, errors.Unwrap(err))
		}
	}
	// Without TLS not even to the public.
	for _, host := range []string{"8.8.8.8", "[2001:4860:4860::8888]", "169.254.169.254", "[fd00:ec2::254]", "0.0.0.0"} {
		r, job := hook(t, fmt.Sprintf("http://%s:%d/", host, port), local, "")
		if err := r.Set(context.Background(), job); !errors.Is(err, rotation.ErrMisconfigured) {
			t.Errorf("%s, without TLS: %v (%v)", host, err, errors.Unwrap(err))
		}
	}
	if reached.Load() > 0 {
		t.Error("the server was reached")
	}
}

// TLS is checked: the receiver's certificate must be valid and known.
func TestWebhookCertificates(t *testing.T) {
	for name, c := range map[string]struct {
		until time.Time
		known bool
		want  error
	}{
		"known":   {time.Now().Add(time.Hour), true, nil},
		"unknown": {time.Now().Add(time.Hour), false, rotation.ErrRefused},
		"expired": {time.Now().Add(-time.Hour), true, rotation.ErrRefused},
	} {
		certificate := testservers.NewCertificate(t, c.until)
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		server.TLS = certificate.Config(t)
		server.StartTLS()
		more := ""
		if c.known {
			more = `,"caCertificate":` + string(mustJSON(certificate.PEM))
		}
		r, job := hook(t, server.URL, local, more)
		if err := r.Set(context.Background(), job); !errors.Is(err, c.want) {
			t.Errorf("%s: %v (%v), want %v", name, err, errors.Unwrap(err), c.want)
		}
		server.Close()
	}
}

// Without its key nothing is sent.
func TestWebhookKeys(t *testing.T) {
	var reached atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer server.Close()
	r, job := hook(t, server.URL, local, "")
	for want, lookup := range map[rotation.Class]func(context.Context, string) (*secretbuf.Buffer, error){
		rotation.Misconfigured: func(context.Context, string) (*secretbuf.Buffer, error) { return secretbuf.Take([]byte("short")), nil },
		rotation.Unreachable:   func(context.Context, string) (*secretbuf.Buffer, error) { return nil, secret.ErrUnavailable },
	} {
		job.Lookup = lookup
		if err := r.Set(context.Background(), job); err == nil || rotation.ClassOf(err) != want {
			t.Errorf("%v, want class %s", err, want)
		}
	}
	if reached.Load() > 0 {
		t.Error("something was sent")
	}
}
