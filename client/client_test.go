package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fastness/client"
	"fastness/internal/secret"
	"fastness/internal/wire"
)

const token = "fst_testtokentesttokentesttokentesttokentest0000000000"

// dial returns a client of the server that does not really pause, and the
// pauses it would have made.
func dial(t *testing.T, s *httptest.Server, change func(*client.Config)) (*client.Client, *[]time.Duration) {
	t.Helper()
	config := client.Config{Address: s.URL, Token: client.NewValue([]byte(token)), Tenant: "shop"}
	if change != nil {
		change(&config)
	}
	c, err := client.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	var pauses []time.Duration
	c.SetSleep(func(_ context.Context, d time.Duration) error { pauses = append(pauses, d); return nil })
	return c, &pauses
}

// serve answers with f.
func serve(t *testing.T, f http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s
}

func refuse(w http.ResponseWriter, e *secret.Error) {
	w.Header().Set("Content-Type", wire.ProblemType)
	p := wire.ProblemOf(e, "the-id")
	w.WriteHeader(p.Status)
	fmt.Fprintf(w, `{"type":%q,"title":%q,"status":%d,"detail":%q,"code":%q,"field":%q,"correlationId":%q}`,
		p.Type, p.Title, p.Status, p.Detail, p.Code, p.Field, p.CorrelationID)
}

const written = `{"name":"a/b","version":"3","versionId":"11111111-1111-4111-8111-111111111111","stages":["AWSCURRENT"],` +
	`"created":"2026-01-02T03:04:05Z","nextRotation":"2026-04-02T03:04:05Z"}`

