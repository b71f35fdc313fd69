package wire_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/wire"
)

// body puts text into a Buffer that is released with the test.
func body(t testing.TB, text string) *secretbuf.Buffer {
	t.Helper()
	b := secretbuf.Take([]byte(text))
	t.Cleanup(b.Release)
	return b
}

func TestDecodeValue(t *testing.T) {
	for _, tc := range []struct {
		name, body, want string
		kind             secret.Kind
	}{
		{"text", `{"value":"hunter2"}`, "hunter2", secret.Text},
		{"one character", `{"value":"x"}`, "x", secret.Text},
		{"space around", " {\n\t\"value\" :\r \"a b\" } ", "a b", secret.Text},
		{"escapes", `{"value":"\"\\\/\b\f\n\r\t"}`, "\"\\/\b\f\n\r\t", secret.Text},
		{"unicode escapes", `{"value":"\u0041\u00e9\u20AC\ud83d\ude00\u0000"}`, "Aé€😀\x00", secret.Text},
		{"raw unicode", `{"value":"é€😀"}`, "é€😀", secret.Text},
		{"escaped key", `{"\u0076alue":"v"}`, "v", secret.Text},
		{"with fields", `{"description":"d","value":"v","tags":{"k":"w"}}`, "v", secret.Text},
		{"base64", `{"valueBase64":"AP8="}`, "\x00\xff", secret.Binary},
		{"base64 without padding", `{"valueBase64":"AP8B"}`, "\x00\xff\x01", secret.Binary},
		{"base64 with escaped slash", `{"valueBase64":"\/\/\/\/"}`, "\xff\xff\xff", secret.Binary},
		{"longest", `{"value":"` + strings.Repeat("x", secret.MaxValue) + `"}`, strings.Repeat("x", secret.MaxValue), secret.Text},
		{"longest, all escaped", `{"value":"` + strings.Repeat(`\u0078`, secret.MaxValue) + `"}`, strings.Repeat("x", secret.MaxValue), secret.Text},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var req wire.PutRequest
			b := body(t, tc.body)
			value, kind, err := wire.DecodeValue(b, &req)
			if err != nil {
				t.Fatal(err)
			}
			defer value.Release()
			if got := value.Bytes(); !bytes.Equal(got, []byte(tc.want)) || kind != tc.kind {
				t.Errorf("got %q of kind %d, want %q of kind %d", got, kind, tc.want, tc.kind)
			}
			if len(tc.want) > 3 && bytes.Contains(b.Bytes(), []byte(tc.want)) {
				t.Error("the value is still in the body")
			}
		})
	}
}

// The value in these bodies; no error may show any of it.
const planted = "Pl4nted!"

