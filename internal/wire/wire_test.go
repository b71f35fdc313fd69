package wire_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fastness/internal/schedule"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/wire"
)

// encode returns what Append makes of v.
func encode(t testing.TB, v any) string {
	t.Helper()
	var b secretbuf.Builder
	defer b.Release()
	if err := wire.Append(&b, v); err != nil {
		t.Fatal(err)
	}
	if !json.Valid(b.Bytes()) {
		t.Fatalf("not valid JSON: %s", b.Bytes())
	}
	return string(b.Bytes())
}

var (
	noon    = time.Date(2026, 3, 4, 12, 0, 0, 500_000_000, time.UTC)
	morning = time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
)

// The JSON of each body, word for word: clients rely on it.
func TestAppend(t *testing.T) {
	for _, tc := range []struct {
		name string
		v    any
		want string
	}{
		{"written", wire.Written{Name: "n", Version: "2", VersionID: "id", Stages: []string{"AWSCURRENT"}, Created: noon, NextRotation: morning},
			`{"name":"n","version":"2","versionId":"id","stages":["AWSCURRENT"],"created":"2026-03-04T12:00:00.5Z","nextRotation":"2026-03-04T00:00:00Z"}`},
		{"new secret", wire.SecretOf(secret.Info{Name: "n", Metadata: secret.Metadata{Algorithm: secret.AES256GCM, RotationInterval: schedule.Default}, Created: noon, Changed: noon}),
			`{"name":"n","description":"","tags":{},"rotationRequired":false,"rotationInterval":"90d","algorithm":"aes-256-gcm","accessPolicy":{},"stages":{},"created":"2026-03-04T12:00:00.5Z","changed":"2026-03-04T12:00:00.5Z"}`},
		{"full secret", wire.SecretOf(fullInfo()),
			`{"name":"db/password","description":"a <b> & c","tags":{"team":"core"},"rotationRequired":true,"rotationInterval":"30d","lastRotated":"2026-03-04T12:00:00.5Z","nextRotation":"2026-03-04T12:00:00.5Z","algorithm":"hybrid-quantum","accessPolicy":{"allowedServices":[],"allowedEnvironments":["prod"],"requiresMFA":true},"version":"3","versionId":"id","stages":{"AWSCURRENT":"3","AWSPREVIOUS":"2"},"kind":"binary","created":"2026-03-04T12:00:00.5Z","changed":"2026-03-04T12:00:00.5Z","lastRead":"2026-03-04T00:00:00Z","deletion":"2026-03-04T12:00:00.5Z"}`},
		{"empty list", wire.ListOf(nil, wire.SecretOf, ""), `{"items":[],"nextCursor":""}`},
		{"versions", wire.ListOf([]secret.VersionInfo{{Version: 1, ID: "id", Algorithm: secret.AES256GCM, Created: noon}}, wire.VersionInfoOf, "c"),
			`{"items":[{"version":"1","versionId":"id","stages":[],"algorithm":"aes-256-gcm","kind":"text","created":"2026-03-04T12:00:00.5Z"}],"nextCursor":"c"}`},
		{"tenant", wire.TenantInfo{Tenant: "acme", AccountID: "000000000001", State: "active", Algorithm: secret.AES256GCM, KeyNumber: 2, Created: noon},
			`{"tenant":"acme","accountId":"000000000001","state":"active","algorithm":"aes-256-gcm","keyNumber":2,"created":"2026-03-04T12:00:00.5Z"}`},
		{"new tenant", wire.TenantCreated{Tenant: "acme", Token: body(t, `fst_"1`), AccessKeyID: "FSKA", SecretAccessKey: body(t, "s+/"), AccountID: "1", Region: "us-east-1"},
			`{"tenant":"acme","token":"fst_\"1","accessKeyId":"FSKA","secretAccessKey":"s+/","accountId":"1","region":"us-east-1"}`},
		{"new token", wire.TokenCreated{TokenInfo: wire.TokenInfo{ID: "tok_1", Kind: "token", Principal: "ci", Grants: []wire.Grant{{Role: "reader", Patterns: []string{"ci/*"}}, {Role: "auditor"}}, Created: noon}, Token: body(t, "fst_2")},
			`{"id":"tok_1","kind":"token","principal":"ci","grants":[{"role":"reader","patterns":["ci/*"]},{"role":"auditor"}],"created":"2026-03-04T12:00:00.5Z","token":"fst_2"}`},
		{"no change", wire.UpdateRequest{}, `{}`},
		{"clearing", wire.UpdateRequest{Changes: wire.ChangesOf(secret.Patch{Description: ptr(""), Tags: map[string]string{}, AccessPolicy: &secret.AccessPolicy{}})},
			`{"description":"","tags":{},"accessPolicy":{}}`},
		{"grant of an empty list", wire.Grant{Role: "reader", Patterns: []string{}}, `{"role":"reader","patterns":[]}`},
		{"pointer", &wire.RotateRequest{}, `{}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, encode(t, tc.v)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAppendFails(t *testing.T) {
	var b secretbuf.Builder
	defer b.Release()
	late := time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) // RFC 3339 has four digits
	if err := wire.Append(&b, wire.Written{Created: late}); err == nil || !strings.HasPrefix(err.Error(), "encoding created: ") {
		t.Errorf("got %v", err)
	}
}

func ptr[T any](v T) *T { return &v }

func fullInfo() secret.Info {
	return secret.Info{
		Name: "db/password",
		Metadata: secret.Metadata{
			Description: "a <b> & c", Tags: map[string]string{"team": "core"}, Algorithm: secret.HybridQuantum, RotationRequired: true, RotationInterval: schedule.Every30d,
			AccessPolicy: secret.AccessPolicy{AllowedServices: []string{}, AllowedEnvironments: []secret.Environment{secret.Prod}, RequiresMFA: true},
		},
		Kind: secret.Binary, Version: 3, VersionID: "id", Labels: map[secret.Label]secret.Version{secret.Current: 3, secret.Previous: 2},
		Created: noon, Changed: noon, LastRotated: noon, NextRotation: noon, LastRead: morning, Deletion: noon,
	}
}

func TestInfoRoundTrip(t *testing.T) {
	bare := secret.Info{Name: "n", Metadata: secret.Metadata{Tags: map[string]string{}}, Labels: map[secret.Label]secret.Version{}, Created: noon, Changed: noon}
	for _, want := range []secret.Info{fullInfo(), bare} {
		var s wire.Secret
		if err := wire.DecodeReply(body(t, encode(t, wire.SecretOf(want))), &s); err != nil {
			t.Fatal(err)
		}
		got, err := s.Info()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	// Times of another zone are written in UTC.
	there := secret.Info{Name: "n", Created: noon.In(time.FixedZone("there", 3600))}
	if got := wire.SecretOf(there).Created; got.Location() != time.UTC || !got.Equal(noon) {
		t.Errorf("created %v, want %v", got, noon)
	}
}

func TestInfoRefuses(t *testing.T) {
	good := wire.SecretOf(fullInfo())
	for name, spoil := range map[string]func(*wire.Secret){
		"name":    func(s *wire.Secret) { s.Name = "a b" },
		"version": func(s *wire.Secret) { s.Version = "03" },
		"kind":    func(s *wire.Secret) { s.Kind = "image" },
		"stage":   func(s *wire.Secret) { s.Stages = map[string]string{"AWSCURRENT": "-1"} },
	} {
		s := good
		spoil(&s)
		if _, err := s.Info(); !errors.Is(err, secret.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

func TestVersionInfoRoundTrip(t *testing.T) {
	want := secret.VersionInfo{Version: 3, ID: "id", Kind: secret.Binary, Algorithm: secret.HybridQuantum, Labels: []secret.Label{"a", "b"}, Created: noon, LastRead: morning}
	var v wire.VersionInfo
	if err := wire.DecodeReply(body(t, encode(t, wire.VersionInfoOf(want))), &v); err != nil {
		t.Fatal(err)
	}
	got, err := v.Info()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []wire.VersionInfo{{Version: "0"}, {Version: "1", Kind: "image"}} {
		if _, err := bad.Info(); !errors.Is(err, secret.ErrInvalid) {
			t.Errorf("%+v: got %v, want ErrInvalid", bad, err)
		}
	}
}

func TestCredentialsRoundTrip(t *testing.T) {
	sent := body(t, encode(t, wire.TenantCreated{Tenant: "acme", Token: body(t, "tok\"en-1"), AccessKeyID: "FSKA", SecretAccessKey: body(t, "key/secret"), AccountID: "1", Region: "r"}))
	var got wire.TenantCreated
	if err := wire.Decode(sent, &got); err != nil {
		t.Fatal(err)
	}
	if string(got.Token.Bytes()) != "tok\"en-1" || string(got.SecretAccessKey.Bytes()) != "key/secret" {
		t.Errorf("got %q and %q", got.Token.Bytes(), got.SecretAccessKey.Bytes())
	}
	if strings.Contains(string(sent.Bytes()), "en-1") || strings.Contains(string(sent.Bytes()), "key/secret") {
		t.Errorf("credentials are still in the body: %q", sent.Bytes())
	}
	if shown := fmt.Sprintf("%v %+v %#v", got, got, got); strings.Contains(shown, "en-1") || strings.Contains(shown, "key/secret") {
		t.Errorf("credentials are printed: %s", shown)
	}
	got.Release()
	if got.Token.Len() != 0 || got.SecretAccessKey.Len() != 0 {
		t.Error("released credentials are still there")
	}

	var created wire.TokenCreated
	if err := wire.Decode(body(t, `{"id":"tok_1","principal":"ci","grants":[],"token":"fst_1"}`), &created); err != nil {
		t.Fatal(err)
	}
	if created.ID != "tok_1" || created.Principal != "ci" || string(created.Token.Bytes()) != "fst_1" {
		t.Errorf("got %+v", created)
	}
	created.Release()
}

// A body that is refused after a credential was taken out of it gives none.
func TestDecodeReleases(t *testing.T) {
	var got wire.TenantCreated
	if err := wire.Decode(body(t, `{"token":"fst_1","secretAccessKey":"s","region":7}`), &got); !errors.Is(err, secret.ErrInvalid) {
		t.Fatalf("got %v, want ErrInvalid", err)
	}
	if got.Token != nil || got.SecretAccessKey != nil {
		t.Error("a refused body gave credentials")
	}
}

func TestDecodeTypes(t *testing.T) {
	for _, tc := range []struct{ name, body, want string }{
		{"time", `{"created":"yesterday"}`, "created: a time as in RFC 3339 is expected"},
		{"time as number", `{"created":1}`, "created: a time as in RFC 3339 is expected"},
		{"number as text", `{"keyNumber":"1"}`, "keyNumber: a whole number of at most 32 bits is expected"},
		{"fraction", `{"keyNumber":1.5}`, "keyNumber: a whole number of at most 32 bits is expected"},
		{"negative", `{"keyNumber":-1}`, "keyNumber: a whole number of at most 32 bits is expected"},
		{"too large", `{"keyNumber":4294967296}`, "keyNumber: a whole number of at most 32 bits is expected"},
		{"broken number", `{"keyNumber":01}`, "body: valid JSON is expected; it breaks at byte 15"},
		{"text as list", `{"tenant":[]}`, "tenant: a string is expected"},
		{"null", `{"tenant":null}`, "tenant: a string is expected"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := wire.Decode(body(t, tc.body), &wire.TenantInfo{})
			if err == nil || err.Error() != tc.want {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	var info wire.TenantInfo
	if err := wire.Decode(body(t, `{"tenant":"acme","accountId":"1","state":"active","algorithm":"aes-256-gcm","keyNumber":4294967295,"created":"2026-03-04T13:00:00.5+01:00"}`), &info); err != nil {
		t.Fatal(err)
	}
	want := wire.TenantInfo{Tenant: "acme", AccountID: "1", State: "active", Algorithm: "aes-256-gcm", KeyNumber: 4294967295, Created: noon}
	if diff := cmp.Diff(want, info); diff != "" {
		t.Error(diff)
	}
	var problem wire.Problem
	if err := wire.Decode(body(t, `{"status":-404}`), &problem); err != nil || problem.Status != -404 {
		t.Errorf("got %v, %v", problem.Status, err)
	}
	if err := wire.Decode(body(t, `{"status":9223372036854775808}`), &problem); !errors.Is(err, secret.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

// Replies of other packages have types of their own, hashes say.
func TestDecodeForeignTypes(t *testing.T) {
	type proof struct {
		Bytes []byte          `json:"bytes"`
		Raw   json.RawMessage `json:"raw"`
		Ratio float64         `json:"ratio"`
		Parts [2]int          `json:"parts"`
	}
	var got proof
	if err := wire.DecodeReply(body(t, `{"bytes": "AP8=", "raw":{"a":[1]},"ratio":1.5,"parts":[1,2]}`), &got); err != nil {
		t.Fatal(err)
	}
	want := proof{Bytes: []byte{0, 0xff}, Raw: json.RawMessage(`{"a":[1]}`), Ratio: 1.5, Parts: [2]int{1, 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for text, want := range map[string]string{
		`{"bytes":"Pl4nted!="}`: "bytes: a value of another form is expected",
		`{"ratio":"Pl4nted!"}`:  "ratio: a value of another form is expected",
		`{"raw":{"a":1,"a":2}}`: "body: no field may stand twice in an object; one does before byte 18",
		`{"parts":["Pl4nted!",`: "body: valid JSON is expected; it ends too early",
	} {
		if err := wire.DecodeReply(body(t, text), &got); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

func TestDecodeRequests(t *testing.T) {
	create := wire.CreateRequest{}
	value, _, err := wire.DecodeValue(body(t, `{"name":"n","requestToken":"t","value":"v","description":"d"}`), &create)
	if err != nil {
		t.Fatal(err)
	}
	value.Release()
	want := wire.CreateRequest{Name: "n", PutRequest: wire.PutRequest{RequestToken: "t", Changes: wire.Changes{Description: ptr("d")}}}
	if diff := cmp.Diff(want, create); diff != "" {
		t.Error(diff)
	}

	var token wire.TokenCreateRequest
	if err := wire.Decode(body(t, `{"principal":"ci","grants":[{"role":"reader","patterns":["a*","b"]},{"role":"admin"}],"service":"s","environment":"dev","expiresIn":"30d"}`), &token); err != nil {
		t.Fatal(err)
	}
	wantToken := wire.TokenCreateRequest{Principal: "ci", Grants: []wire.Grant{{Role: "reader", Patterns: []string{"a*", "b"}}, {Role: "admin"}}, Service: "s", Environment: "dev", ExpiresIn: "30d"}
	if diff := cmp.Diff(wantToken, token); diff != "" {
		t.Error(diff)
	}
	if err := wire.Decode(body(t, `{"principal":"ci","grants":[{"role":"reader","pattern":"a"}]}`), &token); err == nil || err.Error() != "grants: unknown field; known are role, patterns" {
		t.Errorf("got %v", err)
	}
	// A route without values knows no field for one.
	if err := wire.Decode(body(t, `{"value":"v"}`), &wire.UpdateRequest{}); !errors.Is(err, secret.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

func TestChanges(t *testing.T) {
	var req wire.UpdateRequest
	if err := wire.Decode(body(t, `{"accessPolicy":null}`), &req); err != nil {
		t.Fatal(err)
	}
	if req.AccessPolicy == nil || !req.AccessPolicy.IsZero() {
		t.Errorf("null: got %+v, want the zero policy", req.AccessPolicy)
	}
	for name, c := range map[string]wire.Changes{
		"description":                      {Description: ptr(strings.Repeat("x", secret.MaxNativeDescription+1))},
		"tags":                             {Tags: map[string]string{"k": strings.Repeat("x", secret.MaxNativeTagValue+1)}},
		"algorithm":                        {Algorithm: ptr(secret.Algorithm("rot13"))},
		"rotationInterval":                 {RotationInterval: ptr(schedule.Interval("31d"))},
		"accessPolicy.allowedEnvironments": {AccessPolicy: &secret.AccessPolicy{AllowedEnvironments: []secret.Environment{"moon"}}},
	} {
		_, err := c.Patch()
		if e := secret.Of(err); e.Field != name || e.Code == secret.ErrInternal.Code {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A patch arrives as it was sent, with what it does not change absent.
func TestPatchRoundTrip(t *testing.T) {
	text := rapid.StringMatching(`[ -~é€]{0,20}`)
	optional := func(t *rapid.T, name string) bool { return rapid.Bool().Draw(t, name) }
	rapid.Check(t, func(t *rapid.T) {
		var want secret.Patch
		if optional(t, "description") {
			want.Description = ptr(text.Draw(t, "text"))
		}
		if optional(t, "tags") {
			want.Tags = rapid.MapOfN(rapid.StringMatching(`[a-z"\\]{1,9}`), text, 0, 4).Draw(t, "map")
		}
		if optional(t, "algorithm") {
			want.Algorithm = ptr(rapid.SampledFrom([]secret.Algorithm{secret.AES256GCM, secret.HybridQuantum}).Draw(t, "which"))
		}
		if optional(t, "required") {
			want.RotationRequired = ptr(rapid.Bool().Draw(t, "is"))
		}
		if optional(t, "interval") {
			want.RotationInterval = ptr(rapid.SampledFrom([]schedule.Interval{schedule.Every7d, schedule.Every365d}).Draw(t, "which"))
		}
		if optional(t, "policy") {
			want.AccessPolicy = &secret.AccessPolicy{RequiresMFA: rapid.Bool().Draw(t, "mfa")}
			if optional(t, "services") {
				want.AccessPolicy.AllowedServices = rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,9}`), 0, 3).Draw(t, "list")
			}
			if optional(t, "environments") {
				want.AccessPolicy.AllowedEnvironments = rapid.SliceOfN(rapid.SampledFrom([]secret.Environment{secret.Dev, secret.Prod}), 0, 2).Draw(t, "list")
			}
		}
		var b secretbuf.Builder
		if err := wire.AppendRequest(&b, wire.UpdateRequest{Changes: wire.ChangesOf(want)}, nil, 0); err != nil {
			t.Fatal(err)
		}
		var req wire.UpdateRequest
		if err := wire.Decode(b.Buffer(), &req); err != nil {
			t.Fatal(err)
		}
		got, err := req.Patch()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestLabelRequest(t *testing.T) {
	for _, tc := range []struct {
		body     string
		to       secret.Version
		expected *secret.Version
		err      string
	}{
		{`{"version":"2"}`, 2, nil, ""},
		{`{"version":"2","expectedVersion":"1"}`, 2, ptr(secret.Version(1)), ""},
		{`{"version":"2","expectedVersion":""}`, 2, ptr(secret.Version(0)), ""},
		{`{}`, 0, nil, "version: a whole number from 1"},
		{`{"version":"0"}`, 0, nil, "version: a whole number from 1"},
		{`{"version":"2","expectedVersion":"0"}`, 0, nil, "expectedVersion: a whole number from 1, or empty"},
	} {
		var req wire.LabelRequest
		if err := wire.Decode(body(t, tc.body), &req); err != nil {
			t.Fatal(err)
		}
		to, expected, err := req.Versions()
		if tc.err != "" {
			if err == nil || err.Error() != tc.err {
				t.Errorf("%s: got error %v, want %s", tc.body, err, tc.err)
			}
			continue
		}
		if err != nil || to != tc.to || !cmp.Equal(expected, tc.expected) {
			t.Errorf("%s: got %d, %v, %v", tc.body, to, expected, err)
		}
	}
}

func TestLabels(t *testing.T) {
	if got := wire.StagesOf(nil); got == nil || len(got) != 0 {
		t.Errorf("no labels: got %#v, want an empty list", got)
	}
	labels := []secret.Label{"a", "b"}
	if diff := cmp.Diff(labels, wire.LabelsOf(wire.StagesOf(labels))); diff != "" {
		t.Error(diff)
	}
}