func TestRequestOnTheWire(t *testing.T) {
	var got []string
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Method+" "+r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Content-Type"),
			r.Header.Get("Idempotency-Key"), string(body))
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, written)
	})
	c, _ := dial(t, s, nil)
	w, err := c.Session("").Put(t.Context(), "a/b", client.Put{
		Value: client.NewValue([]byte("line\n\"quoted\" ‑ <&>")), Token: "0123456789abcdef0123456789abcdef",
		Patch: client.Patch{Tags: map[string]string{"k": "v"}}, Labels: []client.Label{client.Pending},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"PUT /api/v1/tenants/shop/secrets/a%2Fb/value", "Bearer " + token, "application/json", "",
		`{"value":"line\n\"quoted\" ‑ <&>","requestToken":"0123456789abcdef0123456789abcdef","stages":["AWSPENDING"],"tags":{"k":"v"}}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if w.Name != "a/b" || w.Version != 3 || !w.Created || len(w.Labels) != 1 || w.Labels[0] != client.Current {
		t.Errorf("written: %+v", w)
	}
}

func TestBinaryValuesComeBack(t *testing.T) {
	value := []byte{0, 1, 2, 0xff, '"'}
	var kept []byte
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			kept, _ = io.ReadAll(r.Body)
			io.WriteString(w, written)
			return
		}
		fmt.Fprintf(w, `{"name":"a/b",%s,"version":"3","versionId":"v","stages":[]}`,
			kept[bytes.Index(kept, []byte(`"valueBase64"`)):bytes.Index(kept, []byte(`,"requestToken"`))])
	})
	c, _ := dial(t, s, nil)
	p := client.Put{Value: client.NewValue(bytes.Clone(value)), Kind: client.Binary}
	if _, err := c.Session("").Put(t.Context(), "a/b", p); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.Value.Bytes(), value) {
		t.Error("the caller's value was changed")
	}
	r, err := c.Session("").Get(t.Context(), "a/b", client.Selector{Number: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Value.Release()
	if !bytes.Equal(r.Value.Bytes(), value) || r.Kind != client.Binary || r.Version != 3 {
		t.Errorf("got %x of kind %v", r.Value.Bytes(), r.Kind)
	}
}

// TestErrorsGoRound sends each sentinel through the server's encoding and back.
func TestErrorsGoRound(t *testing.T) {
	for _, sentinel := range []*secret.Error{
		client.ErrNotFound, client.ErrUnauthenticated, client.ErrAccessDenied, client.ErrMFARequired, client.ErrInvalid,
		client.ErrLimit, client.ErrExists, client.ErrConflict, client.ErrDeleted, client.ErrSuspended, client.ErrDecryption,
		client.ErrNoGenerator, client.ErrTooMany, client.ErrQuota, client.ErrUnavailable, client.ErrUnknownOutcome, client.ErrInternal,
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, &secret.Error{Code: sentinel.Code, Field: "tags", Detail: "said why"})
		})
		c, _ := dial(t, s, nil)
		_, err := c.Session("").Describe(t.Context(), "a")
		if !errors.Is(err, sentinel) {
			t.Errorf("%s came back as %v", sentinel.Code, err)
		}
		var e *client.Error
		if !errors.As(err, &e) {
			t.Fatalf("%s: %v is no *client.Error", sentinel.Code, err)
		}
		want := client.Error{Status: wire.Status(sentinel.Code), Code: sentinel.Code, Field: "tags", Detail: "said why", CorrelationID: "the-id"}
		if e.Status != want.Status || e.Code != want.Code || e.Field != want.Field || e.Detail != want.Detail || e.CorrelationID != want.CorrelationID {
			t.Errorf("%s: got %+v", sentinel.Code, e)
		}
		if e.Error() != "tags: said why" {
			t.Errorf("text %q", e.Error())
		}
	}
}

// TestErrorOfLimit: the figures of a limit and the wait arrive, in the client's
// error and in the one that sentinels match.
func TestErrorOfLimit(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", wire.ProblemType)
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(http.StatusTooManyRequests)
		io.WriteString(w, `{"status":429,"code":"too_many_requests","detail":"slower","limit":10,"use":12}`)
	})
	c, pauses := dial(t, s, nil)
	_, err := c.Session("").Describe(t.Context(), "a")
	var e *client.Error
	if !errors.As(err, &e) || !errors.Is(err, client.ErrTooMany) {
		t.Fatal(err)
	}
	cause := secret.Of(err)
	for _, got := range []struct {
		usage *client.Usage
		after time.Duration
	}{{e.Usage, e.RetryAfter}, {cause.Usage, cause.RetryAfter}} {
		if got.after != 3*time.Second || got.usage == nil || *got.usage != (client.Usage{Limit: 10, Used: 12}) {
			t.Errorf("got %+v", got)
		}
	}
	if len(*pauses) != 3 || (*pauses)[0] < 3*time.Second {
		t.Errorf("pauses %v", *pauses)
	}
}

func TestErrorsOfOthers(t *testing.T) {
	for status, want := range map[int]error{
		http.StatusBadGateway: client.ErrUnavailable, http.StatusUnauthorized: client.ErrUnauthenticated,
		http.StatusFound: client.ErrInternal, http.StatusTooManyRequests: client.ErrTooMany, http.StatusTeapot: client.ErrInvalid,
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			http.Error(w, "<html>a proxy's words", status)
		})
		c, _ := dial(t, s, nil)
		_, err := c.Session("").Describe(t.Context(), "a")
		if !errors.Is(err, want) || strings.Contains(err.Error(), "html") {
			t.Errorf("%d: %v, want %v", status, err, want)
		}
	}
}

func TestRetries(t *testing.T) {
	unavailable := func(failures int, after string) (*httptest.Server, *atomic.Int32, *sync.Map) {
		var calls atomic.Int32
		var bodies sync.Map
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			n := calls.Add(1)
			body, _ := io.ReadAll(r.Body)
			bodies.Store(n, string(body))
			if int(n) <= failures {
				if after != "" {
					w.Header().Set("Retry-After", after)
				}
				refuse(w, secret.ErrUnavailable)
				return
			}
			io.WriteString(w, written)
		}), &calls, &bodies
	}
	put := func(c *client.Client, p client.Put) error {
		p.Value = client.NewValue([]byte("v"))
		_, err := c.Session("").Put(t.Context(), "a/b", p)
		return err
	}

	t.Run("a write is repeated under one token", func(t *testing.T) {
		s, calls, bodies := unavailable(2, "")
		c, pauses := dial(t, s, nil)
		if err := put(c, client.Put{}); err != nil {
			t.Fatal(err)
		}
		first, _ := bodies.Load(int32(1))
		last, _ := bodies.Load(int32(3))
		if calls.Load() != 3 || first != last || !strings.Contains(first.(string), `"requestToken":"`) {
			t.Errorf("%d calls, bodies %v and %v", calls.Load(), first, last)
		}
		if len(*pauses) != 2 || (*pauses)[0] > 50*time.Millisecond || (*pauses)[1] > 100*time.Millisecond {
			t.Errorf("pauses %v", *pauses)
		}
	})
	t.Run("the server's wish counts", func(t *testing.T) {
		s, _, _ := unavailable(1, "7")
		c, pauses := dial(t, s, nil)
		if err := put(c, client.Put{}); err != nil || len(*pauses) != 1 || (*pauses)[0] < 7*time.Second {
			t.Errorf("%v, pauses %v", err, *pauses)
		}
	})
	t.Run("but not every wish", func(t *testing.T) {
		s, calls, _ := unavailable(1, "11")
		c, _ := dial(t, s, nil)
		var e *client.Error
		if err := put(c, client.Put{}); !errors.As(err, &e) || e.RetryAfter != 11*time.Second || calls.Load() != 1 {
			t.Errorf("%v after %d calls", err, calls.Load())
		}
	})
	t.Run("it gives up", func(t *testing.T) {
		s, calls, _ := unavailable(9, "")
		c, _ := dial(t, s, func(c *client.Config) { c.Retries = 2 })
		if err := put(c, client.Put{}); !errors.Is(err, client.ErrUnavailable) || calls.Load() != 3 {
			t.Errorf("%v after %d calls", err, calls.Load())
		}
	})
	t.Run("never, if so configured", func(t *testing.T) {
		s, calls, _ := unavailable(9, "")
		c, _ := dial(t, s, func(c *client.Config) { c.Retries = -1 })
		if err := put(c, client.Put{}); err == nil || calls.Load() != 1 {
			t.Errorf("%v after %d calls", err, calls.Load())
		}
	})
	t.Run("what acts twice is sent once", func(t *testing.T) {
		s, calls, _ := unavailable(9, "")
		c, _ := dial(t, s, nil)
		if err := put(c, client.Put{IfAbsent: true}); err == nil || calls.Load() != 1 {
			t.Errorf("%v after %d calls", err, calls.Load())
		}
	})
	t.Run("a broken connection", func(t *testing.T) {
		var calls atomic.Int32
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if calls.Add(1) < 3 {
				panic(http.ErrAbortHandler)
			}
			io.WriteString(w, written)
		})
		c, _ := dial(t, s, nil)
		if err := put(c, client.Put{}); err != nil {
			t.Errorf("%v after %d calls", err, calls.Load())
		}
	})
	t.Run("nobody listens", func(t *testing.T) {
		s := serve(t, nil)
		s.Close()
		c, pauses := dial(t, s, nil)
		err := put(c, client.Put{IfAbsent: true})
		if err == nil || len(*pauses) != 3 {
			t.Errorf("%v after pauses %v", err, *pauses)
		}
		if strings.Contains(err.Error(), "secrets") {
			t.Errorf("the error repeats the URL: %v", err)
		}
	})
	t.Run("not after the context", func(t *testing.T) {
		s, calls, _ := unavailable(9, "")
		c, _ := dial(t, s, nil)
		ctx, cancel := context.WithCancel(t.Context())
		c.SetSleep(func(context.Context, time.Duration) error { cancel(); return ctx.Err() })
		_, err := c.Session("").Describe(ctx, "a")
		if !errors.Is(err, client.ErrUnavailable) || calls.Load() != 1 {
			t.Errorf("%v after %d calls", err, calls.Load())
		}
	})
}

