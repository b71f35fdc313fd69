package secret_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fastness/internal/schedule"
	"fastness/internal/secret"
)

func ptr[T any](v T) *T { return &v }

// good is metadata that is valid everywhere.
func good() secret.Metadata {
	return secret.Metadata{Algorithm: secret.AES256GCM, RotationInterval: schedule.Default}
}

func tags(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprint("key", i)] = "v"
	}
	return m
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		name         string
		change       func(*secret.Metadata)
		core, native string // the error; empty if none
	}{
		{"defaults", func(*secret.Metadata) {}, "", ""},
		{"native description", func(m *secret.Metadata) { m.Description = strings.Repeat("é", 500) }, "", ""},
		{"longer description", func(m *secret.Metadata) { m.Description = strings.Repeat("é", 501) }, "", "description: limit: at most 500 characters"},
		{"longest description", func(m *secret.Metadata) { m.Description = strings.Repeat("x", 2048) }, "", "description: limit: at most 500 characters"},
		{"too long a description", func(m *secret.Metadata) { m.Description = strings.Repeat("x", 2049) }, "description: limit: at most 2048 characters", "description: limit: at most 500 characters"},
		{"lines", func(m *secret.Metadata) { m.Description = "a\n\tb" }, "", ""},
		{"escape sequence", func(m *secret.Metadata) { m.Description = "\x1b[2J" }, "description: no control characters", "description: no control characters"},
		{"description not UTF-8", func(m *secret.Metadata) { m.Description = "\xff" }, "description: valid UTF-8", "description: valid UTF-8"},
		{"most tags", func(m *secret.Metadata) { m.Tags = tags(50) }, "", ""},
		{"too many tags", func(m *secret.Metadata) { m.Tags = tags(51) }, "tags: limit: at most 50 tags", "tags: limit: at most 50 tags"},
		{"longest key", func(m *secret.Metadata) { m.Tags = map[string]string{strings.Repeat("é", 128): ""} }, "", ""},
		{"too long a key", func(m *secret.Metadata) { m.Tags = map[string]string{strings.Repeat("x", 129): ""} }, "tags: limit: keys of 1 to 128 characters", "tags: limit: keys of 1 to 128 characters"},
		{"empty key", func(m *secret.Metadata) { m.Tags = map[string]string{"": "v"} }, "tags: limit: keys of 1 to 128 characters", "tags: limit: keys of 1 to 128 characters"},
		{"key of two lines", func(m *secret.Metadata) { m.Tags = map[string]string{"a\nb": "v"} }, "tags: only printable characters are allowed", "tags: only printable characters are allowed"},
		{"native tag", func(m *secret.Metadata) { m.Tags = map[string]string{"k": strings.Repeat("é", 100)} }, "", ""},
		{"longest tag", func(m *secret.Metadata) { m.Tags = map[string]string{"k": strings.Repeat("é", 256)} }, "", "tags: limit: values of at most 100 characters"},
		{"too long a tag", func(m *secret.Metadata) { m.Tags = map[string]string{"k": strings.Repeat("x", 257)} }, "tags: limit: values of at most 256 characters", "tags: limit: values of at most 100 characters"},
		{"tag with NUL", func(m *secret.Metadata) { m.Tags = map[string]string{"k": "\x00"} }, "tags: no control characters", "tags: no control characters"},
		{"no algorithm", func(m *secret.Metadata) { m.Algorithm = "" }, "algorithm: aes-256-gcm or hybrid-quantum", "algorithm: aes-256-gcm or hybrid-quantum"},
		{"no interval", func(m *secret.Metadata) { m.RotationInterval = "" }, "rotationInterval: 7d, 30d, 90d, 180d or 365d", "rotationInterval: 7d, 30d, 90d, 180d or 365d"},
		{"odd interval", func(m *secret.Metadata) { m.RotationInterval = "31d" }, "rotationInterval: 7d, 30d, 90d, 180d or 365d", "rotationInterval: 7d, 30d, 90d, 180d or 365d"},
		{"bad access policy", func(m *secret.Metadata) { m.AccessPolicy.AllowedServices = []string{""} }, "accessPolicy.allowedServices: limit: 1 to 128 characters", "accessPolicy.allowedServices: limit: 1 to 128 characters"},
	} {
		m := good()
		tc.change(&m)
		if got := text(m.Validate()); got != tc.core {
			t.Errorf("%s: core says %q, want %q", tc.name, got, tc.core)
		}
		if got := text(m.ValidateNative()); got != tc.native {
			t.Errorf("%s: native says %q, want %q", tc.name, got, tc.native)
		}
	}
}

