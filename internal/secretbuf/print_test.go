package secretbuf_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"fastness/internal/secretbuf"
)

// planted has no byte in common with addresses and type names in decimal or
// hexadecimal beyond chance: 32 bytes, no two alike.
var planted = []byte("~}|{`^]\\[@?>=<;:zyxwvutsrqponmlk")

// The types a secret may sit in. Unexported fields are the hard ones: fmt does
// not call their methods.
type (
	plain struct {
		Buffer  *secretbuf.Buffer
		Key     *secretbuf.Key
		Builder *secretbuf.Builder
	}
	hidden struct {
		buffer  *secretbuf.Buffer
		key     *secretbuf.Key
		builder *secretbuf.Builder
	}
	byValue struct {
		buffer  secretbuf.Buffer
		key     secretbuf.Key
		builder secretbuf.Builder
	}
	deep struct {
		list []hidden
		m    map[string]*byValue
		any  any
		err  error
	}
)

func holders() map[string]any {
	buffer := secretbuf.Take(bytes.Clone(planted))
	key := secretbuf.NewKey(bytes.Clone(planted))
	builder := new(secretbuf.Builder)
	builder.Append(planted...)
	h := hidden{buffer, key, builder}
	v := byValue{*buffer, *key, *builder}
	d := deep{[]hidden{h}, map[string]*byValue{"x": &v}, h, fmt.Errorf("wrapping %v %s %x", buffer, key, builder)}
	return map[string]any{
		"buffer": buffer, "buffer value": *buffer, "key": key, "key value": *key, "builder": builder, "builder value": *builder,
		"exported fields": plain{buffer, key, builder}, "unexported fields": h, "unexported values": v,
		"pointer": &h, "pointer to values": &v, "deep": d, "pointer to deep": &d,
		"slice": []*secretbuf.Buffer{buffer}, "map": map[string]*secretbuf.Key{"k": key}, "any": []any{*buffer, *key, *builder},
	}
}

// forms maps each text that gives away eight planted bytes in a row to the
// name of its form.
var forms = func() map[string]string {
	texts := map[string]string{}
	for i := 0; i+8 <= len(planted); i++ {
		part := planted[i : i+8]
		escaped, _ := json.Marshal(string(part))
		var list, unicode []string
		for _, c := range part {
			list = append(list, fmt.Sprint(c))
			unicode = append(unicode, fmt.Sprintf("%U", rune(c)))
		}
		for form, text := range map[string]string{
			"raw":     string(part),
			"json":    strings.Trim(string(escaped), `"`),
			"quoted":  strings.Trim(fmt.Sprintf("%q", part), `"`),
			"hex":     hex.EncodeToString(part),
			"HEX":     strings.ToUpper(hex.EncodeToString(part)),
			"base64":  base64.RawStdEncoding.EncodeToString(part[:6]),
			"list":    strings.Join(list, " "),
			"unicode": strings.Join(unicode, " "),
			"go hex":  strings.Trim(fmt.Sprintf("%#v", part), "[]byte{}"),
		} {
			texts[text] = form
		}
	}
	return texts
}()

// leaks reports in which form planted bytes stand in s.
func leaks(s string) string {
	for text, form := range forms {
		if strings.Contains(s, text) {
			return form
		}
	}
	return ""
}

func TestLeaksFindsPlantedBytes(t *testing.T) {
	naive := struct{ b []byte }{planted}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%U"} {
		if leaks(fmt.Sprintf(verb, naive)) == "" {
			t.Errorf("the search misses what %s prints of a byte slice: %s", verb, fmt.Sprintf(verb, naive))
		}
	}
}

func TestNoVerbPrintsSecrets(t *testing.T) {
	for name, x := range holders() {
		for verb := rune('A'); verb <= 'z'; verb++ {
			for _, flags := range []string{"", "+", "#", " ", "064", "-.64", "+#"} {
				format := "%" + flags + string(verb)
				if form := leaks(fmt.Sprintf(format, x)); form != "" {
					t.Errorf("%s under %s leaks (%s): %s", name, format, form, fmt.Sprintf(format, x))
				}
			}
		}
		for _, s := range []string{fmt.Sprint(x), fmt.Sprintln(x), fmt.Errorf("context: %v", x).Error()} {
			if form := leaks(s); form != "" {
				t.Errorf("%s leaks (%s): %s", name, form, s)
			}
		}
	}
}

func TestNoLogPrintsSecrets(t *testing.T) {
	for name, x := range holders() {
		var out bytes.Buffer
		opts := &slog.HandlerOptions{AddSource: true, Level: slog.LevelDebug}
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, opts), slog.NewJSONHandler(&out, opts)} {
			l := slog.New(h).With("with", x)
			l.Info("message", "attr", x, slog.Group("group", "in", x))
			l.Error("message", "err", errors.Join(fmt.Errorf("%v", x)))
		}
		if form := leaks(out.String()); form != "" {
			t.Errorf("%s leaks (%s): %s", name, form, out.String())
		}
	}
}

func TestNoEncoderPrintsSecrets(t *testing.T) {
	for name, x := range holders() {
		var out bytes.Buffer
		// An error is as good as a placeholder; only bytes are not.
		fmt.Fprint(&out, json.NewEncoder(&out).Encode(x), xml.NewEncoder(&out).Encode(x), gob.NewEncoder(&out).Encode(x))
		if form := leaks(out.String()); form != "" {
			t.Errorf("%s leaks (%s): %s", name, form, out.String())
		}
	}
}

func TestPlaceholder(t *testing.T) {
	buffer, key, builder := secretbuf.Take([]byte("x")), secretbuf.NewKey(make([]byte, 32)), new(secretbuf.Builder)
	for _, x := range []any{buffer, key, builder, (*secretbuf.Buffer)(nil), (*secretbuf.Key)(nil), (*secretbuf.Builder)(nil)} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if got := fmt.Sprintf(format, x); got != "[secret]" {
				t.Errorf("%T under %s prints %q", x, format, got)
			}
		}
		if got := x.(fmt.Stringer).String() + x.(fmt.GoStringer).GoString() + x.(slog.LogValuer).LogValue().String(); got != "[secret][secret][secret]" {
			t.Errorf("%T: %s", x, got)
		}
	}
	got, err := json.Marshal(plain{buffer, key, builder})
	if want := `{"Buffer":"[secret]","Key":"[secret]","Builder":"[secret]"}`; string(got) != want || err != nil {
		t.Errorf("json gives %s, %v", got, err)
	}
	got, err = json.Marshal(map[string]*secretbuf.Buffer{"a": nil})
	if string(got) != `{"a":null}` || err != nil {
		t.Errorf("json of nil gives %s, %v", got, err)
	}
}

func TestTextIsNotRead(t *testing.T) {
	var into struct{ B *secretbuf.Buffer }
	if err := json.Unmarshal([]byte(`{"B":"value"}`), &into); err == nil || strings.Contains(err.Error(), "value") {
		t.Errorf("encoding/json filled a buffer, or quoted its input: %v", err)
	}
	if err := new(secretbuf.Buffer).UnmarshalText([]byte("value")); err == nil {
		t.Error("UnmarshalText filled a buffer")
	}
}