func TestAddresses(t *testing.T) {
	good := []string{"http://127.0.0.1:8420", "http://localhost", "http://[::1]:1/", "https://vault.example/prefix/"}
	bad := []string{"vault.example:8420", "ftp://127.0.0.1", "http://10.0.0.1:8420", "http://vault.example",
		"https://user:password@vault.example", "https://vault.example/?q", "https://", "http://127.0.0.1.example"}
	for _, address := range good {
		c, err := client.New(client.Config{Address: address, Token: client.NewValue([]byte(token))})
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		c.Close()
	}
	for _, address := range bad {
		_, err := client.New(client.Config{Address: address, Token: client.NewValue([]byte(token))})
		if err == nil {
			t.Errorf("%s is accepted", address)
		} else if strings.Contains(err.Error(), "password") {
			t.Errorf("%s: the error shows it: %v", address, err)
		}
	}
}

func TestBadTokens(t *testing.T) {
	for _, bad := range []string{"", "two words", "line\nbreak", "ümlaut"} {
		_, err := client.New(client.Config{Token: client.NewValue([]byte(bad))})
		if !errors.Is(err, client.ErrUnauthenticated) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := client.New(client.Config{}); !errors.Is(err, client.ErrUnauthenticated) {
		t.Errorf("no token: %v", err)
	}
}

func TestTokenStaysHidden(t *testing.T) {
	mine := client.NewValue([]byte(token))
	c, err := client.New(client.Config{Token: mine})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if mine.Len() != len(token) {
		t.Error("the caller's token was taken")
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(verb, c); strings.Contains(text, token[4:12]) {
			t.Errorf("%s prints the token", verb)
		}
	}
}

func TestTenantOfTheToken(t *testing.T) {
	var calls atomic.Int32
	identity := `{"principal":"ci","tenant":"shop","operator":false,"region":"us-east-1"}`
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/whoami") {
			calls.Add(1)
			io.WriteString(w, identity)
			return
		}
		if !strings.HasPrefix(r.URL.Path, "/api/v1/tenants/shop/") {
			t.Errorf("asked for %s", r.URL.Path)
		}
		io.WriteString(w, `{"items":[],"nextCursor":""}`)
	})
	c, _ := dial(t, s, func(c *client.Config) { c.Tenant = "" })
	for range 2 {
		if _, err := c.Session("").List(t.Context(), client.ListQuery{}); err != nil {
			t.Fatal(err)
		}
	}
	if calls.Load() != 1 {
		t.Errorf("asked %d times who it is", calls.Load())
	}
	identity = `{"principal":"op","tenant":"","operator":true,"region":"us-east-1"}`
	c, _ = dial(t, s, func(c *client.Config) { c.Tenant = "" })
	if _, err := c.Session("").List(t.Context(), client.ListQuery{}); !errors.Is(err, client.ErrNoTenant) {
		t.Errorf("an operator without a tenant: %v", err)
	}
}

