package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/wire"
)

// seeds are bodies near the borders of what is accepted.
var seeds = []string{
	``, `{}`, ` {} `, `{"value":"v"}`, `{"valueBase64":"AA=="}`, `{"value":"a","value":"b"}`,
	`{"value":"a","Value":"b"}`, `{"value":"\ud83d\ude00"}`, `{"value":"\ud83d"}`, `{"value":"\ud83dx\ude00"}`, `{"value":"\u00zz"}`,
	`{"value":"v","tags":{"a":"b","\u0061":"c"}}`, `{"value":"v","accessPolicy":null}`, `{"value":"v","accessPolicy":{"allowedServices":[]}}`,
	`{"value":"v","accessPolicy":{"allowedServices":["web"],"allowedEnvironments":["prod"],"requiresMFA":true}}`,
	`{"value":"v","rotationRequired":true,"rotationInterval":"30d","algorithm":"hybrid-quantum","description":"d"}`,
	`{"requestToken":"0123456789abcdef0123456789abcdef","value":"v"}`, `{"value":1e9}`, `{"value":-0.5E+3}`, `{"x":01}`, `{"x":1.}`, `{"x":-}`,
	`{"x":truefalse}`, `{"x":tru}`, `{"x":[1,2,]}`, `{"x":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}`, "{\"x\":\"\xff\"}", "{\"x\":\"\x01\"}", `{"a":1,"a":2}`, `[]`, `null`, `"s"`,
}

func addSeeds(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
}

// stricter reports whether one of our additional rules refuses valid JSON.
func stricter(text []byte) bool {
	return !utf8.Valid(text) || loneSurrogate(text) || deepOrTwice(text)
}

var escape = regexp.MustCompile(`\\(?:u[0-9a-fA-F]{4}|.)`)

// loneSurrogate looks at escapes one by one: a surrogate has its other half
// right behind it, or is alone.
func loneSurrogate(text []byte) bool {
	high := -1 // where the escape of a high surrogate ended
	for _, at := range escape.FindAllIndex(text, -1) {
		e := strings.ToLower(string(text[at[0]:at[1]]))
		isHigh := strings.HasPrefix(e, `\ud`) && strings.ContainsAny(e[3:4], "89ab")
		isLow := strings.HasPrefix(e, `\ud`) && strings.ContainsAny(e[3:4], "cdef")
		if isLow != (high == at[0]) {
			return true
		}
		if high >= 0 && high != at[0] {
			return true
		}
		high = -1
		if isHigh {
			high = at[1]
		}
	}
	return high >= 0
}

// deepOrTwice walks over the tokens of valid JSON.
func deepOrTwice(text []byte) bool {
	type level struct {
		keys  map[string]bool // nil for an array
		value bool            // the next token of an object is a value
	}
	var open []level
	for dec := json.NewDecoder(bytes.NewReader(text)); ; {
		token, err := dec.Token()
		if err != nil {
			return !errors.Is(err, io.EOF)
		}
		delim, _ := token.(json.Delim)
		if delim == '}' || delim == ']' {
			open = open[:len(open)-1]
			continue
		}
		if n := len(open); n > 0 && open[n-1].keys != nil {
			top := &open[n-1]
			if key, ok := token.(string); ok && !top.value {
				if top.keys[key] {
					return true
				}
				top.keys[key] = true
			}
			top.value = !top.value
		}
		switch delim {
		case '{':
			open = append(open, level{keys: map[string]bool{}})
		case '[':
			open = append(open, level{})
		}
		if len(open) > wire.MaxDepth {
			return true
		}
	}
}

// FuzzScan compares what is accepted with encoding/json, apart from our
// additional rules.
func FuzzScan(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		var none struct{}
		buf := secretbuf.Take(bytes.Clone(text))
		defer buf.Release()
		err := wire.DecodeReply(buf, &none)
		want := json.Valid(text) && bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) && !stricter(text)
		if got := err == nil; got != want {
			t.Errorf("%q: accepted: %v, want %v; error: %v", text, got, want, err)
		}
	})
}