func TestDecodeValueRefuses(t *testing.T) {
	tooLong := strings.Repeat("x", secret.MaxValue+1)
	for _, tc := range []struct {
		name, body, want string
		sentinel         error
	}{
		{"nothing", ``, "body: valid JSON is expected; it ends too early", secret.ErrInvalid},
		{"no object", `"Pl4nted!"`, "body: an object is expected", secret.ErrInvalid},
		{"array", `["Pl4nted!"]`, "body: an object is expected", secret.ErrInvalid},
		{"cut short", `{"value":"Pl4nted!`, "body: valid JSON is expected; it ends too early", secret.ErrInvalid},
		{"cut in an escape", `{"value":"Pl4nted!\u00`, "body: valid JSON is expected; it breaks at byte 19", secret.ErrInvalid},
		{"not UTF-8", "{\"value\":\"Pl4nted!\xff\"}", "body: valid UTF-8 is expected", secret.ErrInvalid},
		{"raw newline", "{\"value\":\"Pl4nted!\n\"}", "body: valid JSON is expected; it breaks at byte 19", secret.ErrInvalid},
		{"unknown escape", `{"value":"Pl4nted!\x"}`, "body: valid JSON is expected; it breaks at byte 19", secret.ErrInvalid},
		{"lone high surrogate", `{"value":"Pl4nted!\ud800"}`, "body: valid JSON is expected; it breaks at byte 19", secret.ErrInvalid},
		{"lone low surrogate", `{"value":"Pl4nted!\udc00"}`, "body: valid JSON is expected; it breaks at byte 19", secret.ErrInvalid},
		{"surrogates the wrong way round", `{"value":"Pl4nted!\ude00\ud83d"}`, "body: valid JSON is expected; it breaks at byte 19", secret.ErrInvalid},
		{"trailing data", `{"value":"Pl4nted!"} x`, "body: valid JSON is expected; it breaks at byte 22", secret.ErrInvalid},
		{"second document", `{"value":"Pl4nted!"}{}`, "body: valid JSON is expected; it breaks at byte 21", secret.ErrInvalid},
		{"trailing comma", `{"value":"Pl4nted!",}`, "body: valid JSON is expected; it breaks at byte 21", secret.ErrInvalid},
		{"byte order mark", "\ufeff{\"value\":\"Pl4nted!\"}", "body: valid JSON is expected; it breaks at byte 1", secret.ErrInvalid},
		{"NUL", "\x00", "body: valid JSON is expected; it breaks at byte 1", secret.ErrInvalid},
		{"NUL after", "{\"value\":\"Pl4nted!\"}\x00", "body: valid JSON is expected; it breaks at byte 21", secret.ErrInvalid},
		{"null", `{"value":null}`, "value: a string is expected", secret.ErrInvalid},
		{"number", `{"value":12345678}`, "value: a string is expected", secret.ErrInvalid},
		{"object", `{"value":{"Pl4nted!":1}}`, "value: a string is expected", secret.ErrInvalid},
		{"broken in another type", `{"value":["Pl4nted!"`, "body: valid JSON is expected; it ends too early", secret.ErrInvalid},
		{"neither", `{}`, "value: value or valueBase64 is required", secret.ErrInvalid},
		{"both", `{"value":"Pl4nted!","valueBase64":"AA=="}`, "value: value or valueBase64, not both", secret.ErrInvalid},
		{"both, the other way", `{"valueBase64":"AA==","value":"Pl4nted!"}`, "value: value or valueBase64, not both", secret.ErrInvalid},
		{"twice", `{"value":"Pl4nted!","value":"Pl4nted!"}`, "body: no field may stand twice in an object; one does before byte 28", secret.ErrInvalid},
		{"twice, once escaped", `{"value":"Pl4nted!","valu\u0065":"Pl4nted!"}`, "body: no field may stand twice in an object; one does before byte 33", secret.ErrInvalid},
		{"in capitals", `{"Value":"Pl4nted!"}`, "body: unknown field; known are requestToken, stages, description, tags, algorithm, rotationRequired, rotationInterval, accessPolicy, value, valueBase64", secret.ErrInvalid},
		{"as an unknown field", `{"value":"v","Pl4nted!":"Pl4nted!"}`, "body: unknown field; known are requestToken, stages, description, tags, algorithm, rotationRequired, rotationInterval, accessPolicy, value, valueBase64", secret.ErrInvalid},
		{"as an unknown field below", `{"value":"v","accessPolicy":{"Pl4nted!":1}}`, "accessPolicy: unknown field; known are allowedServices, allowedEnvironments, requiresMFA", secret.ErrInvalid},
		{"as a boolean", `{"value":"v","rotationRequired":"Pl4nted!"}`, "rotationRequired: true or false is expected", secret.ErrInvalid},
		{"as a list", `{"value":"v","accessPolicy":{"allowedServices":"Pl4nted!"}}`, "accessPolicy.allowedServices: an array is expected", secret.ErrInvalid},
		{"as tags", `{"value":"v","tags":"Pl4nted!"}`, "tags: an object is expected", secret.ErrInvalid},
		{"null field", `{"value":"v","description":null}`, "description: a string is expected", secret.ErrInvalid},
		{"null in a list", `{"value":"v","accessPolicy":{"allowedServices":[null]}}`, "accessPolicy.allowedServices: a string is expected", secret.ErrInvalid},
		{"tag twice", `{"value":"v","tags":{"a":"1","a":"2"}}`, "body: no field may stand twice in an object; one does before byte 33", secret.ErrInvalid},
		{"empty", `{"value":""}`, "value: limit: 1 to 65536 bytes", secret.ErrLimit},
		{"empty base64", `{"valueBase64":""}`, "value: limit: 1 to 65536 bytes", secret.ErrLimit},
		{"too long", `{"value":"` + tooLong + `"}`, "value: limit: 1 to 65536 bytes", secret.ErrLimit},
		{"too long in base64", `{"valueBase64":"` + base64.StdEncoding.EncodeToString([]byte(tooLong)) + `"}`, "value: limit: 1 to 65536 bytes", secret.ErrLimit},
		{"not base64", `{"valueBase64":"Pl4nted!"}`, "valueBase64: base64 with padding is expected (RFC 4648)", secret.ErrInvalid},
		{"base64 for URLs", `{"valueBase64":"__-_"}`, "valueBase64: base64 with padding is expected (RFC 4648)", secret.ErrInvalid},
		{"base64 unpadded", `{"valueBase64":"AP8"}`, "valueBase64: base64 with padding is expected (RFC 4648)", secret.ErrInvalid},
		{"base64 all padding", `{"valueBase64":"===="}`, "valueBase64: base64 with padding is expected (RFC 4648)", secret.ErrInvalid},
		{"base64 padded within", `{"valueBase64":"AA==AAAA"}`, "valueBase64: base64 with padding is expected (RFC 4648)", secret.ErrInvalid},
		{"base64 with loose bits", `{"valueBase64":"AB=="}`, "valueBase64: base64 with padding is expected (RFC 4648)", secret.ErrInvalid},
		{"base64 with line breaks", `{"valueBase64":"AAAA\r\n\r\nAA"}`, "valueBase64: base64 with padding is expected (RFC 4648)", secret.ErrInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var req wire.PutRequest
			value, _, err := wire.DecodeValue(body(t, tc.body), &req)
			if value != nil {
				t.Error("a refused body gave a value")
			}
			if err == nil || err.Error() != tc.want || !errors.Is(err, tc.sentinel) {
				t.Fatalf("got error %v, want %v", err, tc.want)
			}
			if shown := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(shown, planted) {
				t.Errorf("the error shows the value: %s", shown)
			}
		})
	}
}