func TestEveryPageIsRead(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("prefix") != "db/" || q.Get("tagKey") != "team" || q.Get("tagValue") != "a b" || q.Get("due") != "true" {
			t.Errorf("query %v", q)
		}
		item := `{"name":"db/%s","rotationInterval":"90d","algorithm":"aes-256-gcm","stages":{},"new field":[1]}`
		switch q.Get("cursor") {
		case "":
			fmt.Fprintf(w, `{"items":[`+item+`,`+item+`],"nextCursor":"two"}`, "a", "b")
		case "two":
			fmt.Fprintf(w, `{"items":[`+item+`],"nextCursor":""}`, "c")
		}
	})
	c, _ := dial(t, s, nil)
	var names []string
	for info, err := range c.Session("").All(t.Context(), client.ListQuery{Prefix: "db/", TagKey: "team", TagValue: "a b", Due: true}) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, string(info.Name))
	}
	if diff := cmp.Diff([]string{"db/a", "db/b", "db/c"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestNamesThatNoPathCarries(t *testing.T) {
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked for %s", r.RequestURI) })
	c, _ := dial(t, s, nil)
	for _, name := range []client.Name{"", ".", "..", "a b", "ä"} {
		if _, err := c.Session("").Describe(t.Context(), name); !errors.Is(err, client.ErrInvalid) && !errors.Is(err, client.ErrLimit) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestEarlyAnswer has the server answer before it has read a long body, which
// net/http then goes on sending while the call is over and the body is wiped.
func TestEarlyAnswer(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { refuse(w, secret.ErrAccessDenied) })
	c, _ := dial(t, s, nil)
	for range 20 {
		value := client.NewValue(bytes.Repeat([]byte{1}, secret.MaxValue))
		_, err := c.Session("").Put(t.Context(), "a", client.Put{Value: value, Kind: client.Binary})
		value.Release()
		if !errors.Is(err, client.ErrAccessDenied) && !errors.As(err, new(*net.OpError)) {
			t.Fatal(err)
		}
	}
}

func TestRepliesAreLent(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"name":"a","value":"x","version":"1","versionId":"v","stages":[]}`)
	})
	var seen string
	c, _ := dial(t, s, func(c *client.Config) { c.OnReply = func(b []byte) { seen = string(b) } })
	r, err := c.Session("").Get(t.Context(), "a", client.Selector{})
	if err != nil {
		t.Fatal(err)
	}
	r.Value.Release()
	if !strings.HasPrefix(seen, `{"name":"a","value":"x"`) {
		t.Errorf("lent %q", seen)
	}
}

func TestNonsenseReplies(t *testing.T) {
	for _, body := range []string{"", "[]", "{}", `{"name":"a","value":"x"}`, `{"name":"a","version":"0","value":"x","versionId":"v","stages":[]}`,
		`{"name":"a","value":1}`, "\xff"} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) })
		c, _ := dial(t, s, nil)
		if r, err := c.Session("").Get(t.Context(), "a", client.Selector{}); err == nil {
			t.Errorf("%q is read as %+v", body, r)
		}
	}
}