// standard is a PutRequest with its value, as encoding/json knows it.
type standard struct {
	Value       *string `json:"value,omitempty"`
	ValueBase64 *[]byte `json:"valueBase64,omitempty"`
	wire.PutRequest
}

// readStandard is the oracle: encoding/json with its strict option.
func readStandard(text []byte) (s standard, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err = dec.Decode(&s); err == nil && dec.More() {
		err = errors.New("trailing data")
	}
	return s, err
}

func (s standard) value() []byte {
	switch {
	case s.Value != nil:
		return []byte(*s.Value)
	case s.ValueBase64 != nil:
		return *s.ValueBase64
	}
	return nil
}

// FuzzDecodeValue compares what is decoded with encoding/json. What we accept
// it must read in the same way; what it accepts and writes again, so without
// its laxer forms, we must read in the same way.
func FuzzDecodeValue(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		want, wantErr := readStandard(text)
		if got, value, err := readOurs(t, text); err == nil {
			if wantErr != nil {
				t.Fatalf("%q: accepted, but encoding/json says %v", text, wantErr)
			}
			same(t, text, want, got, value)
		}
		if wantErr != nil || want.Value != nil && want.ValueBase64 != nil {
			return
		}
		if n := len(want.value()); n < 1 || n > secret.MaxValue {
			return
		}
		again, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, value, err := readOurs(t, again)
		if err != nil {
			t.Fatalf("%q: refused: %v", again, err)
		}
		same(t, again, want, got, value)
	})
}

// readOurs returns a copy of the value, so that callers need not release it.
func readOurs(t *testing.T, text []byte) (req wire.PutRequest, value []byte, err error) {
	t.Helper()
	buf := secretbuf.Take(bytes.Clone(text))
	defer buf.Release()
	v, kind, err := wire.DecodeValue(buf, &req)
	if err != nil {
		if v != nil {
			t.Fatalf("%q: refused, and gave a value", text)
		}
		return req, nil, err
	}
	defer v.Release()
	if kind == secret.Text && !utf8.Valid(v.Bytes()) {
		t.Fatalf("%q: text that is not UTF-8", text)
	}
	return req, bytes.Clone(v.Bytes()), nil
}

// same compares, taking a cleared access policy for what encoding/json makes
// of null.
func same(t *testing.T, text []byte, want standard, got wire.PutRequest, value []byte) {
	t.Helper()
	if want.AccessPolicy == nil && got.AccessPolicy != nil && got.AccessPolicy.IsZero() {
		got.AccessPolicy = nil
	}
	if !bytes.Equal(value, want.value()) {
		t.Fatalf("%q: value %q, want %q", text, value, want.value())
	}
	if diff := cmp.Diff(want.PutRequest, got); diff != "" {
		t.Fatalf("%q: fields differ: %s", text, diff)
	}
}

// FuzzAppendValue reads any value's encoding with encoding/json.
func FuzzAppendValue(f *testing.F) {
	for _, s := range []string{"", "hunter2", "\x00\x1f\"\\/\b\f\n\r\t<>&é😀\u2028", "\xff", "\xed\xa0\x80"} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, value []byte, text bool) {
		kind := secret.Binary
		if text {
			kind = secret.Text
		}
		var b secretbuf.Builder
		defer b.Release()
		wire.AppendValue(&b, wire.ValueReply{}, value, kind)
		var got standard
		if err := json.Unmarshal(b.Bytes(), &got); err != nil {
			t.Fatalf("%q: %v", b.Bytes(), err)
		}
		if !bytes.Equal(got.value(), value) || (got.Value != nil) != (text && utf8.Valid(value)) {
			t.Errorf("%q: read back as %q", value, got.value())
		}
	})
}