// text is an error's text, empty for none.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestAccessPolicyValidate(t *testing.T) {
	services := func(s ...string) secret.AccessPolicy { return secret.AccessPolicy{AllowedServices: s} }
	environments := func(e ...secret.Environment) secret.AccessPolicy {
		return secret.AccessPolicy{AllowedEnvironments: e}
	}
	for _, p := range []secret.AccessPolicy{
		{}, {AllowedServices: []string{}, AllowedEnvironments: []secret.Environment{}}, services("web", "Web 2", "größe"),
		environments(secret.Dev, secret.Staging, secret.Prod), services(slices.Repeat([]string{"web"}, secret.MaxAccessEntries)...), services(strings.Repeat("é", 128)),
	} {
		if err := p.Validate(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
	for _, tc := range []struct {
		p    secret.AccessPolicy
		want *secret.Error
	}{
		{services(""), secret.ErrLimit},
		{services(strings.Repeat("x", 129)), secret.ErrLimit},
		{services("a\nb"), secret.ErrInvalid},
		{services("a\u00a0b"), secret.ErrInvalid},
		{services("\xff"), secret.ErrInvalid},
		{services(slices.Repeat([]string{"web"}, secret.MaxAccessEntries+1)...), secret.ErrLimit},
		{environments(""), secret.ErrInvalid},
		{environments("Prod"), secret.ErrInvalid},
		{environments(slices.Repeat([]secret.Environment{secret.Dev}, secret.MaxAccessEntries+1)...), secret.ErrLimit},
	} {
		if err := tc.p.Validate(); !errors.Is(err, tc.want) || !strings.HasPrefix(secret.Of(err).Field, "accessPolicy.") {
			t.Errorf("%+v: got %v, want %s", tc.p, err, tc.want.Code)
		}
	}
}

// The difference between no list and an empty one is one between all and
// none, so it must survive being stored.
func TestAccessPolicyJSON(t *testing.T) {
	for want, p := range map[string]secret.AccessPolicy{
		`{}`:                         {},
		`{"allowedServices":[]}`:     {AllowedServices: []string{}},
		`{"allowedEnvironments":[]}`: {AllowedEnvironments: []secret.Environment{}},
		`{"allowedServices":["web"],"allowedEnvironments":["prod"],"requiresMFA":true}`: {AllowedServices: []string{"web"}, AllowedEnvironments: []secret.Environment{secret.Prod}, RequiresMFA: true},
	} {
		text, err := json.Marshal(p)
		if err != nil || string(text) != want {
			t.Errorf("got %s, %v, want %s", text, err, want)
		}
		var back secret.AccessPolicy
		if err := json.Unmarshal(text, &back); err != nil || !back.Equal(p) {
			t.Errorf("%s: got %+v, %v", text, back, err)
		}
		if p.IsZero() != (want == "{}") {
			t.Errorf("%s: IsZero is %v", text, p.IsZero())
		}
	}
}

var policies = rapid.Custom(func(t *rapid.T) secret.AccessPolicy {
	p := secret.AccessPolicy{RequiresMFA: rapid.Bool().Draw(t, "mfa")}
	if rapid.Bool().Draw(t, "listed") {
		p.AllowedServices = rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), 0, 2).Draw(t, "services")
	}
	if rapid.Bool().Draw(t, "placed") {
		p.AllowedEnvironments = rapid.SliceOfN(rapid.SampledFrom([]secret.Environment{secret.Dev, secret.Prod}), 0, 2).Draw(t, "environments")
	}
	return p
})

func TestAccessPolicyEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := policies.Draw(t, "p"), policies.Draw(t, "q")
		// DeepEqual tells nil from empty too, which Equal must.
		if got, want := p.Equal(q), reflect.DeepEqual(p, q); got != want {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestPatch(t *testing.T) {
	tagged := good()
	tagged.Description, tagged.Tags = "old", map[string]string{"a": "1"}
	for _, tc := range []struct {
		name  string
		patch secret.Patch
		zero  bool
		want  func(*secret.Metadata)
	}{
		{"nothing", secret.Patch{}, true, func(*secret.Metadata) {}},
		{"description", secret.Patch{Description: ptr("new")}, false, func(m *secret.Metadata) { m.Description = "new" }},
		{"no description", secret.Patch{Description: ptr("")}, false, func(m *secret.Metadata) { m.Description = "" }},
		{"other tags", secret.Patch{Tags: map[string]string{"b": "2"}}, false, func(m *secret.Metadata) { m.Tags = map[string]string{"b": "2"} }},
		{"no tags", secret.Patch{Tags: map[string]string{}}, false, func(m *secret.Metadata) { m.Tags = map[string]string{} }},
		{"algorithm", secret.Patch{Algorithm: ptr(secret.HybridQuantum)}, false, func(m *secret.Metadata) { m.Algorithm = secret.HybridQuantum }},
		{"rotation", secret.Patch{RotationRequired: ptr(true)}, false, func(m *secret.Metadata) { m.RotationRequired = true }},
		{"interval", secret.Patch{RotationInterval: ptr(schedule.Every7d)}, false, func(m *secret.Metadata) { m.RotationInterval = schedule.Every7d }},
		{"access policy", secret.Patch{AccessPolicy: &secret.AccessPolicy{RequiresMFA: true}}, false, func(m *secret.Metadata) { m.AccessPolicy.RequiresMFA = true }},
	} {
		want := tagged
		tc.want(&want)
		if diff := cmp.Diff(want, tc.patch.Apply(tagged)); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
		if tc.patch.IsZero() != tc.zero {
			t.Errorf("%s: IsZero is %v", tc.name, tc.patch.IsZero())
		}
	}
	// What was patched in is the metadata's own.
	patch := secret.Patch{Tags: map[string]string{"b": "2"}}
	m := patch.Apply(tagged)
	m.Tags["c"] = "3"
	if !maps.Equal(patch.Tags, map[string]string{"b": "2"}) || tagged.Description != "old" {
		t.Error("Apply shares the tags with the patch, or changed its argument")
	}
}

func TestParseEnums(t *testing.T) {
	for _, s := range []string{"aes-256-gcm", "hybrid-quantum"} {
		if a, err := secret.ParseAlgorithm(s); err != nil || string(a) != s {
			t.Errorf("%q: got %q, %v", s, a, err)
		}
	}
	for _, s := range []string{"", "AES-256-GCM", "aes-256-gcm ", "none"} {
		if _, err := secret.ParseAlgorithm(s); !errors.Is(err, secret.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", s, err)
		}
	}
	for _, s := range []string{"", "dev", "staging", "prod"} {
		if e, err := secret.ParseEnvironment(s); err != nil || string(e) != s {
			t.Errorf("%q: got %q, %v", s, e, err)
		}
	}
	for _, s := range []string{"Prod", "production", "prod\n", "*"} {
		if _, err := secret.ParseEnvironment(s); !errors.Is(err, secret.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", s, err)
		}
	}
}
