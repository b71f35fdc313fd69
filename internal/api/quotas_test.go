package api_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fastness/internal/secret"
	"fastness/internal/wire"
)

func TestQuotas(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	s.put("acme", "a", admin, "v")
	got := must[wire.QuotasReply](s, 200, "PUT", "/tenants/acme/quotas", s.operator, `{"secrets":1,"requestRate":1000}`)
	want := wire.QuotasReply{
		Tenant: "acme", Quotas: secret.Quotas{Secrets: 1, RequestRate: 1000},
		Effective: secret.Quotas{Secrets: 1, RequestRate: 1000, RequestBurst: 1000},
		Use:       secret.Use{Secrets: 1, Versions: 1, Bytes: 97, Principals: 1}, Revision: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, must[wire.QuotasReply](s, 200, "GET", "/tenants/acme/quotas", admin, "")); diff != "" {
		t.Error(diff)
	}
	a := s.do("PUT", secretPath("acme", "b")+"/value", admin, `{"value":"v"}`)
	p := a.problem(t)
	if a.status != 403 || p.Code != secret.ErrQuota.Code || p.Field != "secrets" || p.Limit == nil || *p.Limit != 1 || p.Use == nil || *p.Use != 1 ||
		a.header.Get("Retry-After") != "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	s.refused(404, secret.ErrNotFound, "GET", secretPath("acme", "b"), admin, "")
	s.refused(403, secret.ErrAccessDenied, "PUT", "/tenants/acme/quotas", admin, `{}`)
	s.refused(409, secret.ErrConflict, "PUT", "/tenants/acme/quotas", s.operator, `{"revision":0}`)
	for _, body := range []string{`{"secrets":-1}`, `{"requestRate":1000001}`, `{"secrets":9007199254740993}`} {
		s.refused(400, secret.ErrLimit, "PUT", "/tenants/acme/quotas", s.operator, body)
	}
	for _, body := range []string{`{"secrets":"1"}`, `{"secrets":1.5}`, `{"secrets":1,"secrets":2}`, `{"Secrets":1}`, `{"requestBurst":1}`, `[]`, `{"secrets":null}`} {
		s.refused(400, secret.ErrInvalid, "PUT", "/tenants/acme/quotas", s.operator, body)
	}
	must[wire.QuotasReply](s, 200, "PUT", "/tenants/acme/quotas", s.operator, `{"revision":1}`)
	s.put("acme", "b", admin, "v")
}

// TestRequestRateOverHTTP: what is too much is refused with the figures and
// when to come back, before anything else is looked at; other tenants and the
// operator go on.
func TestRequestRateOverHTTP(t *testing.T) {
	s := newService(t)
	admin, other := s.tenant("acme"), s.tenant("other")
	must[wire.QuotasReply](s, 200, "PUT", "/tenants/acme/quotas", s.operator, `{"requestRate":1,"requestBurst":5}`)
	var mu sync.Mutex
	var wg sync.WaitGroup
	statuses := map[int]int{}
	for i := range 40 {
		wg.Go(func() {
			request, err := http.NewRequest("GET", s.http.URL+"/api/v1/tenants/acme/secrets/%00?nonsense", nil)
			if err != nil {
				t.Error(err)
				return
			}
			request.Header.Set("Authorization", "Bearer "+admin)
			request.Header.Set("X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i))
			response, err := s.http.Client().Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			response.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			statuses[response.StatusCode]++
		})
	}
	wg.Wait()
	if n := statuses[400]; n < 5 || n > 8 || n+statuses[429] != 40 {
		t.Errorf("answers by status: %v", statuses)
	}
	var limited answer
	for range 20 { // however slow this machine is
		if limited = s.do("GET", "/whoami", admin, ""); limited.status == 429 {
			break
		}
	}
	p := limited.problem(t)
	if limited.status != 429 || p.Code != secret.ErrTooMany.Code || p.Field != "requestRate" || p.Limit == nil || *p.Limit != 1 ||
		p.Use == nil || *p.Use < 1 || limited.header.Get("Retry-After") != "1" {
		t.Errorf("%d %v: %s", limited.status, limited.header, limited.body)
	}
	for range 10 {
		must[any](s, 200, "GET", "/whoami", other, "")
		must[any](s, 200, "GET", "/tenants/acme/secrets", s.operator, "")
	}
}
