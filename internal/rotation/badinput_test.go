package rotation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fastness/fastnesstest"
	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/testservers"
	"fastness/internal/vault"
)

// Whatever is wrong with a rotation is told with its class, and the current
// version stays the current one.
func TestWorkerMeetsBadInput(t *testing.T) {
	expired := testservers.NewCertificate(t, time.Now().Add(-time.Hour))
	secured := testservers.StartPostgres(t, testservers.Options{TLS: expired})
	const login = `{"engine":"postgres","host":"127.0.0.1","port":%d,"username":"app","password":"hunter2"}`
	for _, c := range []struct {
		name, rotator, config, value string
		want                         rotation.Class
	}{
		{"unknown rotator", "oracle", `{}`, "x", rotation.Misconfigured},
		{"unknown field", "password", `{"lenght":20}`, "x", rotation.Misconfigured},
		{"not JSON", "postgres", `{}`, "hunter2", rotation.Misconfigured},
		{"of another engine", "mysql", `{}`, fmt.Sprintf(login, 1), rotation.Misconfigured},
		{"nobody there", "postgres", `{"tls":"disable"}`, fmt.Sprintf(login, 1), rotation.Unreachable},
		{"expired certificate", "postgres", `{"caCertificate":` + string(mustJSON(expired.PEM)) + `}`, string(secured.AdminSecret().Bytes()), rotation.Refused},
	} {
		t.Run(c.name, func(t *testing.T) { meetBadInput(t, c.rotator, c.config, c.value, c.want) })
	}
}

// The same for webhooks that are not as they should be.
func TestWorkerMeetsBadWebhooks(t *testing.T) {
	never := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/garbage":
			w.Write([]byte("<html>hunter2"))
		case "/gigabyte":
			for block := make([]byte, 1<<20); ; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		case "/never":
			<-never
		case "/metadata":
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusTemporaryRedirect)
		}
	}))
	defer server.Close()
	defer close(never)
	for path, want := range map[string]rotation.Class{
		"/garbage": rotation.Refused, "/gigabyte": rotation.Refused, "/never": rotation.Unreachable, "/metadata": rotation.Misconfigured,
	} {
		config := `{"url":"` + server.URL + path + `","signingKey":"hook/key","timeoutSeconds":1}`
		t.Run(path, func(t *testing.T) { meetBadInput(t, "webhook", config, "old", want) })
	}
}

// meetBadInput rotates what cannot be rotated.
func meetBadInput(t *testing.T, rotator, config, value string, want rotation.Class) {
	ctx := context.Background()
	h := newHouse(t)
	fastnesstest.Put(t, h.s, "db", value)
	fastnesstest.Put(t, h.s, "hook/key", signingKey)
	h.policy(t, "db", vault.RotationPolicy{Rotator: rotator, Config: json.RawMessage(config), Uses: []secret.Name{"hook/key"}})
	before, err := h.s.Describe(ctx, "db")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.s.AskRotation(ctx, "db"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // at first, and once more when it is tried again
		h.once(t)
		now, _ := h.records(t, "db")
		if now == nil || now.Class != want || now.Detail == "" || strings.Contains(now.Detail, "hunter2") {
			t.Fatalf("%+v, want class %s", now, want)
		}
		h.Clock.Advance(time.Hour)
	}
	after, err := h.s.Describe(ctx, "db")
	if err != nil {
		t.Fatal(err)
	}
	if after.Labels[secret.Current] != before.Labels[secret.Current] || after.Labels[secret.Previous] != 0 || h.value(t, "db", "") != value {
		t.Errorf("the labels were %v and are %v", before.Labels, after.Labels)
	}
	if log := string(h.Log.Bytes()); strings.Contains(log, "hunter2") || !strings.Contains(log, `"class":"`+string(want)+`"`) {
		t.Errorf("the log tells %s", log)
	}
}
