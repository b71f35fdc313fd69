package api_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fastness/internal/api"
	"fastness/internal/secret"
	"fastness/internal/wire"
)

type valueReply struct {
	Name, Value, ValueBase64, Version, VersionID string
	Stages                                       []string
}

func TestValues(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	path := secretPath("acme", "db/main/password")

	first := must[wire.Written](s, 201, "PUT", path+"/value", admin,
		`{"value":"one \"quoted\" \u00fc\n","description":"the database","tags":{"team":"core"},"rotationInterval":"30d"}`)
	if first.Version != "1" || first.Name != "db/main/password" || first.NextRotation.IsZero() {
		t.Errorf("first write: %+v", first)
	}
	token := strings.Repeat("r", 32)
	second := must[wire.Written](s, 200, "PUT", path+"/value", admin, `{"valueBase64":"AAEC/w==","requestToken":"`+token+`"}`)
	if second.Version != "2" || second.VersionID != token {
		t.Errorf("second write: %+v", second)
	}
	again := must[wire.Written](s, 200, "PUT", path+"/value", admin, `{"valueBase64":"AAEC/w==","requestToken":"`+token+`"}`)
	if diff := cmp.Diff(second, again, cmpopts.EquateApproxTime(time.Millisecond)); diff != "" {
		t.Errorf("repeated write differs:\n%s", diff)
	}
	s.refused(409, secret.ErrConflict, "PUT", path+"/value", admin, `{"value":"other","requestToken":"`+token+`"}`)

	binary := base64.StdEncoding.EncodeToString([]byte{0, 1, 2, 255})
	current := valueReply{Name: "db/main/password", ValueBase64: binary, Version: "2", VersionID: token, Stages: []string{"AWSCURRENT"}}
	previous := valueReply{Name: "db/main/password", Value: "one \"quoted\" ü\n", Version: "1", VersionID: first.VersionID, Stages: []string{"AWSPREVIOUS"}}
	for query, want := range map[string]valueReply{
		"": current, "?version=2": current, "?version=1": previous, "?stage=previous": previous,
		"?stage=AWSCURRENT": current, "?stage=current": current,
		"?versionId=" + first.VersionID: previous, "?versionId=" + token: current,
	} {
		if diff := cmp.Diff(want, must[valueReply](s, 200, "GET", path+"/value"+query, admin, "")); diff != "" {
			t.Errorf("GET value%s:\n%s", query, diff)
		}
	}
	for _, query := range []string{"?version=3", "?stage=pending", "?versionId=" + strings.Repeat("x", 32)} {
		s.refused(404, secret.ErrNotFound, "GET", path+"/value"+query, admin, "")
	}
	for _, query := range []string{"?version=0", "?version=01", "?version=-1", "?version=", "?versionId=short", "?version=1&stage=current", "?what=1", "?version=1&version=2", "?version=%zz"} {
		s.refused(400, secret.Of(badQueryCode(query)), "GET", path+"/value"+query, admin, "")
	}
	a := s.do("GET", path+"/value", admin, "")
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func badQueryCode(query string) *secret.Error {
	if query == "?versionId=short" {
		return secret.ErrLimit
	}
	return secret.ErrInvalid
}

func TestSecretsMetadata(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	made := must[wire.Written](s, 201, "POST", "/tenants/acme/secrets", admin,
		`{"name":"app/api-key","value":"v","algorithm":"hybrid-quantum","tags":{"team":"a","env":"prod"},"accessPolicy":{"allowedServices":[]}}`)
	if made.Version != "1" {
		t.Errorf("created: %+v", made)
	}
	// The administrator is no service, so that its own policy shuts it out.
	s.refused(403, secret.ErrAccessDenied, "POST", "/tenants/acme/secrets", admin, `{"name":"app/api-key","value":"v"}`)
	for _, name := range []string{".", "..", "/", "", "a b", "ä", strings.Repeat("n", 256)} {
		body, _ := json.Marshal(map[string]string{"name": name, "value": "v"})
		if a := s.do("POST", "/tenants/acme/secrets", admin, string(body)); a.status != 400 {
			t.Errorf("name %q: %d %s", name, a.status, a.body)
		}
	}
	path := secretPath("acme", "app/api-key")
	s.refused(403, secret.ErrAccessDenied, "GET", path, admin, "")
	got := must[wire.Secret](s, 200, "PATCH", path, admin, `{"accessPolicy":{"allowedServices":[]}}`)
	want := wire.Secret{
		Name: "app/api-key", Tags: map[string]string{"team": "a", "env": "prod"}, RotationInterval: "90d",
		Algorithm: secret.HybridQuantum, AccessPolicy: secret.AccessPolicy{AllowedServices: []string{}},
		Version: "1", VersionID: made.VersionID, Stages: map[string]string{"AWSCURRENT": "1"}, Kind: "text",
	}
	times := cmpopts.IgnoreFields(wire.Secret{}, "LastRotated", "NextRotation", "Created", "Changed", "LastRead")
	if diff := cmp.Diff(want, got, times); diff != "" {
		t.Errorf("secret:\n%s", diff)
	}
	if got.NextRotation.Sub(got.LastRotated) != 90*24*time.Hour {
		t.Errorf("next rotation %v after last %v", got.NextRotation, got.LastRotated)
	}
	must[wire.Secret](s, 200, "PATCH", path, admin, `{"accessPolicy":null}`)
	s.refused(409, secret.ErrExists, "POST", "/tenants/acme/secrets", admin, `{"name":"app/api-key","value":"v"}`)
	want.AccessPolicy, want.Description, want.RotationRequired, want.Algorithm = secret.AccessPolicy{}, "new", true, secret.AES256GCM
	got = must[wire.Secret](s, 200, "PATCH", path, admin,
		`{"description":"new","rotationRequired":true,"algorithm":"aes-256-gcm"}`)
	if diff := cmp.Diff(want, got, times); diff != "" {
		t.Errorf("update:\n%s", diff)
	}
	rotated := must[wire.Written](s, 200, "POST", path+"/rotate", admin, "")
	if rotated.Version != "2" {
		t.Errorf("rotated: %+v", rotated)
	}
	if v := must[valueReply](s, 200, "GET", path+"/value", admin, ""); len(v.Value) != 64 {
		t.Errorf("generated key has %d characters", len(v.Value))
	}
	must[wire.Written](s, 200, "POST", path+"/rotate", admin, `{"value":"by hand"}`)
	s.put("acme", "plain", admin, "v")
	s.refused(422, secret.ErrNoGenerator, "POST", secretPath("acme", "plain")+"/rotate", admin, "{}")
	s.refused(404, secret.ErrNotFound, "POST", secretPath("acme", "no-password")+"/rotate", admin, "")

	versions := must[wire.VersionList](s, 200, "GET", path+"/versions?limit=2", admin, "")
	if len(versions.Items) != 2 || versions.NextCursor == "" {
		t.Fatalf("first page of versions: %+v", versions)
	}
	rest := must[wire.VersionList](s, 200, "GET", path+"/versions?limit=2&cursor="+url.QueryEscape(versions.NextCursor), admin, "")
	if len(rest.Items) != 1 || rest.NextCursor != "" {
		t.Errorf("second page of versions: %+v", rest)
	}
	s.refused(400, secret.ErrInvalid, "GET", path+"/versions?cursor=forged", admin, "")
}

func TestLabels(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	path := secretPath("acme", "x")
	s.put("acme", "x", admin, "1")
	s.put("acme", "x", admin, "2")
	stage := path + "/stages/blue%2Fgreen"
	got := must[wire.Secret](s, 200, "PUT", stage, admin, `{"version":"1","expectedVersion":""}`)
	if got.Stages["blue/green"] != "1" {
		t.Errorf("stages: %v", got.Stages)
	}
	s.refused(409, secret.ErrConflict, "PUT", stage, admin, `{"version":"2","expectedVersion":"2"}`)
	s.refused(404, secret.ErrNotFound, "PUT", stage, admin, `{"version":"7"}`)
	s.refused(400, secret.ErrInvalid, "PUT", stage, admin, `{"version":"none"}`)
	must[wire.Secret](s, 200, "PUT", stage, admin, `{"version":"2","expectedVersion":"1"}`)
	s.refused(409, secret.ErrConflict, "DELETE", stage+"?expectedVersion=1", admin, "")
	s.refused(400, secret.ErrInvalid, "DELETE", stage+"?expectedVersion=x", admin, "")
	if got := must[wire.Secret](s, 200, "DELETE", stage+"?expectedVersion=2", admin, ""); len(got.Stages) != 2 {
		t.Errorf("stages after removal: %v", got.Stages)
	}
	s.refused(400, secret.ErrInvalid, "DELETE", path+"/stages/current", admin, "")
	back := must[wire.Secret](s, 200, "PUT", path+"/stages/current", admin, `{"version":"1"}`)
	if back.Stages["AWSCURRENT"] != "1" || back.Stages["AWSPREVIOUS"] != "2" {
		t.Errorf("stages after moving current: %v", back.Stages)
	}
}

func TestDeletion(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	path := secretPath("acme", "x")
	s.put("acme", "x", admin, "1")
	for _, query := range []string{"?recoveryDays=6", "?recoveryDays=31"} {
		s.refused(400, secret.ErrLimit, "DELETE", path+query, admin, "")
	}
	for _, query := range []string{"?recoveryDays=seven", "?purge=yes", "?purge=true&recoveryDays=7"} {
		s.refused(400, secret.ErrInvalid, "DELETE", path+query, admin, "")
	}
	got := must[wire.Secret](s, 200, "DELETE", path+"?recoveryDays=7", admin, "")
	if days := time.Until(got.Deletion).Hours() / 24; days < 6.9 || days > 7 {
		t.Errorf("recovery window ends in %.2f days", days)
	}
	s.refused(409, secret.ErrDeleted, "GET", path+"/value", admin, "")
	s.refused(409, secret.ErrDeleted, "PUT", path+"/value", admin, `{"value":"2"}`)
	if deleted := must[wire.SecretList](s, 200, "GET", "/tenants/acme/secrets?deleted=true", admin, ""); len(deleted.Items) != 1 {
		t.Errorf("deleted secrets: %+v", deleted)
	}
	must[wire.Secret](s, 200, "POST", path+"/restore", admin, "")
	s.refused(409, secret.ErrConflict, "POST", path+"/restore", admin, "")
	if a := s.do("DELETE", path+"?purge=true", admin, ""); a.status != 204 || a.body != "" {
		t.Errorf("purge: %d %q", a.status, a.body)
	}
	s.refused(404, secret.ErrNotFound, "GET", path, admin, "")
}

func TestListing(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	for _, name := range []string{"a/1", "a/2", "a/3", "b/1"} {
		s.put("acme", name, admin, "v")
	}
	must[wire.Secret](s, 200, "PATCH", secretPath("acme", "a/2"), admin, `{"tags":{"team":"core","tier":"1"}}`)
	var got []string
	cursor := ""
	for {
		page := must[wire.SecretList](s, 200, "GET", "/tenants/acme/secrets?prefix=a/&limit=2&cursor="+url.QueryEscape(cursor), admin, "")
		for _, i := range page.Items {
			got = append(got, i.Name)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"a/1", "a/2", "a/3"}, got); diff != "" {
		t.Errorf("pages:\n%s", diff)
	}
	for query, want := range map[string]int{
		"": 4, "?tagKey=team": 1, "?tagKey=team&tagValue=core": 1, "?tagKey=team&tagValue=x": 0, "?due=true": 0, "?due=false": 4, "?prefix=b": 1,
	} {
		if got := must[wire.SecretList](s, 200, "GET", "/tenants/acme/secrets"+query, admin, ""); len(got.Items) != want {
			t.Errorf("list%s: %d, want %d", query, len(got.Items), want)
		}
	}
	if got := must[wire.SecretList](s, 200, "GET", "/tenants/acme/due", admin, ""); got.Items == nil || len(got.Items) != 0 {
		t.Errorf("due: %+v", got)
	}
	for _, query := range []string{"?limit=0", "?limit=501"} {
		s.refused(400, secret.ErrLimit, "GET", "/tenants/acme/secrets"+query, admin, "")
	}
	for _, query := range []string{"?limit=x", "?limit=%2B1", "?due=1", "?tagValue=x", "?cursor=x", "?prefix=%00", "?prefix=%ff", "?unknown", "?a;b"} {
		s.refused(400, secret.ErrInvalid, "GET", "/tenants/acme/secrets"+query, admin, "")
	}
}

func TestTenants(t *testing.T) {
	s := newService(t)
	made := must[map[string]string](s, 201, "POST", "/tenants", s.operator, `{"tenant":"acme","algorithm":"hybrid-quantum"}`)
	for _, field := range []string{"tenant", "token", "accessKeyId", "secretAccessKey", "accountId", "region"} {
		if made[field] == "" {
			t.Errorf("%s is missing in %v", field, made)
		}
	}
	admin := made["token"]
	s.refused(409, secret.ErrExists, "POST", "/tenants", s.operator, `{"tenant":"acme"}`)
	s.refused(403, secret.ErrAccessDenied, "POST", "/tenants", admin, `{"tenant":"other"}`)
	s.refused(403, secret.ErrAccessDenied, "GET", "/tenants", admin, "")
	s.refused(400, secret.ErrInvalid, "POST", "/tenants", s.operator, `{"tenant":"Acme"}`)
	s.refused(400, secret.ErrInvalid, "POST", "/tenants", s.operator, `{"tenant":"x","algorithm":"rot13"}`)

	info := must[wire.TenantInfo](s, 200, "GET", "/tenants/acme", admin, "")
	if info.Tenant != "acme" || info.AccountID != made["accountId"] || info.State != "active" || info.KeyNumber != 1 || info.Algorithm != secret.HybridQuantum {
		t.Errorf("tenant: %+v", info)
	}
	s.tenant("beta")
	list := must[wire.TenantList](s, 200, "GET", "/tenants?limit=1", s.operator, "")
	if len(list.Items) != 1 || list.NextCursor == "" {
		t.Errorf("tenants: %+v", list)
	}
	s.put("acme", "x", admin, "v")
	if k := must[api.KeyRotated](s, 200, "POST", "/tenants/acme/keys/rotate", admin, ""); k.Key != 2 || k.Rewrapped != 1 {
		t.Errorf("key rotation: %+v", k)
	}
	s.refused(403, secret.ErrAccessDenied, "POST", "/keys/root/rotate", admin, "")

	if i := must[wire.TenantInfo](s, 200, "POST", "/tenants/acme/suspend", s.operator, ""); i.State != "suspended" {
		t.Errorf("suspended: %+v", i)
	}
	s.refused(403, secret.ErrSuspended, "GET", secretPath("acme", "x")+"/value", admin, "")
	s.refused(403, secret.ErrAccessDenied, "POST", "/tenants/acme/resume", admin, "")
	must[wire.TenantInfo](s, 200, "POST", "/tenants/acme/resume", s.operator, "")
	must[valueReply](s, 200, "GET", secretPath("acme", "x")+"/value", admin, "")

	s.refused(400, secret.ErrInvalid, "DELETE", "/tenants/acme", s.operator, "")
	s.refused(400, secret.ErrInvalid, "DELETE", "/tenants/acme?confirm=beta", s.operator, "")
	s.refused(403, secret.ErrAccessDenied, "DELETE", "/tenants/acme?confirm=acme", admin, "")
	if a := s.do("DELETE", "/tenants/acme?confirm=acme", s.operator, ""); a.status != 204 {
		t.Errorf("erase: %d %s", a.status, a.body)
	}
	s.refused(401, secret.ErrUnauthenticated, "GET", "/tenants/acme", admin, "")
}

func TestTokens(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	type created struct {
		wire.TokenInfo
		Token string `json:"token"`
	}
	made := must[created](s, 201, "POST", "/tenants/acme/tokens", admin,
		`{"principal":"ci","grants":[{"role":"reader","patterns":["app/*"]}],"service":"web","environment":"prod","expiresIn":"12h"}`)
	if made.ID == "" || made.Token == "" || made.Kind != "token" || made.Expires.Before(time.Now()) || made.Created.IsZero() {
		t.Errorf("token: %+v", made.TokenInfo)
	}
	who := must[api.Identity](s, 200, "GET", "/whoami", made.Token, "")
	if diff := cmp.Diff(api.Identity{Principal: "ci", Tenant: "acme", Region: "us-east-1", Kind: "service", Expires: made.Expires}, who); diff != "" {
		t.Errorf("whoami:\n%s", diff)
	}
	if who := must[api.Identity](s, 200, "GET", "/whoami", s.operator, ""); !who.Operator || who.Tenant != "" {
		t.Errorf("operator: %+v", who)
	}
	list := must[wire.TokenList](s, 200, "GET", "/tenants/acme/tokens", admin, "")
	for _, i := range list.Items {
		if i.ID == made.ID {
			if diff := cmp.Diff(made.TokenInfo, i, cmpopts.EquateApproxTime(time.Minute), cmpopts.IgnoreFields(wire.TokenInfo{}, "LastUsed")); diff != "" {
				t.Errorf("listed token:\n%s", diff)
			}
		}
	}
	if len(list.Items) != 3 { // and the administrator's token and access key
		t.Errorf("tokens: %+v", list.Items)
	}
	if a := s.do("DELETE", "/tenants/acme/tokens/"+made.ID, admin, ""); a.status != 204 {
		t.Errorf("revoke: %d %s", a.status, a.body)
	}
	s.refused(401, secret.ErrUnauthenticated, "GET", "/whoami", made.Token, "")
	s.refused(404, secret.ErrNotFound, "DELETE", "/tenants/acme/tokens/tok_none", admin, "")
	s.refused(400, secret.ErrInvalid, "DELETE", "/tenants/acme/tokens/tok-none", admin, "")
	for _, body := range []string{
		`{"principal":"x","grants":[{"role":"king"}]}`, `{"principal":"x","grants":[]}`, `{"principal":"x"}`,
		`{"principal":"","grants":[{"role":"reader"}]}`, `{"principal":"x","grants":[{"role":"reader"}],"environment":"moon"}`,
		`{"principal":"x","grants":[{"role":"reader"}],"expiresIn":"soon"}`, `{"principal":"x","grants":[{"role":"reader","patterns":[]}]}`,
	} {
		if a := s.do("POST", "/tenants/acme/tokens", admin, body); a.status != 400 {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	for _, path := range []string{"/tokens", "/tokens/tok_x", "/audit", "/audit/tail", "/audit/checkpoint", "/audit/keys", "/audit/proof"} {
		method := "GET"
		if path == "/tokens/tok_x" {
			method = "DELETE"
		}
		s.refused(403, secret.ErrAccessDenied, method, path, admin, "")
	}
	operator := must[created](s, 201, "POST", "/tokens", s.operator, `{"principal":"second","grants":[]}`)
	must[wire.TokenList](s, 200, "GET", "/tokens", operator.Token, "")
	if a := s.do("DELETE", "/tokens/"+operator.ID, s.operator, ""); a.status != 204 {
		t.Errorf("revoke operator: %d %s", a.status, a.body)
	}
}

// TestStagesOfANewVersion: labels of its own instead of AWSCURRENT, or none.
func TestStagesOfANewVersion(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	path := secretPath("acme", "a") + "/value"
	for _, step := range []struct {
		status       int
		body, labels string
	}{
		{201, `{"value":"1","stages":["pending"]}`, "AWSCURRENT AWSPENDING"}, // AWSCURRENT is the first version's in any case
		{200, `{"value":"2","stages":["pending","blue"]}`, "AWSPENDING blue"},
		{200, `{"value":"3","stages":[]}`, ""},
		{200, `{"value":"4","stages":["current","blue"]}`, "AWSCURRENT blue"},
		{200, `{"value":"5"}`, "AWSCURRENT"},
	} {
		w := must[wire.Written](s, step.status, "PUT", path, admin, step.body)
		if got := strings.Join(slices.Sorted(slices.Values(w.Stages)), " "); got != step.labels {
			t.Errorf("%s: labels %q, want %q", step.body, got, step.labels)
		}
	}
	if p := s.refused(400, secret.ErrLimit, "PUT", path, admin, `{"value":"6","stages":[`+strings.Repeat(`"a",`, 20)+`"b"]}`); p.Field != "stages" {
		t.Errorf("too many: %+v", p)
	}
	s.refused(400, secret.ErrLimit, "PUT", path, admin, `{"value":"6","stages":[""]}`)
}
