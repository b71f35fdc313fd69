package rotation_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// What a config may not say is told with the field and the rule, and is bad
// input to a front.
func TestConfigsRefused(t *testing.T) {
	const hook = `"url":"https://hooks.example.com/x","signingKey":"k"`
	for _, c := range []struct{ kind, config, want string }{
		{"oracle", `{}`, "rotator: one of api-key, mysql, password, postgres, redis, webhook"},
		{"", `{}`, "rotator: one of"},
		{"password", `{"lenght":20}`, "rotationConfig: unknown field; known are length, classes, exclude, symbols"},
		{"password", `[]`, "rotationConfig: an object is expected"},
		{"password", `{"length":20} x`, "rotationConfig: valid JSON is expected"},
		{"password", `{"length":"20"}`, "rotationConfig.length: "},
		{"password", `{"length":10}`, "rotationConfig: the password would be too weak"},
		{"password", `{"length":-1}`, "rotationConfig: the password would be too weak"},
		{"password", `{"length":1025}`, "rotationConfig.length: at most 1024"},
		{"password", `{"length":15,"classes":["digits"]}`, "rotationConfig: the password would be too weak"},
		{"password", `{"classes":["latin"]}`, "rotationConfig.classes: different ones of lower, upper, digits, symbols"},
		{"password", `{"classes":["lower","lower"]}`, "rotationConfig.classes: different ones"},
		{"password", `{"classes":[]}`, "rotationConfig.classes: at least one"},
		{"password", `{"exclude":"0123456789"}`, "rotationConfig.exclude: nothing is left of the class digits"},
		{"password", `{"symbols":"!!"}`, "rotationConfig.symbols: different punctuation"},
		{"password", `{"symbols":"é"}`, "rotationConfig.symbols: different punctuation"},
		{"password", `{"symbols":"a"}`, "rotationConfig.symbols: different punctuation"},
		{"password", `{"exclude":"` + strings.Repeat("x", 17000) + `"}`, "rotationConfig: at most 16 KiB"},
		{"api-key", `{"encoding":"base32"}`, "rotationConfig.encoding: one of hex, base62, base64url"},
		{"api-key", `{"bytes":15}`, "rotationConfig.bytes: 16 to 1024"},
		{"api-key", `{"bytes":1025}`, "rotationConfig.bytes: 16 to 1024"},
		{"api-key", `{"prefix":"a b"}`, "rotationConfig.prefix: at most 32"},
		{"postgres", `{"strategy":"both"}`, "rotationConfig.strategy: one of single, alternating"},
		{"postgres", `{"tls":"prefer"}`, "rotationConfig.tls: one of verify-full, verify-ca, require, disable"},
		{"postgres", `{"caCertificate":"x"}`, "rotationConfig.caCertificate: certificates in PEM"},
		{"postgres", `{"tls":"require","caCertificate":"x"}`, "rotationConfig.caCertificate: it is of use"},
		{"postgres", `{"password":{"length":3}}`, "rotationConfig.password: the password would be too weak"},
		{"postgres", `{"password":{"size":3}}`, "rotationConfig.password: unknown field"},
		{"mysql", `{"aclSave":true}`, "rotationConfig: unknown field"},
		{"redis", `{"strategy":"single"}`, "rotationConfig: unknown field"},
		{"webhook", `{}`, "rotationConfig.url: "},
		{"webhook", `{"url":"http://hooks.example.com/x","signingKey":"k"}`, "rotationConfig.url: "},
		{"webhook", `{"url":"https://user:x@hooks.example.com/x","signingKey":"k"}`, "rotationConfig.url: "},
		{"webhook", `{"url":"ftp://hooks.example.com/x","signingKey":"k"}`, "rotationConfig.url: "},
		{"webhook", `{"url":"https:///x","signingKey":"k"}`, "rotationConfig.url: "},
		{"webhook", `{"url":"https://hooks.example.com/x"}`, "rotationConfig.signingKey: the name of the secret"},
		{"webhook", `{` + hook + `,"unsigned":true}`, "rotationConfig.unsigned: it has no signingKey"},
		{"webhook", `{` + hook + `,"value":"made"}`, "rotationConfig.value: one of generated, receiver"},
		{"webhook", `{` + hook + `,"timeoutSeconds":31}`, "rotationConfig.timeoutSeconds: 1 to 30"},
	} {
		_, err := rotation.Parse(c.kind, []byte(c.config), rotation.Network{})
		if !errors.Is(err, rotation.ErrMisconfigured) || !errors.Is(err, secret.ErrInvalid) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s %.60s: %v, want %q", c.kind, c.config, err, c.want)
		}
	}
	for _, kind := range rotation.Kinds() {
		if _, err := rotation.Parse(kind, nil, rotation.Network{}); (err == nil) != (kind != "webhook") {
			t.Errorf("%s without a config: %v", kind, err)
		}
	}
}

