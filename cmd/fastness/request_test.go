package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
)

// api speaks to a server as a program that knows only its documents.
type api struct {
	base   string
	token  string
	agent  string       // the User-Agent; empty for Go's
	client *http.Client // nil for http.DefaultClient
}

// answer is what a request was answered.
type answer struct {
	status      int
	correlation string
	header      http.Header
	body        []byte
	cut         error // why the body is not whole; nil if it is
}

// send sends a request. Its error means that there was no answer.
func (a *api) send(method, path string, body any) (*answer, error) {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(b)
	}
	r, err := http.NewRequest(method, a.base+path, content)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	if a.agent != "" {
		r.Header.Set("User-Agent", a.agent)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	client := a.client
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	ans := &answer{status: response.StatusCode, header: response.Header, correlation: response.Header.Get("X-Correlation-Id")}
	ans.body, ans.cut = io.ReadAll(response.Body)
	return ans, nil
}

// do sends a request and expects a status.
func (a *api) do(t testing.TB, want int, method, path string, body any) *answer {
	t.Helper()
	ans, err := a.send(method, path, body)
	if err == nil {
		err = errors.Join(ans.expect(want), ans.cut)
	}
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return ans
}

func (ans *answer) expect(status int) error {
	if ans.status != status {
		return fmt.Errorf("status %d, want %d: %s", ans.status, status, ans.body)
	}
	return nil
}

// decode reads the body.
func (ans *answer) decode(v any) error {
	if ans.cut != nil {
		return ans.cut
	}
	return json.Unmarshal(ans.body, v)
}

// code is the stable name of the error that was answered.
func (ans *answer) code() string {
	var problem struct{ Code string }
	json.Unmarshal(ans.body, &problem)
	return problem.Code
}

// valuePath is where a secret's value is.
func valuePath(tenant, name string) string { return secretPath(tenant, name) + "/value" }

func secretPath(tenant, name string) string {
	return tenantPath(tenant) + "/secrets/" + url.PathEscape(name)
}

func tenantPath(tenant string) string { return "/api/v1/tenants/" + tenant }

// version is a version as the API tells of it, read or written.
type version struct {
	Name      string
	Value     string
	Version   string
	VersionID string
	Stages    []string
}
