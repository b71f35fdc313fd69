package rotation_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// receiver changes one password when AWS's events say so, as a program of a
// tenant would. It reads the pending value from the store that is told to it,
// or from the manager itself.
type receiver struct {
	mu     sync.Mutex // guards the rest
	stored map[secret.VersionID]string
	valid  string
	makes  func(secret.VersionID, []byte) // stores the pending value itself; nil: it does not
	asks   func(secret.VersionID) []byte  // the manager for a value, which is nil if there is none; nil: it is told
	steps  map[string]int                 // requests by Webhook-Id
}

const signingKey = "0123456789abcdef0123456789abcdef"

func webhookReceiver(value string) func(testing.TB, *proxy) *specimen {
	return func(t testing.TB, p *proxy) *specimen {
		r := &receiver{stored: map[secret.VersionID]string{}, valid: "old", steps: map[string]int{}}
		server := httptest.NewServer(r)
		t.Cleanup(server.Close)
		address := strings.TrimPrefix(server.URL, "http://")
		if p != nil {
			p.to(address)
			address = p.listener.Addr().String()
		}
		s := &specimen{
			kind: "webhook", network: rotation.Network{PrivateWebhooks: true},
			config: `{"url":"http://` + address + `/rotate","signingKey":"hook/key","value":"` + value + `"}`,
			value:  []byte("old"),
			others: map[string]*secretbuf.Buffer{"hook/key": secretbuf.Take([]byte(signingKey))},
			logsIn: func(value []byte) bool { r.mu.Lock(); defer r.mu.Unlock(); return string(value) == r.valid },
		}
		s.told = func(token secret.VersionID, value []byte) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.stored[token] = string(value)
		}
		s.asks = func(manager func(secret.VersionID) []byte) { r.asks = manager }
		if value == "receiver" {
			s.store = func(put func(secret.VersionID, []byte)) { r.makes = put }
		}
		return s
	}
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	var e struct {
		Step, SecretId     string
		ClientRequestToken secret.VersionID
	}
	if err := json.Unmarshal(body, &e); err != nil || e.SecretId == "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps[request.Header.Get("Webhook-Id")]++
	pending, known := r.version(e.ClientRequestToken)
	switch e.Step {
	case "createSecret":
		if r.makes != nil && !known {
			pending = "made for " + string(e.ClientRequestToken)
			r.stored[e.ClientRequestToken] = pending
			r.makes(e.ClientRequestToken, []byte(pending))
		}
	case "setSecret":
		if !known {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		r.valid = pending
	case "testSecret":
		if pending != r.valid {
			w.WriteHeader(http.StatusConflict)
		}
	}
	io.WriteString(w, "{}")
}

// version returns the value of a version.
func (r *receiver) version(token secret.VersionID) (value string, known bool) {
	if r.asks == nil {
		value, known = r.stored[token]
		return value, known
	}
	answer := r.asks(token)
	return string(answer), answer != nil
}
