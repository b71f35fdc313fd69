package api_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/wire"
)

// work does what is due in a service without a server around it.
func (s *service) work() {
	s.t.Helper()
	w := rotation.NewWorker(s.vault, rotation.Network{}, slog.New(slog.DiscardHandler), nil)
	if err := w.Once(context.Background()); err != nil {
		s.t.Fatal(err)
	}
}

// A secret is told to rotate by itself, does, and tells of it; a value is
// nowhere in what it tells.
func TestRotation(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	s.put("acme", "app/password", admin, "first-value")
	path := secretPath("acme", "app/password")
	set := must[wire.Rotation](s, 200, "PUT", path+"/rotation", admin, `{"rotator":"password","rotationConfig":{"length": 24},"schedule":"30d"}`)
	if set.State != "idle" || string(set.Config) != `{"length":24}` || set.NextRotation.Sub(set.LastRotated).Hours() != 30*24 {
		t.Errorf("%+v", set)
	}
	if info := must[wire.Secret](s, 200, "GET", path, admin, ""); info.RotationInterval != "30d" || !info.NextRotation.Equal(set.NextRotation) {
		t.Errorf("%+v", info)
	}
	rotator := s.token("acme", admin, "rotator")
	if asked := must[wire.Rotation](s, 202, "POST", path+"/rotate", rotator, ""); asked.State != "asked" {
		t.Errorf("%+v", asked)
	}
	s.work()
	got := must[wire.Rotation](s, 200, "GET", path+"/rotation", rotator, "")
	if got.State != "idle" || got.Last == nil || got.Last.State != "finished" || len(got.Last.Steps) != 4 || got.Rotation != nil {
		t.Errorf("%+v", got)
	}
	value := must[valueReply](s, 200, "GET", path+"/value", admin, "")
	if len(value.Value) != 24 || value.VersionID != got.Last.VersionID {
		t.Errorf("%+v", value)
	}
	for _, what := range []string{"/rotation", "/rotation/history"} {
		if body := s.do("GET", path+what, admin, "").body; strings.Contains(body, value.Value) || strings.Contains(body, "first-value") {
			t.Errorf("%s tells a value: %s", what, body)
		}
	}
	if h := must[wire.RotationHistory](s, 200, "GET", path+"/rotation/history", admin, ""); len(h.Items) != 1 || h.Items[0].ID != got.Last.ID {
		t.Errorf("%+v", h)
	}
	must[any](s, 200, "POST", path+"/rotate", admin, `{"value":"given"}`)
	s.refused(400, secret.ErrInvalid, "POST", path+"/rotate", admin, `{"requestToken":"0123456789abcdef0123456789abcdef"}`)
	s.refused(409, secret.ErrConflict, "POST", path+"/rotation/repair", admin, "")
	must[any](s, 200, "POST", path+"/rotation/pause", rotator, "")
	s.refused(409, secret.ErrConflict, "POST", path+"/rotate", admin, "")
	must[any](s, 200, "POST", path+"/rotation/resume", rotator, "")
	must[any](s, 204, "DELETE", path+"/rotation", admin, "")
	s.refused(404, secret.ErrNotFound, "GET", path+"/rotation", admin, "")
	must[any](s, 200, "POST", path+"/rotate", admin, "")
}

// What cannot work is refused before anything is changed, with the field at fault.
func TestRotationRefusals(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	s.put("acme", "db", admin, "not JSON")
	s.put("acme", "hook", admin, "v")
	for body, field := range map[string]string{
		`{}`:                  "rotator",
		`{"rotator":"vault"}`: "rotator",
		`{"rotator":"password","rotationConfig":{"x":1}}`:                                 "rotationConfig",
		`{"rotator":"password","rotationConfig":[]}`:                                      "rotationConfig",
		`{"rotator":"password","rotationConfig":{"length":2000}}`:                         "rotationConfig.length",
		`{"rotator":"postgres"}`:                                                          "value",
		`{"rotator":"password","schedule":"8d"}`:                                          "schedule",
		`{"rotator":"password","schedule":"rate(8 hours)","duration":"9h"}`:               "duration",
		`{"rotator":"password","uses":["a b"]}`:                                           "uses",
		`{"rotator":"webhook","rotationConfig":{"url":"http://h/","signingKey":"hook"}}`:  "rotationConfig.url",
		`{"rotator":"webhook","rotationConfig":{"url":"https://h/","signingKey":"none"}}`: "uses",
		`{"rotator":"password","secret":"x"}`:                                             "body",
	} {
		a := s.do("PUT", secretPath("acme", "db")+"/rotation", admin, body)
		if p := a.problem(t); a.status != 400 || p.Field != field {
			t.Errorf("%s: %d, %q: %s", body, a.status, p.Field, a.body)
		}
	}
	s.refused(404, secret.ErrNotFound, "GET", secretPath("acme", "db")+"/rotation", admin, "")
	// What the config names is lent by whoever may read it.
	narrow := s.token("acme", admin, "writer", "db")
	hook := `{"rotator":"webhook","rotationConfig":{"url":"https://h/","signingKey":"hook"}}`
	s.refused(400, secret.ErrInvalid, "PUT", secretPath("acme", "db")+"/rotation", narrow, hook)
	set := must[wire.Rotation](s, 200, "PUT", secretPath("acme", "db")+"/rotation", admin, hook)
	if len(set.Uses) != 1 || set.Uses[0] != "hook" {
		t.Errorf("it uses %q", set.Uses)
	}
}
