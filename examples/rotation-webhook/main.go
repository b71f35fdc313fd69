// Command rotation-webhook receives the four steps of a rotation and changes a
// credential: here one in its own memory, which stands for an API of yours. It
// uses the standard library alone, so that it can be copied.
//
//	FASTNESS_ADDR=https://fastness.example.com FASTNESS_TOKEN=fst_… FASTNESS_TENANT=acme \
//	WEBHOOK_KEY=… rotation-webhook -listen 127.0.0.1:9000 -secret billing/api-key
//
// The token needs to read the secret, and nothing else. WEBHOOK_KEY is the value
// of the secret that the rotator's config names as signingKey.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// replayWindow is how old, or early, a request may be.
const replayWindow = 5 * time.Minute

const maxBody = 64 << 10

// event is what the body of a request holds.
type event struct {
	Step               string
	SecretID           string `json:"SecretId"`
	ClientRequestToken string
	RotationToken      string
}

// target is what has the credential. Set must do no harm when it is repeated.
type target interface {
	Set(credential []byte) error
	Test(credential []byte) error
}

// receiver checks requests and turns them into calls of the target.
type receiver struct {
	key     []byte
	target  target
	pending func(versionID string) ([]byte, error) // reads the version to be set
	now     func() time.Time
}

// ServeHTTP answers 200 when the step is done, 401 when the request is not
// from Fastness, 409 when the credential does not work, 503 to be asked again.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxBody))
	if err != nil {
		http.Error(w, "the body is too long", http.StatusRequestEntityTooLarge)
		return
	}
	if !r.signed(request.Header, body) {
		http.Error(w, "the signature is not valid", http.StatusUnauthorized)
		return
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil || e.ClientRequestToken == "" {
		http.Error(w, "not an event", http.StatusBadRequest)
		return
	}
	if err := r.do(e); err != nil {
		log.Printf("%s of %s: %v", e.Step, e.SecretID, err)
		status := http.StatusServiceUnavailable
		if errors.Is(err, errNotAccepted) {
			status = http.StatusConflict
		}
		http.Error(w, e.Step+" failed", status)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// signed reports whether a request was signed with the key, lately.
func (r *receiver) signed(h http.Header, body []byte) bool {
	id, timestamp := h.Get("Webhook-Id"), h.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || r.now().Sub(time.Unix(seconds, 0)).Abs() > replayWindow {
		return false
	}
	m := hmac.New(sha256.New, r.key)
	fmt.Fprintf(m, "%s.%s.%s", id, timestamp, body)
	want := m.Sum(nil)
	for signature := range strings.FieldsSeq(h.Get("Webhook-Signature")) {
		text, isV1 := strings.CutPrefix(signature, "v1,")
		got, err := base64.StdEncoding.DecodeString(text)
		if isV1 && err == nil && hmac.Equal(got, want) {
			return true
		}
	}
	return false
}

var (
	errNotAccepted = errors.New("the target does not accept the credential")
	errNoStep      = errors.New("there is no such step")
)

// do does one step. All of them may come again.
func (r *receiver) do(e event) error {
	switch e.Step {
	case "createSecret", "finishSecret":
		return nil // Fastness makes the value and moves the labels
	case "setSecret", "testSecret":
		credential, err := r.pending(e.ClientRequestToken)
		if err != nil {
			return err
		}
		if e.Step == "setSecret" {
			return r.target.Set(credential)
		}
		return r.target.Test(credential)
	}
	return errNoStep
}

// memory is a target for the sake of the example.
type memory struct {
	mu       sync.Mutex // guards accepted
	accepted []byte
}

func (m *memory) Set(credential []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accepted = bytes.Clone(credential)
	return nil
}

func (m *memory) Test(credential []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !hmac.Equal(m.accepted, credential) {
		return errNotAccepted
	}
	return nil
}

// fetch returns a function that reads the pending version of a secret.
func fetch(address, tenant, token, name string) func(string) ([]byte, error) {
	client := &http.Client{Timeout: 10 * time.Second}
	return func(versionID string) ([]byte, error) {
		where := fmt.Sprintf("%s/api/v1/tenants/%s/secrets/%s/value?stage=pending", address, url.PathEscape(tenant), url.PathEscape(name))
		request, err := http.NewRequest(http.MethodGet, where, nil)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := client.Do(request)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("reading the pending version: status %d", response.StatusCode)
		}
		var version struct{ VersionID, Value string }
		if err := json.NewDecoder(io.LimitReader(response.Body, 512<<10)).Decode(&version); err != nil {
			return nil, errors.New("reading the pending version: not the JSON that is expected")
		}
		if version.VersionID != versionID {
			return nil, errors.New("another version is pending by now")
		}
		return []byte(version.Value), nil
	}
}

func main() {
	listen := flag.String("listen", "127.0.0.1:9000", "address to listen on, behind TLS")
	name := flag.String("secret", "", "the secret that is rotated")
	flag.Parse()
	r := &receiver{
		key: []byte(os.Getenv("WEBHOOK_KEY")), target: &memory{}, now: time.Now,
		pending: fetch(os.Getenv("FASTNESS_ADDR"), os.Getenv("FASTNESS_TENANT"), os.Getenv("FASTNESS_TOKEN"), *name),
	}
	if len(r.key) < 16 || *name == "" {
		log.Fatal("WEBHOOK_KEY of at least 16 bytes and -secret are required")
	}
	server := &http.Server{Addr: *listen, Handler: r, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	log.Fatal(server.ListenAndServe())
}
