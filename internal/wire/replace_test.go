package wire_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/wire"
)

func replaced(object string, texts map[string]string) (string, error) {
	var b secretbuf.Builder
	defer b.Release()
	buffers := map[string]*secretbuf.Buffer{}
	for name, text := range texts {
		buffers[name] = secretbuf.Take([]byte(text))
	}
	err := wire.ReplaceText(&b, secretbuf.Take([]byte(object)), buffers)
	return string(b.Bytes()), err
}

func TestReplaceText(t *testing.T) {
	for _, c := range []struct {
		object string
		texts  map[string]string
		want   string
	}{
		{`{"password":"a"}`, map[string]string{"password": "b"}, `{"password":"b"}`},
		{" {\n  \"port\" : 1,\n  \"password\" : \"a\\\"}\" ,\n  \"x\" : {\"password\":\"a\"}\n}\n", map[string]string{"password": `q"\`},
			" {\n  \"port\" : 1,\n  \"password\" : \"q\\\"\\\\\" ,\n  \"x\" : {\"password\":\"a\"}\n}\n"},
		{`{"pass\u0077ord":null}`, map[string]string{"password": "b"}, `{"pass\u0077ord":"b"}`},
		{`{"a":1 }`, map[string]string{"password": "b", "login": "c"}, `{"a":1 ,"login":"c","password":"b"}`},
		{`{ }`, map[string]string{"password": "b"}, `{ "password":"b"}`},
	} {
		if got, err := replaced(c.object, c.texts); err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", c.object, got, err, c.want)
		}
	}
	for _, object := range []string{``, `[]`, `"x"`, `{"a":1`, `{"a":1}}`, `{"a":1,"a":2}`, "{\"a\":\"\xff\"}"} {
		if _, err := replaced(object, nil); !errors.Is(err, secret.ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", object, err)
		}
	}
}

// Whatever the object, encoding/json reads the new texts in it, and all else
// as before.
func TestReplaceTextKeepsTheRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := rapid.MapOf(rapid.StringMatching(`[a-d]"?`), rapid.OneOf(rapid.Just[any]("x}"), rapid.Just[any](1.5), rapid.Just[any]([]any{nil, true}))).Draw(t, "object")
		texts := rapid.MapOf(rapid.StringMatching(`[a-f]"?`), rapid.String()).Draw(t, "texts")
		object, err := json.Marshal(before)
		if err != nil {
			t.Fatal(err)
		}
		text, err := replaced(string(object), texts)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range texts {
			before[name] = text
		}
		var after map[string]any
		if err := json.Unmarshal([]byte(text), &after); err != nil || cmp.Diff(before, after) != "" {
			t.Fatalf("%s: %v %s", text, err, cmp.Diff(before, after))
		}
	})
}