// What a secret must hold for its rotator is told before anything is asked.
func TestValuesRefused(t *testing.T) {
	const start = `{"engine":"postgres","host":"db","username":"app","password":"x"`
	for _, c := range []struct{ kind, config, value, want string }{
		{"postgres", ``, ``, "value: a JSON object"},
		{"postgres", ``, `hunter2`, "value: a JSON object"},
		{"postgres", ``, `["hunter2"]`, "value: a JSON object"},
		{"postgres", ``, "{\"password\":\"\xff\"}", "value: a JSON object"},
		{"postgres", ``, start + `,"port":"x"}`, "value: a JSON object"},
		{"postgres", ``, start + `,"port":65536}`, "value: a JSON object"},
		{"postgres", ``, start + `,"password":"y"}`, "value: a JSON object"},
		{"postgres", ``, `{"engine":"mysql","host":"db","username":"app","password":"x"}`, "value.engine: one of postgres"},
		{"postgres", ``, `{"host":"db","username":"app","password":"x"}`, "value.engine: one of postgres"},
		{"postgres", ``, `{"engine":"postgres","username":"app","password":"x"}`, "value.host: "},
		{"postgres", ``, `{"engine":"postgres","host":"/run/postgresql","username":"app","password":"x"}`, "value.host: "},
		{"postgres", ``, `{"engine":"postgres","host":"a,b","username":"app","password":"x"}`, "value.host: "},
		{"postgres", ``, `{"engine":"postgres","host":"db","password":"x"}`, "value.username: "},
		{"postgres", ``, `{"engine":"postgres","host":"db","username":"a\u0000","password":"x"}`, "value.username: "},
		{"postgres", ``, `{"engine":"postgres","host":"db","username":"app"}`, "value.password: "},
		{"postgres", ``, `{"engine":"postgres","host":"db","username":"app","password":""}`, "value.password: "},
		{"postgres", ``, start + `,"dbname":"a\u0000"}`, "value.dbname: "},
		{"postgres", `{"strategy":"alternating"}`, start + `}`, "value.masterarn: "},
		{"postgres", `{"strategy":"alternating"}`, `{"engine":"postgres","host":"db","masterarn":"m","password":"x","username":"` + strings.Repeat("u", 58) + `"}`, "value.username: at most 63"},
		{"mysql", ``, start + `}`, "value.engine: one of mysql"},
		{"redis", ``, start + `}`, "value.engine: one of redis"},
	} {
		r, err := rotation.Parse(c.kind, []byte(c.config), rotation.Network{})
		if err != nil {
			t.Fatal(err)
		}
		value := secretbuf.Take([]byte(c.value))
		err = r.Check(value)
		if !errors.Is(err, rotation.ErrMisconfigured) || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", c.value, err, c.want)
		}
		if _, err := r.Make(context.Background(), &rotation.Job{Current: value}); !errors.Is(err, rotation.ErrMisconfigured) {
			t.Errorf("%s: it is rotated all the same: %v", c.value, err)
		}
		if string(value.Bytes()) != c.value {
			t.Errorf("%s: the value was changed", c.value)
		}
	}
}

// Each password is of the length and the classes, and of nothing else.
func TestPasswordsByRule(t *testing.T) {
	sets := map[string]string{"lower": "abcdefghijklmnopqrstuvwxyz", "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "digits": "0123456789", "symbols": "-_."}
	rapid.Check(t, func(t *rapid.T) {
		classes := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"lower", "upper", "digits", "symbols"}), 1, 4, rapid.ID).Draw(t, "classes")
		length, exclude := rapid.IntRange(44, 200).Draw(t, "length"), rapid.StringMatching(`[a-zA-Z0-9]{0,3}`).Draw(t, "exclude")
		config := mustJSON(map[string]any{"length": length, "classes": classes, "exclude": exclude, "symbols": "-_."})
		r, err := rotation.Parse("password", config, rotation.Network{})
		if err != nil {
			t.Fatal(err)
		}
		value, err := r.Make(context.Background(), &rotation.Job{})
		if err != nil || value.Len() != length || bytes.ContainsAny(value.Bytes(), exclude) {
			t.Fatalf("%d bytes, %v", value.Len(), err)
		}
		allowed := ""
		for _, class := range classes {
			allowed += sets[class]
			if !bytes.ContainsAny(value.Bytes(), sets[class]) {
				t.Fatalf("nothing of %s", class)
			}
		}
		if len(bytes.Trim(value.Bytes(), allowed)) > 0 {
			t.Fatal("characters of no class")
		}
	})
}

func TestAPIKeysByEncoding(t *testing.T) {
	for config, length := range map[string]int{
		``: 64, `{"bytes":16}`: 32, `{"encoding":"base62"}`: 43, `{"encoding":"base62","bytes":16}`: 22, `{"encoding":"base64url"}`: 43, `{"encoding":"base64url","prefix":"sk_live-"}`: 51,
	} {
		r, err := rotation.Parse("api-key", []byte(config), rotation.Network{})
		if err != nil {
			t.Fatal(err)
		}
		value, err := r.Make(context.Background(), &rotation.Job{})
		if err != nil || value.Len() != length {
			t.Errorf("%s: %d characters, %v, want %d", config, value.Len(), err, length)
		}
		if text, ok := bytes.CutPrefix(value.Bytes(), []byte("sk_live-")); ok {
			if raw, err := base64.RawURLEncoding.DecodeString(string(text)); err != nil || len(raw) != 32 {
				t.Errorf("%s: %v", config, err)
			}
		}
	}
}

// FuzzParse gives configs and values to every rotator: an answer comes, and
// values come out unchanged.
func FuzzParse(f *testing.F) {
	f.Add(`{"tls":"disable","password":{"length":40}}`, `{"engine":"postgres","host":"db","username":"app","password":"x","port":"5432"}`)
	f.Add(`{"url":"https://x/","signingKey":"k"}`, `{}`)
	f.Fuzz(func(t *testing.T, config, value string) {
		for _, kind := range rotation.Kinds() {
			r, err := rotation.Parse(kind, []byte(config), rotation.Network{})
			if err != nil {
				continue
			}
			b := secretbuf.Take([]byte(value))
			if r.Check(b) == nil && kind != "webhook" {
				made, err := r.Make(context.Background(), &rotation.Job{Current: b})
				if err != nil {
					t.Errorf("%s: checked, but %v", kind, err)
				}
				made.Release()
			}
			if string(b.Bytes()) != value {
				t.Errorf("%s changes the value", kind)
			}
		}
	})
}