func TestDecodeDepth(t *testing.T) {
	nested := func(depth int) string {
		// The object around is a level of its own.
		return `{"x":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + `}`
	}
	var none struct{}
	if err := wire.DecodeReply(body(t, nested(wire.MaxDepth)), &none); err != nil {
		t.Errorf("%d levels: %v", wire.MaxDepth, err)
	}
	if err := wire.DecodeReply(body(t, nested(wire.MaxDepth+1)), &none); !errors.Is(err, secret.ErrLimit) {
		t.Errorf("%d levels: got error %v, want ErrLimit", wire.MaxDepth+1, err)
	}
	// Depth is what is open at a time, not what there is in all.
	wide := `{"x":[` + strings.Repeat("[[]],", 100) + `[]]}`
	if err := wire.DecodeReply(body(t, wide), &none); err != nil {
		t.Errorf("a wide body: %v", err)
	}
}

// A body with very many fields must not cost more than its length.
func TestDecodeManyKeys(t *testing.T) {
	var text strings.Builder
	text.WriteString(`{"k":0`)
	for i := range 40_000 {
		fmt.Fprintf(&text, `,"%x":0`, i)
	}
	text.WriteString(`}`)
	var none struct{}
	if err := wire.DecodeReply(body(t, text.String()), &none); err != nil {
		t.Fatal(err)
	}
}

func TestDecodeOptionalValue(t *testing.T) {
	const token = "0123456789abcdef0123456789abcdef"
	var req wire.RotateRequest
	value, _, err := wire.DecodeOptionalValue(body(t, `{"requestToken":"`+token+`"}`), &req)
	if err != nil || value != nil || req.RequestToken != token {
		t.Errorf("without a value: got %v, %v, %+v", value, err, req)
	}
	value, kind, err := wire.DecodeOptionalValue(body(t, `{"valueBase64":"AA=="}`), &req)
	if err != nil || kind != secret.Binary || !bytes.Equal(value.Bytes(), []byte{0}) {
		t.Errorf("with a value: got kind %d, %v", kind, err)
	}
	if _, _, err = wire.DecodeOptionalValue(body(t, `{"value":""}`), &req); !errors.Is(err, secret.ErrLimit) {
		t.Errorf("with an empty value: got %v, want ErrLimit", err)
	}
}

func TestAppendValue(t *testing.T) {
	reply := wire.ValueReply{Name: "db/password", Version: "3", VersionID: "id", Stages: []string{"AWSCURRENT", `odd"label`}}
	for _, tc := range []struct {
		value, want string
		kind        secret.Kind
	}{
		{"hunter2", `{"name":"db/password","value":"hunter2","version":"3","versionId":"id","stages":["AWSCURRENT","odd\"label"]}`, secret.Text},
		{"\"\\\b\f\n\r\t\x00\x1f/<>&é😀\u2028\x7f", `{"name":"db/password","value":"\"\\\b\f\n\r\t\u0000\u001f/<>&é😀` + "\u2028\x7f" + `","version":"3","versionId":"id","stages":["AWSCURRENT","odd\"label"]}`, secret.Text},
		{"\x00\xff", `{"name":"db/password","valueBase64":"AP8=","version":"3","versionId":"id","stages":["AWSCURRENT","odd\"label"]}`, secret.Binary},
		{"broken \xff", `{"name":"db/password","valueBase64":"YnJva2VuIP8=","version":"3","versionId":"id","stages":["AWSCURRENT","odd\"label"]}`, secret.Text},
	} {
		var b secretbuf.Builder
		wire.AppendValue(&b, reply, []byte(tc.value), tc.kind)
		if got := string(b.Bytes()); got != tc.want {
			t.Errorf("value %q: got\n%s, want\n%s", tc.value, got, tc.want)
		}
		b.Release()
	}
}

