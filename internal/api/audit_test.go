package api_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"fastness/internal/api"
	"fastness/internal/audit"
	"fastness/internal/secret"
)

func TestAudit(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	s.put("acme", "a", admin, "v")
	read := s.do("GET", secretPath("acme", "a")+"/value", admin, "")
	s.refused(404, secret.ErrNotFound, "GET", secretPath("acme", "none")+"/value", admin, "")

	list := must[struct{ Items []entry }](s, 200, "GET", "/tenants/acme/audit?action=read&order=asc", admin, "").Items
	if len(list) != 2 || list[0].SecretName != "a" || list[0].Result != "success" || list[0].Version != "1" ||
		list[0].CorrelationID != read.header.Get("X-Correlation-Id") || list[0].IPAddress != "127.0.0.1" ||
		!strings.HasPrefix(list[0].UserAgent, "Go-http-client") || list[1].Result != "not_found" {
		t.Errorf("reads: %+v", list)
	}
	for query, want := range map[string]int{
		"secret=none": 1, "principal=nobody": 0, "result=not_found": 1, "correlationId=" + list[0].CorrelationID: 1,
		"action=read&to=2000-01-01T00:00:00Z": 0, "action=read&from=2000-01-01T00:00:00%2B02:00": 2, "action=read&limit=1": 1,
	} {
		if got := must[struct{ Items []entry }](s, 200, "GET", "/tenants/acme/audit?"+query, admin, "").Items; len(got) != want {
			t.Errorf("%s: %d entries, want %d", query, len(got), want)
		}
	}
	for _, query := range []string{"from=yesterday", "to=1", "order=up", "limit=x", "secret=a&secret=b", "cursor=x"} {
		s.refused(400, secret.ErrInvalid, "GET", "/tenants/acme/audit?"+query, admin, "")
	}
	s.refused(400, secret.ErrLimit, "GET", "/tenants/acme/audit?principal="+strings.Repeat("p", 600), admin, "")

	keys, err := audit.ParseKeySet([]byte(s.do("GET", "/tenants/acme/audit/keys", admin, "").body))
	if err != nil {
		t.Fatal(err)
	}
	note := s.do("POST", "/tenants/acme/audit/checkpoint", admin, "")
	checkpoint, err := audit.OpenCheckpoint([]byte(note.body), keys)
	if err != nil || checkpoint.Size == 0 {
		t.Fatalf("checkpoint: %v %+v", err, checkpoint)
	}
	if latest := s.do("GET", "/tenants/acme/audit/checkpoint", admin, ""); latest.body != note.body {
		t.Errorf("latest checkpoint is another one:\n%s\n%s", latest.body, note.body)
	}
	s.checkProofs(admin, keys, list[0])
	s.checkExport(admin, keys, note.body)

	redact := must[api.Redacted](s, 200, "POST", "/tenants/acme/audit/redact", admin, `{"secret":"none"}`)
	if redact.Redacted != 1 {
		t.Errorf("redacted: %+v", redact)
	}
	s.refused(400, secret.ErrInvalid, "POST", "/tenants/acme/audit/redact", admin, `{}`)
	s.refused(400, secret.ErrInvalid, "POST", "/tenants/acme/audit/redact", admin, `{"secret":"not a name"}`)
	s.refused(403, secret.ErrAccessDenied, "POST", "/audit/keys/rotate", admin, "")
	if a := s.do("POST", "/audit/keys/rotate", s.operator, ""); a.status != 200 || !strings.Contains(a.body, keys.Origin) {
		t.Errorf("keys after rotation: %d %s", a.status, a.body)
	}
}

func (s *service) checkProofs(admin string, keys audit.KeySet, e entry) {
	s.t.Helper()
	index := "index=" + itoa(e.Index)
	inclusion, err := audit.ParseInclusion([]byte(s.do("GET", "/tenants/acme/audit/proof?"+index, admin, "").body))
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := inclusion.Verify(keys); err != nil {
		s.t.Error(err)
	}
	consistency, err := audit.ParseConsistency([]byte(s.do("GET", "/tenants/acme/audit/proof?from=1", admin, "").body))
	if err != nil {
		s.t.Fatal(err)
	}
	if consistency.From != 1 {
		s.t.Errorf("consistency: %+v", consistency)
	}
	for _, query := range []string{"", "?index=1&from=1", "?index=1&to=2", "?from=1&size=2", "?index=-1", "?size=3", "?index=x", "?from=0"} {
		s.refused(400, secret.ErrInvalid, "GET", "/tenants/acme/audit/proof"+query, admin, "")
	}
	s.refused(404, secret.ErrNotFound, "GET", "/tenants/acme/audit/proof?index=1000000", admin, "")
}

func (s *service) checkExport(admin string, keys audit.KeySet, since string) {
	s.t.Helper()
	body, err := json.Marshal(api.ExportRequest{Nonce: "n-1", Since: since})
	if err != nil {
		s.t.Fatal(err)
	}
	bundle := s.do("POST", "/tenants/acme/audit/export", admin, string(body))
	if bundle.status != 200 || bundle.header.Get("Content-Length") != "" {
		s.t.Fatalf("export: %d %v", bundle.status, bundle.header)
	}
	if _, err := audit.Verify(strings.NewReader(bundle.body), keys, audit.Options{Since: []byte(since), Nonce: "n-1"}); err != nil {
		s.t.Errorf("the bundle does not verify: %v", err)
	}
	if a := s.do("POST", "/tenants/acme/audit/export", admin, ""); a.status != 200 {
		s.t.Errorf("export without a body: %d %s", a.status, a.body)
	}
	s.refused(400, secret.ErrInvalid, "POST", "/tenants/acme/audit/export", admin, `{"since":"not a checkpoint"}`)
	s.refused(400, secret.ErrLimit, "POST", "/tenants/acme/audit/export", admin, `{"nonce":"`+strings.Repeat("n", 129)+`"}`)
}

func itoa(n int64) string { b, _ := json.Marshal(n); return string(b) }

func TestTail(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	request, err := http.NewRequest("GET", s.http.URL+api.Prefix+"/tenants/acme/audit/tail", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+admin)
	response, err := s.http.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("Content-Type"); response.StatusCode != 200 || got != "application/jsonl" {
		t.Fatalf("tail: %d %s", response.StatusCode, got)
	}
	s.put("acme", "seen", admin, "v")
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		if e.TenantID != "acme" {
			t.Errorf("entry of another tenant: %s", lines.Text())
		}
		if e.Action == "create" && e.SecretName == "seen" {
			s.stop() // as the server does when it is about to stop
		}
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream did not end well: %v", err)
	}
	s.refused(400, secret.ErrInvalid, "GET", "/tenants/acme/audit/tail?after=-1", admin, "")
}

// TestReaderGoesAway: a stream whose client left is no error of ours.
func TestReaderGoesAway(t *testing.T) {
	s := newService(t)
	request, err := http.NewRequest("GET", s.http.URL+api.Prefix+"/audit/tail?after=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+s.operator)
	response, err := s.http.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	s.http.CloseClientConnections()
	for range 200 {
		if served := s.lastServed(); strings.HasPrefix(served, "GET /api/v1/audit/tail") {
			if strings.Contains(served, "internal") || strings.Contains(s.logged(), `"level":"ERROR"`) {
				t.Errorf("served %q", served)
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the handler did not end")
}