// What the server writes the client reads, and what the client writes the
// server reads, for any value.
func TestValueRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]secret.Kind{secret.Text, secret.Binary}).Draw(t, "kind")
		value := rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "value")
		if kind == secret.Text {
			value = []byte(rapid.StringN(1, 100, -1).Draw(t, "text"))
		}
		reply := wire.ValueReply{
			Name: rapid.String().Draw(t, "name"), Version: "7", VersionID: rapid.String().Draw(t, "id"),
			Stages: rapid.SliceOf(rapid.String()).Draw(t, "stages"),
		}
		var b secretbuf.Builder
		wire.AppendValue(&b, reply, value, kind)
		if !json.Valid(b.Bytes()) {
			t.Fatalf("not valid JSON: %s", b.Bytes())
		}
		sent := b.Buffer()
		gotReply, got, gotKind, err := wire.DecodeValueReply(sent)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(reply, gotReply); diff != "" || !bytes.Equal(got.Bytes(), value) || gotKind != kind {
			t.Fatalf("got %q of kind %d, reply differs: %s", got.Bytes(), gotKind, diff)
		}

		put := wire.PutRequest{RequestToken: rapid.String().Draw(t, "token")}
		if err := wire.AppendRequest(&b, put, value, kind); err != nil {
			t.Fatal(err)
		}
		var gotPut wire.PutRequest
		got, gotKind, err = wire.DecodeValue(b.Buffer(), &gotPut)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(put, gotPut); diff != "" || !bytes.Equal(got.Bytes(), value) || gotKind != kind {
			t.Fatalf("got %q of kind %d, request differs: %s", got.Bytes(), gotKind, diff)
		}
	})
}

func TestDecodeValueReply(t *testing.T) {
	// A newer server may say more; a null of it says nothing.
	reply, value, kind, err := wire.DecodeValueReply(body(t, `{"name":"n","value":"v","version":"1","more":[{}],"versionId":null}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wire.ValueReply{Name: "n", Version: "1"}, reply); diff != "" || kind != secret.Text || string(value.Bytes()) != "v" {
		t.Errorf("got %q of kind %d, reply differs: %s", value.Bytes(), kind, diff)
	}
	for _, text := range []string{`{"name":"n"}`, `{"name":"n","value":null}`, `{"value":"a","value":"b"}`} {
		if _, value, _, err = wire.DecodeValueReply(body(t, text)); !errors.Is(err, secret.ErrInvalid) || value != nil {
			t.Errorf("%s: got %v, want ErrInvalid", text, err)
		}
	}
}
